"""Topics that exist, held against what partitions were measured to carry: under-, well- or over-partitioned, and why.

    judged = review(costmodel.inventory.read(path), ladder, Rules())
    costs = prices_of(judged, ladder, ["msk-serverless"], built_in())

A topic is *under*-partitioned if runs rule its number out, or consumers of it have no partition; *over*-partitioned if
it has more than twice what it needs after growth, and more than the folk start of 6; *not shown* if no run speaks for
or against it. What a wrong number costs is the month of all topics as they are, less that with this one changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from bench.errors import ScenarioError
from costmodel import documents
from costmodel.advice import ASSUMED_PEAK, START, Advice, Need, advise, surroundings
from costmodel.inventory import Topic
from costmodel.ladder import Ladder, hot_share
from costmodel.option import Option, size
from costmodel.prices import Catalog
from costmodel.usage import Usage

SPARE = 2.0  # more than so many times what it needs after growth is over-partitioned
BEHIND = 0.05  # of its events a second: a group that loses more falls behind; commits are too coarse for less


class Kind(StrEnum):
    """What a topic's number of partitions is."""

    UNDER = "under"
    OVER = "over"
    NOT_SHOWN = "not shown"
    WELL = "well"


@dataclass(frozen=True)
class Rules:
    """What is taken of a topic that does not say."""

    slo_ms: float = 500.0
    growth: float = 2.0
    peak: float = ASSUMED_PEAK


@dataclass(frozen=True)
class Judged:
    """A topic with its verdict. `low`..`needs` today, `later` after growth; `advised`: what it should have.

    None: not known. `why` is a sentence, `beyond` how many times outside the runs it lies.
    """

    topic: Topic
    kind: Kind
    why: str
    low: int | None
    needs: int | None
    later: int | None
    advised: int
    beyond: float | None
    runs: tuple[str, ...]


def review(topics: Iterable[Topic], ladder: Ladder, rules: Rules) -> list[Judged]:
    """Every topic judged, the worst first."""
    order = list(Kind)
    found = [_judged(topic, ladder, rules) for topic in topics]
    return sorted(found, key=lambda one: (order.index(one.kind), -(one.topic.mb_s or 0), one.topic.name))


def _judged(topic: Topic, ladder: Ladder, rules: Rules) -> Judged:
    mb_s, by_events = topic.mb_s, ""
    if mb_s is None and topic.events_s is not None:
        mb_s = topic.events_s * ladder.record_bytes / 1e6
        by_events = f"by events/s, its records taken to be as the runs' {ladder.record_bytes:.3g} bytes"
    if mb_s is None:
        return _without_evidence(topic, "its rate is not known")
    if mb_s == 0:
        return _silent(topic)
    need = _need(topic, ladder, rules, mb_s)
    try:
        now = advise(replace(need, growth=1.0), ladder)
    except ScenarioError as error:
        return _without_evidence(topic, str(error).split("; expected", maxsplit=1)[0])
    try:
        later = advise(need, ladder)
    except ScenarioError:  # too far beyond the runs after growth: what they say of today stands
        later = replace(now, need=need, partitions=None, low=None)
    kind, why = _kind(topic, now, later)
    advised = {Kind.UNDER: now.partitions, Kind.OVER: later.partitions}.get(kind)
    return Judged(
        topic, kind, "; ".join(part for part in (why, by_events, *topic.notes) if part),
        now.low, now.partitions, later.partitions, advised or topic.partitions, now.extrapolated_by,
        tuple(dict.fromkeys((*now.partition.shown_by, *now.partition.ruled_out_by))),
    )  # fmt: skip


def _need(topic: Topic, ladder: Ladder, rules: Rules, mb_s: float) -> Need:
    return Need(
        target_mb_s=mb_s,
        record_bytes=topic.record_bytes or ladder.record_bytes,
        consumers=max(topic.consumers or 1, 1),
        growth=topic.growth or rules.growth,
        slo_ms=rules.slo_ms,
        peak=topic.peak or rules.peak,
        top_key=(topic.top_key or 0.0) if topic.keyed else 0.0,
        consumer_mb_s=topic.consumer_mb_s,
    )


def _kind(topic: Topic, now: Advice, later: Advice) -> tuple[Kind, str]:
    count, readers = topic.partitions, topic.consumers or 0
    hot = now.need.peak_mb_s * hot_share(count, now.need.top_key)
    busiest = f"{_n(hot)} MB/s on the busiest partition at peak"
    if readers > count:
        return Kind.UNDER, f"{readers - count:,} of {readers:,} consumers have no partition"
    behind = _falling_behind(topic)
    if behind and readers >= count:
        return Kind.UNDER, f"{behind}, and no partition is left for another consumer"
    after = f"; {behind}: {count - readers:,} more consumers would each have a partition" if behind else ""
    if now.low is None or count < now.low:
        key = f", where the busiest key alone brings {_n(now.need.peak_mb_s * now.need.top_key)}"
        limit = f"{busiest}{key if now.low is None else ''}; runs rule out {_n(min(_most(now)))} MB/s"
        return Kind.UNDER, limit + after
    most = max(START, SPARE * later.partitions) if later.partitions is not None else count
    if count > most:
        told = f"{later.partitions:,} would do after growing {_n(later.need.growth)} x"
        return Kind.OVER, f"{told}; today {busiest}{after}"
    if now.partitions is None or count < now.partitions:
        return Kind.NOT_SHOWN, f"{busiest}; runs show {_n(_shown(now))} and rule out nothing lower than that{after}"
    return Kind.WELL, f"{busiest}, of {_n(_shown(now))} that runs show{after}"


def _most(advice: Advice) -> tuple[float, float]:
    return advice.partition.most, advice.consumer.most


def _shown(advice: Advice) -> float:
    return min(one.shown for one in (advice.partition, advice.consumer) if one.shown is not None)


def _falling_behind(topic: Topic) -> str:
    growing, events = topic.growing_lag_s, topic.events_s
    if growing is None or not events or growing < BEHIND * events:
        return ""
    return f"a group of {topic.consumers or 0:,} consumers falls behind by {_n(growing)} events/s"


def _silent(topic: Topic) -> Judged:
    needed = max(topic.consumers or 1, 1)
    over = topic.partitions > max(START, SPARE * needed)
    kind = Kind.UNDER if needed > topic.partitions else Kind.OVER if over else Kind.WELL
    return Judged(topic, kind, "nothing was written to it", needed, needed, needed,
                  topic.partitions if kind is Kind.WELL else needed, 1.0, ())  # fmt: skip


def _without_evidence(topic: Topic, why: str) -> Judged:
    readers = topic.consumers or 0
    if readers > topic.partitions:
        why = f"{readers - topic.partitions:,} of {readers:,} consumers have no partition; {why}"
        return Judged(topic, Kind.UNDER, why, readers, None, None, readers, None, ())
    return Judged(topic, Kind.NOT_SHOWN, why, None, None, None, topic.partitions, None, ())


# ---- dollars


@dataclass(frozen=True)
class _Load:
    """What a topic puts on a platform; bytes in MB/s, `disk` and `wire` of one copy, weights for means."""

    mb_s: float
    events_s: float
    wire: float
    disk: float
    cpu_s: float  # CPU-seconds a second, of the leader
    partitions: int

    def __add__(self, other: _Load) -> _Load:
        return _Load(*(a + b for a, b in zip(_fields(self), _fields(other), strict=True)))

    def __sub__(self, other: _Load) -> _Load:
        return _Load(*(a - b for a, b in zip(_fields(self), _fields(other), strict=True)))


def _fields(load: _Load) -> tuple[Any, ...]:
    return load.mb_s, load.events_s, load.wire, load.disk, load.cpu_s, load.partitions


@dataclass(frozen=True)
class Costs:
    """Platform -> the month as it is and as advised, and topic -> what it costs more than as advised (None: no total).

    `unpriced`: topics whose bytes are not known.
    """

    now: Mapping[str, Option]
    advised: Mapping[str, Option]
    by_topic: Mapping[str, Mapping[str, float | None]]
    unpriced: tuple[str, ...]


def prices_of(judged: Sequence[Judged], ladder: Ladder, platforms: Sequence[str], prices: Catalog) -> Costs:
    """What the wrong numbers cost a month. Raises ScenarioError where the ladder has no bytes, or no topic has any."""
    known = [one for one in judged if one.topic.mb_s]
    unpriced = tuple(one.topic.name for one in judged if one.topic.mb_s is None)
    if not known:
        return Costs({}, {}, {}, unpriced)
    now = {one.topic.name: _load(one.topic, one.topic.partitions, ladder) for one in known}
    then = {one.topic.name: _load(one.topic, one.advised, ladder) for one in known}
    silent = [one for one in judged if one.topic.mb_s == 0]
    idle, idle_then = (
        _Load(0, 0, 0, 0, 0, sum(count))
        for count in ([s.topic.partitions for s in silent], [s.advised for s in silent])
    )
    total, better = sum(now.values(), idle), sum(then.values(), idle_then)
    means = _means(known, ladder)

    def month(load: _Load, platform: str) -> Option:
        return size(_usage(load, means, ladder), platform, prices)

    prices.require_region(str(ladder.pricing.get("region") or "us-east-1"))
    by_topic: dict[str, dict[str, float | None]] = {}
    as_is = {platform: month(total, platform) for platform in platforms}
    for one in (*known, *silent):
        if one.advised == one.topic.partitions:
            continue
        own = now.get(one.topic.name, _Load(0, 0, 0, 0, 0, one.topic.partitions))
        changed = then.get(one.topic.name, _Load(0, 0, 0, 0, 0, one.advised))
        by_topic[one.topic.name] = {
            platform: _less(as_is[platform], month(total - own + changed, platform)) for platform in platforms
        }
    return Costs(as_is, {platform: month(better, platform) for platform in platforms}, by_topic, unpriced)


def _less(now: Option, then: Option) -> float | None:
    if now.bill is None or then.bill is None or now.bill.at_least or then.bill.at_least:
        return None
    return float(now.bill.usd_month - then.bill.usd_month)


def less(costs: Costs, platform: str) -> float | None:
    """What all topics cost more than as advised; None where a total is not known."""
    return _less(costs.now[platform], costs.advised[platform])


def _load(topic: Topic, partitions: int, ladder: Ladder) -> _Load:
    mb_s = topic.mb_s or 0.0
    events = topic.events_s if topic.events_s is not None else mb_s * 1e6 / (topic.record_bytes or ladder.record_bytes)
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
    return _Load(mb_s, events, sent, sent * (disk or wire) / wire, events * (cpu or 0.0) / 1e6, partitions)


def _at(ladder: Ladder, quantity: str, mb_s: float, partitions: int) -> float | None:
    found = ladder.at(quantity, ladder.fill(mb_s, partitions))
    return None if found is None else float(found.number.value)


def _means(known: Sequence[Judged], ladder: Ladder) -> dict[str, Any]:
    """Copies, days, groups and peak of all topics, weighted by bytes; what none says is the study's assumption."""
    pricing = ladder.pricing

    def mean(name: str, default: float) -> dict[str, Any]:
        values = [(getattr(one.topic, name), one.topic.mb_s or 0.0) for one in known]
        said = all(value is not None for value, _ in values)
        weight = sum(mb_s for _, mb_s in values)
        found = sum((default if value is None else value) * mb_s for value, mb_s in values) / weight
        return {"value": found, "basis": "given" if said else "assumed"}

    def whole(number: dict[str, Any]) -> dict[str, Any]:
        return {**number, "value": round(number["value"])}

    return {
        "copies": whole(mean("replication_factor", pricing.get("replication_factor") or 3)),
        "days": mean("retention_days", pricing.get("retention_days") or 7),
        "groups": whole(mean("groups", pricing.get("groups") or 1)),
        "peak": mean("peak", ASSUMED_PEAK),
    }


def _usage(load: _Load, means: Mapping[str, Any], ladder: Ladder) -> Usage:
    cpu = load.cpu_s / load.events_s * 1e6
    around = surroundings(ladder.pricing)
    data = {
        **around,
        "ingest": {
            "mb_s": load.mb_s, "record_bytes": load.mb_s * 1e6 / load.events_s, "peak_to_mean": means["peak"],
            "compression_ratio": load.mb_s / load.wire,
        },
        "broker": {
            "disk_bytes_per_wire_byte": load.disk / load.wire,
            **({"cpu_s_per_million_events": cpu} if cpu else {}),
        },
        "consumers": {"groups": means["groups"]},
        "topics": {"partitions": load.partitions, "replication_factor": means["copies"]},
        "retention": {**around["retention"], "days": means["days"]},
    }  # fmt: skip
    return documents.validate(data, Usage)


# ---- as data and sentences


def to_json(
    judged: Sequence[Judged], costs: Costs, ladder: Ladder, rules: Rules, unseen: Sequence[str]
) -> dict[str, Any]:
    """The document of `validate partitions --json`."""
    return {
        "schema": 1,
        "sentence": headline(judged, costs),
        "counts": {str(kind): sum(one.kind is kind for one in judged) for kind in Kind},
        "topics": [
            {
                "topic": one.topic.name, "partitions": one.topic.partitions, "verdict": str(one.kind), "why": one.why,
                "advised": one.advised, "low": one.low, "needs": one.needs, "needs_after_growth": one.later,
                "mb_s": one.topic.mb_s, "events_s": one.topic.events_s, "record_bytes": one.topic.record_bytes,
                "consumers": one.topic.consumers, "groups": one.topic.groups,
                "growing_lag_eps": one.topic.growing_lag_s, "top_key_share": one.topic.top_key,
                "extrapolated_by": one.beyond, "runs": list(one.runs),
                "usd_month_less_as_advised": dict(costs.by_topic.get(one.topic.name, {})),
            }
            for one in judged
        ],
        "usd_month": {
            platform: {"now": _usd(costs.now[platform]), "as_advised": _usd(costs.advised[platform]),
                       "less": less(costs, platform)}
            for platform in costs.now
        },
        "unpriced": list(costs.unpriced),
        "unseen": list(unseen),
        "rules": {"slo_ms": rules.slo_ms, "growth": rules.growth, "peak_to_mean": rules.peak},
        "evidence": ladder.source,
    }  # fmt: skip


def _usd(option: Option) -> float | None:
    return None if option.bill is None or option.bill.at_least else float(option.bill.usd_month)


def headline(judged: Sequence[Judged], costs: Costs) -> str:
    """The verdict: how many of each kind, and what it costs."""
    counted = Counter(one.kind for one in judged)
    words = {Kind.UNDER: "under-partitioned", Kind.OVER: "over-partitioned", Kind.WELL: "well-partitioned",
             Kind.NOT_SHOWN: "not shown either way"}  # fmt: skip
    parts = [f"{counted[kind]:,} {words[kind]}" for kind in words if counted[kind]]
    total = sum(one.topic.partitions for one in judged)
    topics = f"{len(judged):,} topic{'s' * (len(judged) != 1)} with {total:,} partitions: {', '.join(parts)}"
    changed = [one for one in judged if one.advised != one.topic.partitions]
    known = [(platform, usd) for platform in costs.now if (usd := less(costs, platform)) is not None]
    if not changed or not known:
        return topics
    told = ", ".join(
        f"{abs(usd):,.2f} USD a month {'less' if usd >= 0 else 'more'} on {platform}" for platform, usd in known
    )
    advised = sum(one.advised for one in judged)
    return f"{topics}; as advised ({advised:,} partitions) all of them cost {told}"


def _n(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
