"""When each event was handed to the client, by its due time: what parts a response time into delay and service."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
MOST = 1 << 20  # steps: seventeen minutes of 1 ms ticks; beyond, neighbours are merged


class HandOver:
    """Steps (due time of a part's last event, when the part went out), in the order of the due times.

    Exact for events that went out together, which is how a paced sender sends; merged neighbours count as the later.
    """

    def __init__(self, due_ns: I64 | None = None, at_ns: I64 | None = None) -> None:
        self._due: list[int] = [] if due_ns is None else due_ns.tolist()
        self._at: list[int] = [] if at_ns is None else at_ns.tolist()
        self._arrays: tuple[I64, I64] | None = None
        self._parts, self._stride = len(self._due), 1  # parts so far, and how many of them make a step

    def add(self, last_due_ns: int, at_ns: int) -> None:
        """A part went out at `at_ns` whose last event was due at `last_due_ns`."""
        if self._parts % self._stride:  # the last step has room for one more part
            self._due[-1], self._at[-1] = last_due_ns, at_ns
        else:
            self._due.append(last_due_ns)
            self._at.append(at_ns)
        self._parts += 1
        self._arrays = None
        if len(self._due) > MOST and self._parts % (2 * self._stride) == 0:
            self._due, self._at = self._due[1::2], self._at[1::2]
            self._stride *= 2

    @property
    def last_due_ns(self) -> int:
        """How far it knows; a very early time when nothing went out."""
        return self._due[-1] if self._due else -(1 << 62)

    def at(self, due_ns: I64) -> I64:
        """When the events due then went out; -1 for what it does not know."""
        if self._arrays is None:
            self._arrays = np.array(self._due, dtype=np.int64), np.array(self._at, dtype=np.int64)
        last_due, at = self._arrays
        step = np.searchsorted(last_due, due_ns, side="left")
        known = step < len(last_due)
        found: I64 = np.where(known, at[np.minimum(step, len(at) - 1)] if len(at) else -1, -1)
        return found

    def to_json(self) -> dict[str, Any]:
        """As text, eight bytes a number: 20 s of 1 ms ticks are 430 kB."""
        arrays = (np.array(values, dtype="<i8") for values in (self._due, self._at))
        return dict(zip(("due", "at"), (base64.b64encode(a.tobytes()).decode() for a in arrays), strict=True))

    @classmethod
    def from_json(cls, plain: dict[str, str]) -> HandOver:
        """What `to_json` made."""
        due, at = (np.frombuffer(base64.b64decode(plain[name]), dtype="<i8") for name in ("due", "at"))
        return cls(due, at)
