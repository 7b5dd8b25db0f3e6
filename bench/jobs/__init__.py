"""PyFlink jobs, one file each: what runs, and the oracle that says whether its output is right.

A job is a module in this folder with a `JOB`; nothing registers it. The job `count-by-user` is in count_by_user.py.
pyflink is imported only inside `build`, which runs in the job client's own process (`bench.jobs.client`): judging an
output needs no Flink.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from bench.backends import BUCKET
from bench.errors import ScenarioError
from bench.record import Check
from bench.scenario import Settings
from bench.scenario.coherence import TRANSACTION_S
from bench.scenario.sections import Checkpoint, Pipeline
from bench.workloads import open_workload

ASIDE = "aside"  # the output of what cannot be read, of every job whose stream may hold such events
# SQL for the end of a window TVF's window, in ms; whole seconds, so windows end on one
WINDOW_END_MS = "1000 * UNIX_TIMESTAMP(CAST(window_end AS STRING), 'yyyy-MM-dd HH:mm:ss.SSS')"
MANY = 100_000  # attempts to restart, half a second apart: more than any trial lasts
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
    settings: Mapping[str, str] = field(default_factory=dict)  # Flink settings of this trial, over the job's own
    discovery_ms: int = 0  # how often the source looks for new partitions; 0: never
    client: Mapping[str, str] = field(default_factory=dict)  # the connectors' own settings: TLS, a login
    function: str = ""  # in which form the job's function runs: sql, java, row, pandas; "": it has none


@dataclass(frozen=True)
class Output:
    """An output topic read back after the run: one row per record, columns parsed, `append_ms` from the broker.

    Rows of one partition are in their order.
    """

    rows: pd.DataFrame
    append_ms: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Terms:
    """On which terms an output is judged."""

    watermark_ms: int  # where the job's watermark must have come to: what waits for a later one is not due
    exactly_once: bool = False  # else a failure may repeat what was written, and count again what it reads again
    failed: bool = False  # the job was brought down on the way
    may_drop: bool = False  # its watermark may have gone on without an event, which windows then lack
    none_due: bool = False  # a partition without an event holds the watermark back: no window may be there

    @property
    def may_repeat(self) -> bool:
        """Whether a row may have been written twice."""
        return not self.exactly_once

    @property
    def may_recount(self) -> bool:
        """Whether an event may have been counted twice: at-least-once reads again what its state already holds."""
        return self.failed and not self.exactly_once


@dataclass(frozen=True)
class Waits:
    """Latencies that only an oracle knows, because only it knows what they count from."""

    due_ns: np.ndarray[Any, np.dtype[np.int64]]  # when what each of them counts from was due
    ms: np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Verified:
    """What an oracle found: the checks, and what only it can count."""

    checks: tuple[Check, ...]
    counts: Mapping[str, float]  # metrics: lost_events, duplicated_events, output_share, precision, ...
    waits: Mapping[str, Waits] = field(default_factory=dict)  # metrics in ms: alert_latency_ms


class Job(Protocol):
    """One PyFlink job with its oracle.

    A job with a function of its own says in `functions: tuple[str, ...]` in which forms it has it, the usual one first:
    sql, java, row (Python, called for each row), pandas (Python, called for a batch). `build` asks `params.function`.
    """

    version: int  # raised when the job computes something else: results of different versions don't compare
    reads: str  # the workload whose events it understands; "" for any
    settings: Mapping[str, str]  # Flink settings that the job wants; the scenario's own go before them
    outputs: tuple[str, ...]
    per_event: (
        str  # the output that carries `seq` and `due_ns`, one row per input event that passes; "" if there is none
    )

    def build(self, tables: Any, params: JobParams) -> Any:
        """A pyflink StatementSet, ready to execute, on the TableEnvironment `tables`."""
        ...

    def verify(self, truth: pd.DataFrame, outputs: Mapping[str, Output], terms: Terms) -> Verified:
        """Compare the outputs with what the workload's ground truth says they must be.

        `truth` holds every event that was sent, unreadable ones included (`malformed`).
        """
        ...


@cache
def names() -> tuple[str, ...]:
    """Every job in this folder."""
    files = Path(__file__).parent.glob("*.py")
    return tuple(sorted(file.stem.replace("_", "-") for file in files if "\nJOB = " in file.read_text()))


def find(name: str) -> Job:
    """The job called `name`; ScenarioError with the known ones otherwise."""
    if name not in names():
        raise ScenarioError(f"no job {name!r}; known: {', '.join(names())}")
    job: Job = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").JOB
    return job


def outputs_of(settings: Settings) -> tuple[str, ...]:
    """The outputs that a trial's job writes; a stream that may hold unreadable events has one more for them."""
    if settings.pipeline is None:
        return ()
    aside = (ASIDE,) if settings.workload.malformed else ()
    return (*find(settings.pipeline.job).outputs, *aside)


def watermark_delay_ms(settings: Settings) -> int:
    """How far behind the newest event of a partition another may be, in event time: the bound a watermark needs.

    With one load worker that is the workload's disorder; several workers drift apart a little in real time. A bound
    that the pipeline gives counts, also where it is too small.
    """
    spec, pipeline = settings.workload, settings.pipeline
    if pipeline is not None and pipeline.disorder_bound_s is not None:
        return round(pipeline.disorder_bound_s * 1000)
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
            "execution.checkpointing.mode": "EXACTLY_ONCE" if pipeline.exact_state else "AT_LEAST_ONCE",
            "execution.checkpointing.incremental": str(checkpoint.incremental).lower(),
            "state.backend.type": checkpoint.backend,
        }
        flink |= _stored(checkpoint, run_name)
    if any(fault.target == "taskmanager" for fault in settings.faults):
        # without slots each attempt fails at once: the cluster's ten would be spent before a replacement is there. A
        # job's own strategy counts only when it is whole
        flink |= {
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": str(MANY),
            "restart-strategy.fixed-delay.delay": "500 ms",
        }
    flink |= pipeline.job_flink
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
        settings={**find(pipeline.job).settings, **flink},
        discovery_ms=round(pipeline.partition_discovery_s * 1000),
        function=function_of(pipeline),
    )


def _stored(checkpoint: Checkpoint, run_name: str) -> dict[str, str]:
    """Where checkpoints go; what is not said is the session cluster's own folder."""
    if checkpoint.storage == "jobmanager":
        return {"execution.checkpointing.storage": "jobmanager"}
    if checkpoint.storage == "s3":
        return {"execution.checkpointing.dir": f"s3://{BUCKET}/{run_name}"}
    return {"execution.checkpointing.dir": Path(checkpoint.directory).as_uri()} if checkpoint.directory else {}


def in_our_store(settings: Settings) -> bool:
    """Whether a trial's checkpoints go into the cluster's own object store."""
    pipeline = settings.pipeline
    to_s3 = pipeline is not None and pipeline.checkpoint is not None and pipeline.checkpoint.storage == "s3"
    return pipeline is not None and to_s3 and not pipeline.own_s3


def functions(name: str) -> tuple[str, ...]:
    """The forms in which the job `name` has its function, the usual one first; none where it has no function."""
    return tuple(getattr(find(name), "functions", ()))


def function_of(pipeline: Pipeline) -> str:
    """In which form the pipeline's job runs its function; "" where it has none."""
    return pipeline.function or next(iter(functions(pipeline.job)), "")


def connector(topic: str, params: JobParams) -> str:
    """The options that every Kafka table has."""
    own = "".join(f",\n  'properties.{key}' = '{_quoted(value)}'" for key, value in params.client.items())
    return f"""'connector' = 'kafka',
  'topic' = '{topic}',
  'properties.bootstrap.servers' = '{params.bootstrap}'{own}"""


def _quoted(text: str) -> str:
    """Within a string of SQL."""
    return text.replace("'", "''")


def groups(run_name: str, outputs: Collection[str]) -> tuple[str, ...]:
    """The consumer groups in which a job's readers of the input topic say, at each checkpoint, how far they are."""
    return (run_name, f"{run_name}-{ASIDE}") if ASIDE in outputs else (run_name,)


def reading(params: JobParams, group: str) -> str:
    """The options of a table that reads the input topic from its beginning.

    The Kafka client's own metrics (150 of the 430 that a source of six partitions has) stay out of Flink's registry:
    nobody reads them there, and the JobManager would fetch them with each look; the backlog, which they tell, Flink
    takes from the client itself.
    """
    return f"""{connector(params.input_topic, params)},
  'properties.group.id' = '{group}',
  'properties.register.consumer.metrics' = 'false',
  'scan.startup.mode' = 'earliest-offset',
  'scan.topic-partition-discovery.interval' = '{params.discovery_ms} ms'"""


def delivering(output: str, params: JobParams) -> str:
    """The options of a table that writes an output topic under the trial's delivery guarantee."""
    exactly_once = ""
    if params.guarantee == "exactly-once":
        # the default transaction timeout (1 h) exceeds the broker's maximum (15 min): the job would fail at once
        exactly_once = f""",
  'sink.transactional-id-prefix' = '{params.run_name}-{output}',
  'properties.transaction.timeout.ms' = '{TRANSACTION_S * 1000:.0f}'"""
    return f"""{connector(params.output_topics[output], params)},
  'properties.register.producer.metrics' = 'false',
  'sink.delivery-guarantee' = '{params.guarantee}'{exactly_once}"""


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
  {reading(params, params.run_name)},
  'format' = '{params.input_format}'{skip}
)"""


def kafka_sink(table: str, output: str, fields: str, params: JobParams) -> str:
    """DDL of an output topic as JSON; with a primary key among the `fields`, of the last row for each key."""
    options, form = delivering(output, params), "'format' = 'json'"
    if "PRIMARY KEY" in fields:
        options = options.replace("'connector' = 'kafka'", "'connector' = 'upsert-kafka'")
        form = "'key.format' = 'json',\n  'value.format' = 'json'"
    return f"""CREATE TEMPORARY TABLE {table} (
  {fields}
) WITH (
  {options},
  {form}
)"""
