"""Usage from runs: what one cell of a scenario measured, carried to the scenario's assumed scale.

Bytes and CPU-seconds *per event* are measured and transfer; rates, retention, zones and replication are the scenario's
`pricing` assumptions. An interval is the 95 % t-interval over runs; one run has none, and says n = 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from bench.errors import ScenarioError
from costmodel import documents
from costmodel.usage import Number, Usage

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


def usage_from_runs(frame: pd.DataFrame, pricing: Mapping[str, Any], cell: Mapping[str, Any] | None = None) -> Usage:
    """What a platform must carry, from the tidy frame of `bench.record.frame`.

    frame: a row per run and metric (scenario, load, trial_id, repetition, outcome, metric, stat, value, unit, a column
    per knob). pricing: the scenario's section. cell: knobs that select runs, {"topic.partitions": 96}; a key that is no
    column is taken as that setting's value. Only finished runs count. Each metric comes from one load, any other
    before `drain`, so that two cells are priced from the same kind of run; name another with {"load": "drain"}.

    Raises ScenarioError if no finished run is left, an assumption is missing, or no record size is known.
    """
    pricing = {key: value for key, value in pricing.items() if value is not None}
    unknown = set(pricing) - PRICING_KEYS
    if unknown:
        word = min(unknown)
        raise ScenarioError(f"pricing.{word}: unknown key; {documents.nearest(word, PRICING_KEYS)}")
    runs = _select(frame, cell or {})
    wire = _per_run(runs, "wire_bytes_per_event")
    if not len(wire) or not (wire > 0).all():
        raise ScenarioError("the runs carry no wire_bytes_per_event: without it nothing on the wire can be priced")
    disk = _ratio(_per_run(runs, "disk_bytes_per_event"), wire, "disk / wire bytes per event")
    broker_cpu = _mean(runs, ["broker_cpu_s_per_million_events"])
    record = _record_bytes(runs, pricing, cell or {})
    data: dict[str, Any] = {
        "schema": 1,
        "region": _assumption(pricing, "region"),
        "ingest": _ingest(runs, pricing, record, wire),
        "broker": {
            **({} if disk is None else {"disk_bytes_per_wire_byte": disk}),
            **({} if broker_cpu is None else {"cpu_s_per_million_events": broker_cpu}),
        },
        "consumers": {"groups": _assumed(pricing, "groups")},
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
        data["processing"] = job
    return documents.validate(data, Usage)


def _select(frame: pd.DataFrame, cell: Mapping[str, Any]) -> pd.DataFrame:
    chosen = frame[frame["outcome"] == "finished"]
    for knob, value in cell.items():
        if knob in chosen.columns:
            chosen = chosen[chosen[knob] == value]
    if "stat" in chosen.columns:
        chosen = chosen[chosen["stat"].fillna("").isin(["", "value"])]
    if chosen.empty:
        ended = frame["outcome"].value_counts().to_dict() if len(frame) else "none"
        raise ScenarioError(f"no finished run to price for {dict(cell) or 'this scenario'}; runs by outcome: {ended}")
    for knob in [column for column in chosen.columns if "." in str(column)]:
        if knob not in cell and len(chosen[knob].unique()) > 1:
            values = ", ".join(str(value) for value in chosen[knob].unique())
            raise ScenarioError(f"{knob} has several values ({values}): one cell is priced at a time, so name one")
    return chosen


def _per_run(runs: pd.DataFrame, metric: str) -> pd.Series[float]:
    rows = runs[runs["metric"] == metric].dropna(subset=["value"])
    loads = list(dict.fromkeys(rows["load"]))
    if len(loads) > 1:
        steady = [load for load in loads if load != "drain"] or loads
        rows = rows[rows["load"] == steady[0]]
    return rows.groupby(["trial_id", "repetition"])["value"].mean()


def _mean(runs: pd.DataFrame, metrics: Iterable[str]) -> Number | None:
    """The first of `metrics` that was measured, as mean and 95 % t-interval over runs."""
    for metric in metrics:
        values = _per_run(runs, metric).to_numpy(dtype=float)
        if len(values):
            return number(values, metric)
    return None


def number(values: np.ndarray[Any, np.dtype[np.float64]], metric: str) -> Number:
    """Mean and 95 % t-interval over runs (or windows) of one measured number; one value has no interval."""
    n, mean = len(values), float(values.mean())
    fields: dict[str, Any] = {"value": mean, "basis": "measured", "n": n, "note": metric}
    if n > 1:
        half = float(stdtrit(n - 1, 0.975)) * float(values.std(ddof=1)) / math.sqrt(n)
        fields |= {"low": max(mean - half, 0.0 if mean >= 0 else mean - half), "high": mean + half}
    return Number.model_validate(fields)


def _ratio(top: pd.Series[float] | float, bottom: pd.Series[float], note: str) -> Number | None:
    """Mean and interval of the ratio taken run by run, so that what varies in both cancels."""
    ratios = (top / bottom).dropna().to_numpy(dtype=float)
    return number(ratios, note) if len(ratios) else None


def _record_bytes(runs: pd.DataFrame, pricing: Mapping[str, Any], cell: Mapping[str, Any]) -> Number:
    measured = _mean(runs, ["payload_bytes_per_event", "record_bytes"])
    if measured is not None:
        return measured
    for source in ("workload.event_bytes",):
        if source in cell or source in runs.columns:
            given = cell.get(source, runs[source].iloc[0] if source in runs.columns else None)
            return Number.model_validate({"value": float(given), "note": source})
    if "record_bytes" in pricing:
        return Number.model_validate({"assumed": pricing["record_bytes"]})
    raise ScenarioError(
        "no record size: expected the metric record_bytes, workload.event_bytes, or pricing.record_bytes"
    )


def _ingest(runs: pd.DataFrame, pricing: Mapping[str, Any], record: Number, wire: pd.Series[float]) -> dict[str, Any]:
    sizes = _per_run(runs, record.note) if record.basis == "measured" else float(record.value)
    fields: dict[str, Any] = {
        "record_bytes": record,
        "compression_ratio": _ratio(sizes, wire, "raw / wire bytes per event"),
        **_optional(pricing, peak_to_mean="peak_to_mean"),
    }
    if "scale_to_mb_s" in pricing:
        return {"mb_s": _assumed(pricing, "scale_to_mb_s"), **fields}
    rate = _mean(runs, ["acknowledged_eps"])
    if rate is None:
        raise ScenarioError("pricing.scale_to_mb_s: missing, and the runs carry no acknowledged_eps to price instead")
    values = {
        key: getattr(rate, key) * record.value / 1_000_000
        for key in ("value", "low", "high")
        if getattr(rate, key) is not None
    }
    return {"mb_s": {**values, "basis": "measured", "n": rate.n, "note": "acknowledged_eps x record bytes"}, **fields}


def _processing(
    runs: pd.DataFrame, pricing: Mapping[str, Any], cell: Mapping[str, Any], record: Number, ingest: Mapping[str, Any]
) -> dict[str, Any] | None:
    cpu = _mean(runs, ["flink_cpu_s_per_million_events"])
    if cpu is None or cpu.value <= 0:
        return None
    job: dict[str, Any] = {"cpu_s_per_million_events": cpu, **_optional(pricing, state_gb="state_gb")}
    size, rate = _mean(runs, ["checkpoint_size_bytes"]), _mean(runs, ["acknowledged_eps"])
    if size is not None and rate is not None and rate.value > 0:
        target_eps = Number.model_validate(ingest["mb_s"]).value * 1_000_000 / record.value
        gb = size.value / 1_000_000_000 * target_eps / rate.value
        job["checkpoint_gb"] = {"assumed": gb, "note": "measured checkpoint size, taken to grow with the rate"}
        job.setdefault("state_gb", {"assumed": gb, "note": "as large as a checkpoint"})
    knob = "pipeline.checkpoint.interval_s"
    interval = cell.get(knob, runs[knob].iloc[0] if knob in runs.columns else pricing.get("checkpoint_interval_s"))
    if interval is not None:
        job["checkpoint_interval_s"] = {"assumed": interval}
    return job


def _setting(
    runs: pd.DataFrame, cell: Mapping[str, Any], pricing: Mapping[str, Any], knob: str, key: str
) -> dict[str, Any]:
    if knob in cell or knob in runs.columns:
        return {"value": int(cell[knob] if knob in cell else runs[knob].iloc[0]), "note": knob}
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
