"""Numbers and names as a reader wants them: significant digits, units, arms, platforms. The only place that rounds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from bench.metrics import KINDS, METRICS, full_name
from bench.record import Knob
from reports.report import Number, Source, Words

MINUS = "-"
MISSING: Words = ()

_BINARY = ("bytes", "KiB", "MiB", "GiB", "TiB")


DIGITS = 3  # significant ones, where nothing says how sure a number is


def digits(value: float, step: float = 0.0) -> str:
    """A number as it is told, thousands separated, never an exponent for what fits in a table.

    Rounded to multiples of `step` (a power of ten), or without one to three significant digits; counts stay whole.
    """
    if not math.isfinite(value):
        return "missing"
    size = abs(value)
    if step:
        places = max(0, -math.floor(math.log10(step) + 1e-9))
        text = f"{round(value / step) * step:,.{places}f}"
    elif size and (size < 1e-4 or size >= 1e15):
        text = f"{value:.3g}"
    elif value == int(value):
        text = f"{value:,.0f}"
    else:
        rounded = float(f"{value:.{DIGITS}g}")
        places = max(0, DIGITS - 1 - math.floor(math.log10(size)))
        text = f"{rounded:,.{places}f}" if places == 0 else f"{rounded:,.{places}f}".rstrip("0").rstrip(".")
    return "0" if text.strip("-0.,") == "" else text.replace("-", MINUS)


def step_of(value: float, low: float | None, high: float | None) -> float:
    """What a number is rounded to: two digits of its interval's half-width while they are below 36, else one.

    (The Particle Data Group's rule.) Never finer than four digits of the number itself, nor coarser than two where the
    interval reaches further than to its double: a ratio of 4.8 would be told as 0. 0 where there is no interval, or
    none but a point.
    """
    if low is None or high is None or high - low == math.inf or is_point(low, high):
        return 0.0
    half = (high - low) / 2
    leading = 10.0 ** math.floor(math.log10(half))
    step = leading / 10 if half / leading < 3.55 else leading
    if not value:
        return step
    digit = 10.0 ** math.floor(math.log10(abs(value)))  # of what the number's first digit counts
    return max(min(step, digit / 10) if half > abs(value) else step, digit / 1000)


def is_point(low: float, high: float) -> bool:
    """Whether an interval is too narrow to be told: a ten-thousandth of the number at most."""
    return high - low <= 1e-4 * max(abs(low), abs(high))


def with_unit(value: float, unit: str, step: float = 0.0) -> str:
    """The number with its unit: bytes as MiB, shares as percent, the rest as they are. `step` is in `unit`."""
    if not math.isfinite(value):
        return "missing"
    if unit == "bytes":
        power = min(len(_BINARY) - 1, max(0, int(math.log2(abs(value)) // 10))) if abs(value) >= 1 else 0
        return f"{scaled(value, 1024.0**-power, step)} {_BINARY[power]}"
    if unit == "share":
        return f"{scaled(value, 100.0, step)} %"
    if unit in ("", "ratio"):
        return digits(value, step)
    return f"{digits(value, step)} {unit}"


def scaled(value: float, factor: float, step: float) -> str:
    """The number in another unit: its step goes along, down to a power of ten."""
    return digits(value * factor, 10.0 ** math.floor(math.log10(step * factor) + 1e-9) if step else 0.0)


def usd(value: float, step: float = 0.0) -> str:
    """Dollars: whole ones from 100 up, cents below; or multiples of `step` from a dollar up."""
    sign = MINUS if value < 0 else ""
    if step >= 1:
        return f"{sign}${digits(abs(value), step)}"
    return f"{sign}${abs(value):,.0f}" if abs(value) >= 99.995 else f"{sign}${abs(value):,.2f}"


def usd_change(value: float, step: float = 0.0) -> str:
    """Dollars with their sign: +$12, -$3, no difference. Two digits of it are told, whatever the step."""
    if abs(value) < 0.005:
        return "no difference"
    own = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    text = usd(value, min(step, own))
    return f"+{text}" if value > 0 else text


def percent(share: float, *, signed: bool = False) -> str:
    """A share: one digit behind the point below 10 %, none above."""
    places = 1 if abs(share) < 0.0995 else 0
    return f"{share:{'+' if signed else ''}.{places}%}".replace("%", " %").replace(".0 %", " %").replace("-", MINUS)


def number(value: float, unit: str, source: Source, step: float = 0.0) -> Number:
    """A number with its unit in the text."""
    return Number(value, with_unit(value, unit, step), unit, source, step)


def money(value: float, source: Source, step: float = 0.0) -> Number:
    """An amount of dollars."""
    return Number(value, usd(value, step), "USD", source, step)


def rough_money(value: float, source: Source) -> Number:
    """An amount without a band of its own, in words: three digits, whole dollars at the finest."""
    step = 10.0 ** max(0, math.floor(math.log10(abs(value))) - DIGITS + 1) if value else 1.0
    return money(value, source, step)


def count(value: int, noun: str, source: Source) -> Number:
    """What was counted, "3 runs" or "1 run"."""
    return Number(value, f"{value:,} {noun if value == 1 else plural(noun)}", noun, source)


def plural(noun: str) -> str:
    """The plural of a noun of ours."""
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def arm_label(knobs: Mapping[str, Knob]) -> str:
    """An arm as a reader calls it: "partitions 6", "partitions 6, routing keyed"; "as configured" without axes.

    The mapping of bills that `story.tell` takes has `bill_labels` as its keys.
    """
    if not knobs:
        return "as configured"
    leaves = [path.rpartition(".")[2] for path in knobs]
    names = [leaf if leaves.count(leaf) == 1 else path for leaf, path in zip(leaves, knobs, strict=True)]
    parts = (f"{name.replace('_', ' ')} {knob_text(v)}" for name, v in zip(names, knobs.values(), strict=True))
    return ", ".join(parts)


def under(label: str, load: str) -> str:
    """An arm under one of several loads that share its knobs: "partitions 6 under burst"."""
    return f"{label} under {load}"


def bill_labels(arms: Sequence[tuple[str, Mapping[str, Knob]]]) -> list[str]:
    """What the bills of (load, knobs) are called: by knobs alone, unless two loads would then share a name."""
    labels = [arm_label(knobs) for _, knobs in arms]
    if len(set(labels)) == len(labels):
        return labels
    return [under(label, load) for label, (load, _) in zip(labels, arms, strict=True)]


def knob_text(value: Knob) -> str:
    """A knob's value: on, off, none, 100,000."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return digits(value) if isinstance(value, int | float) else value


def knob_order(value: Knob) -> tuple[int, float, str]:
    """Sorts knob values as a reader expects: numbers by size, then words."""
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, str(value))


_NAMES = {
    "e2e_latency_ms": "end-to-end latency",
    "produce_latency_ms": "produce latency",
    "window_latency_ms": "window latency",
    "target_eps": "target rate",
    "offered_eps": "offered rate",
    "acknowledged_eps": "acknowledged rate",
    "drain_eps": "drain rate",
    "backlog_slope_eps": "backlog slope",
    "sustainable_rate_eps": "sustainable rate",
    "s3_requests": "S3 requests",
    **{f"s3_{kind}_requests": f"S3 {kind} requests" for kind in KINDS},
    "s3_latency_ms": "S3 latency",
    "s3_uploaded_bytes": "bytes uploaded to S3",
    "checkpoint_put_requests": "S3 requests billed as PUT per checkpoint",
    "checkpoint_get_requests": "S3 requests billed as GET per checkpoint",
    "broker_ready_s": "broker ready again",
    "broker_stop_s": "broker's clean stop",
    "rebalance_join_s": "rebalance, a member joins",
    "rebalance_leave_s": "rebalance, a member leaves",
    "topic_create_s": "topic creation",
    "topic_delete_s": "topic deletion",
}
_ENDINGS = ("_cpu_s_per_million_events", "_rss_bytes", "_per_event", "_per_million_events", "_ms", "_share", "_bytes")
_SAYS = {
    "_cpu_s_per_million_events": " CPU per million events",
    "_rss_bytes": " memory",
    "_per_event": " per event",
    "_per_million_events": " per million events",
}


def metric_name(metric: str, stat: str = "value") -> str:
    """A metric in words, and which percentile of it: `e2e_latency_ms`, p99 is "end-to-end latency p99"."""
    return full_name(_in_words(metric), stat)


def _in_words(metric: str) -> str:
    """`disk_bytes_per_event` is "disk bytes per event"."""
    if metric in _NAMES:
        return _NAMES[metric]
    for ending in _ENDINGS:
        if metric.endswith(ending) and metric != ending.strip("_"):
            metric = metric.removesuffix(ending) + _SAYS.get(ending, "")
            break
    return metric.replace("_", " ").replace("flink", "Flink")


def metric_unit(metric: str, otherwise: str = "") -> str:
    """The unit by the registry."""
    return METRICS[metric].unit if metric in METRICS else otherwise


def capital(text: str) -> str:
    """The text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def slug(text: str) -> str:
    """A name that a file and an address can have."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def listed(items: Sequence[str]) -> str:
    """A list in words: "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else list(items))


_PLATFORMS = {
    "self-ec2": "self-managed on EC2",
    "self-ec2-fff": "self-managed on EC2, fetch from follower",
    "self-ec2-tiered": "self-managed on EC2, tiered",
    "msk-standard": "Amazon MSK Standard",
    "msk-tiered": "Amazon MSK, tiered",
    "msk-express": "Amazon MSK Express",
    "msk-serverless": "Amazon MSK Serverless",
    "confluent-basic": "Confluent Cloud Basic",
    "confluent-standard": "Confluent Cloud Standard",
    "confluent-enterprise": "Confluent Cloud Enterprise",
    "redpanda-serverless": "Redpanda Serverless",
    "warpstream": "WarpStream",
    "kinesis-provisioned": "Kinesis, provisioned",
    "kinesis-on-demand": "Kinesis, on demand",
    "pubsub": "Google Pub/Sub",
    "event-hubs": "Azure Event Hubs",
    "flink-ec2": "Flink on EC2",
    "flink-managed-aws": "Amazon Managed Service for Apache Flink",
    "flink-confluent": "Confluent Cloud for Apache Flink",
}


_STACKS = {  # what every report prices: short enough for a figure
    "self-ec2+flink-ec2": "self-managed on EC2 with Flink",
    "msk-standard+flink-managed-aws": "Amazon MSK Standard with managed Flink",
}


def platform_name(platform: str) -> str:
    """A platform (or a stack of two) as its vendor calls it, its id where we have no better word."""
    whole = _STACKS.get(platform)
    return whole or " + ".join(_PLATFORMS.get(part, part) for part in platform.split("+"))
