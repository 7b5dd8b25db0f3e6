"""Usage from runs: what one cell of a scenario measured, carried to the scenario's assumed scale.

Bytes and CPU-seconds *per event* are measured and transfer; rates, retention, zones and replication are the scenario's
`pricing` assumptions. An interval is the 95 % t-interval over runs; one run has none, and says n = 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from bench.errors import ScenarioError
from costmodel import documents
from costmodel.usage import Broker, Number, Usage

PRICING_KEYS = frozenset(
    {
        "region",
        "retention_days",
        "replication_factor",
        "zones",
        "groups",
        "scale_to_mb_s",
        "record_bytes",
        "peak_to_mean",
        "partitions",
        "tiered_local_days",
        "month_hours",
        "state_gb",
        "checkpoint_interval_s",
        "zone_aware",
    }
)

PUTS = "checkpoint_put_requests"
TIERED = "topic.tiered"  # whether closed segments left the brokers' disks
FOLLOWERS = "consumers.fetch_from_follower"  # whether every group of the runs did
COPIES = "topic.replication_factor"  # of the runs, 1 unless they say; a bill's own is pricing.replication_factor

Row = Mapping[str, Any]
PerRun = Mapping[tuple[Any, Any], float]  # (trial, repetition) -> the metric's value


def usage_from_runs(rows: Iterable[Row], pricing: Mapping[str, Any], cell: Mapping[str, Any] | None = None) -> Usage:
    """What a platform must carry, from `bench.record.rows`, or from a notebook's `frame.to_dict("records")`.

    rows: one for each run and metric (scenario, load, trial_id, repetition, outcome, metric, stat, value, unit, a key
    per knob; topic.replication_factor where it is not 1, topic.tiered and consumers.fetch_from_follower where so it
    was). pricing: the scenario's section. cell: knobs that select runs, {"topic.partitions": 96}; a key that is no
    column is taken as that setting's value. Only finished runs count. Each metric comes from one load, any other before
    `drain`, so that two cells are priced from the same kind of run; name another with {"load": "drain"}.

    Raises ScenarioError if no finished run is left, an assumption is missing, or no record size is known.
    """
    pricing = {key: value for key, value in pricing.items() if value is not None}
    unknown = set(pricing) - PRICING_KEYS
    if unknown:
        word = min(unknown)
        raise ScenarioError(f"pricing.{word}: unknown key; {documents.nearest(word, PRICING_KEYS)}")
    rows = list(rows)
    runs = _select(rows, cell or {})
    wire = _per_run(runs, "wire_bytes_per_event")
    if not wire or min(wire.values()) <= 0:
        raise ScenarioError("the runs carry no wire_bytes_per_event: without it nothing on the wire can be priced")
    # the records alone: what a partition's files take once, a short run would spread over too few events
    stored = _per_run(runs, "log_bytes_per_event") or _per_run(runs, "disk_bytes_per_event")
    copies = int(_knob(runs, cell or {}, COPIES) or 1)
    if _knob(runs, cell or {}, TIERED):
        stored = {}  # what is left on the brokers' disks is not what is kept
    stored = {run: of_one_copy(value, copies) for run, value in stored.items()}
    disk = _ratio(stored, wire, "disk / wire bytes per event")
    broker_cpu = _broker_cpu(runs, copies)
    record = _record_bytes(runs, pricing, cell or {})
    data: dict[str, Any] = {
        "schema": 1,
        "region": _assumption(pricing, "region"),
        "ingest": _ingest(runs, pricing, record, wire),
        "broker": {
            **({} if disk is None else {"disk_bytes_per_wire_byte": disk}),
            **({} if broker_cpu is None else {"cpu_s_per_million_events": broker_cpu}),
        },
        "consumers": {
            "groups": _assumed(pricing, "groups"),
            "fetch_from_follower": bool(_knob(runs, cell or {}, FOLLOWERS)),
        },
        "topics": {
            "partitions": _setting(runs, cell or {}, pricing, "topic.partitions", "partitions"),
            "replication_factor": _assumed(pricing, "replication_factor"),
        },
        "retention": {
            "days": _assumed(pricing, "retention_days"),
            **_optional(pricing, tiered_local_days="tiered_local_days"),
        },
        "zones": _assumed(pricing, "zones"),
        "producers": {"zone_aware": bool(pricing.get("zone_aware", False))},
    }
    if "month_hours" in pricing:
        data["units"] = {"month_hours": pricing["month_hours"]}
    job = _processing(runs, pricing, cell or {}, record, data["ingest"])
    if job is not None:
        beside = list(_per_run([row for row in rows if row["outcome"] == "finished" and _is_value(row)], PUTS).values())
        if "checkpoint_files" not in job and beside:  # in a cloud an arm with a disk of its own has them in S3 as well
            job["checkpoint_files"] = {
                "assumed": fmean(beside),
                "note": "as in runs beside it, whose checkpoints went to S3",
            }
        data["processing"] = job
    return documents.validate(data, Usage)


def of_one_copy(stored_bytes: float, copies: int) -> float:
    """Stored bytes of an event once: brokers' disks and logs are summed over all replicas, and a bill adds its own."""
    return stored_bytes / copies


def of_leaders(cpu_s: float, copies: int) -> float:
    """A broker's CPU without keeping copies: taken out at the share of a leader's at which sizing adds its own."""
    return cpu_s / (1 + (copies - 1) * float(Broker().follower_cpu_share.value))


def _broker_cpu(runs: Sequence[Row], copies: int) -> Number | None:
    metric = "broker_cpu_s_per_million_events"
    spent = [of_leaders(value, copies) for value in _per_run(runs, metric).values()]
    less = f", of {copies} copies, less what followers are assumed to take" if copies > 1 else ""
    return number(spent, metric + less) if spent else None


def _select(rows: Sequence[Row], cell: Mapping[str, Any]) -> list[Row]:
    columns = _columns(rows)
    chosen = [row for row in rows if row["outcome"] == "finished"]
    for knob, value in cell.items():
        if knob in columns:
            chosen = [row for row in chosen if row.get(knob) == value]
    if not chosen:
        ended = Counter(outcome for *_, outcome in {(r["trial_id"], r["repetition"], r["outcome"]) for r in rows})
        raise ScenarioError(
            f"no finished run to price for {dict(cell) or 'this scenario'}; runs by outcome: {dict(ended) or 'none'}"
        )
    for knob in [column for column in columns if "." in column]:
        values = dict.fromkeys(row.get(knob) for row in chosen)
        if knob not in cell and len(values) > 1:
            told = ", ".join(str(value) for value in values)
            raise ScenarioError(f"{knob} has several values ({told}): one cell is priced at a time, so name one")
    return [row for row in chosen if _is_value(row)]


def _is_value(row: Row) -> bool:
    """Not a percentile."""
    return row.get("stat", "value") in ("", "value")


def _columns(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _per_run(runs: Sequence[Row], metric: str) -> dict[tuple[Any, Any], float]:
    found = [row for row in runs if row["metric"] == metric and math.isfinite(row["value"])]
    loads = list(dict.fromkeys(row["load"] for row in found))
    if len(loads) > 1:
        steady = [load for load in loads if load != "drain"] or loads
        found = [row for row in found if row["load"] == steady[0]]
    return {(row["trial_id"], row["repetition"]): float(row["value"]) for row in found}


def _mean(runs: Sequence[Row], metrics: Iterable[str]) -> Number | None:
    """The first of `metrics` that was measured, as mean and 95 % t-interval over runs."""
    for metric in metrics:
        values = list(_per_run(runs, metric).values())
        if values:
            return number(values, metric)
    return None


def number(values: Sequence[float], metric: str) -> Number:
    """Mean and 95 % t-interval over runs (or windows) of one measured number; one value has no interval.

    Where two or three values above zero would let it reach zero, its lower end is that of their logarithms: what cannot
    be nothing (the CPU of a job that ran, say) could not be priced where an interval begins there.
    """
    n, mean = len(values), fmean(values)
    fields: dict[str, Any] = {"value": mean, "basis": "measured", "n": n, "note": metric}
    if n > 1:
        from scipy.special import stdtrit  # a tenth of a second that one run, and a hand-written usage, do not need

        times = float(stdtrit(n - 1, 0.975)) / math.sqrt(n)
        half = times * stdev(values)
        low, high = mean - half, mean + half
        if low <= 0 < min(values):
            logs = [math.log(value) for value in values]
            low = min(mean, math.exp(fmean(logs) - times * stdev(logs)))
        fields |= {"low": max(low, 0.0) if mean >= 0 else low, "high": high}
    return Number.model_validate(fields)


def _ratio(top: PerRun, bottom: PerRun, note: str) -> Number | None:
    """Mean and interval of the ratio taken run by run, so that what varies in both cancels."""
    ratios = [value / bottom[run] for run, value in top.items() if run in bottom]
    return number(ratios, note) if ratios else None


def _record_bytes(runs: Sequence[Row], pricing: Mapping[str, Any], cell: Mapping[str, Any]) -> Number:
    measured = _mean(runs, ["payload_bytes_per_event", "record_bytes"])
    if measured is not None:
        return measured
    given = _knob(runs, cell, "workload.event_bytes")
    if given is not None:
        return Number.model_validate({"value": float(given), "note": "workload.event_bytes"})
    if "record_bytes" in pricing:
        return Number.model_validate({"assumed": pricing["record_bytes"]})
    raise ScenarioError(
        "no record size: expected the metric record_bytes, workload.event_bytes, or pricing.record_bytes"
    )


def _ingest(runs: Sequence[Row], pricing: Mapping[str, Any], record: Number, wire: PerRun) -> dict[str, Any]:
    sizes = _per_run(runs, record.note) if record.basis == "measured" else dict.fromkeys(wire, float(record.value))
    fields: dict[str, Any] = {
        "record_bytes": record,
        "compression_ratio": _ratio(sizes, wire, "raw / wire bytes per event"),
        **_optional(pricing, peak_to_mean="peak_to_mean"),
    }
    rate = _mean(runs, ["acknowledged_eps"])
    values = (
        {}
        if rate is None
        else {
            key: getattr(rate, key) * record.value / 1_000_000
            for key in ("value", "low", "high")
            if getattr(rate, key) is not None
        }
    )
    told = {**values, "basis": "measured", "n": rate.n if rate else 0, "note": "acknowledged_eps x record bytes"}
    if values:
        fields["measured_at_mb_s"] = told
    if "scale_to_mb_s" in pricing:
        return {"mb_s": _assumed(pricing, "scale_to_mb_s"), **fields}
    if not values:
        raise ScenarioError("pricing.scale_to_mb_s: missing, and the runs carry no acknowledged_eps to price instead")
    return {"mb_s": told, **fields}


def _processing(
    runs: Sequence[Row], pricing: Mapping[str, Any], cell: Mapping[str, Any], record: Number, ingest: Mapping[str, Any]
) -> dict[str, Any] | None:
    cpu = _mean(runs, ["flink_cpu_s_per_million_events"])
    if cpu is None or cpu.value <= 0:
        return None
    job: dict[str, Any] = {"cpu_s_per_million_events": cpu, **_optional(pricing, state_gb="state_gb")}
    if (puts := _mean(runs, [PUTS])) is not None:  # else what runs beside had, or what the usage assumes
        job["checkpoint_files"] = puts
    size, rate = _mean(runs, ["checkpoint_size_bytes"]), _mean(runs, ["acknowledged_eps"])
    if size is not None and rate is not None and rate.value > 0:
        target_eps = Number.model_validate(ingest["mb_s"]).value * 1_000_000 / record.value
        gb = size.value / 1_000_000_000 * target_eps / rate.value
        job["checkpoint_gb"] = {"assumed": gb, "note": "measured checkpoint size, taken to grow with the rate"}
        job.setdefault("state_gb", {"assumed": gb, "note": "as large as a checkpoint"})
    recovery = _mean(runs, ["recovery_s"])
    if recovery is not None:
        job["restart_s"] = recovery.model_copy(update={"note": "recovery_s: catching up is part of it"})
    interval = _knob(runs, cell, "pipeline.checkpoint.interval_s")
    if interval is not None or "checkpoint_interval_s" in pricing:
        job["checkpoint_interval_s"] = {"assumed": pricing["checkpoint_interval_s"] if interval is None else interval}
    return job


def _knob(runs: Sequence[Row], cell: Mapping[str, Any], knob: str) -> Any:
    """The setting of this cell: as named, or as its runs have it; None if neither says."""
    return cell.get(knob, runs[0].get(knob) if runs else None)


def _setting(
    runs: Sequence[Row], cell: Mapping[str, Any], pricing: Mapping[str, Any], knob: str, key: str
) -> dict[str, Any]:
    given = _knob(runs, cell, knob)
    if given is not None:
        return {"value": int(given), "note": knob}
    if key in pricing:
        return {"assumed": pricing[key]}
    raise ScenarioError(f"no {knob}: expected it among the knobs, in the cell, or as pricing.{key}")


def _assumption(pricing: Mapping[str, Any], key: str) -> Any:
    if pricing.get(key) is None:
        raise ScenarioError(f"pricing.{key}: missing; expected it in the scenario's pricing section")
    return pricing[key]


def _assumed(pricing: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {"assumed": _assumption(pricing, key)}


def _optional(pricing: Mapping[str, Any], **names: str) -> dict[str, Any]:
    return {field: {"assumed": pricing[key]} for field, key in names.items() if key in pricing}
