"""Whether a run meets a condition such as "e2e_latency_ms p99 < 500": yes, no, or not known."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from bench.record import Run
from bench.scenario.words import Threshold

_OPS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq,
}  # fmt: skip


def stat_of(run: Run, metric: str, stat: str) -> float | None:
    """A metric's value or percentile; None where the run lacks it or its sample does not reach that far."""
    measured = run.metrics.get(metric)
    if measured is None:
        return None
    return measured.value if stat == "value" else (measured.percentiles or {}).get(stat)


def meets(run: Run, condition: Threshold) -> bool | None:
    """Whether a run meets METRIC STAT OP VALUE; None if it lacks the metric, the percentile or the load it needs."""
    value = stat_of(run, condition.metric, condition.stat)
    load = run.metrics.get("target_eps") or run.metrics.get("offered_eps")
    limit = condition.limit(load.value if load else None)
    return None if value is None or limit is None else _OPS[condition.op](value, limit)
