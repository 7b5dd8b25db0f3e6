"""Topics that exist, held against what partitions were measured to carry: under-, well- or over-partitioned, and why.

    judged = review(costmodel.inventory.read(path), ladder, Rules())

A topic is *under*-partitioned if runs rule its number out, or consumers of it have no partition; *over*-partitioned if
it has more than twice what it needs after growth, and more than the folk start of 6; *not shown* if no run speaks for
or against it. What a wrong number costs is the month of all topics as they are, less that with this one changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from bench.errors import ScenarioError
from costmodel.advice import ASSUMED_PEAK, START, Advice, Need, advise
from costmodel.inventory import Topic
from costmodel.ladder import Ladder, hot_share
from costmodel.numbers import digits

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
    if mb_s is None and topic.rate_eps is not None:
        mb_s = topic.rate_eps * ladder.record_bytes / 1e6
        by_events = f"by events/s, its records taken to be as the runs' {ladder.record_bytes:.3g} bytes"
    if mb_s is None:
        return _without_evidence(topic, "; ".join(("its rate is not known", *topic.notes)))
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
    """Where every partition has a member to itself and they fall behind, what the busiest one reads is all it can."""
    top_key = (topic.top_key or 0.0) if topic.keyed else 0.0
    share = _read_share(topic) if _falling_behind(topic) and (topic.consumers or 0) >= topic.partitions else None
    observed = mb_s * hot_share(topic.partitions, top_key) * share if share else None
    return Need(
        target_mb_s=mb_s,
        record_bytes=topic.record_bytes or ladder.record_bytes,
        consumers=max(topic.consumers or 1, 1),
        growth=topic.growth or rules.growth,
        slo_ms=rules.slo_ms,
        peak=topic.peak or rules.peak,
        top_key=top_key,
        consumer_mb_s=observed or topic.consumer_mb_s,
    )


def _kind(topic: Topic, now: Advice, later: Advice) -> tuple[Kind, str]:
    count, readers = topic.partitions, topic.consumers or 0
    hot = now.need.peak_mb_s * hot_share(count, now.need.top_key)
    busiest = f"{digits(hot)} MB/s on the busiest partition at peak"
    if idle := _idle(topic):
        return Kind.UNDER, idle
    behind = _falling_behind(topic)
    if behind and readers >= count and _read_share(topic):
        return Kind.UNDER, f"{behind}, and no partition is left for another consumer"
    after = f"; {behind}{_left_for(count - readers)}" if behind else ""
    if now.low is None or count < now.low:
        key = f", where the busiest key alone brings {digits(now.need.peak_mb_s * now.need.top_key)}"
        reads = now.need.consumer_mb_s is not None and now.consumer.most < now.partition.most
        limit = "one of its consumers reads" if reads else "runs rule out"
        return Kind.UNDER, f"{busiest}{key if now.low is None else ''}; {limit} {digits(min(_most(now)))} MB/s{after}"
    most = max(START, SPARE * later.partitions) if later.partitions is not None else count
    if count > most:
        told = f"{later.partitions:,} would do after growing {digits(later.need.growth)} x"
        return Kind.OVER, f"{told}; today {busiest}{after}"
    if now.partitions is None or count < now.partitions:
        return Kind.NOT_SHOWN, f"{busiest}; runs show {digits(_shown(now))} and rule out nothing lower than that{after}"
    return Kind.WELL, f"{busiest}, of {digits(_shown(now))} that runs show{after}"


def _most(advice: Advice) -> tuple[float, float]:
    return advice.partition.most, advice.consumer.most


def _shown(advice: Advice) -> float:
    return min(one.shown for one in (advice.partition, advice.consumer) if one.shown is not None)


def _idle(topic: Topic) -> str:
    readers, left = topic.consumers or 0, (topic.consumers or 0) - topic.partitions
    return f"{left:,} of {readers:,} consumers have no partition" if left > 0 else ""


def _left_for(more: int) -> str:
    return f": {more:,} more consumers would each have a partition" if more > 0 else ""


def _read_share(topic: Topic) -> float | None:
    """Of what comes in, what the group reads that falls behind; None where it reads nothing, or nobody is known."""
    growing, events = topic.growing_lag_eps, topic.rate_eps
    if growing is None or not events or not topic.consumers or growing >= events:
        return None
    return 1 - growing / events


def _falling_behind(topic: Topic) -> str:
    growing, events = topic.growing_lag_eps, topic.rate_eps
    if growing is None or not events or growing < BEHIND * events:
        return ""
    still = ", for it reads nothing" if growing >= events else ""
    return f"a group of {topic.consumers or 0:,} consumers falls behind by {digits(growing)} events/s{still}"


def _silent(topic: Topic) -> Judged:
    needed = max(topic.consumers or 1, 1)
    over = topic.partitions > max(START, SPARE * needed)
    kind = Kind.UNDER if needed > topic.partitions else Kind.OVER if over else Kind.WELL
    why = "; ".join(part for part in (_idle(topic), "nothing was written to it") if part)
    return Judged(topic, kind, why, needed, needed, needed,
                  topic.partitions if kind is Kind.WELL else needed, 1.0, ())  # fmt: skip


def _without_evidence(topic: Topic, why: str) -> Judged:
    why = "; ".join(part for part in (_idle(topic), why, _falling_behind(topic)) if part)
    if _idle(topic):
        readers = topic.consumers or 0
        return Judged(topic, Kind.UNDER, why, readers, None, None, readers, None, ())
    return Judged(topic, Kind.NOT_SHOWN, why, None, None, None, topic.partitions, None, ())
