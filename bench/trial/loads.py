"""How a trial's events come: on schedule while the readers read, or all beforehand (a drain)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench import measure, topics
from bench.backends import Cluster, Limits
from bench.errors import BrokerError
from bench.loadgen import Drive, Sent, start
from bench.measure import Window
from bench.probes import INTERVAL_S, Probe, Samples, watch
from bench.probes.components import components, host, tiers
from bench.probes.kafka import jmx
from bench.scenario import Trial
from bench.scenario.sections import Fault
from bench.topics import Names
from bench.trial.faults import Happening, Hit, victim
from bench.trial.groups import GroupsReader
from bench.trial.guard import refused
from bench.trial.notes import Notes, Seen
from bench.trial.readers import Reader, check_all
from bench.trial.stage import Now, Stage, Tell

DRAIN_TIMEOUT_S = 300.0
STUCK_S = 90.0  # how long after its schedule a generator may be held up by back-pressure
LOOK_S = 0.2
READERS_LOOK_S = 1.0  # a question to Flink costs it a little
SETTLE_LOOK_S = 0.25


class _Pace:
    """A counter's growth per second between two looks at it; NaN at the first."""

    def __init__(self) -> None:
        self._at, self._count = math.nan, math.nan

    def of(self, count: float) -> float:
        at = time.monotonic()
        pace = (count - self._count) / (at - self._at)
        self._at, self._count = at, float(count)
        return pace


FEWEST_LOOKS = 12  # at a measured window, if no more than one a second


@dataclass(frozen=True)
class Load:
    """One trial's load, ready to be put on its topics."""

    trial: Trial
    stage: Stage
    names: Names
    readers: Sequence[Reader]
    notes: Notes
    tell: Tell

    def run(self) -> Seen:
        """Put it on; returns when the load is over and the readers had their time to catch up.

        What limits can change while a cluster runs hold from the start; in a drain, when a part of it has been read: a
        job's own code is compiled anew in each, and a compiler that is held back would be at work to its end.
        """
        drains = self.trial.load.kind == "drain"
        self._cluster.hold(Limits() if drains else self._limits)
        return self._drain() if drains else self._open_loop()

    @property
    def _limits(self) -> Limits:
        return Limits(**self.trial.settings.cluster.limits.model_dump())

    def _open_loop(self) -> Seen:
        """Readers first, then load on schedule, watched throughout; then wait until they have read everything."""
        phases = self.trial.settings.phases
        seconds = phases.warmup_s + phases.measure_s
        self.tell("submit", 4.0)
        for reader in self.readers:
            reader.start()
            reader.prove()
        drive = self._start(seconds)
        try:
            with watch(self._probes(), interval_s=self._every_s(), zero_ns=drive.t0_ns) as samples:
                self.notes.begin("t0")
                self.tell("load", seconds)
                with self._faults(drive.t0_ns, phases.warmup_s, drive):
                    sent = self._sent(drive, seconds + STUCK_S, self.readers, samples)
                    # a shape may end in silence: the window is measured to its end
                    time.sleep(max(0.0, drive.t0_ns / 1e9 + seconds - time.time()))
                check_all(self.readers)
                self.notes.begin("settle")
                self.tell("settle", phases.settle_s)
                self._settle(samples, sent.acknowledged_events, phases.settle_s)
        except BaseException:
            drive.stop()
            raise
        self._end(samples)
        return Seen(sent, samples, Window(phases.warmup_s, seconds), is_drain=False)

    def _every_s(self) -> float:
        """How often it is looked at: less often where nothing is to happen, but often enough to see a slope."""
        settings = self.trial.settings
        steady = self.trial.load.kind == "rate" and not settings.faults and not settings.cluster.tiered
        longest_s = max(INTERVAL_S, settings.phases.measure_s / FEWEST_LOOKS)
        return min(self.stage.watch_interval_s, longest_s) if steady else INTERVAL_S

    def _drain(self) -> Seen:
        """Load first, then the readers read it flat out. The window is the middle 80 % of what the headline reads."""
        events = self.trial.load.drain
        assert events is not None
        self.tell("prefill", 6.0)
        drive = self._start(0.0)
        try:
            sent = self._sent(drive, DRAIN_TIMEOUT_S)
        except BaseException:
            drive.stop()
            raise
        self.notes.begin("t0")
        self.tell("drain", events / 100_000)
        zero_ns = time.time_ns()
        for reader in self.readers:
            reader.start()
        with watch(self._probes(), zero_ns=zero_ns) as samples:
            for reader in self.readers:
                reader.prove()  # it reads meanwhile: unseen, its window would begin later than another's
            with self._faults(zero_ns, 0.0, None):
                held_s = self._settle(samples, sent.acknowledged_events, DRAIN_TIMEOUT_S)
        self._end(samples)
        held_back = self._limits.task_manager_cpus is not None
        edges = measure.HELD_EDGES if held_back else measure.DRAIN_EDGES
        window = measure.drain_window(samples, sent.acknowledged_events, self.readers[0].counter, edges)
        if window is None:
            self.notes.warnings.append(
                f"the drain was not over within {DRAIN_TIMEOUT_S:.0f} s, or too short to be timed"
            )
        elif held_back:
            window = measure.held_window(window, held_s)
            if window is None:
                when = "never" if math.isnan(held_s) else f"only {held_s:.1f} s after its start"
                self.notes.invalid.append(f"the TaskManager's quota held {when}: too little of the drain is under it")
        return Seen(sent, samples, window or Window(0.0, 0.0), is_drain=True)

    @contextmanager
    def _faults(self, zero_ns: int, from_s: float, drive: Drive | None) -> Iterator[None]:
        steps = self.trial.settings.faults

        def choose(fault: Fault) -> Hit:
            if fault.target == "consumer":
                return next(r for r in self.readers if isinstance(r, GroupsReader)).consuming
            return victim(fault, self._cluster, drive)

        topic = self.trial.settings.topic

        def await_ready() -> None:
            topics.await_led(self._cluster.bootstrap, self.names.input, topic.partitions)

        def led_within(seconds: float) -> bool:
            try:
                topics.await_led(self._cluster.bootstrap, self.names.input, topic.partitions, seconds)
            except BrokerError:
                return False
            return True

        copied = topic.replication_factor > 1  # others lead meanwhile: the failover is told, not when it is back
        back, others = (None, led_within) if copied else (await_ready, None)
        with Happening(steps, choose, zero_ns, from_s, back, others) as happening:
            yield
        for one in happening.replaced:
            measure.replaced_metrics(self.notes.found, one.stop_s, one.failover_s, one.ready_s)
        missed = [one.failover_missed for one in happening.replaced if one.failover_missed is not None]
        if missed:
            self.notes.found.put("failovers_missed", float(sum(missed)))
        if steps:
            self.notes.series["faults"] = happening.table()

    def _start(self, seconds: float) -> Drive:
        settings = self.trial.settings
        plain = settings.model_dump(mode="json")
        if self.trial.replay:
            plain["load"]["shape"]["replay"] = self.trial.replay
        return start(
            plain,
            bootstrap=self._cluster.bootstrap,
            topic=self.names.input,
            partitions=settings.topic.partitions,
            seed=self.trial.seed,
            duration_s=seconds,
            warmup_s=settings.phases.warmup_s,
            run_dir=self.stage.run_dir / self.names.run,
            spawn=self.stage.spawn,
            web_port=self.stage.web_port,
        )

    @property
    def _cluster(self) -> Cluster:
        return self.stage.cluster

    def _probes(self) -> list[Probe]:
        cluster = self._cluster
        probes = [components(cluster), host()]
        if cluster.jmx_urls:
            probes.append(jmx(cluster.jmx_urls, self.names.input))
        if self.trial.settings.topic.local_retention_s is not None:
            probes.append(tiers(cluster, self.names.input))
        return probes + [probe for reader in self.readers for probe in reader.probes()]

    def _sent(
        self, drive: Drive, patience_s: float, readers: Sequence[Reader] = (), samples: Samples | None = None
    ) -> Sent:
        """Until the load is over; a broker, a reader or a TaskManager that dies meanwhile ends the trial at once."""
        give_up, looked, pace = time.monotonic() + patience_s, 0.0, _Pace()
        while not (progress := drive.poll()).done:
            self._cluster.check()
            if not self._cluster.ours and (why := refused(progress.failed)):
                raise BrokerError(why)
            if time.monotonic() > looked + READERS_LOOK_S:
                check_all(readers)
                looked = time.monotonic()
                backlog = samples.last("backlog_events") if samples is not None else math.nan
                now = Now(pace.of(progress.acknowledged), backlog, progress.lateness_p99_ms)
                self.tell("load" if samples is not None else "prefill", give_up - STUCK_S - looked, now)
            if time.monotonic() > give_up:
                raise BrokerError(f"the load did not end within {patience_s:.0f} s: the broker takes no more events")
            time.sleep(LOOK_S)
        return drive.wait(60.0)

    def _settle(self, samples: Samples, events: int, patience_s: float) -> float:
        """Until every reader has read every event; what is not there by then lags, and its reader knows it.

        Of a drain: when its limits began to hold, on the samples' clock; NaN: they did not.
        """
        deadline, looked, pace = time.monotonic() + patience_s, 0.0, _Pace()
        behind, held_s, drains = list(self.readers), math.nan, self.trial.load.kind == "drain"
        while behind and time.monotonic() < deadline:
            self._cluster.check()
            check_all(self.readers)
            time.sleep(SETTLE_LOOK_S)
            read = samples.last(self.readers[0].counter) if drains else math.nan
            if math.isnan(held_s) and read >= measure.HELD_FROM * events:
                self._cluster.hold(self._limits)
                held_s = (time.time_ns() - samples.zero_ns) / 1e9
            if drains and time.monotonic() > looked + READERS_LOOK_S:
                looked = time.monotonic()
                self.tell("drain", math.nan, Now(pace.of(read), events - read))
            behind = [reader for reader in behind if not reader.caught_up(samples, events)]
        return held_s

    def _end(self, samples: Samples) -> None:
        for reader in self.readers:
            reader.ended(samples)
        self.notes.series |= samples.tables()
