"""Bytes between racks: what clients and brokers counted, beside the cost model's formula and the actual places.

A rack stands for a zone. Only for trials that say where their producers or their consumers stand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from bench import measure
from bench.analysis.crossing import Crossing, Placed, Standing, by_places, by_settings, rack_of
from bench.loadgen import Read
from bench.loadgen.wire import WireByNode
from bench.probes.kafka import Links, followers
from bench.scenario.sections import Settings
from bench.trial.notes import Notes, Seen

_SENT, _RECEIVED = 0, 1  # of a client's bytes by broker


def asked_for(settings: Settings) -> bool:
    """Whether a trial says where somebody stands."""
    return bool(settings.producer.racks or any(group.racks for group in settings.consumers))


class Followers:
    """What followers moved since this was made; `moved` is None where a broker did not tell, now or then.

    A link that is gone, or that began to count anew, has moved nobody knows how much: None as well.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._before = _told(urls)

    def moved(self) -> Links | None:
        """Bytes of each link since then."""
        now = _told(self._urls)
        if now is None or self._before is None or self._before.keys() - now.keys():
            return None
        found: Links = {}
        for link, (sent, received) in now.items():
            sent_before, received_before = self._before.get(link, (0.0, 0.0))
            found[link] = sent - sent_before, received - received_before
        return found if all(min(both) >= 0 for both in found.values()) else None


def _told(urls: Sequence[str]) -> Links | None:
    try:
        return followers(urls) if urls else None
    except OSError:
        return None


def measure_crossing(
    settings: Settings, seen: Seen, reads: Sequence[Read], notes: Notes, *, links: Links | None,
    rack: Mapping[int, str], placed: Mapping[int, Placed],
) -> None:  # fmt: skip
    """Put each leg that is known, their sum where all are, and how far it is from the formula and from the places.

    `links`: what followers moved meanwhile, None where the brokers did not tell; `rack`: of each broker; `placed`: of
    each partition, as of now. What nobody stands for is missing, not zero.
    """
    found, events = notes.found, seen.sent.acknowledged_events or math.nan
    if not links and settings.topic.replication_factor > 1:
        links = None  # copies were made, and nobody counted them
    legs = {
        "produce": _clients(_workers(settings, seen), rack, _SENT) / events,
        "replication": _followers(links, rack, _RECEIVED) / events,
        "consume": _clients(_members(settings, reads), rack, _RECEIVED) / events,
    }
    back = (
        _clients(_workers(settings, seen), rack, _RECEIVED) / events
        + _followers(links, rack, _SENT) / events
        + _clients(_members(settings, reads), rack, _SENT) / events
    )
    for leg, moved in legs.items():
        found.put(f"cross_zone_{leg}_bytes_per_event", moved)
    together = sum(legs.values())
    found.put("cross_zone_bytes_per_event", together)
    found.put("cross_zone_return_bytes_per_event", back)
    if math.isfinite(together):
        wire = found.metrics["wire_bytes_per_event"].value
        partitions = notes.series["input_partition_events"]
        formula, places = by_settings(settings.model_dump()), _by_places(settings, seen, reads, placed, partitions)
        found.put("cross_zone_over_formula", measure.share(together, wire * formula.total))
        found.put("cross_zone_over_places", measure.share(together, wire * places.total))


def _by_places(
    settings: Settings, seen: Seen, reads: Sequence[Read], placed: Mapping[int, Placed], held: pd.DataFrame
) -> Crossing[float]:
    events = dict(zip(held.t_s.astype(int), held.value, strict=True))
    standing = [
        Standing(
            rack_of(group.racks, k), group.fetch_from_follower, {p: float(n) for p, n in enumerate(member.next_offset)}
        )
        for group, read in zip(settings.consumers, reads, strict=True)
        for k, member in enumerate(read.by_member)
    ]
    producers = [rack_of(settings.producer.racks, k) for k in range(seen.sent.workers)]
    return by_places(events, placed, producers, standing)


Client = tuple[str, WireByNode]
"""Where it stands ("": nowhere), and its bytes by broker."""


def _workers(settings: Settings, seen: Seen) -> Iterator[Client]:
    racks = settings.producer.racks or ("",)
    for k, wire in enumerate(seen.sent.wire):
        yield rack_of(racks, k), wire


def _members(settings: Settings, reads: Sequence[Read]) -> Iterator[Client]:
    if settings.pipeline is not None:
        yield "", {}  # a Flink job reads as well, and stands nowhere
    for group, read in zip(settings.consumers, reads, strict=True):
        for k, member in enumerate(read.by_member):
            yield rack_of(group.racks or ("",), k), member.wire


def _clients(clients: Iterable[Client], rack: Mapping[int, str], way: int) -> float:
    """Bytes to or from brokers in another rack; NaN where a client, or a broker it spoke to, is not known to stand."""
    moved = 0.0
    for own, wire in clients:
        if not own or not wire or wire.keys() - rack.keys():
            return math.nan
        moved += sum(both[way] for node, both in wire.items() if rack[node] != own)
    return moved


def _followers(links: Links | None, rack: Mapping[int, str], way: int) -> float:
    if links is None or {broker for link in links for broker in link} - rack.keys():
        return math.nan
    return sum(both[way] for (leader, follower), both in links.items() if rack[leader] != rack[follower])
