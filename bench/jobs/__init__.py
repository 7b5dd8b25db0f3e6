"""PyFlink jobs, one file each: what runs, and the oracle that says whether its output is right.

A job is a module in this folder with a `JOB`; nothing registers it. pyflink is imported only inside `build`, which
runs in the job client's own process (`bench.jobs.client`): judging an output needs no Flink.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd

from bench.errors import ScenarioError
from bench.record import Check
from bench.scenario import Settings
from bench.workloads import open_workload

NOT_JOBS = frozenset({"client", "session"})
WORKER_SKEW_MS = 500.0  # how far apart in real time two load workers may run before their events count as late


@dataclass(frozen=True)
class JobParams:
    """What a job has to know about this trial. JSON both ways: it crosses to the job client."""

    bootstrap: str
    input_topic: str
    output_topics: Mapping[str, str]  # the job's own output name -> topic
    columns: tuple[tuple[str, str], ...]  # the workload's fields: (name, SQL type)
    input_format: str  # json, csv, avro
    watermark_delay_ms: int  # how far events may be behind the newest one, in event time
    parallelism: int
    guarantee: str  # at-least-once, exactly-once
    run_name: str  # unique: names the job and its transactions
    settings: Mapping[str, str] = field(default_factory=dict)  # Flink settings of this job


@dataclass(frozen=True)
class Output:
    """An output topic read back after the run: one row per record, columns parsed, `append_ms` from the broker."""

    rows: pd.DataFrame
    append_ms: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Verified:
    """What an oracle found: the checks, and what only it can count."""

    checks: tuple[Check, ...]
    counts: Mapping[str, float]  # metrics: lost_events, duplicated_events, output_share


class Job(Protocol):
    """One PyFlink job with its oracle."""

    version: int  # raised when the job computes something else: results of different versions don't compare
    outputs: tuple[str, ...]
    per_event: (
        str  # the output that carries `seq` and `due_ns`, one row per input event that passes; "" if there is none
    )

    def build(self, tables: Any, params: JobParams) -> Any:
        """A pyflink StatementSet, ready to execute, on the TableEnvironment `tables`."""
        ...

    def verify(self, truth: pd.DataFrame, outputs: Mapping[str, Output], final_watermark_ms: int) -> Verified:
        """Compare the outputs with what the workload's ground truth says they must be.

        Windows are due once the watermark has passed their end: `final_watermark_ms` is where it must have come to.
        """
        ...


def names() -> list[str]:
    """Every job in this folder."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in NOT_JOBS)


def find(name: str) -> Job:
    """The job called `name`; ScenarioError with the known ones otherwise."""
    if name not in names():
        raise ScenarioError(f"no job {name!r}; known: {', '.join(names())}")
    job: Job = importlib.import_module(f"{__name__}.{name}").JOB
    return job


def watermark_delay_ms(settings: Settings) -> int:
    """How far behind the newest event of a partition another may be, in event time: the bound a watermark needs.

    With one load worker that is the workload's disorder; several workers drift apart a little in real time.
    """
    spec = settings.workload
    skew_ms = WORKER_SKEW_MS * spec.event_time_speed if settings.load.workers > 1 else 0.0
    return round(spec.disorder_s * 1000 + skew_ms)


def job_params(
    settings: Settings, bootstrap: str, run_name: str, input_topic: str, outputs: Mapping[str, str]
) -> JobParams:
    """What the job is told about this trial."""
    pipeline = settings.pipeline
    assert pipeline is not None
    flink: dict[str, str] = {}
    checkpoint = pipeline.checkpoint
    if checkpoint is not None:
        flink |= {
            "execution.checkpointing.interval": f"{round(checkpoint.interval_s * 1000)} ms",
            "execution.checkpointing.mode": "EXACTLY_ONCE" if pipeline.guarantee == "exactly-once" else "AT_LEAST_ONCE",
            "execution.checkpointing.incremental": str(checkpoint.incremental).lower(),
            "state.backend.type": checkpoint.backend,
        }
        if checkpoint.storage == "jobmanager":
            flink["execution.checkpointing.storage"] = "jobmanager"
    if pipeline.idle_timeout_s:
        flink["table.exec.source.idle-timeout"] = f"{round(pipeline.idle_timeout_s * 1000)} ms"
    raw = pipeline.job_flink.items()
    flink |= {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in raw}
    workload = open_workload(settings.workload, settings.seed, 0)
    return JobParams(
        bootstrap=bootstrap,
        input_topic=input_topic,
        output_topics=outputs,
        columns=tuple(workload.flink_ddl_columns),
        input_format=settings.workload.format,
        watermark_delay_ms=watermark_delay_ms(settings),
        parallelism=pipeline.parallelism,
        guarantee=pipeline.guarantee,
        run_name=run_name,
        settings=flink,
    )


def kafka_source(table: str, params: JobParams) -> str:
    """DDL of the input: the workload's fields, event time from `ts` (ms), a bounded-disorder watermark."""
    fields = ",\n  ".join(f"`{name}` {kind}" for name, kind in params.columns)
    minutes, ms = divmod(params.watermark_delay_ms, 60_000)
    delay = f"INTERVAL '{minutes // 1440} {minutes // 60 % 24:02}:{minutes % 60:02}:{ms / 1000:06.3f}' DAY TO SECOND(3)"
    # an event that cannot be read is skipped; without this it fails the job, again after each restart. Avro cannot skip
    skip = "" if params.input_format == "avro" else f",\n  '{params.input_format}.ignore-parse-errors' = 'true'"
    return f"""CREATE TEMPORARY TABLE {table} (
  {fields},
  event_time AS TO_TIMESTAMP_LTZ(`ts`, 3),
  WATERMARK FOR event_time AS event_time - {delay}
) WITH (
  'connector' = 'kafka',
  'topic' = '{params.input_topic}',
  'properties.bootstrap.servers' = '{params.bootstrap}',
  'properties.group.id' = '{params.run_name}',
  'scan.startup.mode' = 'earliest-offset',
  'scan.topic-partition-discovery.interval' = '0',
  'format' = '{params.input_format}'{skip}
)"""


def kafka_sink(table: str, output: str, fields: str, params: JobParams) -> str:
    """DDL of an output topic as JSON, under the trial's delivery guarantee."""
    exactly_once = ""
    if params.guarantee == "exactly-once":
        # the default transaction timeout (1 h) exceeds the broker's maximum (15 min): the job would fail at once
        exactly_once = f""",
  'sink.transactional-id-prefix' = '{params.run_name}-{output}',
  'properties.transaction.timeout.ms' = '60000'"""
    return f"""CREATE TEMPORARY TABLE {table} (
  {fields}
) WITH (
  'connector' = 'kafka',
  'topic' = '{params.output_topics[output]}',
  'properties.bootstrap.servers' = '{params.bootstrap}',
  'sink.delivery-guarantee' = '{params.guarantee}'{exactly_once},
  'format' = 'json'
)"""
