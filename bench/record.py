"""What happened to a trial, and how it is kept: `Run` on disk as versioned JSON, series and histograms beside it.

    results/<scenario>/<trial-id>/<utc>/run.json  series.parquet  latency.parquet  logs/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

SCHEMA = 1  # raised when a field changes its meaning; a reader refuses what it does not know

Knob = str | int | float | bool | None


class Outcome(StrEnum):
    """How a trial ended. Only `finished` runs are evidence."""

    FINISHED = "finished"
    INVALID = "invalid"  # it ran, but a rule of the method was broken: no verdict may rest on it
    CRASHED = "crashed"  # Kafka, Flink or a generator died
    REFUSED = "refused"  # never started: the host or the backend cannot do this


@dataclass(frozen=True)
class Measurement:
    """One metric of one run. `percentiles` ("p50", "p99", "max") reach only as far as `n` samples support."""

    value: float
    unit: str
    percentiles: Mapping[str, float] | None = None
    n: int | None = None


@dataclass(frozen=True)
class Check:
    """One comparison of an output with the workload's oracle. `ok` only if expected equals actual."""

    name: str
    expected: float
    actual: float
    ok: bool
    detail: str = ""


@dataclass(frozen=True)
class Run:
    """What happened to one trial; immutable, saved before it is judged."""

    scenario: str
    trial_id: str
    load: str  # which of the scenario's loads: "steady", "drain", ...
    repetition: int
    order: int  # position in the interleaved sequence: neighbours in time pair up
    outcome: Outcome
    reason: str  # "" when finished
    knobs: Mapping[str, Knob]  # the axes' values: {"topic.partitions": 6}
    settings: Mapping[str, Any]  # every section of the trial as it ran, same paths as the YAML
    seed: int
    backend: str  # local, compose, testcontainers, remote
    started_utc: str  # ISO 8601
    duration_s: float
    environment: Mapping[str, Any]
    metrics: Mapping[str, Measurement] = field(default_factory=dict)  # keys are names in bench.metrics
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()
    phases: Mapping[str, float] = field(default_factory=dict)  # seconds since start at which each phase began
    bundle: Path | None = None  # where it lies; not part of the JSON
