"""A review as data and sentences: the document of `validate partitions --json`, and its headline. Adds no facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from costmodel.ladder import Ladder
from costmodel.numbers import times
from costmodel.option import Option
from costmodel.review import Judged, Kind, Rules
from costmodel.topicbills import Costs, assumed, less

FAR, MOST_FAR = 2.0, 3  # times outside the runs' fills from which it is said; so many topics by name


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
                "mb_s": one.topic.mb_s, "rate_eps": one.topic.rate_eps, "record_bytes": one.topic.record_bytes,
                "consumers": one.topic.consumers, "groups": one.topic.groups,
                "growing_lag_eps": one.topic.growing_lag_eps, "top_key_share": one.topic.top_key,
                "extrapolated_by": one.beyond, "bytes_extrapolated_by": costs.beyond.get(one.topic.name),
                "runs": list(one.runs),
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
        "rules": {"slo_ms": rules.slo_ms, "growth": rules.growth, "peak_to_mean": rules.peak, **assumed(ladder)},
        "evidence": ladder.source,
    }  # fmt: skip


def _usd(option: Option) -> float | None:
    return None if option.bill is None or option.bill.at_least else float(option.bill.usd_month)


def far_fills(costs: Costs) -> str:
    """Of which topics bytes are those of runs whose batches fill otherwise, and how far off; "" if of none."""
    far = sorted((beyond, name) for name, beyond in costs.beyond.items() if beyond > FAR)[::-1]
    if not far:
        return ""
    named = ", ".join(f"{name} {times(beyond)}" for beyond, name in far[:MOST_FAR])
    more = f" and {len(far) - MOST_FAR:,} more" if len(far) > MOST_FAR else ""
    return (
        f"An event's bytes are those of the nearest runs; batches fill further outside them than {FAR:g} times in "
        f"{named}{more}"
    )


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
