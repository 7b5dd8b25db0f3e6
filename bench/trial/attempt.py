"""One load against fresh topics, from making them to a `Run`: load, read back, verify, tear down."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from bench import environment, measure, topics
from bench.analysis.clock import hull
from bench.analysis.steady import State
from bench.backends import Cluster, capacity
from bench.errors import BrokerError, PlatformError, StreamgaugeError
from bench.jobs import outputs_of
from bench.loadgen import validity
from bench.record import Check, Outcome, Run
from bench.scenario import Trial
from bench.scenario.sections import Limits, Ramp, Shape
from bench.topics import Names
from bench.trial import census, faults, steadiness, stored_bytes, tiers, zones
from bench.trial.groups import GroupsReader
from bench.trial.job import JobReader
from bench.trial.loads import Load
from bench.trial.notes import Notes, Seen
from bench.trial.readers import Reader
from bench.trial.stage import Keep, Recorded, Stage, Tell, forget, silence

CLOCK_STEP_NS = 1_000_000  # method 10: a drift of the clocks beyond 1 ms invalidates latencies
PRIME_EPS = 50_000.0
START_EPS = 100_000.0  # of a search: two cores carry more than that; the ramp doubles, or halves
CLIMB_FROM, CLIMB_SHARE = 0.05, 0.75  # of the rate, and of the time that priming takes


def attempt(
    trial: Trial, stage: Stage, *, latency_slo_ms: float | None = None, tell: Tell = silence, keep: Keep = forget
) -> Recorded:
    """Run one trial. Kafka's and Flink's failures become the run's outcome; what was measured until then is kept."""
    began = replace(
        blank(trial, stage.cluster.backend, Outcome.UNFINISHED, "it began, and nothing says how it ended"),
        environment=environment.describe(stage.cluster.backend, stage.cluster.versions),
    )
    life = _Life(trial, stage, tell)
    notes, outcome, reason = life.notes, Outcome.FINISHED, ""
    life.keep = lambda: keep(notes.recorded(began))
    life.keep()
    try:
        stage.cluster.check()
        life.live(latency_slo_ms)
    except StreamgaugeError as error:  # whoever is to blame: this trial is over, the next one goes on
        outcome, reason = Outcome.CRASHED, _blame(stage.cluster, error)
    finally:
        life.tear_down()
    over_the_run = environment.since(began.environment)
    if outcome is Outcome.FINISHED:
        if abs(over_the_run["clock_drift_ns"]) > CLOCK_STEP_NS:
            notes.generator.append("the clock was stepped by more than 1 ms during the run")
        notes.invalid += [f"the oracle disagrees: {check.sentence}" for check in notes.checks if not check.ok]
        if reasons := [*notes.invalid, *notes.generator]:
            outcome, reason = Outcome.INVALID, "; ".join(reasons)
    if notes.found.missing:
        notes.warnings.append("not measured: " + ", ".join(dict.fromkeys(notes.found.missing)))
    about = {**began.environment, "over_the_run": over_the_run}
    if notes.ran_with:
        about["flink_ran_with"] = notes.ran_with
    return notes.recorded(replace(began, outcome=outcome, reason=reason, environment=about))


def _blame(cluster: Cluster, error: StreamgaugeError) -> str:
    """A dead process explains everything that failed after it; otherwise the error speaks for itself.

    Before a broker's last words stands the host's limit that they are about, if they are about one.
    """
    first, said = error, str(error)
    try:
        cluster.check()
    except PlatformError as dead:
        first = dead
        said = str(dead) if str(dead) == said else f"{dead}\nthen: {error}"
    limit = capacity.blamed(str(first)) if isinstance(first, BrokerError) else ""
    return f"{limit}\n{said}" if limit else said


def crashed(trial: Trial, backend: str, reason: str) -> Run:
    """The record of a trial that never began."""
    return blank(trial, backend, Outcome.CRASHED, reason)


def refused(trial: Trial, backend: str, reason: str) -> Run:
    """The record of a trial that this host cannot do."""
    return blank(trial, backend, Outcome.REFUSED, reason)


def blank(trial: Trial, backend: str, outcome: Outcome, reason: str) -> Run:
    """A run of `trial` in which nothing was measured."""
    return Run(
        scenario=trial.scenario,
        trial_id=trial.id,
        load=trial.load_name,
        repetition=trial.repetition,
        order=trial.order,
        outcome=outcome,
        reason=reason,
        knobs=trial.knobs,
        settings=trial.settings.model_dump(mode="json") | _objectives(trial),
        seed=trial.seed,
        backend=backend,
        started_utc=datetime.now(UTC).isoformat(timespec="milliseconds"),
        duration_s=0.0,
        environment=environment.describe(backend, {}),
    )


def _objectives(trial: Trial) -> dict[str, Any]:
    """What a search had to meet belongs to what it ran with."""
    return {"thresholds": list(trial.thresholds)} if trial.load.kind == "search" else {}


def prime(trial: Trial, stage: Stage) -> None:
    """Warm the JVMs once per cluster (method 11): the trial's own job under load, and nothing kept.

    A cold TaskManager's p99 is 3 s where a warm one's is 23 ms; a cold broker takes twice the CPU of a warm one.
    Without a job the consumer groups read. A drain whose TaskManager is to be held back is drained twice before it is:
    under a quarter of a core the compiler would still be at work in the last repetition, and after one drain the next
    on a whole core still took 11.8 CPU-s per million events where a later one took 9.9.
    """
    rate = trial.settings.load.rate_eps if isinstance(trial.settings.load.rate_eps, float) else PRIME_EPS
    rate = START_EPS if trial.load.kind == "search" else min(rate, PRIME_EPS)
    prime_s = trial.settings.cluster.prime_s
    steady = trial.settings.load.model_copy(update={"rate_eps": rate, "drain": None, "shape": None})
    if stage.clocks is not None:  # somebody else's cluster: nothing begins there at full rate
        climb = Shape(ramp=Ramp(from_eps=rate * CLIMB_FROM, to_eps=rate, over_s=prime_s * CLIMB_SHARE))
        steady = steady.model_copy(update={"rate_eps": None, "shape": climb})
    held_back = trial.load.kind == "drain" and trial.settings.cluster.limits.task_manager_cpus is not None
    phases = trial.settings.phases.model_copy(update={"warmup_s": 0.0, "measure_s": prime_s, "settle_s": 5.0})
    consumers = () if trial.settings.pipeline is not None else trial.settings.consumers
    cluster = trial.settings.cluster.model_copy(update={"limits": Limits()})  # a compiler that is held back never ends
    alike = trial.settings.model_copy(
        update={"phases": phases, "faults": (), "consumers": consumers, "cluster": cluster}
    )
    for load in (steady, trial.load, trial.load) if held_back else (steady,):
        settings = alike.model_copy(update={"load": load})
        life = _Life(replace(trial, id=f"prime{trial.id}", settings=settings), stage, silence)
        try:
            topics.create_all(life.names, life.settings, life.bootstrap)
            life.load()
        finally:
            life.tear_down()


def readers_of(trial: Trial, stage: Stage, names: Names) -> list[Reader]:
    """Who reads the input in this trial, the headline first; nobody is an answer."""
    readers: list[Reader] = []
    if trial.settings.pipeline is not None and stage.session is not None:
        readers.append(JobReader(trial, stage.session, names, stage))
    if trial.settings.consumers:
        readers.append(GroupsReader(trial, stage, names, headline=not readers))
    return readers


class _Life:
    """One trial under way."""

    def __init__(self, trial: Trial, stage: Stage, tell: Tell) -> None:
        self.trial, self.stage, self.tell = trial, stage, tell
        self.settings, self.bootstrap = trial.settings, stage.cluster.bootstrap
        self.names = topics.fresh(trial, outputs_of(trial.settings), stage.prefix)
        self.readers: Sequence[Reader] = readers_of(trial, stage, self.names)
        self.notes = Notes()
        self.keep: Callable[[], object] = lambda: None  # called after each step
        self.followers: zones.Followers | None = None  # from before the load, where bytes between racks are asked for

    def live(self, latency_slo_ms: float | None) -> None:
        """From topics to verified outputs."""
        self.tell("topics", 1.0)
        took_s = topics.create_all(self.names, self.settings, self.bootstrap)
        self.notes.found.put("topic_create_s", took_s)
        self._compare_clocks()
        self.notes.begin("load")
        if zones.asked_for(self.settings):
            self.followers = zones.Followers(self.stage.cluster.jmx_urls)
        seen = self.load()
        self._compare_clocks()
        self.notes.window = seen.window
        self._generator_series(seen)
        self.keep()
        self.notes.begin("verify")
        self.tell("verify", 8.0)
        self.measure(seen)
        self.notes.generator += validity(seen.sent, latency_slo_ms)

    def _compare_clocks(self) -> None:
        """Before and after the load, where brokers have clocks of their own: latencies end with a stamp of theirs."""
        if self.stage.clocks is None:
            return
        before, now, found = self.notes.ahead, self.stage.clocks(), self.notes.found
        if now is None:
            self.notes.generator.append("a broker's clock was set while it was compared with ours")
            return
        self.notes.ahead = hull([before, now] if before else [now])
        if self.notes.ahead is not None:
            found.put("clock_offset_ms", self.notes.ahead.ms)
            found.put("clock_error_ms", self.notes.ahead.error_ms)

    def load(self) -> Seen:
        """Put the load on, with the readers reading."""
        return Load(self.trial, self.stage, self.names, self.readers, self.notes, self.tell).run()

    def measure(self, seen: Seen) -> None:
        """Metrics from the generator, the samples, the topic on disk; then what each reader has to say."""
        found, sent, samples, window = self.notes.found, seen.sent, seen.samples, seen.window
        ends = topics.end_offsets(self.bootstrap, self.names.input)
        stored, acknowledged = sum(ends.values()), sent.acknowledged_events
        if self.readers or not faults.hits_a_broker(self.settings):  # else the census says what became of them
            self.notes.checks.append(
                Check("acknowledged events are in the topic", acknowledged, stored, stored == acknowledged > 0)
            )
        self.notes.series["input_partition_events"] = pd.DataFrame({"t_s": list(ends), "value": list(ends.values())})
        read = {r.component: samples.delta(r.counter, window.from_s, window.to_s) for r in self.readers}
        if seen.is_drain:
            events = read[self.readers[0].component]
            found.put("acknowledged_events", float(acknowledged))
            found.put("drain_eps", events / window.seconds if window.seconds else float("nan"))
            handled = {"broker": events}
        else:
            measure.generator_metrics(found, sent, window)
            handled = {"broker": sent.in_window("acked")}
        if "store_cpu_s" in samples.names():
            handled["store"] = handled["broker"]
        measure.component_metrics(found, samples, window, handled | read, os.cpu_count() or 1)
        components = ["broker", *(reader.component for reader in self.readers)]
        measure.system_cpu(found, samples, window, handled["broker"], components)
        if self.settings.topic.replication_factor > 1 and not seen.is_drain:
            measure.replication_metric(found, samples, window, sent.in_window("acked"))
        if "faults" in self.notes.series:
            backlog = self.notes.series.get("backlog_events", self.notes.series["generator_queued"])
            measure.recovery_metric(found, backlog, self.notes.series["faults"])
        stored_bytes.weigh(self.trial, self.stage, self.names, seen=seen, notes=self.notes)
        for reader in self.readers:
            reader.measure(seen, self.notes)
        self._beyond(seen, stored)
        if not self.readers:
            self.tell("count", stored / 1e6)
            census.take(self.trial, self.stage, self.names, sent=sent, stored=stored, notes=self.notes)
        self.notes.steady = found_steady = steadiness.judge(self.trial, self.notes.series, window)
        if found_steady is not None and found_steady.state is State.UNTESTED:
            self.notes.warnings.append(f"not tested for a steady state: {found_steady.reason}")

    def _beyond(self, seen: Seen, stored: int) -> None:
        """What crossed between racks, and reading back what may be in a remote store, where that is asked for."""
        if zones.asked_for(self.settings) and not seen.is_drain:
            reads = [read for reader in self.readers if isinstance(reader, GroupsReader) for read in reader.reads]
            rack, placed = topics.racks(self.bootstrap), topics.places(self.bootstrap, self.names.input)
            links = self.followers.moved() if self.followers else None
            zones.measure_crossing(self.settings, seen, reads, self.notes, links=links, rack=rack, placed=placed)
        if self.settings.topic.local_retention_s is not None and not seen.is_drain:
            tiers.measure_places(self.notes.found, seen, self.settings.topic.replication_factor)
        if self.settings.cluster.tiered:  # also of a topic that is not: what it is compared with
            self.tell("read back", stored / 1e6)
            tiers.read_back(self.trial, self.stage, self.names, stored=stored, notes=self.notes)

    def _generator_series(self, seen: Seen) -> None:
        prefix = "prefill" if seen.is_drain else "generator"  # a drain's own clock starts when the readers do
        for name in seen.sent.seconds.columns:
            column = seen.sent.seconds[name]
            self.notes.series[f"{prefix}_{name}"] = pd.DataFrame(
                {"t_s": column.index.to_numpy(), "value": column.to_numpy()}
            )

    def tear_down(self) -> None:
        """End the readers, remove the topics. What fails here is said, and never hides the trial's outcome."""
        try:
            for reader in self.readers:
                reader.tear_down()
            self.stage.cluster.check()
            began = time.monotonic()
            topics.delete(self.bootstrap, *self.names.all)
            if stored_bytes.await_gone(self.stage.cluster, self.names.input):
                self.notes.found.put("topic_delete_s", time.monotonic() - began)
        except StreamgaugeError as error:
            self.notes.warnings.append(f"cleaning up: {str(error).splitlines()[0]}")
