"""Runs, cells, verdicts and bills as a quickstart leaves them: made by code, saved and loaded as real ones are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import record
from bench.analysis.cells import Cell, cells
from bench.analysis.histogram import LogLinearHistogram
from bench.metrics import METRICS
from bench.record import Check, Measurement, Outcome, Run
from bench.scenario import Scenario, load
from bench.verdict import Answer, Reason, Verdict
from reports.report import Report
from reports.story import arm_label, tell

SCENARIO = """\
schema: 1
name: quickstart
question: Do 96 partitions instead of 6 cost more storage, and what does this pipeline carry?
workload: {name: clicks}
pipeline: {job: revenue}
loads:
  steady: {rate_eps: 50_000, axes: {topic.partitions: [6, 96]}}
  drain: {drain: 1_000_000, axes: {topic.partitions: [6]}}
claims: [over-partitioning-inflates-storage]
thresholds: [e2e_latency_ms p99 < 500, backlog_slope_eps upper < 1% of load, lost_events value == 0]
"""
UTC = "2026-11-23T12:00:00Z"
ENVIRONMENT = {
    "cpu_model": "Example CPU @ 2.50GHz",
    "cores": 2,
    "memory_gib": 23.5,
    "kernel": "6.1.0",
    "python": "3.11.9",
    "librdkafka": "2.16.0",
    "packages": {"apache-flink": "2.3.0", "numpy": "2.1.3"},
    "java": "21.0.8",
    "kafka": "4.3.1",
    "flink": "2.3.0",
    "backend": "local",
    "swap_used_bytes": 0,
}
WARMUP_S, MEASURE_S, SETTLE_S = 8.0, 15.0, 3.0
RATE_EPS = 50_000.0


@dataclass(frozen=True)
class Story:
    """Everything `tell` takes, and what it told."""

    scenario: Scenario
    runs: tuple[Run, ...]
    cells: list[Cell]
    verdicts: list[Verdict]
    bills: dict[str, Mapping[str, Any]]
    report: Report


def story(folder: Path, runs: Sequence[Run] | None = None, bills: dict[str, Mapping[str, Any]] | None = None) -> Story:
    """A quickstart told from `runs` (all of it by default), loaded back from the bundles in `folder`."""
    scenario = asked(folder)
    if runs is None:
        runs = quickstart(folder)
    made = cells(runs)
    verdicts = judged(made)
    if bills is None:
        bills = {arm_label(cell.knobs): bill(cell) for cell in made if cell.load == "steady" and cell.n}
    report = tell(scenario, runs, made, verdicts, bills, generated_utc=UTC)
    return Story(scenario, tuple(runs), made, verdicts, bills, report)


def asked(folder: Path) -> Scenario:
    """The scenario of the fixtures: the report's golden files must not follow every edit of the real one."""
    path = folder / "quickstart.yaml"
    path.write_text(SCENARIO)
    return load(path)


def judged(made: Sequence[Cell]) -> list[Verdict]:
    """Verdicts with fixed sentences: what the judge says is tested elsewhere."""
    disk = {
        cell.knobs["topic.partitions"]: cell.metrics.get("disk_bytes_per_event")
        for cell in made
        if cell.load == "steady"
    }
    base, changed = disk.get(6), disk.get(96)
    name, quoted = "over-partitioning-inflates-storage", "Over-partitioning inflates cloud storage costs."
    if base is None or changed is None:
        missing = "Inconclusive: there is no finished run with topic.partitions = 96."
        nothing = (Answer.INCONCLUSIVE, Reason.MISSING, "", None, None, None, 0, 0, missing)
        return [Verdict(name, "disk", True, quoted, *nothing)]
    ratio = changed.value / base.value
    sentence = "Supported: disk bytes per event rise by more than the 5 % claimed from topic.partitions 6 to 96."
    few = "Inconclusive: the latency p99 is not told apart from what is claimed; needs 8 repeats, ~7 more minutes."
    return [
        Verdict(
            name,
            "disk",
            True,
            quoted,
            Answer.SUPPORTED,
            Reason.NONE,
            "ratio",
            ratio,
            ratio * 0.99,
            ratio * 1.01,
            3,
            0,
            sentence,
        ),
        Verdict(
            name,
            "latency",
            False,
            quoted,
            Answer.INCONCLUSIVE,
            Reason.TOO_FEW,
            "ratio",
            1.4,
            1.1,
            1.7,
            3,
            0,
            few,
            8,
            6.1,
        ),
    ]


def quickstart(folder: Path, repeats: int = 3) -> list[Run]:
    """Interleaved steady runs at 6 and 96 partitions, and drains at 6; saved, then loaded."""
    order = [(rep, p) for rep in range(repeats) for p in ((6, 96) if rep % 2 == 0 else (96, 6))]
    runs = [steady(folder, p, rep, at) for at, (rep, p) in enumerate(order)]
    runs += [drain(folder, rep, len(order) + rep) for rep in range(repeats)]
    return [record.load(run.bundle) for run in runs if run.bundle is not None]


def steady(folder: Path, partitions: int, repetition: int, order: int, **changes: Any) -> Run:
    """A run at a fixed rate; `changes` are fields of the Run to replace before it is saved."""
    rng = np.random.default_rng([partitions, repetition])
    jitter = rng.normal(1.0, 0.012, 24)
    many = partitions > 24
    latency = LogLinearHistogram("ms").add(rng.lognormal(3.4 + 0.35 * many, 0.55, 60_000) + 4.0)
    values = {
        "target_eps": RATE_EPS,
        "offered_eps": RATE_EPS,
        "acknowledged_eps": RATE_EPS * (1 + 0.0004 * (jitter[0] - 1)),
        "acknowledged_events": 1_150_000.0,
        "delivery_errors": 0.0,
        "backlog_events": round(3_200 * jitter[1]),
        "busy_share": 0.41 * jitter[2],
        "backpressured_share": 0.002,
        "broker_cpu_s_per_million_events": (2.1 + 1.2 * many) * jitter[3],
        "flink_cpu_s_per_million_events": (9.8 + 0.7 * many) * jitter[4],
        "generator_cpu_s_per_million_events": (3.4 + 0.9 * many) * jitter[5],
        "broker_rss_bytes": (820 + 60 * many) * 2**20 * jitter[6],
        "flink_rss_bytes": 1_650 * 2**20 * jitter[7],
        "payload_bytes_per_event": 214.2,
        "wire_bytes_per_event": (104.0 + 17.0 * many) * (1 + 0.2 * (jitter[8] - 1)),
        "disk_bytes_per_event": (101.5 + 21.0 * many) * (1 + 0.2 * (jitter[9] - 1)),
        "log_bytes_per_event": (101.0 + 14.0 * many) * (1 + 0.2 * (jitter[9] - 1)),
        "batch_records": (83.0 - 77.5 * many) * jitter[10],
        "checkpoint_size_bytes": 18.4e6 * jitter[11],
        "checkpoints_completed": 3.0,
        "checkpoints_failed": 0.0,
        "restarts": 0.0,
        "late_events": 0.0,
        "lost_events": 0.0,
        "duplicated_events": 0.0,
        "host_busy_share": 0.71 * jitter[12],
        "host_steal_share": 0.003,
    }
    metrics = {name: Measurement(float(value), METRICS[name].unit) for name, value in values.items()}
    bounds = {"lower": -180.0 * jitter[13], "upper": 210.0 * jitter[14]}
    metrics["backlog_slope_eps"] = Measurement(12.0 * jitter[15], "events/s", bounds, 15)
    found = latency.percentiles()
    metrics["e2e_latency_ms"] = Measurement(found["p50"], "ms", found, latency.n)
    metrics["checkpoint_duration_ms"] = Measurement(62.0 * jitter[16], "ms", n=3)
    run = _run(
        partitions, repetition, order, "steady", {"rate_eps": RATE_EPS, "drain": None, "shape": None, "workers": 1}
    )
    run = replace(run, **({"metrics": metrics, "checks": _checks(1_150_000)} | changes))
    bundle = folder / run.trial_id / f"20261123T1200{order:02d}Z"
    kept = run.outcome is not Outcome.CRASHED
    series = _steady_series(rng, many=many) if kept else {}
    return record.save(run, bundle, series=series, histograms={"e2e_latency_ms": latency} if kept else None)


def drain(folder: Path, repetition: int, order: int) -> Run:
    """A million events read flat out."""
    rng = np.random.default_rng([1, repetition])
    jitter = rng.normal(1.0, 0.015, 4)
    values = {
        "acknowledged_events": 1_000_000.0,
        "drain_eps": 118_000.0 * jitter[0],
        "flink_cpu_s_per_million_events": 8.9 * jitter[1],
        "broker_cpu_s_per_million_events": 0.8 * jitter[2],
        "disk_bytes_per_event": 98.0 * jitter[3],
        "lost_events": 0.0,
    }
    run = _run(6, repetition, order, "drain", {"rate_eps": None, "drain": 1_000_000, "shape": None, "workers": 1})
    metrics = {name: Measurement(float(value), METRICS[name].unit) for name, value in values.items()}
    t_s = np.arange(0.0, 12.0)
    read = np.clip((t_s - 2.0) * 118_000.0, 0, 1_000_000)
    series = {
        "source_events": _table(t_s, read),
        "backlog_events": _table(t_s, 1_000_000 - read),
        "flink_cpu_s": _table(t_s, np.cumsum(rng.normal(1.3, 0.05, 12))),
    }
    run = replace(run, metrics=metrics, checks=_checks(1_000_000))
    return record.save(run, folder / run.trial_id / f"20261123T1210{order:02d}Z", series=series)


def crashed(folder: Path, partitions: int = 96, repetition: int = 2, order: int = 5) -> Run:
    """A broker that died; its log says why."""
    run = steady(
        folder, partitions, repetition, order, outcome=Outcome.CRASHED, duration_s=11.2, metrics={}, checks=(),
        reason="the broker ended with code 137 while the load ran",
    )  # fmt: skip
    assert run.bundle is not None
    logs = run.bundle / "logs"
    logs.mkdir(exist_ok=True)
    lines = [f"[2026-11-23 12:00:{second:02d},000] INFO segment rolled <topic> & {second}" for second in range(40)]
    lines += [
        "[2026-11-23 12:00:41,000] ERROR \x1b[31mjava.lang.OutOfMemoryError: Java heap space",
        "\tat kafka.log.Log.append",
    ]
    (logs / "broker-0.log").write_text("\n".join(lines))
    (logs / "flink.log").write_text("all is well\n")
    return run


def invalid(folder: Path, partitions: int = 6, repetition: int = 2, order: int = 4) -> Run:
    """A generator that fell behind."""
    reason = "the generator fell behind: schedule lateness p99 was 84 ms, at most 50 ms are allowed"
    return steady(folder, partitions, repetition, order, outcome=Outcome.INVALID, reason=reason)


def _run(partitions: int, repetition: int, order: int, load_name: str, asked: Mapping[str, Any]) -> Run:
    return Run(
        scenario="quickstart",
        trial_id=f"{load_name[0]}{partitions:03d}{repetition:02d}c0ffee",
        load=load_name,
        repetition=repetition,
        order=order,
        outcome=Outcome.FINISHED,
        reason="",
        knobs={"topic.partitions": partitions},
        settings={
            "workload": {
                "name": "clicks",
                "format": "json",
                "event_bytes": 200,
                "keys": {"distinct": 100_000, "zipf": 1.05},
            },
            "load": dict(asked),
            "producer": {"acks": "all", "routing": "keyed", "compression": "lz4", "linger_ms": 10.0},
            "topic": {"partitions": partitions, "replication_factor": 1},
            "cluster": {"brokers": 1, "racks": ["a"], "broker_heap_mb": 1500},
            "pipeline": {"job": "revenue", "parallelism": 2, "checkpoint": {"interval_s": 5.0, "storage": "local"}},
            "consumers": [],
            "phases": {"warmup_s": WARMUP_S, "measure_s": MEASURE_S, "settle_s": SETTLE_S},
        },
        seed=7 + repetition,
        backend="local",
        started_utc=f"2026-11-23T12:{order:02d}:00.000+00:00",
        duration_s=36.5 + repetition / 8,
        environment=ENVIRONMENT,
        phases={"load": 1.1, "t0": 3.0, "settle": 26.0, "verify": 28.2},
    )


def _checks(events: int) -> tuple[Check, ...]:
    return (
        Check("acknowledged events are in the topic", events, events, True),
        Check("clean rows", events * 0.96, events * 0.96, True),
        Check("revenue by window", 123_456.75, 123_456.75, True),
    )


def _table(t_s: Any, value: Any) -> pd.DataFrame:
    return pd.DataFrame({"t_s": t_s, "value": value}, dtype=float)


def _steady_series(rng: np.random.Generator, *, many: bool) -> dict[str, pd.DataFrame]:
    seconds = int(WARMUP_S + MEASURE_S)
    t_s = np.arange(1.0, seconds + 1)
    offered = np.full(seconds, RATE_EPS)
    read = rng.normal(RATE_EPS, 900, seconds)
    read[:3] = (12_000, 61_000, 74_000)  # the job catches up after its start
    counted = np.cumsum(read)
    counted[12] = np.nan  # a sample that Flink did not answer
    backlog = np.clip(rng.normal(3_000, 700, seconds) + np.r_[36_000, 25_000, 4_000, np.zeros(seconds - 3)], 0, None)
    busy = np.cumsum(np.clip(rng.normal(820.0 + 60 * many, 40, seconds), 0, 2000))
    return {
        "generator_offered": _table(t_s, offered),
        "generator_acked": _table(t_s, offered + rng.normal(0, 350, seconds)),
        "source_events": _table(t_s, counted),
        "backlog_events": _table(t_s, backlog),
        "busy_ms:0": _table(t_s, busy),
        "busy_ms:1": _table(t_s, busy * 0.35),
        "backpressured_ms:0": _table(t_s, busy * 0.01),
        "backpressured_ms:1": _table(t_s, busy * 0.0),
        "idle_ms:0": _table(t_s, 2000 * t_s - busy * 1.01),
        "idle_ms:1": _table(t_s, 2000 * t_s - busy * 0.35),
        "broker_cpu_s": _table(t_s, np.cumsum(rng.normal(0.11 + 0.06 * many, 0.01, seconds))),
        "flink_cpu_s": _table(t_s, np.cumsum(rng.normal(0.5, 0.03, seconds))),
        "broker_rss_bytes": _table(t_s, np.linspace(780, 830, seconds) * 2**20),
        "flink_rss_bytes": _table(t_s, np.linspace(1_500, 1_650, seconds) * 2**20),
        "checkpoint_duration_ms": _table([5.0, 10.0, 15.0, 20.0], rng.normal(62, 6, 4)),
    }


# ---- bills: the shape of `cost --json`, small enough to check by hand


def bill(cell: Cell) -> Mapping[str, Any]:
    """Two platforms for a cell: 100 MB/s of raw records for a month, three copies, seven days."""
    wire = cell.metrics["wire_bytes_per_event"]
    disk = cell.metrics["disk_bytes_per_event"]
    share = wire.value / 214.2
    usage = {
        "ingest.mb_s": _basis(100.0, "assumed"),
        "ingest.compression_ratio": _basis(
            1 / share, "measured", low=0.98 / share, high=1.02 / share, n=cell.n, note="raw / wire bytes per event"
        ),
        "broker.disk_bytes_per_wire_byte": _basis(disk.value / wire.value, "measured", n=cell.n),
        "consumers.groups": _basis(3.0, "assumed"),
        "topics.replication_factor": _basis(3.0, "assumed"),
        "retention.days": _basis(7.0, "assumed"),
        "zones": _basis(3.0, "assumed"),
        "sizing.disk_fill": _basis(0.6, "assumed"),
        "discount": _basis(0.0, "assumed"),
    }
    disk_gb = 100 * 86_400 * 7 * 3 / 1000 * disk.value / 214.2 / 0.6
    cross_gb = 100 * 86_400 * 30 / 1000 * share * (2 / 3 + 2 + 2)
    ec2 = [
        _line("broker r7g.xlarge", "compute", 3 * 730, "hour", 0.2142, "ec2.r7g.xlarge", "vendor"),
        _line("gp3", "storage", disk_gb, "GB-month", 0.08, "ebs.gp3.gb", "vendor"),
        _line("between zones", "cross-zone", cross_gb, "GB", 0.02, "ec2.cross-az.gb", "vendor"),
    ]
    msk = [
        _line("kafka.m7g.2xlarge", "compute", 3 * 730, "hour", 0.816, "msk.m7g.2xlarge", "vendor"),
        _line("MSK storage", "storage", disk_gb, "GB-month", 0.10, "msk.storage.gb", "secondary"),
        _line("between zones", "cross-zone", cross_gb * 0.571, "GB", 0.02, "ec2.cross-az.gb", "vendor"),
        _line("provisioned throughput", "storage", 750, "MB/s-month", None, "msk.storage.mbs", "missing"),
    ]
    return {
        "schema": 1,
        "options": [_option("self-ec2", ec2), _option("msk-standard", msk, at_least=True)],
        "usage": usage,
        "warnings": ["1 of the 5 prices in use is over 365 days old (oldest: ebs.gp3.gb of 2024-07-01)"],
    }


def infeasible(platform: str) -> Mapping[str, Any]:
    """An option that cannot be had."""
    return {
        "platform": platform, "feasible": False, "reason": "96 partitions x 100 topics is over the quota of 2,400",
        "nearest_feasible": "24 partitions a topic", "usd_month": None, "at_least": False, "usd_gb_in": None,
        "usd_million_events": None, "bound_by": None, "parts": [], "lines": [],
    }  # fmt: skip


def _basis(
    value: float,
    basis: str,
    *,
    low: float | None = None,
    high: float | None = None,
    n: int | None = None,
    note: str = "",
) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "basis": basis, "n": n, "note": note}


def _line(  # noqa: PLR0917 -- a row of a small table
    item: str, kind: str, quantity: float, unit: str, usd: float | None, price: str, confidence: str
) -> dict[str, Any]:
    return {
        "item": item,
        "kind": kind,
        "quantity": quantity,
        "unit": unit,
        "unit_price": usd,
        "usd_month": None if usd is None else quantity * usd,
        "price": {"id": price, "source": "a price list", "as_of": "2026-09-11", "confidence": confidence},
    }


def _option(platform: str, lines: list[dict[str, Any]], *, at_least: bool = False) -> dict[str, Any]:
    total = sum(line["usd_month"] or 0.0 for line in lines)
    return {
        "platform": platform,
        "feasible": True,
        "reason": "",
        "usd_month": {"p10": total * 0.91, "p50": total, "p90": total * 1.17},
        "at_least": at_least,
        "usd_gb_in": total / (100 * 2_628),
        "usd_million_events": total / (100e6 / 214.2 * 2.628),
        "usd_month_baseline": lines[0]["usd_month"],
        "notes": ["unpriced: provisioned throughput (msk.storage.mbs: in no catalogue)"] if at_least else [],
        "assumptions": ["brokers in three zones"],
        "bound_by": {"constraint": "disk", "next": "network", "shadow_usd_month": 0.4, "shadow_of": "GB"},
        "parts": [{"what": lines[0]["item"], "count": 3.0, "because": "one a zone"}],
        "lines": lines,
    }


def recorded(folder: Path, name: str = "quickstart") -> Path:
    """results/NAME as `streamgauge run` leaves it: bundles, the scenario's copy, what was asked."""
    home = folder / name
    home.mkdir(parents=True)
    runs = quickstart(home)
    (home / "scenario.yaml").write_text(SCENARIO)
    asked_for = {"scenario": str(home / "scenario.yaml"), "overrides": [], "repeats": None, "quick": False,
                 "backend": "local"}  # fmt: skip
    index = {"schema": 1, "scenario": "quickstart", "asked": asked_for, "trials": sorted({r.trial_id for r in runs})}
    (home / "index.json").write_text(json.dumps(index))
    return home
