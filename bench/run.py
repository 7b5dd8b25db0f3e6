"""What happened to a trial: `Run` and what it is made of. `bench.record` keeps it on disk.

The texts below the fields are the documentation of run.json: `streamgauge show --schema` prints them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, WithJsonSchema

Knob = str | int | float | bool | None
Known = Annotated[float, WithJsonSchema({"type": ["number", "null"], "description": "null: missing"})]

_DOCUMENTED = ConfigDict(use_attribute_docstrings=True)


class Outcome(StrEnum):
    """How a trial ended. Only `finished` runs are evidence."""

    FINISHED = "finished"
    INVALID = "invalid"  # it ran, but a rule of the method was broken: no verdict may rest on it
    CRASHED = "crashed"  # Kafka, Flink or a generator died
    REFUSED = "refused"  # never started: the host or the backend cannot do this
    UNFINISHED = "unfinished"  # it began, and nothing says how it ended: it runs now, or was killed


@dataclass(frozen=True)
class Measurement:
    """One metric of one run."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    value: float
    """In `unit`. Of a latency, the median."""
    unit: str
    """By the registry: docs/metrics.md."""
    percentiles: Mapping[str, float] | None = None
    """p50, p90, p99, max…, as far as the sample supports them; or lower and upper, a 95 % interval within the run."""
    n: int | None = None
    """Samples behind the percentiles."""


@dataclass(frozen=True)
class Check:
    """One comparison of an output with the workload's oracle. `ok` only if expected equals actual."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    name: str
    expected: Known
    actual: Known
    ok: bool
    detail: str = ""

    @property
    def sentence(self) -> str:
        """What a reason says of it."""
        return self.says() + (f" ({self.detail})" if self.detail else "")

    def says(self, form: str = "g") -> str:
        """Name and both numbers, in this format; one that is missing is nothing."""
        said = ["nothing" if math.isnan(number) else f"{number:{form}}" for number in (self.expected, self.actual)]
        return f"{self.name}: expected {said[0]}, found {said[1]}"


@dataclass(frozen=True)
class Criterion:
    """One condition of a sustainable rate, and whether it was met; what is missing is not met."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    name: str
    ok: bool
    detail: str
    """One sentence with what was seen and the limit."""


@dataclass(frozen=True)
class Attempt:
    """One rate that a search tried."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    number: int
    """From 0, in the order they ran."""
    rate_eps: float
    """Events per second that were due."""
    purpose: str
    """Why it was tried: ramp, bisect, confirm (repetitions at the rate found) or above (5 % above it)."""
    outcome: str
    """pass, fail, or invalid: the generator fell short, so that it says nothing about the rate."""
    reason: str
    """Why it did not pass; "" when it did."""
    took_s: float
    """Seconds, topics and tear-down included."""
    started_utc: str
    criteria: tuple[Criterion, ...] = ()
    """Every condition, met or not."""
    metrics: Mapping[str, Measurement] = field(default_factory=dict)
    """What it measured, as in a run of its own."""
    checks: tuple[Check, ...] = ()
    """What the oracle said of its outputs."""


@dataclass(frozen=True)
class Search:
    """The search for the highest sustainable rate: how it ended, and every rate it tried."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    status: str
    """found; found, but its limit is not sharp; at least; not found; out of time; or searching, while it runs."""
    sentence: str
    thresholds: tuple[str, ...]
    """The scenario's: what a rate has to meet beside keeping up."""
    rate_eps: float | None
    """The confirmed rate; null: none was."""
    low_eps: float | None
    """Highest rate that passed."""
    high_eps: float | None
    """Lowest rate that did not."""
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Run:
    """What happened to one trial; immutable, saved before it is judged."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    scenario: str
    trial_id: str
    """12 hex digits: hash of settings, knobs, load, repetition, versions, backend and class of host."""
    load: str
    """Which of the scenario's loads: "steady", "drain", …; a single one is called "load"."""
    repetition: int
    order: int
    """Position in the interleaved sequence: neighbours in time pair up."""
    outcome: Outcome
    reason: str
    """Why it is no evidence; "" when finished."""
    knobs: Mapping[str, Knob]
    """The axes' values: {"topic.partitions": 6}."""
    settings: Mapping[str, Any]
    """Every section of the trial as it ran, same paths as the YAML."""
    seed: int
    backend: str
    """local, compose, testcontainers, remote."""
    started_utc: str
    """ISO 8601."""
    duration_s: float
    environment: Mapping[str, Any]
    """Host, control group, versions; `over_the_run`: drift of the clock, CPU stolen or throttled, swap."""
    metrics: Mapping[str, Measurement] = field(default_factory=dict)
    """By their names in docs/metrics.md. What could not be measured is absent, never 0."""
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()
    phases: Mapping[str, float] = field(default_factory=dict)
    """Seconds since the start at which each phase began."""
    warmup_s: float | None = None
    """Seconds of load cut instead of settings.phases.warmup_s, after which nothing was steady; null: not extended."""
    search: Search | None = None
    """Of a search for the sustainable rate; the metrics are then those of its passing confirmations."""
    bundle: Path | None = None
    """Where it lies; not part of the JSON."""
