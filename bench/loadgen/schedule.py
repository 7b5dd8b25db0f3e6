"""When each event is due: a pure, serialisable function from sequence number to nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Segment:
    """`seconds` during which the rate goes linearly `from_eps` -> `to_eps`."""

    seconds: float
    from_eps: float
    to_eps: float

    @property
    def events(self) -> float:
        return self.seconds * (self.from_eps + self.to_eps) / 2


@dataclass(frozen=True)
class Schedule:
    """Event i is due when the integral of the rate since t0 reaches i. t0 never moves.

    Beyond the last segment its final rate goes on, so that a due time exists for every i.
    """

    t0_ns: int
    segments: tuple[Segment, ...]

    @classmethod
    def constant(cls, t0_ns: int, rate_eps: float, seconds: float) -> Schedule:
        """Event i is due at t0 + i / rate."""
        return cls(t0_ns, (Segment(seconds, rate_eps, rate_eps),))

    @property
    def seconds(self) -> float:
        return sum(s.seconds for s in self.segments)

    @property
    def events(self) -> int:
        """How many events are due before the end."""
        return int(np.ceil(sum(s.events for s in self.segments) - 1e-6))

    def due_ns(self, seq: I64) -> I64:
        """int64[n] of ns since the epoch for int64[n] of sequence numbers (any order)."""
        since_ns: I64 = np.rint(self._since_s(seq.astype(np.float64)) * 1e9).astype(np.int64)
        return since_ns + self.t0_ns

    def rate_eps(self, t_s: F64) -> F64:
        """Target rate at these seconds since t0."""
        starts = self._starts
        at = np.clip(np.searchsorted(starts[:, 0], t_s, side="right") - 1, 0, len(self.segments) - 1)
        lengths = np.array([s.seconds for s in self.segments])[at]
        low = np.array([s.from_eps for s in self.segments])[at]
        high = np.array([s.to_eps for s in self.segments])[at]
        share = np.clip((t_s - starts[at, 0]) / np.where(lengths > 0, lengths, 1), 0, 1)
        return np.asarray(low + (high - low) * share, dtype=np.float64)

    @cached_property
    def _starts(self) -> F64:
        """float64[segments, 2]: (second, events before) at which each segment starts."""
        out, at, events = [], 0.0, 0.0
        for s in self.segments:
            out.append((at, events))
            at, events = at + s.seconds, events + s.events
        return np.array(out, dtype=np.float64)

    def _since_s(self, index: F64) -> F64:
        starts = self._starts
        if len(self.segments) == 1 and self.segments[0].from_eps == self.segments[0].to_eps:
            return index / self.segments[0].from_eps
        which = np.clip(np.searchsorted(starts[:, 1], index, side="right") - 1, 0, len(self.segments) - 1)
        out = np.empty_like(index)
        for k in np.unique(which):
            seg, mine = self.segments[k], which == k
            out[mine] = starts[k, 0] + _time_in(seg, index[mine] - starts[k, 1])
        return out

    def to_json(self) -> dict[str, Any]:
        return {"t0_ns": self.t0_ns, "segments": [[s.seconds, s.from_eps, s.to_eps] for s in self.segments]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schedule:
        return cls(int(data["t0_ns"]), _segments(data["segments"]))


def _segments(rows: Sequence[Sequence[float]]) -> tuple[Segment, ...]:
    return tuple(Segment(float(a), float(b), float(c)) for a, b, c in rows)


def _time_in(seg: Segment, events: F64) -> F64:
    """Seconds into `seg` at which the integral of its rate reaches `events`; past its end at its final rate."""
    beyond = np.maximum(events - seg.events, 0)
    inside = events - beyond
    if seg.from_eps == seg.to_eps:
        t = inside / seg.from_eps if seg.from_eps else np.full_like(events, seg.seconds)
    else:  # from*t + slope*t^2/2 = inside, in the form that does not cancel
        slope = (seg.to_eps - seg.from_eps) / seg.seconds
        root = np.sqrt(np.maximum(seg.from_eps**2 + 2 * slope * inside, 0))
        denominator = seg.from_eps + root
        t = np.divide(2 * inside, denominator, out=np.zeros_like(inside), where=denominator > 0)
    return t + (beyond / seg.to_eps if seg.to_eps else 0.0)
