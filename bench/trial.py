"""The life of one trial: topics, job, load, warm-up, measure, settle, read back, verify, tear down."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from bench import environment, measure, topics, verify
from bench.analysis import steady
from bench.analysis.histogram import LogLinearHistogram
from bench.backends import Cluster
from bench.errors import BrokerError, PlatformError, StreamgaugeError
from bench.jobs import find, job_params
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

CLOCK_STEP_NS = 1_000_000  # method 10: a drift of the clocks beyond 1 ms invalidates latencies
DRAIN_TIMEOUT_S = 300.0
STUCK_S = 90.0  # how long after its schedule a generator may be held up by back-pressure
REST_S = 1.0  # longer than a watermark's interval (200 ms) and a sink's linger: the last windows and rows are out
PRIME_EPS = 50_000.0
PRIME_S = 20.0  # at 12 s the first runs still paid for the compiler: p50 520 ms where later ones had 15


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


def silence(_what: str, _seconds: float) -> None:
    """Tell nobody."""


def run(trial: Trial, stage: Stage, *, latency_slo_ms: float | None = None, tell: Tell = silence) -> Recorded:
    """Run one trial. Kafka's and Flink's failures become the run's outcome; what was measured until then is kept."""
    began_utc = datetime.now(UTC).isoformat(timespec="milliseconds")
    clocks_ns = environment.clock_offset_ns()
    about = environment.describe(stage.cluster.backend, stage.cluster.versions)
    life = _Life(trial, stage, tell)
    outcome, reason = Outcome.FINISHED, ""
    try:
        stage.cluster.check()
        life.live(latency_slo_ms)
    except StreamgaugeError as error:  # whoever is to blame: this trial is over, the next one goes on
        outcome, reason = Outcome.CRASHED, _blame(stage.cluster, error)
    finally:
        life.tear_down()
    if outcome is Outcome.FINISHED:
        if abs(environment.clock_offset_ns() - clocks_ns) > CLOCK_STEP_NS:
            life.invalid.append("the clock was stepped by more than 1 ms during the run")
        life.invalid += [f"the oracle disagrees: {check.sentence}" for check in life.checks if not check.ok]
        if life.invalid:
            outcome, reason = Outcome.INVALID, "; ".join(life.invalid)
    if life.found.missing:
        life.warnings.append("not measured: " + ", ".join(dict.fromkeys(life.found.missing)))
    blank = _blank(trial, stage.cluster.backend, outcome, reason)
    result = replace(
        blank,
        started_utc=began_utc,
        duration_s=life.now_s(),
        environment=about,
        metrics=life.found.metrics,
        checks=tuple(life.checks),
        warnings=tuple(life.warnings),
        phases=life.phases,
    )
    return Recorded(result, life.series, life.found.histograms)


def _blame(cluster: Cluster, error: StreamgaugeError) -> str:
    """A dead process explains everything that failed after it; otherwise the error speaks for itself."""
    try:
        cluster.check()
    except PlatformError as dead:
        return str(dead) if str(dead) == str(error) else f"{dead}\nthen: {error}"
    return str(error)


def crashed(trial: Trial, backend: str, reason: str) -> Run:
    """The record of a trial that never began."""
    return _blank(trial, backend, Outcome.CRASHED, reason)


def _blank(trial: Trial, backend: str, outcome: Outcome, reason: str) -> Run:
    return Run(
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
        backend=backend,
        started_utc=datetime.now(UTC).isoformat(timespec="milliseconds"),
        duration_s=0.0,
        environment=environment.describe(backend, {}),
    )


def prime(trial: Trial, stage: Stage) -> None:
    """Warm the JVMs once per cluster (method 11): the trial's own job under load, and nothing kept.

    A cold TaskManager's p99 is 3 s where a warm one's is 23 ms.
    """
    rate = trial.settings.load.rate_eps if isinstance(trial.settings.load.rate_eps, float) else PRIME_EPS
    load = trial.settings.load.model_copy(update={"rate_eps": min(rate, PRIME_EPS), "drain": None, "shape": None})
    phases = trial.settings.phases.model_copy(update={"warmup_s": 0.0, "measure_s": PRIME_S, "settle_s": 5.0})
    settings = trial.settings.model_copy(update={"load": load, "phases": phases})
    life = _Life(replace(trial, id=f"prime{trial.id}", settings=settings), stage, silence)
    try:
        topics.create_all(life.names, life.settings, life.bootstrap)
        life.open_loop()
    finally:
        life.tear_down()


@dataclass(frozen=True)
class _Seen:
    """What came of the load: what was sent, the job that read it, the samples, and the measured window."""

    sent: Sent
    job_id: str  # "" without a pipeline
    samples: Samples
    window: Window


@dataclass
class _Life:
    """One trial under way. What has been collected is kept whatever happens next."""

    trial: Trial
    stage: Stage
    tell: Tell
    found: Findings = field(default_factory=Findings)
    series: dict[str, pd.DataFrame] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)
    invalid: list[str] = field(default_factory=list)
    caught_up: bool = True  # the job has read every event, and its outputs are complete

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        pipeline = self.trial.settings.pipeline
        outputs = find(pipeline.job).outputs if pipeline else ()
        self.names = topics.fresh(self.trial, outputs)
        self.settings = self.trial.settings
        self.bootstrap = self.stage.cluster.bootstrap
        self.is_drain = self.settings.load.kind == "drain"

    def now_s(self) -> float:
        """Seconds since the trial began."""
        return time.monotonic() - self._began

    def live(self, latency_slo_ms: float | None) -> None:
        """From topics to verified outputs."""
        self.tell("topics", 1.0)
        topics.create_all(self.names, self.settings, self.bootstrap)
        self.phases["load"] = self.now_s()
        seen = self.drain() if self.is_drain else self.open_loop()
        prefix = "prefill" if self.is_drain else "generator"  # a drain's own clock starts when the job does
        for name in seen.sent.seconds.columns:
            column = seen.sent.seconds[name]
            self.series[f"{prefix}_{name}"] = pd.DataFrame({"t_s": column.index.to_numpy(), "value": column.to_numpy()})
        self.phases["verify"] = self.now_s()
        self.tell("verify", 8.0)
        self.measure(seen)
        if seen.job_id and not self.caught_up:
            # an output that is not complete is neither right nor wrong, and its latencies are the lucky ones
            self.invalid.append("the job had not caught up when the run ended: its outputs could not be compared")
        elif seen.job_id:
            self.hold_against_oracle(seen)
        self.invalid += validity(seen.sent, latency_slo_ms)

    def _submit(self) -> str:
        pipeline, session = self.settings.pipeline, self.stage.session
        if pipeline is None or session is None:
            return ""
        names = self.names
        params = job_params(self.settings, self.bootstrap, names.run, names.input, names.outputs)
        return session.submit(pipeline.job, params)

    def _start(self, seconds: float) -> Drive:
        return start(
            self.settings.model_dump(mode="json"),
            bootstrap=self.bootstrap,
            topic=self.names.input,
            partitions=self.settings.topic.partitions,
            seed=self.trial.seed,
            duration_s=seconds,
            warmup_s=self.settings.phases.warmup_s,
            run_dir=self.stage.run_dir / self.names.run,
            spawn=self.stage.spawn,
        )

    def _probes(self, job_id: str) -> list[Probe]:
        cluster = self.stage.cluster
        probes = [components(cluster), host()]
        if cluster.jmx_urls:
            probes.append(jmx(cluster.jmx_urls, self.names.input))
        if job_id:
            probes.append(job_probe(cluster.flink_url, job_id))
        return probes

    def open_loop(self) -> _Seen:
        """Job first, then load on schedule, watched throughout; then wait until the job has read everything."""
        phases = self.settings.phases
        seconds = phases.warmup_s + phases.measure_s
        self.tell("submit", 4.0)
        job_id = self._submit()
        drive = self._start(seconds)
        try:
            with watch(self._probes(job_id), zero_ns=drive.t0_ns) as samples:
                self.phases["t0"] = self.now_s()
                self.tell("load", seconds)
                self._await_load(drive, job_id, seconds)
                sent = drive.wait(60.0)
                self.phases["settle"] = self.now_s()
                self.tell("settle", phases.settle_s)
                if job_id:
                    self._settle(samples, job_id, sent.acknowledged_events, phases.settle_s)
        except BaseException:
            drive.stop()
            raise
        self.series |= samples.tables()
        return _Seen(sent, job_id, samples, Window(phases.warmup_s, seconds))

    def _await_load(self, drive: Drive, job_id: str, seconds: float) -> None:
        """Until the load is over; a broker, TaskManager or job that dies meanwhile ends the trial at once."""
        give_up = time.monotonic() + seconds + STUCK_S
        while not drive.poll().done:
            self.stage.cluster.check()
            if time.monotonic() > give_up:
                raise BrokerError(
                    f"the load did not end within {seconds + STUCK_S:.0f} s: the broker takes no more events"
                )
            time.sleep(0.2)
        if job_id and self.stage.session is not None:
            self.stage.session.await_running(job_id, timeout_s=30.0)

    def _settle(self, samples: Samples, job_id: str, events: int, settle_s: float) -> None:
        """Until the job has read every event and its outputs have come to rest; what is not there by then lags."""
        deadline = time.monotonic() + settle_s
        written, rested_s = -1, 0.0
        while time.monotonic() < deadline:
            self.stage.cluster.check()
            if self.stage.session is not None:
                self.stage.session.check(job_id)
            time.sleep(0.25)
            read = samples.series("source_events").value.dropna()
            if not len(read) or read.iloc[-1] < events:
                continue
            ends = (topics.end_offsets(self.bootstrap, topic) for topic in self.names.outputs.values())
            now = sum(sum(partitions.values()) for partitions in ends)
            rested_s = rested_s + 0.25 if now == written else 0.0
            written = now
            if rested_s >= REST_S:
                return
        self.caught_up = False

    def drain(self) -> _Seen:
        """Load first, as fast as it goes; then the job reads it flat out. The window is its middle 80 %."""
        events = self.settings.load.drain
        assert events is not None
        self.tell("prefill", 6.0)
        drive = self._start(0.0)
        try:
            self._await_load(drive, "", DRAIN_TIMEOUT_S)
            sent = drive.wait(60.0)
        except BaseException:
            drive.stop()
            raise
        self.phases["t0"] = self.now_s()
        self.tell("drain", events / 100_000)
        zero_ns = time.time_ns()
        job_id = self._submit()
        with watch(self._probes(job_id), zero_ns=zero_ns) as samples:
            self._settle(samples, job_id, sent.acknowledged_events, DRAIN_TIMEOUT_S)
        self.series |= samples.tables()
        window = measure.drain_window(samples, sent.acknowledged_events)
        if window is None:
            self.warnings.append(f"the drain was not over within {DRAIN_TIMEOUT_S:.0f} s, or too short to be timed")
        return _Seen(sent, job_id, samples, window or Window(0.0, 0.0))

    def measure(self, seen: _Seen) -> None:
        """Metrics from the generator, the samples, the topic on disk and Flink's own history."""
        found, sent, samples, window = self.found, seen.sent, seen.samples, seen.window
        ends = topics.end_offsets(self.bootstrap, self.names.input)
        stored, acknowledged = sum(ends.values()), sent.acknowledged_events
        self.checks.append(
            Check("acknowledged events are in the topic", acknowledged, stored, stored == acknowledged > 0)
        )
        self.series["input_partition_events"] = pd.DataFrame({"t_s": list(ends), "value": list(ends.values())})
        read, cores = samples.delta("source_events", window.from_s, window.to_s), os.cpu_count() or 1
        if self.is_drain:
            found.put("acknowledged_events", float(acknowledged))
            found.put("drain_eps", read / window.seconds if window.seconds else float("nan"))
            handled = {"flink": read, "broker": read}
        else:
            measure.generator_metrics(found, sent, window)
            handled = {"broker": sent.in_window("acked")} | ({"flink": read} if seen.job_id else {})
        measure.component_metrics(found, samples, window, handled, cores)
        measure.storage_metrics(found, self.stage.cluster.disk_bytes(self.names.input), sent)
        if seen.job_id:
            self._measure_job(seen)

    def _measure_job(self, seen: _Seen) -> None:
        pipeline, url, zero_ns = self.settings.pipeline, self.stage.cluster.flink_url, seen.samples.zero_ns
        assert pipeline is not None
        measure.job_metrics(self.found, seen.samples, seen.window, pipeline.parallelism)
        self.found.put("late_events", late_events(url, seen.job_id))
        restarts = self.found.metrics.get("restarts")
        if restarts is not None and restarts.value > 0:
            self.invalid.append(f"the job restarted {restarts.value:.0f} times, and no fault was asked for")
        done: Checkpoints = checkpoints(url, seen.job_id)
        measure.checkpoint_metrics(self.found, done, seen.window, zero_ns)
        for name in ("duration_ms", "size_bytes"):
            at_s = done.completed["trigger_ms"] / 1e3 - zero_ns / 1e9
            self.series[f"checkpoint_{name}"] = pd.DataFrame({"t_s": at_s, "value": done.completed[name]})
        if not self.is_drain:
            speed = self.settings.workload.event_time_speed
            measure.watermark_lag(self.found, seen.samples, seen.window, seen.sent.t0_ns, speed)

    def hold_against_oracle(self, seen: _Seen) -> None:
        """Read the outputs back; a job that answers wrongly has no latency."""
        assert self.settings.pipeline is not None
        job, sent = find(self.settings.pipeline.job), seen.sent
        marks = seen.samples.series("watermark_ms").value.dropna()
        last_mark_ms = float(marks.iloc[-1]) if len(marks) else float("nan")
        compared = verify.compare(
            self.trial,
            job,
            sent,
            self.bootstrap,
            output_topics=self.names.outputs,
            watermark_seen_ms=last_mark_ms,
        )
        self.checks += compared.verified.checks
        for name, count in compared.verified.counts.items():
            self.found.put(name, count)
        per_event = compared.outputs.get(job.per_event)
        if self.is_drain or per_event is None or not len(per_event.rows):
            return
        measure.latency_metrics(self.found, per_event, sent, seen.window)
        self.series["output_eps"] = rate = verify.append_rate(per_event, sent.t0_ns)
        self.series["e2e_latency_ms"] = measure.latency_by_second(per_event, sent.t0_ns)
        inside = rate[(rate.t_s > seen.window.from_s) & (rate.t_s <= seen.window.to_s)]
        steadiness = steady.assess(inside.value)
        if steadiness.state is not steady.State.STEADY:
            self.warnings.append(f"no steady state in the output's rate: {steadiness.reason}")
        speed = self.settings.workload.event_time_speed
        for output in compared.outputs.values():
            measure.window_latency(self.found, output, sent.t0_ns, speed, seen.window)

    def tear_down(self) -> None:
        """Cancel the trial's jobs, remove its topics. What fails here is said, and never hides the trial's outcome."""
        try:
            if self.stage.session is not None:
                for job_id in self.stage.session.jobs_named(self.names.run):
                    self.stage.session.cancel(job_id)
            self.stage.cluster.check()
            topics.delete(self.bootstrap, *self.names.all)
        except PlatformError as error:
            self.warnings.append(f"cleaning up: {str(error).splitlines()[0]}")
