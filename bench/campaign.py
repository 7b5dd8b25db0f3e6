"""Every trial of a scenario, in order, on as few clusters as they need; each result is kept before the next begins."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Self

import psutil

from bench import keyring, record, trial
from bench.backends import Cluster, ClusterSpec, Limits, capacity, not_testable, open_cluster, require
from bench.backends.remote import Remote, RemoteCluster
from bench.errors import HostError, ScenarioError, StreamgaugeError
from bench.jobs import in_our_store
from bench.jobs.session import JobSession
from bench.probes.exporter import Exporter
from bench.record import BundleError, Outcome, Run
from bench.scenario import Settings, Trial, expected_events
from bench.topics import PREFIX
from bench.trial import Now, Stage, faults, guard

MOST_EPS = 2e6  # of a load that does not say: more was never reached by a generator on two cores
LEAST_DISK_BYTES = 2 << 30  # a cluster's logs, checkpoints and one trial's topics, with room to fail cleanly
OTHER_MEMORY_MB = 1200  # generator, harness, job client: measured 0.9 GiB together
JVM_OVERHEAD_MB = 450  # metaspace, code, threads, buffers of one JVM beside its heap
DISK_MB = 1024  # a broker's disk that is to be filled: it lies in memory, filler and all
LOG_SLICE_BYTES = 4 << 20  # of each log at most this much of its end goes into a bundle


@dataclass(frozen=True)
class Event:
    """What is told on the way: trial `index` of `total` is in `phase` for about `seconds`, or it ended as `run`.

    `now`: how its load goes, once a second while there is one.
    """

    index: int
    total: int
    phase: str
    seconds: float = 0.0
    trial: Trial | None = None
    run: Run | None = None
    now: Now | None = None


Listen = Callable[[Event], None]


def cluster_spec(settings: Settings) -> ClusterSpec:
    """The cluster a trial needs."""
    pipeline = settings.pipeline
    return ClusterSpec(
        brokers=settings.cluster.brokers,
        racks=settings.cluster.racks,
        broker_heap_mb=settings.cluster.broker_heap_mb,
        tiered=settings.cluster.tiered,
        broker_disk_mb=DISK_MB if faults.fills_a_disk(settings) else 0,
        task_managers=pipeline.task_managers if pipeline else 0,
        slots=pipeline.slots_each if pipeline else 0,
        flink=pipeline.cluster_flink if pipeline else {},
        limits=Limits(**settings.cluster.limits.model_dump()),
    )


def unsupported(settings: Settings) -> Iterator[str]:
    """What a scenario may say but no backend here can do yet: refused rather than silently left out."""
    yield from faults.unsupported(settings)


def only_local(settings: Settings, backend: str) -> str:
    """Why this other backend cannot do it, "" if it can."""
    if settings.cluster.tiered:
        return "cluster.tiered needs --backend local: its remote store is a folder"
    checkpoint = settings.pipeline.checkpoint if settings.pipeline else None
    if in_our_store(settings):
        why = "pipeline.checkpoint.storage: s3 needs --backend local, whose store is metered, or "
        if backend == "remote":
            return why + "storage: local, which leaves checkpoints where that Flink keeps them"
        return why + "a store of your own (pipeline.flink: {s3.endpoint: ...})"
    if checkpoint is not None and backend != "remote":
        for key in ("directory", "working_directory"):
            if folder := getattr(checkpoint, key):
                return f"pipeline.checkpoint.{key} needs --backend local: no container sees {folder} of this machine"
    return "faults need --backend local, whose processes are ours to stop" if settings.faults else ""


def check_recordings(trials: Sequence[Trial]) -> None:
    """Read every recording that is to be replayed; ScenarioError says what is wrong, in which file and line."""
    from bench.workloads.recorded import read_recording

    for settings in {str(one.replay): one.replay for one in trials if one.replay}.values():
        read_recording(settings)


def preflight(trials: Sequence[Trial], out: Path, remote: Remote | None = None) -> None:
    """Refuse before anything starts.

    ScenarioError for what cannot be run yet, HostError when a backend is not here, or when disk or memory cannot hold
    what the trials need.
    """
    for word in dict.fromkeys(word for one in trials for word in unsupported(one.settings)):
        raise ScenarioError(f"{trials[0].scenario}: {word} cannot be run yet; nothing was started")
    held = {
        replace(cluster_spec(one.settings).limits, task_manager_cpus=None) for one in trials if one.backend == "local"
    }
    if held - {Limits()}:
        raise ScenarioError(
            f"{trials[0].scenario}: cluster.limits but task_manager_cpus are of containers, the local backend starts "
            "none: run with --backend compose or testcontainers"
        )
    for one in trials:
        why = only_local(one.settings, one.backend) if one.backend != "local" else ""
        if why := why or (guard.refusal(one, remote) if one.backend == "remote" else ""):
            raise ScenarioError(f"{one.scenario}: {why}")
        if faults.fills_a_disk(one.settings) and _topic_bytes(one) > DISK_MB << 20:
            raise ScenarioError(
                f"{one.scenario}: the load writes up to {_topic_bytes(one) >> 20:,} MiB, expected less than {DISK_MB}: "
                "a broker's disk that is to be filled has no more"
            )
    check_recordings(trials)
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    needed = LEAST_DISK_BYTES + max((_topic_bytes(t) for t in trials if t.backend != "remote"), default=0)
    if free < needed:
        raise HostError(
            f"{out}: {free / 2**30:.1f} GiB of disk are free, {needed / 2**30:.1f} GiB are needed; "
            "free some, or give --out on another disk"
        )
    memory = max((_memory_bytes(t) for t in trials), default=0)
    available = psutil.virtual_memory().available
    if available < memory:
        raise HostError(
            f"{available / 2**30:.1f} GiB of memory are available, {memory / 2**30:.1f} GiB are needed; "
            "lower cluster.broker_heap_mb, cluster.brokers or pipeline.task_managers"
        )
    for backend in {one.backend for one in trials}:  # of several, not only when the second one's turn comes
        require(backend)


def _topic_bytes(trial: Trial) -> int:
    """An upper guess of what one trial writes: input uncompressed, with replicas, and as much again in outputs."""
    settings = trial.settings
    load, phases = settings.load, settings.phases
    events = load.drain or expected_events(load, phases.warmup_s + phases.measure_s, MOST_EPS)
    return int(events * settings.workload.event_bytes * (settings.topic.replication_factor + 1))


def _memory_bytes(trial: Trial) -> int:
    spec = cluster_spec(trial.settings)
    if trial.backend == "remote":
        return OTHER_MEMORY_MB << 20
    brokers = spec.brokers * (spec.broker_heap_mb + JVM_OVERHEAD_MB + spec.broker_disk_mb)
    flink = 0
    if spec.task_managers:
        flink = 1024 + spec.task_managers * (spec.task_heap_mb + spec.managed_mb + 384 + JVM_OVERHEAD_MB)
    return (brokers + flink + OTHER_MEMORY_MB) << 20


def finished(trials: Sequence[Trial], out: Path) -> dict[str, Run]:
    """Trial id -> its latest finished run under `out`; bundles that cannot be read are passed over (and kept)."""
    found: dict[str, Run] = {}
    for one in trials:
        for bundle in record.find(out / one.scenario / one.id):
            try:
                run = record.load(bundle)
            except BundleError:
                continue
            if run.outcome is Outcome.FINISHED:
                found[one.id] = run
            else:  # a later run that failed is what reports tell: it is done again
                found.pop(one.id, None)
    return found


def run_all(
    trials: Sequence[Trial],
    *,
    out: Path,
    listen: Listen,
    fresh: bool = False,
    latency_slo_ms: float | None = None,
    web_port: int | None = None,
    exporter: Exporter | None = None,
    remote: Remote | None = None,
) -> list[Run]:
    """Run what has no finished run yet (`fresh`: everything) and return all runs, in the trials' order.

    A trial that crashes is recorded and the next one goes on; when the cluster went with it, another is opened. Ctrl-C
    leaves what was saved.
    """
    listen = _shown(listen, exporter) if exporter else listen
    known = {} if fresh else finished(trials, out)
    todo = [one for one in trials if one.id not in known]
    if todo:
        preflight(todo, out, remote)
    runs = dict(known)
    with _Clusters(out, web_port, exporter, remote) as clusters:
        for position, asked in enumerate(todo):
            index, one = position + len(known) + 1, at_share(asked, runs.values())
            tell = _teller(listen, index, len(trials), one)
            earlier = [] if fresh else record.find(out / one.scenario / one.id)
            runs[one.id] = _run_one(one, clusters, out, tell, latency_slo_ms=latency_slo_ms, earlier=earlier)
            listen(Event(index, len(trials), "done", 0.0, one, runs[one.id]))
    return [runs[one.id] for one in trials if one.id in runs]


def at_share(one: Trial, runs: Iterable[Run]) -> Trial:
    """`one` with a rate, where it asks for a share of what its cell drains; as it was while nobody knows that.

    What it drains is the median of `drain_eps` over finished runs in whose every knob it has the same value, be it a
    knob of its own or a setting of all its load.
    """
    share = one.load.of_drain
    if share is None:
        return one
    drained = [
        run.metrics["drain_eps"].value
        for run in runs
        if run.outcome is Outcome.FINISHED
        and "drain_eps" in run.metrics
        and run.backend == one.backend
        and all(one.value(path) == value for path, value in run.knobs.items())
    ]
    if not drained:
        return one
    rate_eps = float(f"{share * median(drained):.3g}")  # a number that people can read
    load = one.load.model_copy(update={"rate_eps": rate_eps, "of_drain": None})
    return replace(one, settings=one.settings.model_copy(update={"load": load}))


def _teller(listen: Listen, index: int, total: int, one: Trial) -> trial.Tell:
    def tell(what: str, seconds: float, now: Now | None = None) -> None:
        listen(Event(index, total, what, seconds, one, now=now))

    return tell


def _shown(listen: Listen, exporter: Exporter) -> Listen:
    """Tell `exporter` too."""

    def listening(event: Event) -> None:
        listen(event)
        if event.trial is None:
            return
        settings = event.trial.settings
        labels = {
            "scenario": event.trial.scenario,
            "trial": event.trial.id,
            "load": event.trial.load_name,
            "repetition": str(event.trial.repetition + 1),
        }
        if event.run is not None:
            labels["outcome"] = str(event.run.outcome)
            exporter.result(labels, _stats(event.run))
            return
        rate = settings.load.rate_eps
        intended = rate if event.phase == "load" and isinstance(rate, float) else None
        speed = settings.workload.event_time_speed
        exporter.trial(labels | {"phase": event.phase}, intended_eps=intended, event_time_speed=speed)

    return listening


def _stats(run: Run) -> dict[tuple[str, str], float]:
    """(metric, stat) -> value of everything a run measured."""
    found = {(name, "value"): measured.value for name, measured in run.metrics.items()}
    for name, measured in run.metrics.items():
        found |= {(name, stat): value for stat, value in (measured.percentiles or {}).items()}
    return found


def _refusal(one: Trial) -> str:
    """Why this host cannot do it at all, "" if it can; containers have limits of their own, which only they know."""
    spec, topic = cluster_spec(one.settings), one.settings.topic
    if reason := faults.not_testable(one.settings) or not_testable(one.backend, spec):
        return reason
    if one.load.of_drain is not None:
        return "its rate is a share of what it drains, and no drain with these settings has finished"
    if one.backend != "local":
        return ""
    return capacity.why_not(topic.partitions * topic.replication_factor, spec.brokers, spec.broker_heap_mb)


def _run_one(
    one: Trial, clusters: _Clusters, out: Path, tell: trial.Tell, *, latency_slo_ms: float | None,
    earlier: Sequence[Path],
) -> Run:  # fmt: skip
    bundle = out / one.scenario / one.id / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    if reason := _refusal(one) or clusters.stopped:
        return record.save(trial.refused(one, one.backend, reason), bundle)
    try:
        stage = clusters.stage_for(one, tell)
    except StreamgaugeError as error:  # also a host that cannot: this trial has no cluster, the next one may
        clusters.close()
        run = trial.crashed(one, one.backend, f"the cluster did not come up: {error}")
        return record.save(run, bundle)

    def keep(recorded: trial.Recorded) -> Run:
        return record.save(recorded.run, bundle, series=recorded.series, histograms=recorded.histograms)

    with _log_slices(stage.cluster, bundle / "logs"):
        recorded = trial.run(one, stage, latency_slo_ms=latency_slo_ms, tell=tell, keep=keep, earlier=earlier)
    run = keep(recorded)
    if run.outcome is Outcome.CRASHED or faults.replaces(one.settings):
        clusters.close()  # whatever it was, the next trial starts on sound ground, and a warm one
    return run


class _Clusters:
    """At most one open cluster: kept while trials of the same shape follow each other, primed once."""

    def __init__(
        self, out: Path, web_port: int | None, exporter: Exporter | None, remote: Remote | None = None
    ) -> None:
        self._remote, self.stopped = remote, ""  # the second: why nothing may be loaded there any more
        self._web_port, self._exporter = web_port, exporter
        self._out = out
        self._stack = ExitStack()
        self._key = ""
        self._stage: Stage | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stage = None
        self._stack.close()

    def stage_for(self, one: Trial, tell: trial.Tell) -> Stage:
        """An open, primed cluster that fits `one`."""
        if self._stage is not None and self._key == one.shape_key:
            return self._stage
        self.close()
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        # on the results' own file system: /tmp is often memory, and a broker's log is not small
        run_dir = (self._out / f".run-{stamp}-{os.getpid()}").resolve()
        log_dir = (self._out / one.scenario / "logs" / stamp).resolve()
        tell(*(("reach", 5.0) if one.backend == "remote" else ("cluster", 20.0)))
        spec = cluster_spec(one.settings)
        if self._exporter is not None and one.backend == "local":
            spec = replace(spec, flink={**self._exporter.push_settings, **spec.flink})
        cluster = self._stack.enter_context(
            open_cluster(one.backend, spec, run_dir=run_dir, log_dir=log_dir, remote=self._remote)
        )
        if self._exporter is not None:
            self._exporter.cluster(lambda: _exporters(cluster))
            self._stack.callback(self._exporter.cluster, tuple)
        theirs = cluster if isinstance(cluster, RemoteCluster) else None
        if theirs is not None:
            self._stack.enter_context(guard.watched(theirs, self._stop))
        session = None
        if one.settings.pipeline is not None:
            session = JobSession(cluster, log_dir / "job-client.log")
            self._stack.callback(session.close)
        clocks = theirs.clocks if theirs else None
        self._stage = Stage(
            cluster, session, run_dir, cluster.spawn, theirs.remote.prefix if theirs else PREFIX, clocks, self._web_port
        )
        self._key = one.shape_key
        if session is not None or one.settings.consumers or theirs is not None:
            tell("prime", one.settings.cluster.prime_s + 5.0)
            trial.prime(one, self._stage)
        return self._stage

    def _stop(self, why: str) -> None:
        self.stopped = why


def _exporters(cluster: Cluster) -> list[tuple[dict[str, str], str]]:
    """The cluster's own metrics pages, with what tells equal series apart."""
    brokers = [({"broker": str(n)}, url) for n, url in enumerate(cluster.jmx_urls, 1)]
    return brokers + [({}, url) for url in cluster.flink_metrics_urls]


@contextmanager
def _log_slices(cluster: Cluster, folder: Path) -> Iterator[None]:
    """What each process logged meanwhile, copied into a bundle."""
    before = {name: path.stat().st_size for name, path in cluster.logs.items() if path.exists()}
    try:
        yield
    finally:
        folder.mkdir(parents=True, exist_ok=True)
        for name, path in cluster.logs.items():
            size = path.stat().st_size
            with path.open("rb") as source:
                source.seek(max(before.get(name, 0), size - LOG_SLICE_BYTES))
                content = source.read(LOG_SLICE_BYTES)
            if content:
                (folder / f"{name}.log").write_bytes(keyring.hidden(content))
