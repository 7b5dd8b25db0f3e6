"""What a trial's topic takes: bytes on disk, told three ways that have to agree, and what the brokers hold for it."""

from __future__ import annotations

import time

from bench import logdirs, measure
from bench.backends import Cluster
from bench.errors import BrokerError
from bench.record import Check
from bench.scenario import Trial
from bench.topics import Names
from bench.trial.faults import hits_a_broker
from bench.trial.notes import Notes, Seen
from bench.trial.stage import Stage

GONE_TIMEOUT_S = 20.0  # 2,000 partitions are gone in 5 s; a broker younger than 30 s has not begun to delete
LOOK_S = 0.05
BYTES_IN_SHARE = 0.01  # how far the broker's BytesIn may be off the log


def weigh(trial: Trial, stage: Stage, names: Names, *, seen: Seen, notes: Notes) -> None:
    """Storage metrics, the brokers' footprint, and the checks of the record bytes. Once nothing is written any more."""
    found, replicas = notes.found, trial.settings.topic.replication_factor
    disk = stage.cluster.disk_bytes(names.input)
    tiered = trial.settings.topic.local_retention_s is not None
    measure.storage_metrics(found, disk, seen.sent, moved=tiered)
    if not tiered:
        measure.protocol_metric(found, replicas)
    measure.footprint_metrics(found, stage.cluster.broker_footprint())
    if not disk.get("partitions") or tiered or hits_a_broker(trial.settings):
        # segments are still leaving, or copies catching up with each other; a broker that was replaced counts from 0
        # again, and what a client sent twice is counted twice
        return
    if stage.cluster.jmx_urls:
        _by_bytes_in(seen.samples.last("broker_bytes_in"), disk["log"] / replicas, notes)
    if "allocated" in disk:
        _by_log_dirs(stage, names, disk["log"], notes)


def _by_bytes_in(came_in: float, one_copy: float, notes: Notes) -> None:
    """What the brokers counted coming in against the log; a counter that is not there is said to be missing."""
    if not came_in > 0:
        notes.warnings.append("record bytes were not compared with the brokers' BytesIn: nobody told it")
        return
    close = abs(came_in - one_copy) <= BYTES_IN_SHARE * one_copy
    notes.checks.append(Check("record bytes by BytesIn", one_copy, came_in, close, f"within {BYTES_IN_SHARE:.0%}"))


def _by_log_dirs(stage: Stage, names: Names, log_bytes: int, notes: Notes) -> None:
    """The files against the brokers' word; where only that is known, there is nothing to compare."""
    try:
        told = described_bytes(stage.cluster.bootstrap, names.input)
    except BrokerError as error:
        notes.warnings.append(f"record bytes were not compared with the broker's word: {error}")
    else:
        notes.checks.append(Check("record bytes by DescribeLogDirs", log_bytes, told, told == log_bytes))


def described_bytes(bootstrap: str, topic: str) -> int:
    """Bytes of the topic's replicas on all brokers, by their own word. BrokerError where one does not say."""
    total = 0
    for address in bootstrap.split(","):
        host, _, port = address.rpartition(":")
        total += sum(size for (name, _), size in logdirs.describe(host, int(port)).items() if name == topic)
    return total


def await_gone(cluster: Cluster, topic: str) -> bool:
    """Until no folder of a deleted topic is left on any broker; False when the patience is over."""
    end = time.monotonic() + GONE_TIMEOUT_S
    while time.monotonic() < end:
        disk = cluster.disk_bytes(topic)
        if "partitions" not in disk:
            return False  # not to be seen
        if not disk["partitions"] and not disk.get("leaving"):
            return True
        time.sleep(LOOK_S)
    return False
