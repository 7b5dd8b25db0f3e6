"""How many partitions a topic needs, from what partitions and consumers were measured to carry: `advise`, pure.

    ladder = costmodel.rungs.ladder(runs, …)
    advice = advise(Need(target_mb_s=40, record_bytes=200, consumers=12, growth=2), ladder)
    advice.partitions, advice.low                           # the smallest number shown to do, and not ruled out
    bills(advice, [advice.partitions], ["msk-serverless"], prices)

The classical bounds max(t/p, t/c), with p and c measured: t is the rate at the busiest minutes after growth, p what one
partition carries within the limit on latency, c what one consumer reads. A skewed key makes the busiest partition carry
more than its share, and no number of partitions lowers the busiest key's own part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bench.errors import ScenarioError
from costmodel import documents
from costmodel.ladder import Capacity, Cell, Ladder, Read, Status, hot_share, partition_capacity, reader_capacity
from costmodel.option import Option, described, size
from costmodel.prices import Catalog
from costmodel.usage import Usage

FURTHEST = 10.0  # times beyond what was measured: past it there is no answer
START = 6  # the folk start that every answer is held against
MOST = 1_000_000  # partitions: more are no answer either
ROUNDING = 1e-9
ASSUMED_PEAK = 1.5  # as in a bill (usage: ingest.peak_to_mean)


@dataclass(frozen=True)
class Need:
    """What a topic has to carry: a mean of `target_mb_s` (10^6 bytes of payload), `peak` times that when busiest.

    `top_key`: the busiest key's share of the traffic. `consumers`: of the largest group. `consumer_mb_s`: what one of
    them reads, if known. `assumed`: names of fields that nobody stated.
    """

    target_mb_s: float
    record_bytes: float
    consumers: int = 1
    growth: float = 1.0
    slo_ms: float = 500.0
    peak: float = ASSUMED_PEAK
    top_key: float = 0.0
    consumer_mb_s: float | None = None
    assumed: frozenset[str] = frozenset()

    @property
    def peak_mb_s(self) -> float:
        return self.target_mb_s * self.peak

    @property
    def design_mb_s(self) -> float:
        """At the busiest minutes after growth."""
        return self.peak_mb_s * self.growth


class Standing(StrEnum):
    """What the evidence says of a number of partitions under a rate."""

    CARRIES = "enough"
    OPEN = "not shown"  # and not ruled out
    CANNOT = "too few"


@dataclass(frozen=True)
class Advice:
    """`partitions`: the smallest number shown to do; `low`: the smallest that is not ruled out. None: none does.

    `partition` and `consumer` are capacities for the need's record size. `extrapolated_by`: how many times the rate at
    the busiest minutes after growth, in bytes or in events, or the record size, lies beyond what was measured (1:
    within). `range_mb_s`: the highest rate that met the limit.
    """

    need: Need
    ladder: Ladder
    cells: tuple[Cell, ...]
    partition: Capacity
    consumer: Capacity
    bounds: Mapping[str, int | None]
    partitions: int | None
    low: int | None
    range_mb_s: float
    extrapolated_by: float

    def standing(self, partitions: int, mb_s: float) -> Standing:
        """Of this many partitions when `mb_s` come in at the busiest minutes."""
        hot = mb_s * hot_share(partitions, self.need.top_key)
        least = min(one.shown for one in (self.partition, self.consumer) if one.shown is not None)
        if hot <= least * (1 + ROUNDING):
            return Standing.CARRIES
        most = min(self.partition.open_until, self.consumer.open_until)
        return Standing.OPEN if hot <= most * (1 + ROUNDING) else Standing.CANNOT

    def enough_until_mb_s(self, partitions: int) -> float:
        """The mean rate up to which this many were shown to do, at the need's peak."""
        least = min(one.shown for one in (self.partition, self.consumer) if one.shown is not None)
        return least / hot_share(partitions, self.need.top_key) / self.need.peak

    def members(self, partitions: int, mb_s: float) -> int | None:
        """Consumers needed to read `mb_s`: the busiest one has the busiest partition among its own. None: not known."""
        shown = self.consumer.shown
        if shown is None:
            return None
        top = self.need.top_key
        each = (1 - top) / partitions
        for count in range(1, partitions + 1):
            if mb_s * (top + each * math.ceil(partitions / count)) <= shown * (1 + ROUNDING):
                return count
        return partitions

    @property
    def by_bytes(self) -> int | None:
        """The smallest number shown to carry the bytes alone, whoever reads them."""
        return smallest(self.need.design_mb_s, self.partition.shown, self.need.top_key)

    def nearest(self, partitions: int) -> Cell:
        """The cell whose busiest partition had most nearly what one of so many has today when busiest.

        Of cells that are as near, the one whose topic is nearer: half as much weight.
        """
        peak = self.need.peak_mb_s
        hot = peak * hot_share(partitions, self.need.top_key)

        def distance(cell: Cell) -> float:
            return abs(math.log(cell.hot_mb_s / hot)) + abs(math.log(cell.mb_s / peak)) / 2

        return min(self.cells, key=distance)

    def read(self, quantity: str, partitions: int) -> Read | None:
        """Bytes or CPU at this many partitions under the mean rate."""
        return self.ladder.at(quantity, self.ladder.fill(self.need.target_mb_s, partitions))

    @property
    def runs(self) -> tuple[str, ...]:
        """Every run that a number rests on."""
        named = [*self.partition.shown_by, *self.partition.ruled_out_by, *self.consumer.shown_by]
        named += self.consumer.ruled_out_by
        known = {rung.run for rung in self.ladder.rungs} | {run for run, _ in self.ladder.drains}
        for count in (self.partitions or START, START):
            for quantity in ("wire", "disk", "cpu"):
                found = self.read(quantity, count)
                named += found.runs if found else ()
        return tuple(run for run in dict.fromkeys(named) if run in known)


def smallest(mb_s: float, capacity: float | None, top_key: float = 0.0) -> int | None:
    """The fewest partitions of which the busiest has at most `capacity` MB/s; None: the busiest key alone has more.

    Without a capacity (None: not known) one partition is as good as any.
    """
    if capacity is None or mb_s <= capacity * (1 + ROUNDING):
        return 1
    share = capacity / mb_s
    if share <= top_key:
        return None
    needed = (1 - top_key) / (share - top_key)
    count = math.ceil(needed - ROUNDING * needed)
    return count if count <= MOST else None


def advise(need: Need, ladder: Ladder) -> Advice:
    """The smallest number of partitions for `need` by what `ladder` shows.

    Raises ScenarioError where no rung met the limit, or the need lies more than `FURTHEST` times beyond the rungs.
    """
    cells = ladder.cells(need.slo_ms)
    met = [cell.mb_s for cell in cells if cell.status is Status.MEETS]
    if not met:
        first = cells[0]
        raise ScenarioError(
            f"{ladder.source}: none of {len(cells)} cells keeps p99 below {need.slo_ms:g} ms, so that nothing is shown "
            f"({first.partitions} partitions at {first.mb_s:.3g} MB/s: {first.why}); expected a higher --slo-ms, or "
            "runs at a lower rate"
        )
    beyond = _beyond(need, ladder, max(met))
    size_factor = need.record_bytes / ladder.record_bytes
    # smaller records: as many events at the worst, as many bytes at the best; larger ones the other way round
    worst, best = min(1.0, size_factor), max(1.0, size_factor)
    partition = partition_capacity(cells).scaled(worst, best)
    if need.consumer_mb_s is not None:
        consumer = Capacity(need.consumer_mb_s, ("--consumer-mbps",), need.consumer_mb_s, ("--consumer-mbps",))
    else:
        consumer = reader_capacity(ladder, cells).scaled(worst, best)
    bounds = {
        "throughput": smallest(need.peak_mb_s, partition.shown, need.top_key),
        "consumers": _at_least(need.consumers, smallest(need.peak_mb_s, consumer.shown, need.top_key)),
        "growth": _both(need, partition.shown, consumer.shown),
    }
    counts = [need.consumers, *bounds.values()]
    shown = None if None in counts else max(count for count in counts if count is not None)
    low = _at_least(need.consumers, _both(need, _finite(partition.open_until), _finite(consumer.open_until)))
    return Advice(need, ladder, cells, partition, consumer, bounds, shown, low, max(met), beyond)


def _finite(capacity: float) -> float | None:
    return capacity if math.isfinite(capacity) else None


def _both(need: Need, partition: float | None, consumer: float | None) -> int | None:
    """For the rate after growth, by bytes and by consumers."""
    by_bytes = smallest(need.design_mb_s, partition, need.top_key)
    return None if by_bytes is None else _at_least(by_bytes, smallest(need.design_mb_s, consumer, need.top_key))


def _at_least(floor: int, count: int | None) -> int | None:
    return None if count is None else max(floor, count)


def _beyond(need: Need, ladder: Ladder, range_mb_s: float) -> float:
    size = max(need.record_bytes / ladder.record_bytes, ladder.record_bytes / need.record_bytes)
    events = max(ladder.record_bytes / need.record_bytes, 1.0)  # so many times as many in the same bytes
    # what met the limit did so all the time: a peak is no less than that
    rate = need.design_mb_s / range_mb_s * events
    if rate > FURTHEST:
        most = range_mb_s * FURTHEST / need.peak / need.growth / events
        records = f" of {need.record_bytes:,.4g}-byte records" if events > 1 else ""
        of_them = "events/s of the " if events > 1 else ""
        raise ScenarioError(
            f"{need.design_mb_s:,.4g} MB/s{records} ({need.target_mb_s:,.4g} in the mean, {need.peak:.3g} x when "
            f"busiest, {need.growth:.3g} x after growth) is {rate:,.3g} times the {of_them}{range_mb_s:.3g} MB/s that "
            f"met the limit in {ladder.source}, and past {FURTHEST:g} times nothing is said; expected a mean of at "
            f"most {most:,.3g} MB/s, or a study nearer to it (`streamgauge run partition-sizing --set "
            "load.rate_eps=…` on a larger machine)"
        )
    if size > FURTHEST:
        raise ScenarioError(
            f"records of {need.record_bytes:,.4g} bytes are {size:,.3g} times away from the "
            f"{ladder.record_bytes:,.4g} bytes of {ladder.source}, and past {FURTHEST:g} times nothing is said; "
            "expected another study (`--set workload.event_bytes=…`)"
        )
    return max(rate, size, 1.0)


# ---- dollars


def usage(advice: Advice, partitions: int) -> Usage:
    """What a platform must carry today with that many partitions; what nobody measured is the study's assumption."""
    need, pricing = advice.need, {k: v for k, v in advice.ladder.pricing.items() if v is not None}
    wire, stored, cpu = (advice.read(quantity, partitions) for quantity in ("wire", "stored", "cpu"))
    if wire is None:
        raise ScenarioError(f"{advice.ladder.source}: no wire_bytes_per_event: nothing on the wire can be priced")
    ratio = wire.number
    inverted: dict[str, Any] = {"value": 1 / ratio.value, "basis": "measured", "n": ratio.n, "note": "raw / wire bytes"}
    if ratio.low is not None and ratio.high is not None and ratio.low > 0:
        inverted |= {"low": 1 / ratio.high, "high": 1 / ratio.low}
    broker: dict[str, Any] = {}
    if stored is not None:
        broker["disk_bytes_per_wire_byte"] = stored.number.model_copy(update={"note": "disk / wire bytes"})
    if cpu is not None:
        broker["cpu_s_per_million_events"] = cpu.number
    data = {
        **surroundings(pricing),
        "ingest": {
            "mb_s": need.target_mb_s,
            "record_bytes": need.record_bytes,
            "peak_to_mean": {"assumed": need.peak} if "peak" in need.assumed else need.peak,
            "compression_ratio": inverted,
            **_measured_at(advice, cpu),
        },
        "broker": broker,
        "consumers": {"groups": {"assumed": pricing.get("groups", 1)}},
        "topics": {
            "partitions": partitions,
            "replication_factor": {"assumed": pricing.get("replication_factor", 3)},
        },
    }
    return documents.validate(data, Usage)


def _measured_at(advice: Advice, cpu: Read | None) -> dict[str, Any]:
    """The most events a second of the runs that CPU comes from, as MB/s of the need's records."""
    if cpu is None:
        return {}
    named = set(cpu.runs)
    eps = max(rung.mb_s * 1e6 / rung.record_bytes for rung in advice.ladder.rungs if rung.run in named)
    told = {"value": eps * advice.need.record_bytes / 1e6, "basis": "measured", "n": len(named)}
    return {"measured_at_mb_s": {**told, "note": "the highest rate of the runs that CPU comes from"}}


PRICED_BY = frozenset(
    {"region", "retention_days", "replication_factor", "zones", "groups", "tiered_local_days", "month_hours",
     "zone_aware"}
)  # fmt: skip
"""What a study's pricing section, or --set, may say of these bills; the rate is the topic's own."""


def surroundings(pricing: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a usage that say where and how long, from a study's pricing; its defaults where it is silent."""
    said = {key: value for key, value in pricing.items() if value is not None}
    retention: dict[str, Any] = {"days": {"assumed": said.get("retention_days", 7)}}
    if "tiered_local_days" in said:
        retention["tiered_local_days"] = {"assumed": said["tiered_local_days"]}
    return {
        "schema": 1,
        "region": said.get("region", "us-east-1"),
        "retention": retention,
        "zones": {"assumed": said.get("zones", 3)},
        "producers": {"zone_aware": bool(said.get("zone_aware", False))},
        **({"units": {"month_hours": said["month_hours"]}} if "month_hours" in said else {}),
    }


def bills(
    advice: Advice, counts: Sequence[int], platforms: Sequence[str] | None, prices: Catalog
) -> dict[str, dict[int, Option]]:
    """Platform -> number of partitions -> its month today, at central values. `platforms` None: every Kafka."""
    found: dict[str, dict[int, Option]] = {}
    for count in dict.fromkeys(counts):
        carried = usage(advice, count)
        prices.require_region(carried.region)
        for name in platforms or described(carried):
            found.setdefault(name, {})[count] = size(carried, name, prices)
    return found
