"""What runs have shown of CPU per event, for a size: medians over the finished runs that are most like the scenario."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from bench import record
from bench.errors import ScenarioError
from bench.manifests.sizing import Measured, Rules
from bench.record import Outcome, Run
from bench.scenario import Settings

GENERATOR, BROKER, FLINK = (f"{who}_cpu_s_per_million_events" for who in ("generator", "broker", "flink"))
RATE = "acknowledged_eps"


def measured(folder: Path, load: str, settings: Settings, rules: Rules) -> Measured:
    """From the runs below `folder`: those of the load called so, if there are any, and with as many partitions.

    A broker's CPU is told for one copy: what followers are assumed to have taken of it is taken out, as in a bill.
    ScenarioError where no finished run measured what a size needs.
    """
    partitions = settings.topic.partitions
    runs = [run for run in (record.load(bundle) for bundle in record.find(folder)) if _counts(run)]
    runs = [run for run in runs if run.load == load] or runs
    runs = [run for run in runs if run.settings["topic"]["partitions"] == partitions] or runs
    if not runs:
        raise ScenarioError(
            f"{folder}: expected finished runs that measured {GENERATOR}, {BROKER} and {RATE} (--from names a folder "
            "that `streamgauge run` made)"
        )
    of_one = [_value(run, BROKER) / (1 + (_copies(run) - 1) * rules.follower_share) for run in runs]
    with_job = [_value(run, FLINK) for run in runs if FLINK in run.metrics]
    return Measured(
        generator=median(_value(run, GENERATOR) for run in runs),
        broker=median(of_one),
        flink=median(with_job) if with_job else None,
        rate_eps=median(_value(run, RATE) for run in runs),
        runs=len(runs),
        source=folder.as_posix(),
    )


def _counts(run: Run) -> bool:
    return run.outcome is Outcome.FINISHED and all(name in run.metrics for name in (GENERATOR, BROKER, RATE))


def _value(run: Run, metric: str) -> float:
    return float(run.metrics[metric].value)


def _copies(run: Run) -> int:
    return int(run.settings["topic"].get("replication_factor", 1))
