"""Runs -> a `Ladder`: which of them share a setting, whether each kept up, what one partition and reader carried."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from bench.analysis.sustainable import OUTPUT_LIMIT, SLOPE_LIMIT
from bench.errors import ScenarioError
from bench.run import Outcome, Run
from costmodel import documents
from costmodel.ladder import Ladder, Rung, hot_share
from costmodel.measured import of_leaders, of_one_copy


def ladder(runs: Iterable[Run], source: str, *, where: Mapping[str, Any], pricing: Mapping[str, Any]) -> Ladder:
    """The ladder with the most partition counts among finished runs at a fixed rate whose settings agree with `where`.

    Raises ScenarioError if none is left, naming what to run.
    """
    runs = list(runs)
    left_out = sum(run.outcome is not Outcome.FINISHED for run in runs)
    finished = [run for run in runs if run.outcome is Outcome.FINISHED and not run.settings.get("faults")]
    kept = [run for run in finished if all(_agrees(run, path, value) for path, value in where.items())]
    fixed = [run for run in kept if _fixed_rate(run) and "payload_bytes_per_event" in run.metrics]
    groups: dict[str, list[Run]] = {}
    for run in fixed:
        groups.setdefault(json.dumps(_setting(run), sort_keys=True), []).append(run)
    if not groups:
        told = f" with {', '.join(f'{path}={value}' for path, value in where.items())}" if where else ""
        raise ScenarioError(
            f"{source}: no finished run at a fixed rate{told}; `streamgauge run partition-sizing` makes what is needed"
        )
    ranked = sorted(groups.values(), key=lambda group: (-len(_counts(group)), not _keyed(group[0]), -len(group)))
    chosen = ranked[0]
    setting = _setting(chosen[0])
    keyed = _keyed(chosen[0])
    drains = tuple(
        (_name(run), run.metrics["drain_eps"].value * run.metrics["payload_bytes_per_event"].value / 1e6 / readers)
        for run in kept
        if run.settings["load"].get("drain")
        and _unloaded(_setting(run)) == _unloaded(setting)
        and "drain_eps" in run.metrics
        and "payload_bytes_per_event" in run.metrics
        and (readers := _readers(run.settings))
    )
    others = tuple(f"{_difference(setting, _setting(group[0]))}: {_told(group)}" for group in ranked[1:])
    return Ladder(source, setting, tuple(map(_rung, chosen)), keyed, drains, others, pricing, left_out)


def _fixed_rate(run: Run) -> bool:
    """A maximum is this host's limit, a search or a shape has no one rate, a drain was written before it was read."""
    return isinstance(run.settings["load"].get("rate_eps"), int | float)


def _counts(group: Iterable[Run]) -> set[int]:
    return {run.settings["topic"]["partitions"] for run in group}


def _keyed(run: Run) -> bool:
    return bool(run.settings["producer"]["routing"] == "keyed")


def _told(group: Sequence[Run]) -> str:
    counts = ", ".join(f"{count:,}" for count in sorted(_counts(group)))
    return f"{len(group)} runs at {counts} partitions"


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


_VARIES = ("topic.partitions", "load.rate_eps", "load.drain", "seed", "label", "faults")  # not part of a setting


def _setting(run: Run) -> dict[str, Any]:
    flat = _flat(run.settings)
    return {k: v for k, v in flat.items() if k not in _VARIES and not k.startswith("phases.")} | {
        "backend": run.backend
    }


def _unloaded(setting: Mapping[str, Any]) -> dict[str, Any]:
    """What a drain and a run at a fixed rate can have in common: all but how events arrive."""
    return {path: value for path, value in setting.items() if not path.startswith("load.")}


def _difference(setting: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    paths = [path for path in {**setting, **other} if setting.get(path) != other.get(path)]
    return ", ".join(f"{path} {other.get(path)}" for path in paths)


def _agrees(run: Run, path: str, value: Any) -> bool:
    flat = _flat(run.settings)
    if path not in flat:
        raise ScenarioError(f"--where {path}: no run has this setting; {documents.nearest(path, flat)}")
    return bool(flat[path] == value)


def _name(run: Run) -> str:
    """Where it lies, from the folder of results on."""
    if run.bundle is None:
        return f"{run.scenario}/{run.trial_id}"
    return f"{run.scenario}/{run.trial_id}/{run.bundle.name}"


def _rung(run: Run) -> Rung:
    settings = run.settings
    partitions, rate = int(settings["topic"]["partitions"]), float(settings["load"]["rate_eps"])
    record = run.metrics["payload_bytes_per_event"].value
    keyed = _keyed(run)
    mb_s = _value(run, "acknowledged_eps", rate) * record / 1e6
    readers = _readers(settings)
    copies = int(settings["topic"].get("replication_factor", 1))
    cpu = _optional(run, "broker_cpu_s_per_million_events")
    tiered = settings["topic"].get("local_retention_s") is not None  # what is left on disks is not what is kept
    disk = None if tiered else _optional(run, "log_bytes_per_event") or _optional(run, "disk_bytes_per_event")
    wire = _optional(run, "wire_bytes_per_event")
    latency = run.metrics.get("e2e_latency_ms" if readers else "produce_latency_ms")
    return Rung(
        _name(run),
        partitions,
        mb_s,
        rate,
        record,
        mb_s * hot_share(partitions, top_key_share(settings["workload"]) if keyed else 0.0),
        mb_s / partitions if keyed else mb_s,
        _behind(run, rate, bool(readers)),
        (latency.percentiles or {}).get("p99") if latency else None,
        mb_s / readers if readers else None,
        None if wire is None else wire / record,
        None if disk is None else of_one_copy(disk, copies) / record,
        None if cpu is None else of_leaders(cpu, copies),
        _optional(run, "batch_records"),
    )


def _value(run: Run, metric: str, default: float) -> float:
    return run.metrics[metric].value if metric in run.metrics else default


def _optional(run: Run, metric: str) -> float | None:
    return run.metrics[metric].value if metric in run.metrics else None


def _readers(settings: Mapping[str, Any]) -> int:
    """Members that share the reading: of the job, or of the largest group; never more than partitions. 0: nobody."""
    job, groups = settings.get("pipeline"), settings.get("consumers") or ()
    members = [int(job["parallelism"])] if job else [int(group["members"]) for group in groups]
    return min(max(members, default=0), int(settings["topic"]["partitions"]))


def _behind(run: Run, rate: float, read: bool) -> str:  # noqa: FBT001 -- of one caller
    acknowledged = _value(run, "acknowledged_eps", math.nan)
    if not acknowledged >= OUTPUT_LIMIT * rate:
        return f"{acknowledged:,.0f} of {rate:,.0f} events/s were acknowledged"
    if not (lost := _value(run, "lost_events", math.nan)) <= 0:
        return "whether events were lost is missing" if math.isnan(lost) else f"{lost:,.0f} events were lost"
    if not read:
        return ""
    slope = run.metrics.get("backlog_slope_eps")
    upper = (slope.percentiles or {}).get("upper") if slope else None
    if upper is None:
        return "its backlog is missing"
    return "" if upper < SLOPE_LIMIT * rate else f"its backlog grows by up to {upper:,.0f} events/s"


def top_key_share(workload: Mapping[str, Any]) -> float:
    """The busiest key's share, from the workload's `keys`: Zipf's law over that many."""
    keys = workload.get("keys") or {}
    return _zipf_top(int(keys.get("distinct", 0)), float(keys.get("zipf", 0.0)))


@cache
def _zipf_top(distinct: int, exponent: float) -> float:
    return 1 / math.fsum(rank**-exponent for rank in range(1, distinct + 1)) if distinct else 0.0
