"""A trial's topics: made fresh, counted, read back, removed."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not re-exported
    AdminClient,
    ListOffsetsResultInfo,
    NewTopic,
    OffsetSpec,
)
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from bench import keyring
from bench.analysis.crossing import Placed
from bench.errors import BrokerError
from bench.loadgen.subscription import Subscription
from bench.scenario import Settings, Trial

PREFIX = "sg-"
ADMIN_TIMEOUT_S = 30.0  # 2,000 partitions are made in 0.3 s; a busy host takes longer
LED_TIMEOUT_S = 90.0  # a broker that was killed looks through every log it has
LED_LOOK_S = 1.0  # so long a look takes whose leader does not answer
LED_PAUSE_S = 0.02
READ_TIMEOUT_S = 120.0
READ_BATCH = 10_000
READ_POLL_MS = 200
QUIET_S = 10.0  # reading back: this long without a record means that something is missing

# LogAppendTime: append minus due is then computable afterwards, whatever the reader's speed (method 7)
OUTPUT_CONFIG: Mapping[str, str] = MappingProxyType({"message.timestamp.type": "LogAppendTime"})


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({**keyring.client(bootstrap), "log_level": 0})


@dataclass(frozen=True)
class Names:
    """A trial's topics: fresh for each, named so that leftovers can be recognised."""

    run: str
    input: str
    outputs: Mapping[str, str]  # the job's output name -> topic

    @property
    def all(self) -> list[str]:
        return [self.input, *self.outputs.values()]


def fresh(trial: Trial, outputs: Iterable[str], prefix: str = PREFIX) -> Names:
    """Names that no topic has had."""
    run = f"{prefix}{trial.id}-{os.getpid()}-{time.time_ns() // 1_000_000 % 10**8:08d}"
    return Names(run, f"{run}-in", {name: f"{run}-{name}" for name in outputs})


def input_config(settings: Settings) -> dict[str, str]:
    """What the input topic is told, wherever it is made."""
    topic = settings.topic
    config = {"message.timestamp.type": "CreateTime", "min.insync.replicas": str(topic.min_insync)}
    if topic.segment_mb:
        config["segment.bytes"] = str(topic.segment_mb << 20)
    if topic.local_retention_s:
        config |= {"remote.storage.enable": "true", "local.retention.ms": str(round(topic.local_retention_s * 1000))}
    return config


def create_all(names: Names, settings: Settings, bootstrap: str) -> float:
    """The input as the scenario has it; an output partition for each parallel sink. Seconds that the input took."""
    topic, pipeline = settings.topic, settings.pipeline
    took_s = create(
        bootstrap,
        names.input,
        partitions=topic.partitions,
        replication=topic.replication_factor,
        config=input_config(settings),
    )
    for output in names.outputs.values():
        create(bootstrap, output, partitions=pipeline.parallelism if pipeline else 1, config=OUTPUT_CONFIG)
    return took_s


def create(
    bootstrap: str, topic: str, *, partitions: int, replication: int = 1, config: Mapping[str, str] | None = None
) -> float:
    """Make a topic and wait until every partition has a leader that serves it; seconds from the request until then.

    BrokerError with the broker's reason.
    """
    admin = _admin(bootstrap)
    try:
        admin.list_topics(timeout=ADMIN_TIMEOUT_S)  # connected: what follows is the broker's time
        began = time.monotonic()
        admin.create_topics(
            [NewTopic(topic, partitions, replication, config=dict(config or {}))], operation_timeout=ADMIN_TIMEOUT_S
        )[topic].result(ADMIN_TIMEOUT_S)
        # metadata reaches a broker a moment after the controller agreed
        for _ in range(200):
            found = admin.list_topics(topic, timeout=ADMIN_TIMEOUT_S).topics[topic]
            led = sum(p.leader >= 0 for p in found.partitions.values())
            if found.error is None and led == partitions:
                # a broker tells of its leaders before it has made their logs: hundreds take seconds on a busy host
                _led(admin, bootstrap, topic, partitions, LED_TIMEOUT_S)
                return time.monotonic() - began
            admin.poll(0.02)
    except KafkaException as error:
        raise BrokerError(f"creating topic {topic}: {error.args[0].str()}") from error
    raise BrokerError(f"creating topic {topic}: not every one of {partitions} partitions got a leader")


def await_led(bootstrap: str, topic: str, partitions: int, timeout_s: float = LED_TIMEOUT_S) -> None:
    """Until every partition of a topic has a leader that tells its end offset: then a client can go on.

    BrokerError when that does not happen in time.
    """
    _led(_impatient(bootstrap), bootstrap, topic, partitions, timeout_s)


def _impatient(bootstrap: str) -> AdminClient:
    often = {"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50}  # the first may not exceed the second
    return AdminClient({**keyring.client(bootstrap), "log_level": 0, **often})


def _led(admin: AdminClient, bootstrap: str, topic: str, partitions: int, timeout_s: float) -> None:
    """`admin`: who looks first. After a second in vain another does: one that had once seen no leaders was seen to find
    none for 90 s, of a topic that everybody else was served.
    """
    wanted = {TopicPartition(topic, p): OffsetSpec.latest() for p in range(partitions)}  # type: ignore[no-untyped-call]
    looks = since = time.monotonic()
    end, said, leaders = looks + timeout_s, "nobody answers", dict[int, int]()
    while looks < end:
        try:
            leaders = _leaders(admin, topic)
            answers = admin.list_offsets(wanted, request_timeout=LED_LOOK_S)
            for answer in answers.values():
                offset_of(answer.result(2 * LED_LOOK_S))
        except (KafkaException, TimeoutError) as error:
            said = error.args[0].str() if isinstance(error, KafkaException) else "no answer in time"
        else:
            return
        time.sleep(LED_PAUSE_S)
        if time.monotonic() - looks > LED_LOOK_S / 2:
            _await_others(admin, topic, leaders)
        looks = time.monotonic()
        if looks - since > LED_LOOK_S:
            admin, since = _impatient(bootstrap), looks
    raise BrokerError(f"topic {topic} is not served after {timeout_s:g} s: {said}")


def _await_others(admin: AdminClient, topic: str, leaders: Mapping[int, int]) -> None:
    """Until others lead than these, a second at most: so long it takes to ask one that is gone, again and again."""
    end = time.monotonic() + LED_LOOK_S
    while time.monotonic() < end:
        with suppress(KafkaException):
            if _leaders(admin, topic) != leaders:
                return
        time.sleep(LED_PAUSE_S)


def _leaders(admin: AdminClient, topic: str) -> dict[int, int]:
    return {p: one.leader for p, one in admin.list_topics(topic, timeout=LED_LOOK_S).topics[topic].partitions.items()}


def offset_of(told: ListOffsetsResultInfo) -> int:
    """An offset that a leader told. KafkaException where none did: librdkafka then tells -1001, and no error."""
    if told.offset < 0:
        raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, "a partition's leader does not answer"))
    return int(told.offset)


def delete(bootstrap: str, *topics: str) -> None:
    """Remove topics; one that is not there is fine, for it is gone."""
    admin = _admin(bootstrap)  # kept: librdkafka drops what is in flight when the handle goes
    for topic, done in admin.delete_topics(list(topics), operation_timeout=ADMIN_TIMEOUT_S).items():
        try:
            done.result(ADMIN_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise BrokerError(f"deleting topic {topic}: {error.args[0].str()}") from error


def end_offsets(bootstrap: str, topic: str, *, committed: bool = False, timeout_s: float = 10.0) -> dict[int, int]:
    """Partition -> log end offset (`committed`: the last stable offset, what a read_committed reader sees).

    BrokerError for a topic that is not there: a sum over no partitions would read as an empty topic.
    """
    admin = _admin(bootstrap)
    level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
    try:
        for attempt in Retrying(
            stop=stop_after_delay(timeout_s), wait=wait_fixed(0.1), retry=retry_if_exception(_passes_by), reraise=True
        ):
            with attempt:
                found = admin.list_topics(topic, timeout=timeout_s).topics[topic]
                wanted = {TopicPartition(topic, p): OffsetSpec.latest() for p in found.partitions}  # type: ignore[no-untyped-call]
                answers = admin.list_offsets(wanted, isolation_level=level, request_timeout=timeout_s) if wanted else {}
                ends = {tp.partition: offset_of(answer.result()) for tp, answer in answers.items()}
    except KafkaException as error:
        raise BrokerError(f"end offsets of {topic}: {error.args[0].str()}") from error
    if found.error is not None or not ends:
        raise BrokerError(f"end offsets of {topic}: {found.error.str() if found.error else 'no partitions'}")
    return ends


def committed_offsets(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """Partition -> what the group has committed, where it has. BrokerError when the broker does not say."""
    admin = _admin(bootstrap)
    try:
        asked = [ConsumerGroupTopicPartitions(group)]
        answer = admin.list_consumer_group_offsets(asked, request_timeout=ADMIN_TIMEOUT_S)[group].result()
    except KafkaException as error:
        raise BrokerError(f"offsets of the group {group}: {error.args[0].str()}") from error
    return {tp.partition: tp.offset for tp in answer.topic_partitions or () if tp.topic == topic and tp.offset >= 0}


def racks(bootstrap: str) -> dict[int, str]:
    """Broker -> its rack, "" without one. BrokerError when the brokers do not say."""
    admin = _admin(bootstrap)  # kept: librdkafka drops what is in flight when the handle goes
    try:
        found = admin.describe_cluster(request_timeout=ADMIN_TIMEOUT_S).result()
    except KafkaException as error:
        raise BrokerError(f"racks of the brokers: {error.args[0].str()}") from error
    return {node.id: node.rack or "" for node in found.nodes}


def places(bootstrap: str, topic: str) -> dict[int, Placed]:
    """Partition -> the racks of its leader and its copies, now. BrokerError when the brokers do not say."""
    rack = racks(bootstrap)
    try:
        partitions = _admin(bootstrap).list_topics(topic, timeout=ADMIN_TIMEOUT_S).topics[topic].partitions
    except KafkaException as error:
        raise BrokerError(f"places of {topic}: {error.args[0].str()}") from error
    if gone := {broker for one in partitions.values() for broker in (one.leader, *one.replicas)} - rack.keys():
        raise BrokerError(f"places of {topic}: broker {min(gone)} holds a copy or should lead, and does not answer")
    return {
        p: Placed(rack[one.leader], tuple(rack[broker] for broker in one.replicas)) for p, one in partitions.items()
    }


def written(bootstrap: str, names: Iterable[str], *, committed: bool = False) -> int:
    """Offsets taken in all these topics together (`committed`: up to the last stable ones)."""
    return sum(sum(end_offsets(bootstrap, topic, committed=committed).values()) for topic in names)


def _passes_by(error: BaseException) -> bool:
    """A broker may still be told that it leads what it already says it leads."""
    fresh = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    return isinstance(error, KafkaException) and error.args[0].code() in fresh


@dataclass(frozen=True)
class ReadBack:
    """Every record of a topic: values as written, the broker's or the producer's timestamp, where each lay."""

    values: list[bytes]
    timestamp_ms: npt.NDArray[np.int64]
    partition: npt.NDArray[np.int32]


def read_topic(bootstrap: str, topic: str, *, committed: bool = False, timeout_s: float = READ_TIMEOUT_S) -> ReadBack:
    """Read a topic from its beginning to the offsets it ends at now. BrokerError when records do not arrive."""
    open_partitions = {p for p, end in end_offsets(bootstrap, topic, committed=committed).items() if end > 0}
    settings = {
        **keyring.client(bootstrap),
        "group.id": f"{topic}-readback",  # never joined, nothing is committed; its name is ours to use, as the topic's
        "enable.auto.commit": "false",
        "enable.partition.eof": "true",  # the end may be records that no reader is shown, a transaction's marks
        "isolation.level": "read_committed" if committed else "read_uncommitted",
        "auto.offset.reset": "earliest",
        "queued.min.messages": "500000",
        "queued.max.messages.kbytes": str(256 << 10),
        "fetch.queue.backoff.ms": "5",  # a full queue is empty in half a second: the second it would pause is lost
        "fetch.message.max.bytes": str(8 << 20),
        "check.crcs": "false",
        "log_level": "0",
    }
    values: list[bytes] = []
    timestamps: list[int] = []
    partitions: list[npt.NDArray[np.int32]] = [np.empty(0, dtype=np.int32)]
    if not open_partitions:
        return ReadBack(values, np.array(timestamps, dtype=np.int64), partitions[0])
    subscription = Subscription(settings, topic, READ_BATCH, partitions=open_partitions)
    try:
        heard = time.monotonic()
        while open_partitions and time.monotonic() < heard + min(QUIET_S, timeout_s):
            fetched = subscription.fetch(READ_POLL_MS)
            if fetched.failed:
                raise BrokerError(f"reading {topic} back: {fetched.failed[0]}")
            if len(fetched.addresses):
                heard = time.monotonic()
            values += fetched.values()
            timestamps += fetched.timestamps_ms()
            partitions.append(fetched.partition)
            open_partitions -= fetched.ended
    finally:
        subscription.close()
    if open_partitions:
        silent = f"{len(open_partitions)} partitions gave nothing for {min(QUIET_S, timeout_s):.0f} s"
        why = f" ({', '.join(subscription.errors)})" if subscription.errors else ""
        raise BrokerError(f"reading {topic} back: {silent}{why}")
    return ReadBack(values, np.array(timestamps, dtype=np.int64), np.concatenate(partitions))


def json_rows(values: list[bytes]) -> pd.DataFrame:
    """JSON records as a table, parsed by pyarrow (a million in about a second)."""
    from pyarrow import json as arrow_json

    if not values:
        return pd.DataFrame()
    options: Any = arrow_json.ReadOptions(block_size=32 << 20)
    table: pd.DataFrame = arrow_json.read_json(io.BytesIO(b"\n".join(values)), read_options=options).to_pandas()
    return table
