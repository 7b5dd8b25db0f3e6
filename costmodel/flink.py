"""What a Flink job needs, wherever it runs: cores for the peak, room for its state, requests for its checkpoints."""

from __future__ import annotations

from decimal import Decimal

from costmodel.prices import Catalog
from costmodel.sizing import Charge, Constraint, Flow, processing, rated
from costmodel.usage import Usage

RETAINED_CHECKPOINTS = 2  # the completed one, and the one being written


def cores(usage: Usage, f: Flow, platform: str, *, cores_per_unit: Decimal) -> Constraint:
    """CPU: measured CPU-seconds per event at the peak, at the usage's CPU fill, with its catch-up factor."""
    job = processing(usage, platform)
    mean = f.rate_eps * job.cpu_s_per_million_events.value / 1_000_000 / job.speed_factor.value
    peak = f.peak * job.catch_up_factor.value
    return rated("CPU", "core", mean=mean, peak=peak, whole=cores_per_unit, fill=usage.sizing.cpu_fill.value)


def state(usage: Usage, platform: str, *, gb_per_unit: Decimal) -> Constraint:
    """State on local disk."""
    return Constraint("state", processing(usage, platform).state_gb.value, gb_per_unit, "GB of state")


def checkpoints_in_s3(usage: Usage, f: Flow, platform: str) -> tuple[Charge, ...]:
    """PUTs of every checkpoint's files, and the bytes that stay; S3 through a gateway endpoint costs no transfer."""
    job = processing(usage, platform)
    puts = f.month_s / job.checkpoint_interval_s.value * job.checkpoint_files.value
    kept = job.checkpoint_gb.value * RETAINED_CHECKPOINTS
    return (
        Charge("checkpoints in S3", "storage", kept, "GB-month", "s3.std.gb"),
        Charge("checkpoint uploads", "requests", puts / 1000, "1000 requests", "s3.put_1k"),
    )


def assumptions(usage: Usage, platform: str, prices: Catalog) -> tuple[str, ...]:
    """The rules that shaped a Flink fleet, as printed under its bill; a PUT rate beyond one S3 prefix is said aloud."""
    job = processing(usage, platform)
    rule = (
        f"Flink: CPU {usage.sizing.cpu_fill.value:.0%} full at peak x catch-up {job.catch_up_factor.value:f}; "
        "shuffles stay within a zone; the job is one of the consumer groups"
    )
    burst = job.checkpoint_files.value / job.checkpoint_interval_s.value
    limit = prices.quota("s3.rate")["put_s_per_prefix"]
    return (
        (rule, f"checkpoint PUTs need more than one S3 prefix: {burst:.0f}/s over {limit}/s")
        if burst > limit
        else (rule,)
    )
