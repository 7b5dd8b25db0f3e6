"""Consumer groups as reader: the batch consuming engine, n groups of m members, each group reading everything.

A group proves its reading by counting: what it read must be what the topic holds, each event once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench import measure
from bench.analysis.histogram import LogLinearHistogram
from bench.errors import HostError
from bench.loadgen import Consuming, Read, start_consumers
from bench.probes import Probe, Samples
from bench.probes.kafka import log_end
from bench.record import Check
from bench.scenario import Trial
from bench.topics import Names
from bench.trial.notes import Notes, Seen
from bench.trial.stage import Stage

LATENCIES_EPS = 10_000.0  # about so many events a second have their latency kept: p99.9 after a second


class GroupsReader:
    """See `bench.trial.readers.Reader`. Of several groups the slowest speaks for all, at every moment."""

    component = "consumer"
    counter = "consumed_events"

    def __init__(self, trial: Trial, stage: Stage, names: Names, *, headline: bool) -> None:
        self._trial, self._stage, self._topic, self._headline = trial, stage, names.input, headline
        self._run_dir = stage.run_dir / names.run
        self._consuming: Consuming | None = None
        self.reads: Sequence[Read] = ()  # what each group read, once the load is over

    def start(self) -> None:
        """Every group owns every partition before it may read: a rebalance in mid-read reads some events twice."""
        settings = self._trial.settings
        rate = settings.load.rate_eps if isinstance(settings.load.rate_eps, float) else 1e6
        self._consuming = start_consumers(
            [group.model_dump() for group in settings.consumers],
            bootstrap=self._stage.cluster.bootstrap,
            topic=self._topic,
            partitions=settings.topic.partitions,
            run_dir=self._run_dir,
            fmt=self._trial.value_format,
            every=max(1, round(rate / LATENCIES_EPS)),
            spawn=self._stage.spawn,
        )
        self._consuming.begin(settings.topic.partitions)

    def prove(self) -> None:
        """Nothing: it owns its partitions."""

    @property
    def consuming(self) -> Consuming:
        """The running groups, for whoever changes them."""
        assert self._consuming is not None
        return self._consuming

    def probes(self) -> list[Probe]:
        return [log_end(self._stage.cluster.bootstrap, self._topic, self._trial.settings.topic.partitions)]

    def check(self) -> None:
        if self._consuming is not None and (dead := self._consuming.dead()):
            raise HostError("; ".join(dead))

    def caught_up(self, samples: Samples, events: int) -> bool:
        del samples  # the members' own rows are fresher
        return self._consuming is not None and min(self._consuming.positions().values()) >= events

    def ended(self, samples: Samples) -> None:
        """The members wrote down what they did once a second: here it becomes series."""
        assert self._consuming is not None
        self.reads = self._consuming.stop()
        tables = {read.group: read.series for read in self.reads}
        zero_s = samples.zero_ns / 1e9
        for name in ("cpu_s", "rss_bytes", "rx_bytes"):
            _add(samples, f"consumer_{name}", _aligned([table[name] for table in tables.values()]).sum(axis=1), zero_s)
        positions = {group: table["position"] for group, table in tables.items()}
        for group, position in positions.items():
            _add(samples, f"{self.counter}:{group}", position, zero_s)
        _add(samples, self.counter, _aligned(list(positions.values())).min(axis=1), zero_s)
        backlogs = pd.DataFrame({group: _backlog(samples, position) for group, position in positions.items()})
        for group in positions:
            _add(samples, f"consumer_backlog_events:{group}", backlogs[group], 0.0)
        if self._headline:
            _add(samples, "backlog_events", backlogs.max(axis=1, skipna=False), 0.0)

    def measure(self, seen: Seen, notes: Notes) -> None:
        found, samples, window = notes.found, seen.samples, seen.window
        stored = int(notes.series["input_partition_events"].value.sum())
        for read in self.reads:
            notes.invalid += read.failures
            name = f"group {read.group} read every event once"
            notes.checks.append(Check(name, stored, read.records, stored == read.records == read.position))
            if read.errors:
                said = ", ".join(f"{error} ({count} times)" for error, count in sorted(read.errors.items()))
                notes.warnings.append(f"consumer group {read.group} was told {said}")
            if read.unstamped:
                notes.warnings.append(f"group {read.group}: {read.unstamped} sampled events had no readable due time")
        each = [samples.delta(f"{self.counter}:{read.group}", window.from_s, window.to_s) for read in self.reads]
        found.put("consumed_eps", measure.share(sum(each), window.seconds))
        received = sum(float(read.series["rx_bytes"].iloc[-1]) for read in self.reads)
        found.put("fetched_bytes_per_event", measure.share(received, sum(read.records for read in self.reads)))
        if self._headline:
            measure.backlog_metrics(found, samples, window)
            found.put("lost_events", float(max(stored - read.position for read in self.reads)))
            found.put("duplicated_events", float(max(read.records - read.position for read in self.reads)))
            found.put("output_share", min(measure.share(read.position, stored) for read in self.reads))
        for step, began_s in (("join", self.reads[0].joined_s), ("leave", self.reads[0].left_s)):
            if any(fault.do == step for fault in self._trial.settings.faults):
                found.put(f"rebalance_{step}_s", self.reads[0].rebalance_s(began_s))
        if seen.on_schedule:
            self._latency(seen, notes)

    def _latency(self, seen: Seen, notes: Notes) -> None:
        """From the due time to the read; all groups' samples together."""
        t0_ns, merged = seen.sent.t0_ns, LogLinearHistogram("ms")
        by_second: dict[int, LogLinearHistogram] = {}
        for read in self.reads:
            merged.merge(
                read.latency_ms(t0_ns + round(seen.window.from_s * 1e9), t0_ns + round(seen.window.to_s * 1e9))
            )
            for second, histogram in read.latency_by_due_s.items():
                by_second.setdefault(second, LogLinearHistogram("ms")).merge(histogram)
        name = "e2e_latency_ms" if self._headline else "consumer_latency_ms"
        rows = [(second + 1 - t0_ns / 1e9, by_second[second].percentile(99)) for second in sorted(by_second)]
        notes.series[name] = pd.DataFrame(rows, columns=["t_s", "value"], dtype=float)
        if self._headline:
            notes.found.put_latency(name, merged)
        else:
            notes.found.histograms[name] = merged

    def tear_down(self) -> None:
        if self._consuming is not None:
            self._consuming.kill()


def _aligned(columns: Sequence[pd.Series[float]]) -> pd.DataFrame:
    """Groups' columns on the seconds that all of them know."""
    return pd.concat(columns, axis=1, join="inner")


def _add(samples: Samples, name: str, column: pd.Series[float], zero_s: float) -> None:
    for at_s, value in zip(column.index.to_numpy(dtype=float) - zero_s, column.to_numpy(), strict=True):
        samples.add(float(at_s), {name: float(value)})


def _backlog(samples: Samples, position: pd.Series[float]) -> pd.Series[float]:
    """Log end minus read position at the moments at which the end was asked for; NaN where a member says nothing."""
    end, at_s = samples.series("log_end_events"), position.index.to_numpy(dtype=float) - samples.zero_ns / 1e9
    read = np.interp(end.t_s, at_s, position, left=np.nan, right=np.nan)
    return pd.Series(np.maximum(end.value.to_numpy() - read, 0.0), index=end.t_s.to_numpy())
