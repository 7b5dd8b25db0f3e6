"""The life of one trial: topics, job, load, warm-up, measure, settle, read back, verify, tear down."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from bench import environment, measure, topics
from bench.analysis.histogram import LogLinearHistogram
from bench.backends import Cluster
from bench.errors import BrokerError, PlatformError
from bench.jobs import Job, JobParams, Output, Verified, find
from bench.jobs.session import JobSession
from bench.loadgen import Drive, Sent, start, validity
from bench.loadgen.drive import Spawn
from bench.measure import Findings, Window
from bench.probes import Probe, Samples, watch
from bench.probes.components import components, host
from bench.probes.flink import Checkpoints, checkpoints, job_probe, late_events
from bench.probes.kafka import jmx
from bench.record import Check, Outcome, Run
from bench.scenario import Trial
from bench.scenario import Settings
from bench.workloads import Workload, open_workload
from bench.workloads.draws import murmur2, partition_of

MEASUREMENT_VERSION = 1  # raised by hand when a metric's meaning changes: older results are then not resumed from
OUTPUT_PARTITIONS_PER_TASK = 1
CLOCK_STEP_NS = 1_000_000  # method 10: a drift of the clocks beyond 1 ms invalidates latencies
WORKER_SKEW_MS = 500.0  # how far apart in real time two load workers may run before their events count as late
DRAIN_TIMEOUT_S = 300.0
REST_S = 1.0
PRIME_EPS = 50_000.0
PRIME_S = 12.0


@dataclass
class Stage:
    """An open cluster with what trials share on it."""

    cluster: Cluster
    session: JobSession | None
    run_dir: Path
    spawn: Spawn  # starts a child below the supervisor


@dataclass(frozen=True)
class Recorded:
    """A run with what lies beside it in the bundle."""

    run: Run
    series: Mapping[str, pd.DataFrame]
    histograms: Mapping[str, LogLinearHistogram]


Tell = Callable[[str, float], None]
"""Progress for a person: (what is going on, seconds it is expected to take)."""


@dataclass
class _Life:
    """What has been collected so far: whatever happens, this much is kept."""

    found: Findings = field(default_factory=Findings)
    series: dict[str, pd.DataFrame] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)
    invalid: list[str] = field(default_factory=list)
    caught_up: bool = True  # the job has read every event, and its outputs are complete


def run(
    trial: Trial, stage: Stage, *, latency_slo_ms: float | None = None, tell: Tell = lambda what, seconds: None
) -> Recorded:
    """Run one trial. Kafka's and Flink's failures become the run's outcome; what was measured until then is kept."""
    began, began_utc = time.monotonic(), datetime.now(UTC).isoformat(timespec="milliseconds")
    clocks_ns = environment.clock_offset_ns()
    life = _Life()
    outcome, reason = Outcome.FINISHED, ""
    names = _Names.of(trial)
    about = environment.describe(stage.cluster.backend, stage.cluster.versions)
    try:
        stage.cluster.check()
        _live(trial, stage, names, life, latency_slo_ms, tell, lambda: time.monotonic() - began)
    except PlatformError as error:
        outcome, reason = Outcome.CRASHED, str(error)
    finally:
        _tear_down(stage, names, life)
    if outcome is Outcome.FINISHED:
        if abs(environment.clock_offset_ns() - clocks_ns) > CLOCK_STEP_NS:
            life.invalid.append("the clock was stepped by more than 1 ms during the run")
        life.invalid += [f"the oracle disagrees: {_sentence(check)}" for check in life.checks if not check.ok]
        if life.invalid:
            outcome, reason = Outcome.INVALID, "; ".join(life.invalid)
    if life.found.missing:
        life.warnings.append("not measured: " + ", ".join(dict.fromkeys(life.found.missing)))
    result = Run(
        scenario=trial.scenario,
        trial_id=trial.id,
        load=trial.load_name,
        repetition=trial.repetition,
        order=trial.order,
        outcome=outcome,
        reason=reason,
        knobs=trial.knobs,
        settings=trial.settings.model_dump(mode="json"),
        seed=trial.seed,
        backend=stage.cluster.backend,
        started_utc=began_utc,
        duration_s=time.monotonic() - began,
        environment=about,
        metrics=life.found.metrics,
        checks=tuple(life.checks),
        warnings=tuple(life.warnings),
        phases=life.phases,
    )
    return Recorded(result, life.series, life.found.histograms)


@dataclass(frozen=True)
class _Names:
    """A trial's topics: fresh for each, named so that leftovers can be recognised."""

    run: str
    input: str
    outputs: Mapping[str, str]

    @classmethod
    def of(cls, trial: Trial) -> _Names:
        run = f"sg-{trial.id}-{os.getpid()}-{time.time_ns() // 1_000_000 % 10**8:08d}"
        pipeline = trial.settings.pipeline
        outputs = find(pipeline.job).outputs if pipeline else ()
        return cls(run, f"{run}-in", {name: f"{run}-{name}" for name in outputs})

    @property
    def all(self) -> list[str]:
        return [self.input, *self.outputs.values()]


def _live(
    trial: Trial, stage: Stage, names: _Names, life: _Life, latency_slo_ms: float | None, tell: Tell, now_s: Callable[[], float]
) -> None:
    settings = trial.settings
    tell("topics", 1.0)
    _create_topics(settings, stage.cluster.bootstrap, names)
    drain = settings.load.kind == "drain"
    life.phases["load"] = now_s()
    if drain:
        sent, job_id, samples, window = _drain(trial, stage, names, life, tell, now_s)
    else:
        sent, job_id, samples, window = _open_loop(trial, stage, names, life, tell, now_s)
    life.series |= samples.tables()
    prefix = "prefill" if drain else "generator"  # a drain's own clock starts when the job does
    life.series |= {f"{prefix}_{name}": _series(sent.seconds[name]) for name in sent.seconds.columns}
    life.phases["verify"] = now_s()
    tell("verify", 8.0)
    _measure(trial, stage, names, life, sent, samples, window, job_id)
    if job_id and not life.caught_up:
        # an output that is not complete is neither right nor wrong, and its latencies are the lucky ones
        life.warnings.append("the job had not caught up when the run ended: outputs not compared, no end-to-end latency")
    elif job_id:
        _verify(trial, stage, names, life, sent, window)
    if not drain:
        life.invalid += validity(sent, latency_slo_ms)


def _create_topics(settings: Settings, bootstrap: str, names: _Names) -> None:
    topic = settings.topic
    topics.create(
        bootstrap,
        names.input,
        partitions=topic.partitions,
        replication=topic.replication_factor,
        config={"message.timestamp.type": "CreateTime", "min.insync.replicas": str(topic.min_insync)},
    )
    parallelism = settings.pipeline.parallelism if settings.pipeline else 1
    for output in names.outputs.values():
        # LogAppendTime: append minus due is then computable afterwards, whatever the reader's speed (method 7)
        config = {"message.timestamp.type": "LogAppendTime"}
        topics.create(bootstrap, output, partitions=parallelism * OUTPUT_PARTITIONS_PER_TASK, config=config)


def job_params(settings: Settings, workload: Workload, bootstrap: str, names: _Names) -> JobParams:
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
    flink |= {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in pipeline.job_flink.items()}
    spec = settings.workload
    # with one load worker a partition's events are at most `disorder_s` behind; several workers drift apart a little
    skew_ms = WORKER_SKEW_MS * spec.event_time_speed if settings.load.workers > 1 else 0.0
    return JobParams(
        bootstrap=bootstrap,
        input_topic=names.input,
        output_topics=names.outputs,
        columns=tuple(workload.flink_ddl_columns),
        input_format=spec.format,
        watermark_delay_ms=round(spec.disorder_s * 1000 + skew_ms),
        parallelism=pipeline.parallelism,
        guarantee=pipeline.guarantee,
        run_name=names.run,
        settings=flink,
    )


def _probes(stage: Stage, names: _Names, job_id: str) -> list[Probe]:
    probes = [components(stage.cluster), host()]
    if stage.cluster.jmx_urls:
        probes.append(jmx(stage.cluster.jmx_urls, names.input))
    if job_id:
        probes.append(job_probe(stage.cluster.flink_url, job_id))
    return probes


def _submit(trial: Trial, stage: Stage, names: _Names) -> str:
    pipeline = trial.settings.pipeline
    if pipeline is None or stage.session is None:
        return ""
    workload = open_workload(trial.settings.workload, trial.seed, 0)
    return stage.session.submit(pipeline.job, job_params(trial.settings, workload, stage.cluster.bootstrap, names))


def _start(trial: Trial, stage: Stage, names: _Names, seconds: float) -> Drive:
    return start(
        trial.settings.model_dump(mode="json"),
        bootstrap=stage.cluster.bootstrap,
        topic=names.input,
        partitions=trial.settings.topic.partitions,
        seed=trial.seed,
        duration_s=seconds,
        warmup_s=trial.settings.phases.warmup_s,
        run_dir=stage.run_dir / names.run,
        spawn=stage.spawn,
    )


def _open_loop(
    trial: Trial, stage: Stage, names: _Names, life: _Life, tell: Tell, now_s: Callable[[], float]
) -> tuple[Sent, str, Samples, Window]:
    """Job first, then load on schedule, watched throughout; then wait until the job has read everything."""
    phases = trial.settings.phases
    tell("submit", 4.0)
    job_id = _submit(trial, stage, names)
    seconds = phases.warmup_s + phases.measure_s
    drive = _start(trial, stage, names, seconds)
    try:
        with watch(_probes(stage, names, job_id), zero_ns=drive.t0_ns) as samples:
            life.phases["t0"] = now_s()
            tell("load", seconds)
            _await_load(drive, stage, job_id, seconds)
            sent = drive.wait(60.0)
            life.phases["settle"] = now_s()
            tell("settle", phases.settle_s)
            if job_id:
                _settle(stage, samples, names, sent.acknowledged_events, phases.settle_s, life)
    except BaseException:
        drive.stop()
        raise
    return sent, job_id, samples, Window(phases.warmup_s, seconds)


def _await_load(drive: Drive, stage: Stage, job_id: str, seconds: float) -> None:
    """Until the load is over; a broker, TaskManager or job that dies meanwhile ends the trial at once."""
    give_up = time.monotonic() + seconds + 90.0  # back-pressure may hold the generator up: it is waited for, not for ever
    while not drive.poll().done:
        stage.cluster.check()
        if time.monotonic() > give_up:
            raise BrokerError(f"the load did not end within {seconds + 90:.0f} s: the broker no longer takes events")
        time.sleep(0.2)
    if job_id and stage.session is not None:
        stage.session.await_running(job_id, timeout_s=30.0)


def _settle(stage: Stage, samples: Samples, names: _Names, events: int, settle_s: float, life: _Life) -> None:
    """Until the job has read every event and its outputs have come to rest; what is not there after `settle_s` lags."""
    deadline = time.monotonic() + settle_s
    written, rested_s = -1, 0.0
    while time.monotonic() < deadline:
        stage.cluster.check()
        time.sleep(0.25)
        read = samples.series("source_events").value.dropna()
        if not len(read) or read.iloc[-1] < events:
            continue
        now = sum(sum(topics.end_offsets(stage.cluster.bootstrap, topic).values()) for topic in names.outputs.values())
        rested_s = rested_s + 0.25 if now == written else 0.0
        written = now
        # longer than a watermark's interval (200 ms) and a sink's linger: the last windows and rows are out
        if rested_s >= REST_S:
            return
    life.caught_up = False


def _drain(
    trial: Trial, stage: Stage, names: _Names, life: _Life, tell: Tell, now_s: Callable[[], float]
) -> tuple[Sent, str, Samples, Window]:
    """Load first, as fast as it goes; then the job reads it flat out. The window is its middle 80 %."""
    events = trial.settings.load.drain
    assert events is not None
    tell("prefill", 6.0)
    drive = _start(trial, stage, names, 0.0)
    try:
        sent = drive.wait(DRAIN_TIMEOUT_S)
    except BaseException:
        drive.stop()
        raise
    life.phases["t0"] = now_s()
    tell("drain", events / 100_000)
    zero_ns = time.time_ns()
    job_id = _submit(trial, stage, names)
    with watch(_probes(stage, names, job_id), zero_ns=zero_ns) as samples:
        _settle(stage, samples, names, sent.acknowledged_events, DRAIN_TIMEOUT_S, life)
    window = measure.drain_window(samples, sent.acknowledged_events)
    if window is None:
        life.warnings.append(f"the drain was not over within {DRAIN_TIMEOUT_S:.0f} s or too short to be timed")
    return sent, job_id, samples, window or Window(0.0, 0.0)


def _measure(
    trial: Trial, stage: Stage, names: _Names, life: _Life, sent: Sent, samples: Samples, window: Window, job_id: str
) -> None:
    settings, found, drain = trial.settings, life.found, trial.settings.load.kind == "drain"
    ends = topics.end_offsets(stage.cluster.bootstrap, names.input)
    stored, acknowledged = sum(ends.values()), sent.acknowledged_events
    life.checks.append(Check("acknowledged events are in the topic", acknowledged, stored, stored == acknowledged))
    disk = stage.cluster.disk_bytes(names.input)
    life.series["input_partition_events"] = pd.DataFrame({"t_s": list(ends), "value": list(ends.values())}, dtype=float)
    read = samples.delta("source_events", window.from_s, window.to_s)
    cores = os.cpu_count() or 1
    if drain:
        found.put("acknowledged_events", float(acknowledged))
        found.put("drain_eps", read / window.seconds if window.seconds else float("nan"))
        measure.component_metrics(found, samples, window, {"flink": read, "broker": read}, cores)
    else:
        measure.generator_metrics(found, sent, window)
        handled = {"broker": sent.in_window("acked")} | ({"flink": read} if job_id else {})
        measure.component_metrics(found, samples, window, handled, cores)
    measure.storage_metrics(found, disk, sent)
    if job_id and settings.pipeline is not None:
        url = stage.cluster.flink_url
        measure.job_metrics(found, samples, window, settings.pipeline.parallelism)
        found.put("late_events", late_events(url, job_id))
        done: Checkpoints = checkpoints(url, job_id)
        zero_ns = samples.zero_ns
        measure.checkpoint_metrics(found, done, window, zero_ns)
        life.series["checkpoint_duration_ms"] = _checkpoint_series(done, "duration_ms", zero_ns)
        life.series["checkpoint_size_bytes"] = _checkpoint_series(done, "size_bytes", zero_ns)
        if not drain:
            measure.watermark_lag(found, samples, window, sent.t0_ns, settings.workload.event_time_speed)


def _verify(trial: Trial, stage: Stage, names: _Names, life: _Life, sent: Sent, window: Window) -> None:
    """Read the outputs back and hold them against the workload's ground truth."""
    settings = trial.settings
    pipeline = settings.pipeline
    assert pipeline is not None
    job = find(pipeline.job)
    committed = pipeline.guarantee == "exactly-once"
    outputs = {}
    for name, topic in names.outputs.items():
        back = topics.read_topic(stage.cluster.bootstrap, topic, committed=committed)
        outputs[name] = Output(topics.json_rows(back.values), back.timestamp_ms)
    workload = open_workload(settings.workload, trial.seed, sent.t0_ns, sent.schedule)
    seq = sent.seqs()
    truth = workload.columns(seq, sent.schedule.due_ns(seq))
    params = job_params(settings, workload, stage.cluster.bootstrap, names)
    watermark_ms = final_watermark_ms(truth, workload, settings, params.watermark_delay_ms, life)
    verified: Verified = job.verify(truth, outputs, watermark_ms)
    life.checks += verified.checks
    for name, count in verified.counts.items():
        life.found.put(name, count)
    if settings.load.kind != "drain" and job.per_event and len(outputs[job.per_event].rows):
        measure.latency_metrics(life.found, outputs[job.per_event], sent, window)
        _window_latency(life.found, job, outputs, settings, sent, window)
        life.series["output_eps"] = _append_rate(outputs[job.per_event], sent.t0_ns)


def _window_latency(
    found: Findings, job: Job, outputs: Mapping[str, Output], settings: Settings, sent: Sent, window: Window
) -> None:
    for name in job.outputs:
        if "window_end_ms" in outputs[name].rows:
            end_ms = outputs[name].rows["window_end_ms"].to_numpy(dtype=np.int64)
            # event time E is simulated as t0 + speed x (due - t0): its due time is the inverse
            due_ms = sent.t0_ns / 1e6 + (end_ms - sent.t0_ns / 1e6) / settings.workload.event_time_speed
            measure.window_latency(found, end_ms, outputs[name].append_ms, due_ms, window, sent.t0_ns)


def final_watermark_ms(truth: pd.DataFrame, workload: Workload, settings: Settings, delay_ms: int, life: _Life) -> int:
    """Where the job's watermark must have come to: the slowest partition's newest event minus the disorder bound.

    Keyed routing says exactly which event is where. Sticky routing doesn't: what Flink reported is used, and said.
    """
    if settings.producer.routing == "keyed":
        keys = truth[workload.key_field.name].cat
        text = np.array(keys.categories, dtype="S8").view(np.uint8).reshape(-1, 8)  # every workload's keys are eight bytes
        partition = partition_of(murmur2(text), settings.topic.partitions).take(keys.codes)
        newest = truth["ts"].groupby(partition).max()
        return int(newest.min()) - delay_ms if len(newest) == settings.topic.partitions else -1
    seen = life.series.get("watermark_ms", pd.DataFrame({"value": []}))["value"].dropna()
    return int(seen.iloc[-1]) if len(seen) else -1


def _append_rate(output: Output, t0_ns: int, bin_s: float = 0.5) -> pd.DataFrame:
    """Rows appended to an output per second, in bins of `bin_s`."""
    since_s = (output.append_ms - t0_ns / 1e6) / 1e3
    last = float(since_s.max())
    edges = np.arange(0.0, last + bin_s, bin_s)
    counts, _ = np.histogram(since_s, edges)
    return pd.DataFrame({"t_s": edges[1:], "value": counts / bin_s})


def _series(column: pd.Series[float]) -> pd.DataFrame:
    return pd.DataFrame({"t_s": column.index.to_numpy(), "value": column.to_numpy()}, dtype=float)


def _checkpoint_series(done: Checkpoints, name: str, zero_ns: int) -> pd.DataFrame:
    return pd.DataFrame({"t_s": done.completed["trigger_ms"] / 1e3 - zero_ns / 1e9, "value": done.completed[name]}, dtype=float)


def _sentence(check: Check) -> str:
    return f"{check.name}: expected {check.expected:g}, found {check.actual:g}" + (f" ({check.detail})" if check.detail else "")


def _tear_down(stage: Stage, names: _Names, life: _Life) -> None:
    """Cancel the trial's jobs and remove its topics; what fails here is said, and never hides the trial's own outcome."""
    try:
        if stage.session is not None:
            for job_id in stage.session.jobs_named(names.run):
                stage.session.cancel(job_id)
        stage.cluster.check()
        topics.delete(stage.cluster.bootstrap, *names.all)
    except PlatformError as error:
        life.warnings.append(f"cleaning up: {str(error).splitlines()[0]}")


def prime(trial: Trial, stage: Stage) -> None:
    """Warm the JVMs once per cluster (method 11): the trial's own job under load, and nothing kept.

    A cold TaskManager's p99 is 3 s where a warm one's is 23 ms.
    """
    rate = trial.settings.load.rate_eps if isinstance(trial.settings.load.rate_eps, float) else PRIME_EPS
    load = trial.settings.load.model_copy(update={"rate_eps": min(rate, PRIME_EPS), "drain": None, "shape": None})
    phases = trial.settings.phases.model_copy(update={"warmup_s": 0.0, "measure_s": PRIME_S, "settle_s": 5.0})
    warm = replace(trial, id=f"prime{trial.id}", settings=trial.settings.model_copy(update={"load": load, "phases": phases}))
    names, life = _Names.of(warm), _Life()
    try:
        _create_topics(warm.settings, stage.cluster.bootstrap, names)
        _open_loop(warm, stage, names, life, lambda what, seconds: None, lambda: 0.0)
    finally:
        _tear_down(stage, names, life)


def crashed(trial: Trial, backend: str, reason: str) -> Run:
    """The record of a trial that never began."""
    return Run(
        scenario=trial.scenario, trial_id=trial.id, load=trial.load_name, repetition=trial.repetition, order=trial.order,
        outcome=Outcome.CRASHED, reason=reason, knobs=trial.knobs, settings=trial.settings.model_dump(mode="json"),
        seed=trial.seed, backend=backend, started_utc=datetime.now(UTC).isoformat(timespec="milliseconds"), duration_s=0.0,
        environment=environment.describe(backend, {}),
    )  # fmt: skip
