"""Usage of a live cluster, read-only: what its offsets and log directories gain over a few windows."""

from __future__ import annotations

import contextlib
import importlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np

from bench import logdirs
from bench.errors import BrokerError
from bench.logdirs import Replica
from costmodel import access, documents
from costmodel.measured import number
from costmodel.usage import Usage

MS_PER_DAY = 86_400_000
TIMEOUT_S = 15
UNKNOWN_DAYS = 7.0  # assumed of topics whose settings may not be described, as of a study that does not say
WINDOWS = 3  # the least that gives an interval worth printing

LogDirs = Callable[[str, int], Mapping[Replica, int]]


@dataclass(frozen=True)
class _Topic:
    partitions: int
    replicas: int
    retention_days: float | None  # infinite: for ever, by time; None: may not be described


@dataclass(frozen=True)
class Snapshot:
    """End offsets, and bytes over all replicas."""

    at_s: float
    offsets: Mapping[Replica, int]
    sizes: Mapping[Replica, int]


def usage_from_cluster(
    bootstrap: str,
    *,
    region: str,
    window_s: float = 60,
    compression_ratio: Decimal | None = None,
    config: Mapping[str, Any] | None = None,
    admin: Any = None,
    log_dirs: LogDirs | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Usage:
    """What the cluster carried over `window_s`, in three windows; nothing is written, no group is joined.

    Bytes are those on disk, which are those on the wire: how far they are compressed Kafka does not know, so the raw
    size is `compression_ratio` (assumed 1) times as large. `config`: librdkafka settings beside the bootstrap servers.
    Raises BrokerError if the cluster cannot be asked or nothing was written, ScenarioError never.
    """
    client = admin if admin is not None else access.client(bootstrap, config or {})
    topics = _topics(client)
    log_dirs = log_dirs or logdirs.describing(config or {})
    counts = {name: topic.partitions for name, topic in topics.items()}
    shots = [snapshot(client, counts, log_dirs, clock)]
    for _ in range(WINDOWS):
        sleep(window_s / WINDOWS)
        shots.append(snapshot(client, counts, log_dirs, clock))
    rates, sizes = _per_window(shots, topics)
    ratio = float(compression_ratio or 1)
    weight = _weights(shots, topics)
    return documents.validate(
        {
            "schema": 1,
            "region": region,
            "ingest": {
                "mb_s": number(rates * sizes * ratio / 1_000_000, "offset deltas x bytes per record"),
                "record_bytes": number(sizes * ratio, "log directory bytes per record"),
                "compression_ratio": {"assumed": ratio, "note": "not visible in Kafka: state it for raw bytes"},
            },
            "consumers": {"groups": {"value": _groups(client), "basis": "measured", "note": "stable groups"}},
            "topics": {
                "partitions": {"value": sum(t.partitions for t in topics.values()), "basis": "measured"},
                "replication_factor": {
                    "value": round(sum(topics[name].replicas * share for name, share in weight.items())),
                    "basis": "measured",
                    "note": "weighted by traffic",
                },
            },
            "retention": {"days": _retention(topics, weight, shots)},
            "zones": _zones(client),
        },
        Usage,
    )


def _topics(client: Any) -> dict[str, _Topic]:
    """Every topic but Kafka's own, with its retention where that may be described."""
    from confluent_kafka import KafkaException

    kafka: Any = importlib.import_module("confluent_kafka.admin")  # what it re-exports is untyped

    try:
        listed = client.list_topics(timeout=TIMEOUT_S).topics
        names = [name for name in listed if not name.startswith("__")]
    except Exception as error:  # librdkafka's KafkaException and futures' timeouts: all mean the same to the reader
        raise BrokerError(f"the cluster does not list its topics: {error}") from error
    if not names:
        raise BrokerError("the cluster has no topic to measure")
    asked = [kafka.ConfigResource(kafka.ResourceType.TOPIC, name) for name in names]
    days: dict[str, float] = {}
    for one, future in client.describe_configs(asked).items():
        with contextlib.suppress(KafkaException, TimeoutError):  # refused or not answered: for one topic or for all
            days[one.name] = retention_days(future.result(TIMEOUT_S))
    found = {}
    for name in names:
        replicas = max(len(partition.replicas) for partition in listed[name].partitions.values())
        found[name] = _Topic(len(listed[name].partitions), replicas, days.get(name))
    return found


def retention_days(settings: Mapping[str, Any]) -> float:
    """Of a topic's settings as the cluster describes them; infinite where it is kept for ever."""
    milliseconds = int(settings["retention.ms"].value)
    return math.inf if milliseconds < 0 else milliseconds / MS_PER_DAY


def age_days(records: int, rate_eps: float) -> float:
    """How long so many records took at this rate: what a topic kept for ever is counted by. 0 without a rate."""
    return records / rate_eps / 86_400 if rate_eps else 0.0


def stored_bytes(before: Snapshot, after: Snapshot, copies: Mapping[Replica, int]) -> float | None:
    """Of one record in one copy, from what grew over these partitions, each with so many copies. None: nothing tells.

    A partition whose bytes fell lost an old segment to retention meanwhile: it says nothing.
    """
    gained = {key: after.offsets[key] - before.offsets[key] for key in copies}
    grown = {key: after.sizes.get(key, 0) - before.sizes.get(key, 0) for key in copies}
    telling = [key for key in copies if gained[key] > 0 and grown[key] > 0]
    records = sum(gained[key] for key in telling)
    return sum(grown[key] / copies[key] for key in telling) / records if records else None


def snapshot(client: Any, partitions: Mapping[str, int], log_dirs: LogDirs, clock: Callable[[], float]) -> Snapshot:
    """Where every partition of these topics ends, and what all brokers hold of it."""
    from confluent_kafka import TopicPartition

    kafka: Any = importlib.import_module("confluent_kafka.admin")  # what it re-exports is untyped

    latest = kafka.OffsetSpec.latest()
    wanted = {TopicPartition(name, p): latest for name, count in partitions.items() for p in range(count)}
    try:
        offsets = {
            (one.topic, one.partition): int(future.result(TIMEOUT_S).offset)
            for one, future in client.list_offsets(wanted).items()
        }
        brokers = client.list_topics(timeout=TIMEOUT_S).brokers.values()
    except Exception as error:
        raise BrokerError(f"the cluster does not list its offsets: {error}") from error
    if silent := sorted(where for where, offset in offsets.items() if offset < 0):  # librdkafka's word for no answer
        name, partition = silent[0]
        more = f" (and {len(silent) - 1:,} more)" if len(silent) > 1 else ""
        raise BrokerError(
            f"partition {partition} of {name}{more} has no leader that answers: what its topic carries cannot be told"
        )
    sizes: dict[Replica, int] = {}
    for broker in brokers:
        for replica, size in log_dirs(broker.host, broker.port).items():
            if replica in offsets:
                sizes[replica] = sizes.get(replica, 0) + size
    return Snapshot(clock(), offsets, sizes)


def _per_window(shots: Sequence[Snapshot], topics: Mapping[str, _Topic]) -> tuple[Any, Any]:
    """(records/s, bytes per record of one copy) of each window, as arrays.

    Records of partitions whose bytes say nothing still count.
    """
    copies = {(name, p): topic.replicas for name, topic in topics.items() for p in range(topic.partitions)}
    rates, sizes = [], []
    for before, after in pairwise(shots):
        size = stored_bytes(before, after, copies)
        if size is None:
            raise BrokerError("nothing was written in a window: a longer one, or a busier hour, is needed")
        rates.append(sum(after.offsets[key] - before.offsets[key] for key in copies) / (after.at_s - before.at_s))
        sizes.append(size)
    return np.asarray(rates), np.asarray(sizes)


def _weights(shots: Sequence[Snapshot], topics: Mapping[str, _Topic]) -> dict[str, float]:
    """Each topic's share of the records."""
    gained = {
        name: sum(shots[-1].offsets[name, p] - shots[0].offsets[name, p] for p in range(topic.partitions))
        for name, topic in topics.items()
    }
    total = sum(gained.values())
    return {name: records / total for name, records in gained.items()}


def _retention(topics: Mapping[str, _Topic], weight: Mapping[str, float], shots: Sequence[Snapshot]) -> dict[str, Any]:
    """Days, weighted by traffic. A topic kept for ever counts as long as its present bytes took at its present rate."""
    days, endless, unknown = 0.0, [], []
    span_s = shots[-1].at_s - shots[0].at_s
    for name, topic in topics.items():
        kept = topic.retention_days
        if kept is None:
            unknown.append(name)
            kept = UNKNOWN_DAYS
        elif math.isinf(kept):
            records = sum(shots[-1].offsets[name, p] for p in range(topic.partitions))
            came = records - sum(shots[0].offsets[name, p] for p in range(topic.partitions))
            kept = age_days(records, came / span_s)
            endless.append(name)
        days += kept * weight[name]
    note = "retention.ms, weighted by traffic"
    note += f"; kept for ever: {', '.join(endless)}, counted by age so far" if endless else ""
    if unknown:
        told = f"settings of {', '.join(unknown)} cannot be described here: {UNKNOWN_DAYS:g} days assumed"
        return {"assumed": days, "note": f"{note}; {told}"}
    return {"value": days, "basis": "measured", "note": note}


def _groups(client: Any) -> int:
    from confluent_kafka import ConsumerGroupState

    try:
        listed = client.list_consumer_groups(states={ConsumerGroupState.STABLE}).result(TIMEOUT_S)
    except Exception as error:
        raise BrokerError(f"the cluster does not list its consumer groups: {error}") from error
    return len(listed.valid)


def _zones(client: Any) -> dict[str, Any]:
    try:
        nodes = client.describe_cluster().result(TIMEOUT_S).nodes
    except Exception as error:
        raise BrokerError(f"the cluster does not describe itself: {error}") from error
    racks = {node.rack for node in nodes if node.rack}
    return (
        {"value": len(racks), "basis": "measured", "note": "racks"} if racks else {"assumed": 3, "note": "no racks set"}
    )
