"""When each event is due: a pure, serialisable function from sequence number to nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

BEYOND_EPS = 1e-3  # the rate after an end at (almost) nothing: every i has a due time, however far off
POISSON_BIN = 4096.0  # expected arrivals drawn together: any event's time needs only its own bin


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
    """Event i is due when the integral of the rate since t0 reaches i (or the i-th Poisson arrival). t0 never moves.

    With `poisson_seed`, arrivals are a Poisson process of that rate: the realised times are the schedule. With
    `offsets_ns`, they are a recording's: event i of round r is due at offset i + r * period. Beyond the last segment
    its final rate goes on, so that a due time exists for every i.
    """

    t0_ns: int
    segments: tuple[Segment, ...]
    poisson_seed: int | None = None
    offsets_ns: I64 | None = field(default=None, compare=False)  # of a recording, from 0, ascending
    period_ns: int = 0

    @classmethod
    def constant(cls, t0_ns: int, rate_eps: float, seconds: float) -> Schedule:
        """Event i is due at t0 + i / rate."""
        return cls(t0_ns, (Segment(seconds, rate_eps, rate_eps),))

    @classmethod
    def recording(cls, t0_ns: int, offsets_ns: I64, period_ns: int, seconds: float) -> Schedule:
        """A recording's own pace, again from its start after `period_ns`, for `seconds`."""
        mean_eps = len(offsets_ns) / (period_ns / 1e9)
        return cls(t0_ns, (Segment(seconds, mean_eps, mean_eps),), None, offsets_ns, period_ns)

    def starting(self, t0_ns: int) -> Schedule:
        """The same schedule from another moment."""
        return replace(self, t0_ns=t0_ns)

    @property
    def seconds(self) -> float:
        return sum(s.seconds for s in self.segments)

    @cached_property
    def events(self) -> int:
        """How many events are due before the end."""
        if self.offsets_ns is not None:
            rounds, rest = divmod(round(self.seconds * 1e9), self.period_ns)
            return rounds * len(self.offsets_ns) + int(np.searchsorted(self.offsets_ns, rest, side="left"))
        if self.poisson_seed is not None:
            return int(_poisson_bins(self.poisson_seed, self._integral)[-1])
        return int(np.ceil(self._integral - 1e-6))

    def due_ns(self, seq: I64) -> I64:
        """int64[n] of ns since the epoch for int64[n] of sequence numbers (any order)."""
        if self.offsets_ns is not None:
            rounds, at = np.divmod(seq, len(self.offsets_ns))
            return np.asarray(self.t0_ns + rounds * self.period_ns + self.offsets_ns[at], dtype=np.int64)
        index = seq.astype(np.float64)
        if self.poisson_seed is not None:
            index = _poisson_index(seq, self.poisson_seed, self._integral)
        since_ns: I64 = np.rint(self._since_s(index) * 1e9).astype(np.int64)
        return since_ns + self.t0_ns

    def due_before(self, t_s: F64) -> I64:
        """How many events are due before each of these seconds since t0 (bisection, so of any schedule)."""
        moments = self.t0_ns + np.rint(t_s * 1e9).astype(np.int64)
        low, high = np.zeros(len(t_s), dtype=np.int64), np.full(len(t_s), self.events, dtype=np.int64)
        while (low < high).any():
            middle = (low + high) // 2
            before = (self.due_ns(middle) < moments) & (low < high)
            low, high = np.where(before, middle + 1, low), np.where(before, high, np.minimum(middle, high))
        return low

    def rate_eps(self, t_s: F64) -> F64:
        """Mean target rate at these seconds since t0."""
        starts = self._starts
        at = np.clip(np.searchsorted(starts[:, 0], t_s, side="right") - 1, 0, len(self.segments) - 1)
        lengths, low, high = np.array([(s.seconds, s.from_eps, s.to_eps) for s in self.segments])[at].T
        share = np.clip((t_s - starts[at, 0]) / np.where(lengths > 0, lengths, 1), 0, 1)
        return np.asarray(low + (high - low) * share, dtype=np.float64)

    @cached_property
    def _integral(self) -> float:
        return sum(s.events for s in self.segments)

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
            return index / max(self.segments[0].from_eps, BEYOND_EPS)
        which = np.clip(np.searchsorted(starts[:, 1], index, side="right") - 1, 0, len(self.segments) - 1)
        out = np.empty_like(index)
        for k in np.unique(which):
            mine = which == k
            out[mine] = starts[k, 0] + _time_in(self.segments[k], index[mine] - starts[k, 1])
        return out

    @property
    def constant_eps(self) -> float | None:
        """The rate, where it is the same throughout and the arrivals are evenly spaced."""
        first = self.segments[0]
        alike = len(self.segments) == 1 and first.from_eps == first.to_eps
        return first.to_eps if alike and self.poisson_seed is None and self.offsets_ns is None else None

    def to_json(self) -> dict[str, Any]:
        return {
            "t0_ns": self.t0_ns,
            "segments": [[s.seconds, s.from_eps, s.to_eps] for s in self.segments],
            "poisson_seed": self.poisson_seed,
            "offsets_ns": None if self.offsets_ns is None else self.offsets_ns.tolist(),
            "period_ns": self.period_ns,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schedule:
        offsets = data.get("offsets_ns")
        return cls(
            int(data["t0_ns"]),
            tuple(Segment(float(a), float(b), float(c)) for a, b, c in data["segments"]),
            data.get("poisson_seed"),
            None if offsets is None else np.array(offsets, dtype=np.int64),
            int(data.get("period_ns") or 0),
        )


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
    return t + beyond / max(seg.to_eps, BEYOND_EPS)


@lru_cache(maxsize=4)
def _poisson_bins(seed: int, integral: float) -> I64:
    """int64[bins + 1]: arrivals before each bin of `POISSON_BIN` expected ones (the last bin is shorter)."""
    bins = int(np.ceil(integral / POISSON_BIN))
    widths = np.full(bins, POISSON_BIN)
    widths[-1] = integral - (bins - 1) * POISSON_BIN
    counts = np.random.default_rng([seed, 0x706F6973]).poisson(widths)
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


@lru_cache(maxsize=256)
def _poisson_bin(seed: int, bin_: int, count: int, width: float) -> F64:
    """Sorted arrivals in one bin: given their number they are uniform in it."""
    return np.sort(np.random.default_rng([seed, 0x62696E, bin_]).random(count)) * width


def _poisson_index(seq: I64, seed: int, integral: float) -> F64:
    """Where, in expected arrivals since t0, the i-th one falls. Past the end they are one apart."""
    before = _poisson_bins(seed, integral)
    out: F64 = integral + (seq - before[-1]).astype(np.float64)
    which = np.searchsorted(before, seq, side="right") - 1
    for b in np.unique(which[which < len(before) - 1]).tolist():
        mine = which == b
        width = min(POISSON_BIN, integral - b * POISSON_BIN)
        arrivals = _poisson_bin(seed, b, int(before[b + 1] - before[b]), width)
        out[mine] = b * POISSON_BIN + arrivals[seq[mine] - before[b]]
    return out
