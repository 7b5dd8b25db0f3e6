"""What topics cost a month as they are and as a review advises: one bill for all, each topic by what it changes.

    costs = prices_of(judged, ladder, ["msk-serverless"], built_in(), Rules())

Bytes and CPU per event are the ladder's at the rate that fills a topic's batches. What is kept is added up topic by
topic, days times copies, before it is one usage; copies, groups and the peak are means weighted by bytes on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.errors import ScenarioError
from costmodel import documents
from costmodel import platforms as registry
from costmodel.advice import surroundings
from costmodel.inventory import Topic
from costmodel.ladder import Ladder
from costmodel.option import Option, size
from costmodel.prices import Catalog
from costmodel.review import Judged, Rules
from costmodel.usage import Usage

ASSUMED = {"retention_days": 7.0, "replication_factor": 3, "groups": 1}  # where neither a topic nor its study says


@dataclass(frozen=True)
class _Load:
    """What a topic puts on a platform; bytes in MB/s, `disk` and `wire` of one copy, weights for means."""

    mb_s: float
    rate_eps: float
    wire: float
    disk: float
    cpu_s: float  # CPU-seconds a second, of the leader
    kept: float  # disk x days
    copied: float  # disk x days x copies
    partitions: int

    def __add__(self, other: _Load) -> _Load:
        return _Load(*(a + b for a, b in zip(_fields(self), _fields(other), strict=True)))

    def __sub__(self, other: _Load) -> _Load:
        return _Load(*(a - b for a, b in zip(_fields(self), _fields(other), strict=True)))


def _fields(load: _Load) -> tuple[Any, ...]:
    return load.mb_s, load.rate_eps, load.wire, load.disk, load.cpu_s, load.kept, load.copied, load.partitions


@dataclass(frozen=True)
class Costs:
    """Platform -> the month as it is and as advised, and topic -> what it costs more than as advised (None: no total).

    `unpriced`: topics whose bytes are not known. `beyond`: topic -> how many times outside the runs' its batches fill,
    as it is or as advised (1: within); there an event takes the bytes of the nearest runs.
    """

    now: Mapping[str, Option]
    advised: Mapping[str, Option]
    by_topic: Mapping[str, Mapping[str, float | None]]
    unpriced: tuple[str, ...]
    beyond: Mapping[str, float] = field(default_factory=dict)


def prices_of(
    judged: Sequence[Judged], ladder: Ladder, platforms: Sequence[str], prices: Catalog, rules: Rules
) -> Costs:
    """What the wrong numbers cost a month. Raises ScenarioError where the ladder has no bytes, or no topic has any."""
    known = [one for one in judged if one.topic.mb_s]
    unpriced = tuple(one.topic.name for one in judged if one.topic.mb_s is None)
    if not known:
        return Costs({}, {}, {}, unpriced)
    now = {one.topic.name: _load(one.topic, one.topic.partitions, ladder) for one in known}
    then = {one.topic.name: _load(one.topic, one.advised, ladder) for one in known}
    silent = [one for one in judged if one.topic.mb_s == 0]
    idle, idle_then = (
        _idle(sum(count)) for count in ([s.topic.partitions for s in silent], [s.advised for s in silent])
    )
    total, better = sum(now.values(), idle), sum(then.values(), idle_then)
    means = _means(known, now, ladder, rules)

    def month(load: _Load, platform: str) -> Option:
        kept = load.copied / means["copies"]["value"] if _as_asked(platform) else load.kept
        return size(_usage(load, kept / load.disk, means, ladder), platform, prices)

    prices.require_region(str(ladder.pricing.get("region") or "us-east-1"))
    by_topic: dict[str, dict[str, float | None]] = {}
    as_is = {platform: month(total, platform) for platform in platforms}
    for one in (*known, *silent):
        if one.advised == one.topic.partitions:
            continue
        own = now.get(one.topic.name, _idle(one.topic.partitions))
        changed = then.get(one.topic.name, _idle(one.advised))
        by_topic[one.topic.name] = {
            platform: _less(as_is[platform], month(total - own + changed, platform)) for platform in platforms
        }
    beyond = {one.topic.name: _beyond(one, ladder) for one in known}
    return Costs(as_is, {platform: month(better, platform) for platform in platforms}, by_topic, unpriced, beyond)


def _idle(partitions: int) -> _Load:
    return _Load(0, 0, 0, 0, 0, 0, 0, partitions)


def _as_asked(platform: str) -> bool:
    """Whether it keeps as many copies as its topics ask for."""
    return all(registry.named(part).copies is None for part in platform.split("+"))


def _less(now: Option, then: Option) -> float | None:
    if now.bill is None or then.bill is None or now.bill.at_least or then.bill.at_least:
        return None
    return float(now.bill.usd_month - then.bill.usd_month)


def less(costs: Costs, platform: str) -> float | None:
    """What all topics cost more than as advised; None where a total is not known."""
    return _less(costs.now[platform], costs.advised[platform])


def _load(topic: Topic, partitions: int, ladder: Ladder) -> _Load:
    mb_s = topic.mb_s or 0.0
    events = topic.rate_eps if topic.rate_eps is not None else mb_s * 1e6 / (topic.record_bytes or ladder.record_bytes)
    # a producer without keys fills one batch after the other: however many partitions there are
    wire, disk, cpu = (
        _at(ladder, quantity, mb_s, partitions if topic.keyed else 1) for quantity in ("wire", "disk", "cpu")
    )
    if wire is None:
        raise ScenarioError(f"{ladder.source}: no wire_bytes_per_event: nothing on the wire can be priced")
    sent = mb_s * wire
    if topic.wire_mb_s is not None:  # what a cluster stores now is seen; how it changes with partitions is the ladder's
        as_is = _at(ladder, "wire", mb_s, topic.partitions if topic.keyed else 1) or wire
        sent = topic.wire_mb_s * wire / as_is
    stored = sent * (disk or wire) / wire
    kept = stored * (topic.retention_days or assumed(ladder)["retention_days"])
    copied = kept * (topic.replication_factor or assumed(ladder)["replication_factor"])
    return _Load(mb_s, events, sent, stored, events * (cpu or 0.0) / 1e6, kept, copied, partitions)


def _beyond(one: Judged, ladder: Ladder) -> float:
    counts = (one.topic.partitions, one.advised) if one.topic.keyed else (1,)
    fills = (ladder.fill(one.topic.mb_s or 0.0, count) for count in counts)
    return max(found.beyond for fill in fills if (found := ladder.at("wire", fill)))


def _at(ladder: Ladder, quantity: str, mb_s: float, partitions: int) -> float | None:
    found = ladder.at(quantity, ladder.fill(mb_s, partitions))
    return None if found is None else float(found.number.value)


def assumed(ladder: Ladder) -> dict[str, float]:
    """What is taken of a topic that does not say, from the study's pricing."""
    said = {key: value for key, value in ladder.pricing.items() if value is not None}
    return {name: said.get(name, default) for name, default in ASSUMED.items()}


def _means(known: Sequence[Judged], loads: Mapping[str, _Load], ladder: Ladder, rules: Rules) -> dict[str, Any]:
    """Copies, groups and peak of all topics, weighted by bytes on the wire; days: whether all say theirs."""
    defaults = assumed(ladder)

    def said(*names: str) -> str:
        return "given" if all(getattr(one.topic, name) is not None for one in known for name in names) else "assumed"

    def mean(name: str, default: float) -> float:
        weights = [(getattr(one.topic, name), loads[one.topic.name].wire) for one in known]
        total = sum(wire for _, wire in weights)
        return sum((default if value is None else value) * wire for value, wire in weights) / total

    return {
        "copies": {
            "value": round(mean("replication_factor", defaults["replication_factor"])),
            "basis": said("replication_factor"),
        },
        "days": {"basis": said("retention_days", "replication_factor")},
        "groups": {"value": round(mean("groups", defaults["groups"])), "basis": said("groups")},
        "peak": {"value": mean("peak", rules.peak), "basis": said("peak")},
    }


def _usage(load: _Load, days: float, means: Mapping[str, Any], ladder: Ladder) -> Usage:
    cpu = load.cpu_s / load.rate_eps * 1e6
    around = surroundings(ladder.pricing)
    data = {
        **around,
        "ingest": {
            "mb_s": load.mb_s, "record_bytes": load.mb_s * 1e6 / load.rate_eps, "peak_to_mean": means["peak"],
            "compression_ratio": load.mb_s / load.wire,
        },
        "broker": {
            "disk_bytes_per_wire_byte": load.disk / load.wire,
            **({"cpu_s_per_million_events": cpu} if cpu else {}),
        },
        "consumers": {"groups": means["groups"]},
        "topics": {"partitions": load.partitions, "replication_factor": means["copies"]},
        "retention": {**around["retention"], "days": {"value": days, **means["days"]}},
    }  # fmt: skip
    return documents.validate(data, Usage)
