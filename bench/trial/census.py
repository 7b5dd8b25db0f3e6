"""Where nobody reads in a trial, somebody does afterwards: an independent count of the topic, event by event."""

from __future__ import annotations

import os

import numpy as np

from bench.errors import BrokerError
from bench.loadgen import Sent, start_consumers
from bench.record import Check
from bench.scenario import Trial
from bench.topics import Names
from bench.trial.faults import hits_a_broker
from bench.trial.notes import Notes
from bench.trial.stage import Stage

LEAST_S = 60.0
SLOWEST_EPS = 100_000.0  # a reader that is slower than this for the whole topic has stopped
NAME = "every event is in the topic once"
COUNTED = "every record of the topic was counted"


def take(trial: Trial, stage: Stage, names: Names, *, sent: Sent, stored: int, notes: Notes) -> None:
    """Read the whole topic with two consumers and count each sequence number; `stored`: records by the end offsets."""
    settings = trial.settings
    consuming = start_consumers(
        [{"group": "census", "members": min(2, os.cpu_count() or 1, settings.topic.partitions)}],
        bootstrap=stage.cluster.bootstrap,
        topic=names.input,
        partitions=settings.topic.partitions,
        run_dir=stage.run_dir / names.run,
        fmt=trial.value_format,
        every=1 << 30,  # no latencies: it reads after the event
        census=sent.last_seq + 1,
        spawn=stage.spawn,
    )
    try:
        consuming.begin(settings.topic.partitions)
        patience_s = LEAST_S + stored / SLOWEST_EPS
        if not consuming.wait_for(stored, patience_s):
            raise BrokerError(
                f"counting {names.input}: {consuming.positions()['census']:,} of {stored:,} events were read in "
                f"{patience_s:.0f} s" + "".join(f"; {said}" for said in consuming.dead())
            )
        [read] = consuming.stop()
    finally:
        consuming.kill()
    notes.invalid += read.failures
    assert read.census is not None
    distinct = int(np.count_nonzero(read.census))
    notes.found.put("lost_events", float(max(0, sent.acknowledged_events - distinct)))
    notes.found.put("duplicated_events", float(read.records - read.unstamped - distinct))
    if hits_a_broker(settings):  # losses are what such a run is about: what must be right is the counting
        notes.checks.append(Check(COUNTED, stored, read.records, stored == read.records > 0))
        return
    ok = sent.acknowledged_events == distinct == read.records
    detail = f"{read.records} read" if read.records != distinct else ""
    notes.checks.append(Check(NAME, sent.acknowledged_events, distinct, ok, detail))
