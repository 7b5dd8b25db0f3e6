"""When an exactly-once job's rows can be seen: a live read_committed reader of its per-event output (method 7).

LogAppendTime is not that: rows lie in the topic from their append on, and are seen when their transaction commits, at
the next checkpoint.
"""

from __future__ import annotations

import pandas as pd

from bench.analysis.histogram import LogLinearHistogram
from bench.loadgen.consume import Consuming, Read, start_consumers
from bench.measure import Window
from bench.scenario import Trial
from bench.trial.stage import Stage

SAMPLES_EPS = 5_000.0  # latencies looked at in a second: a p99.9 from two seconds, and a few per cent of a core


class Visibility:
    """One reader of one output topic, from before the job starts until the trial's load is over."""

    def __init__(self, trial: Trial, stage: Stage, run: str, topic: str, partitions: int) -> None:
        rate = trial.load.rate_eps if isinstance(trial.load.rate_eps, float) else 10 * SAMPLES_EPS
        self._every = max(1, round(rate / SAMPLES_EPS))
        self._stage, self._run, self._topic, self._partitions = stage, run, topic, partitions
        self._consuming: Consuming | None = None
        self.read: Read | None = None

    def start(self) -> None:
        """Returns when it owns every partition and reads. BrokerError when it does not come to that."""
        self._consuming = start_consumers(
            [{"group": "visibility", "members": 1}],
            bootstrap=self._stage.cluster.bootstrap,
            topic=self._topic,
            partitions=self._partitions,
            run_dir=self._stage.run_dir / self._run / "visibility",
            fmt="rows",
            spawn=self._stage.spawn,
            every=self._every,
            client={"fetch.wait.max.ms": 10},  # its own waiting would be taken for the pipeline's
        )
        self._consuming.begin(self._partitions)

    def stop(self) -> None:
        """End it; `read` is what it saw."""
        if self._consuming is not None:
            (self.read,) = self._consuming.stop()
            self._consuming = None

    def check(self, rows: int) -> str:
        """Why it cannot be believed; "" when it saw every one of the topic's committed `rows`."""
        if self.read is None:
            return "the reader of committed rows never started"
        if self.read.failures:
            return self.read.failures[0]
        if self.read.records != rows:
            return f"the reader of committed rows saw {self.read.records:,} of {rows:,}"
        return ""

    def latency(self, t0_ns: int, window: Window) -> LogLinearHistogram:
        """Due -> visible, of the events due in the window."""
        assert self.read is not None
        return self.read.latency_ms(t0_ns + int(window.from_s * 1e9), t0_ns + int(window.to_s * 1e9))

    def by_second(self, t0_ns: int) -> pd.DataFrame:
        """99th percentile by the second due; DataFrame(t_s: the second's end since t0, value: ms)."""
        assert self.read is not None
        rows = []
        for second, histogram in sorted(self.read.latency_by_due_s.items()):
            value = histogram.percentile(99)
            rows.append((second + 1 - t0_ns / 1e9, histogram.max if value is None else value))
        return pd.DataFrame(rows, columns=["t_s", "value"]).astype(float)
