"""Bytes between zones for each byte on the wire: what the cost model's formula says, and what actual places say.

One formula for both: `costmodel` bills by it, and runs on brokers with racks are held against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar

Real = TypeVar("Real", float, Decimal)


def rack_of(racks: Sequence[str], index: int) -> str:
    """Where broker, load worker or member `index` (from 0) stands: racks are dealt in turn."""
    return racks[index % len(racks)]


@dataclass(frozen=True)
class Crossing(Generic[Real]):
    """Bytes that go from one zone to another, for a byte that producers send. `consume` is of one group, or of all."""

    produce: Real
    replicate: Real
    consume: Real

    @property
    def total(self) -> Real:
        """All three legs together; of all groups if `consume` is."""
        return self.produce + self.replicate + self.consume


def by_formula(
    zones: Real, copies: Real, groups: Real, *, zone_aware: bool = False, fetch_from_follower: bool = False
) -> Crossing[Real]:
    """What a topic of `copies` replicas, its leaders and clients spread evenly over `zones`, moves between them.

    A follower in each other zone costs (copies - 1) crossings, however many zones there are beyond that; with fewer
    zones than copies only those elsewhere cross. `zone_aware` producers write to leaders of their own zone only.
    """
    nothing, other = zones * 0, (zones - 1) / zones
    replicate = nothing if zones <= 1 else copies - max(copies / zones, copies / copies)
    consume = other
    if fetch_from_follower:  # the zones without a copy still read across
        consume = max(zones - copies, nothing) / zones
    return Crossing(nothing if zone_aware else other, replicate, consume * groups)


def by_settings(settings: Mapping[str, Any]) -> Crossing[float]:
    """The formula for a run with these settings, as it records them; consuming by all of its groups together."""
    zones, copies = float(len(set(settings["cluster"]["racks"]))), float(settings["topic"]["replication_factor"])
    alone = by_formula(zones, copies, 0.0)
    consume = sum(
        by_formula(zones, copies, 1.0, fetch_from_follower=group.get("fetch_from_follower", False)).consume
        for group in settings["consumers"]
    )
    return Crossing(alone.produce, alone.replicate, consume)


@dataclass(frozen=True)
class Placed:
    """Where a partition is: the rack of its leader, and of each copy (the leader's among them)."""

    leader: str
    copies: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """A consumer: its rack, whether it is sent to a copy there, and how many events it read of each partition."""

    rack: str
    fetch_from_follower: bool
    read: Mapping[int, float]


def by_places(
    events: Mapping[int, float], placed: Mapping[int, Placed], producers: Sequence[str], consumers: Sequence[Standing]
) -> Crossing[float]:
    """The same from where leaders and copies really are; events are taken to be alike, and producers to send alike.

    `events`: how many each partition holds. Raises ZeroDivisionError for none, KeyError for a partition without place.
    """
    whole = sum(events.values())
    produced = sum(
        count * sum(rack != placed[p].leader for rack in producers) / len(producers) for p, count in events.items()
    )
    copied = sum(count * sum(rack != placed[p].leader for rack in placed[p].copies) for p, count in events.items())
    read = sum(
        count
        for one in consumers
        for p, count in one.read.items()
        if one.rack not in (placed[p].copies if one.fetch_from_follower else (placed[p].leader,))
    )
    return Crossing(produced / whole, copied / whole, read / whole)
