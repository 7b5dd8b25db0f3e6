"""How far another machine's clock is ahead of ours, from exchanges with it: what its time stamps have to be read with.

Cristian's bound (Distributed Computing 3, 1989): whatever was stamped between two looks at our clock was stamped then.
Each exchange gives an interval that holds the offset; all of them together their intersection, which is narrow when a
single exchange was fast both ways. Nothing is assumed of how a delay is shared between the two ways.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

STAMP_NS = 1_000_000  # a broker's stamp is in whole ms, cut: its moment is up to so much later


@dataclass(frozen=True)
class Exchange:
    """Sent and answered by our clock, ns since the epoch; stamped by the other's meanwhile, ms since the epoch."""

    sent_ns: int
    stamp_ms: int
    answered_ns: int

    @property
    def bounds_ns(self) -> tuple[int, int]:
        """Between these is the offset."""
        stamp_ns = self.stamp_ms * 1_000_000
        return stamp_ns - self.answered_ns, stamp_ns + STAMP_NS - self.sent_ns


@dataclass(frozen=True)
class Offset:
    """The other clock minus ours is `ms`, give or take `error_ms`: a bound, not a deviation."""

    ms: float
    error_ms: float
    exchanges: int

    def __str__(self) -> str:
        return f"{self.ms:+.1f} ± {self.error_ms:.1f} ms"


def offset(exchanges: Iterable[Exchange]) -> Offset | None:
    """Of one clock. None without exchanges, or when they contradict each other: one of the clocks was set meanwhile."""
    bounds = [one.bounds_ns for one in exchanges]
    if not bounds:
        return None
    low, high = max(low for low, _ in bounds), min(high for _, high in bounds)
    return Offset((low + high) / 2e6, (high - low) / 2e6, len(bounds)) if low <= high else None


def hull(offsets: Iterable[Offset]) -> Offset | None:
    """Of any of several clocks: the narrowest that holds them all."""
    known = list(offsets)
    if not known:
        return None
    low, high = min(one.ms - one.error_ms for one in known), max(one.ms + one.error_ms for one in known)
    return Offset((low + high) / 2, (high - low) / 2, sum(one.exchanges for one in known))
