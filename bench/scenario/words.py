"""The words a person writes and reads: the nearest valid one, a value as YAML shows it, a threshold's sentence."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal


def nearest(word: str, valid: Collection[str]) -> str:
    """`, did you mean 'x'?` for the most similar valid word, or nothing when none is similar."""
    close = get_close_matches(word, list(valid), n=1, cutoff=0.6)
    if not close:  # `partitions` for `topic.partitions`: right leaf, missing section
        close = [v for v in valid if v.rpartition(".")[2] == word.rpartition(".")[2]][:1]
    return f", did you mean '{close[0]}'?" if close else ""


def shown(value: Any) -> str:
    """A value as YAML writes it, cut where long."""
    if isinstance(value, tuple | list):
        text = f"[{', '.join(map(shown, value))}]"
    elif isinstance(value, dict):
        text = f"{{{', '.join(f'{k}: {shown(v)}' for k, v in value.items())}}}"
    elif isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "null"}[value]
    else:
        text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def one_of(given: Sequence[str], keys: Sequence[str]) -> str:
    """What is wrong unless exactly one of `keys` is given; "" if it is."""
    if len(given) == 1:
        return ""
    return f"has {' and '.join(given) or 'none of them'}, expected exactly one of {', '.join(keys)}"


@dataclass(frozen=True)
class Threshold:
    """`metric stat op value[unit] [of load]`; unit is "" or "%". The SLO of a search, the gate of a run."""

    metric: str
    stat: str
    op: Literal["<", "<=", ">", ">=", "=="]
    value: float
    unit: str
    of_load: bool

    def limit(self, load_eps: float | None = None) -> float | None:
        """The bound as a plain number (1 % is 0.01); None if it is a share of a load that is not known."""
        share = self.value / 100 if self.unit == "%" else self.value
        if not self.of_load:
            return share
        return None if load_eps is None else share * load_eps

    def __str__(self) -> str:
        return f"{self.metric} {self.stat} {self.op} {self.value:g}{self.unit}{' of load' if self.of_load else ''}"


_THRESHOLD = re.compile(
    r"(?P<metric>[a-z0-9_]+)\s+(?P<stat>[^\s<>=]+)\s*(?P<op><=|>=|==|<|>)\s*"
    r"(?P<value>[+-]?[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*(?P<unit>%)?(?P<of>\s+of\s+load)?",
)
_STATS = ("value", "lower", "upper", "max", "p50", "p90", "p95", "p99", "p99.9", "p99.99")


def parse_threshold(text: str, metrics: Collection[str] | None = None) -> Threshold:
    """Reads "METRIC STAT OP VALUE[%] [of load]", such as "backlog_slope_eps upper < 1% of load".

    STAT is `value`, a percentile, `max`, or a bound of the metric's 95 % interval: `lower`, `upper`.
    ValueError names what is off; metric names are compared with `metrics` where given.
    """
    found = _THRESHOLD.fullmatch(text.strip())
    if not found:
        raise ValueError(
            f"'{text}' is no threshold, expected METRIC STAT OP VALUE[%] [of load], such as 'e2e_latency_ms p99 < 500'"
        )
    stat, metric = found["stat"], found["metric"]
    if stat not in _STATS:
        raise ValueError(f"unknown statistic '{stat}', expected one of {', '.join(_STATS)}{nearest(stat, _STATS)}")
    if metrics is not None and metric not in metrics:
        raise ValueError(f"unknown metric '{metric}'{nearest(metric, metrics) or ', see docs/metrics.md'}")
    op: Any = found["op"]
    return Threshold(metric, stat, op, float(found["value"]), found["unit"] or "", found["of"] is not None)
