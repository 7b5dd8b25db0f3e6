"""A live cluster's topics, read-only: what each gained over a window, who reads it, and what could not be seen.

Nothing is written and no group is joined. What the cluster does not let us describe is said in `Watched.unseen`, and
the rest is told without it.
"""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import logdirs
from bench.errors import BrokerError
from bench.logdirs import Replica
from costmodel import access
from costmodel.cluster import TIMEOUT_S, LogDirs, Snapshot, age_days, retention_days, snapshot, stored_bytes
from costmodel.inventory import Topic

LEAST_EVENTS = 100  # of the busiest partition: fewer say nothing about skew
STEPS = 30  # looks at offsets over the window
SURE = 4.0  # standard deviations by which a partition must stick out


@dataclass(frozen=True)
class Watched:
    """Every topic but Kafka's own, and sentences about what the cluster did not show."""

    topics: tuple[Topic, ...]
    unseen: tuple[str, ...]
    seconds: float


@dataclass
class _Readers:
    """Of one topic: groups, members of the largest, and events a second by which the worst group falls behind."""

    groups: int = 0
    members: int = 0
    growing_eps: float | None = None


@dataclass
class _Blind:
    """Collects, once each, what may not be described."""

    said: dict[str, str] = field(default_factory=dict)

    def note(self, what: str, error: BaseException) -> None:
        self.said.setdefault(what, f"{what} cannot be described here ({_short(error)})")

    def silent(self, what: str, why: str) -> None:
        """Of what a broker leaves out without a word where it is not allowed."""
        self.said.setdefault(what, f"{what}: {why}")


def watch(
    bootstrap: str,
    *,
    window_s: float = 60,
    compression_ratio: float = 1.0,
    record_bytes: float | None = None,
    config: Mapping[str, Any] | None = None,
    admin: Any = None,
    log_dirs: LogDirs | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Watched:
    """Topics over `window_s`. `record_bytes` stands in where log directories may not be described.

    Raises BrokerError if the cluster cannot list its topics or offsets: without them nothing can be said.
    """
    client = admin if admin is not None else access.client(bootstrap, config or {})
    describe = log_dirs or logdirs.describing(config or {})
    blind = _Blind()

    def allowed(host: str, port: int) -> Mapping[Replica, int]:
        try:
            return describe(host, port)
        except BrokerError as error:
            blind.note("log directories", error)
            return {}

    listed = _listed(client)
    counts = {name: len(topic.partitions) for name, topic in listed.items()}
    looks = [_Look(snapshot(client, counts, allowed, clock), _committed(client, blind))]
    for step in range(1, STEPS + 1):
        sleep(window_s / STEPS)
        sizes = allowed if step == STEPS else _unasked
        looks.append(_Look(snapshot(client, counts, sizes, clock), _committed(client, blind)))
    before, after = looks[0].shot, looks[-1].shot
    if not after.sizes:
        blind.silent("log directories", "the brokers tell of none, as they do without DESCRIBE on the cluster")
    if not looks[-1].committed:
        blind.silent("consumer groups", "none is to be seen that reads now, or none may be described here")
    if "log directories" in blind.said:  # of some brokers only, a sum over replicas would be too small
        before, after = Snapshot(before.at_s, before.offsets, {}), Snapshot(after.at_s, after.offsets, {})
    readers = _readers(client, looks, blind)
    kept = _retention(client, listed, blind)
    stored = _Stored(before, after, compression_ratio, record_bytes)
    topics = tuple(_topic(name, listed[name], stored, readers.get(name), kept.get(name)) for name in sorted(listed))
    return Watched(topics, tuple(blind.said.values()), after.at_s - before.at_s)


def _unasked(_host: str, _port: int) -> Mapping[Replica, int]:
    return {}


def _listed(client: Any) -> dict[str, Any]:
    try:
        found = client.list_topics(timeout=TIMEOUT_S).topics
    except Exception as error:
        raise BrokerError(f"the cluster does not list its topics: {_short(error)}") from error
    topics = {name: topic for name, topic in found.items() if not name.startswith("__")}
    if not topics:
        raise BrokerError("the cluster shows no topic of its own: there is none, or none may be described")
    return topics


@dataclass(frozen=True)
class _Stored:
    """Both ends of the window, and how stored bytes become raw ones."""

    before: Snapshot
    after: Snapshot
    compression_ratio: float
    record_bytes: float | None  # where what is stored may not be seen

    @property
    def seconds(self) -> float:
        return self.after.at_s - self.before.at_s


def _topic(name: str, listed: Any, stored: _Stored, readers: _Readers | None, days: float | None) -> Topic:
    replicas = max((len(partition.replicas) for partition in listed.partitions.values()), default=1)
    keys = [(name, p) for p in range(len(listed.partitions))]
    gained = {key: stored.after.offsets[key] - stored.before.offsets[key] for key in keys}
    if min(gained.values(), default=0) < 0:  # offsets only grow: this is another topic of that name
        return Topic(name, len(keys), None, None, None, notes=("it was made anew while it was watched",))
    rate_eps = sum(gained.values()) / stored.seconds
    size = stored_bytes(stored.before, stored.after, dict.fromkeys(keys, replicas))
    raw = stored.record_bytes if size is None else size * stored.compression_ratio
    notes = []
    if size is None and raw is not None and rate_eps > 0:
        notes.append(f"records of {raw:g} bytes assumed (--record-bytes)")
    if days is not None and math.isinf(days):  # nobody knows how long for ever is: it is as old as it is
        days = age_days(sum(stored.after.offsets[key] for key in keys), rate_eps) or None
        if days is not None:
            notes.append(f"kept for ever, counted by its age so far: {days:.3g} days at this rate")
    return Topic(
        name,
        len(keys),
        0.0 if not rate_eps else None if raw is None else raw * rate_eps / 1e6,
        rate_eps,
        raw,
        readers.members if readers else None,
        readers.groups if readers else None,
        top_key=_top_key(list(gained.values())),
        replication_factor=replicas,
        retention_days=days,
        wire_mb_s=None if size is None else rate_eps * size / 1e6,
        growing_lag_eps=readers.growing_eps if readers else None,
        notes=tuple(notes),
    )


def _top_key(gained: Sequence[int]) -> float | None:
    """The share that one key must have for the busiest partition to stick out so far; 0 if chance would do.

    None: one partition, or too few events to tell.
    """
    total, count, most = sum(gained), len(gained), max(gained, default=0)
    if count < 2 or most < LEAST_EVENTS:
        return None
    mean = total / count
    if most - mean < SURE * math.sqrt(mean):
        return 0.0
    return max((most / total * count - 1) / (count - 1), 0.0)


Committed = Mapping[str, Mapping[Replica, int]]


def _committed(client: Any, blind: _Blind) -> Committed:
    """Group -> what it has committed, for every stable one that may be seen."""
    from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions

    found: dict[str, Mapping[Replica, int]] = {}
    try:
        listed = client.list_consumer_groups(states={ConsumerGroupState.STABLE}).result(TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 -- librdkafka's errors and futures' timeouts: not to be seen, all alike
        blind.note("consumer groups", error)
        return found
    for group in (one.group_id for one in listed.valid):
        try:
            asked = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group]
            answer = asked.result(TIMEOUT_S).topic_partitions or ()
        except Exception as error:  # noqa: BLE001
            blind.note("consumer groups", error)
            continue
        found[group] = {(tp.topic, tp.partition): tp.offset for tp in answer if tp.offset >= 0}
    return found


@dataclass(frozen=True)
class _Look:
    """Where topics end and what groups have committed, at one moment."""

    shot: Snapshot
    committed: Committed

    def of(self, group: str, topic: str) -> dict[Replica, int]:
        """What this group has committed of this topic."""
        return {key: offset for key, offset in self.committed.get(group, {}).items() if key[0] == topic}


def _readers(client: Any, looks: Sequence[_Look], blind: _Blind) -> dict[str, _Readers]:
    """Topic -> who reads it, from members' assignments and from the offsets that they commit meanwhile."""
    last = looks[-1].committed
    found: dict[str, _Readers] = {}
    try:
        described = client.describe_consumer_groups(list(last)) if last else {}
    except Exception as error:  # noqa: BLE001
        blind.note("consumer groups", error)
        described = {}
    for group, future in described.items():
        try:
            members = future.result(TIMEOUT_S).members
        except Exception as error:  # noqa: BLE001
            blind.note("consumer groups", error)
            continue
        held = [{tp.topic for tp in member.assignment.topic_partitions or ()} for member in members]
        idle = sum(not topics for topics in held)
        for topic in set().union(*held, {topic for topic, _ in last[group]}):
            reader = found.setdefault(topic, _Readers())
            reader.groups += 1
            reader.members = max(reader.members, idle + sum(topic in mine for mine in held))
            growth = _growing(group, topic, looks)
            if growth is not None:
                reader.growing_eps = growth if reader.growing_eps is None else max(reader.growing_eps, growth)
    return found


def _growing(group: str, topic: str, looks: Sequence[_Look]) -> float | None:
    """Events a second by which the group falls behind, from trough to trough: a commit lets the lag drop, the time
    until the next one lets it grow, and neither says anything. A trough is seen as late as the next look: a difference
    of less than what comes between two looks is none. None where it does not commit in both halves.
    """
    keys = set.intersection(*(set(look.of(group, topic)) & look.shot.offsets.keys() for look in looks))
    seen = []
    for look in looks:
        done = sum(look.of(group, topic)[key] for key in keys)
        seen.append((look.shot.at_s, sum(look.shot.offsets[key] for key in keys) - done, done))
    middle = len(seen) // 2
    halves = seen[: middle + 1], seen[middle:]
    if not keys or any(half[0][2] == half[-1][2] for half in halves):
        return None
    (early, low, _), (late, high, _) = (min(half, key=lambda point: point[1]) for half in halves)
    came = seen[-1][1] + seen[-1][2] - seen[0][1] - seen[0][2]
    if late <= early or abs(high - low) <= came / (len(seen) - 1):
        return 0.0
    return (high - low) / (late - early)


def _retention(client: Any, topics: Mapping[str, Any], blind: _Blind) -> dict[str, float]:
    """Topic -> days, infinite for one that is kept for ever, where its settings may be described."""
    kafka: Any = importlib.import_module("confluent_kafka.admin")  # what it re-exports is untyped

    found: dict[str, float] = {}
    asked = [kafka.ConfigResource(kafka.ResourceType.TOPIC, name) for name in topics]
    try:
        answers = client.describe_configs(asked)
    except Exception as error:  # noqa: BLE001
        blind.note("topic settings", error)
        return found
    for one, future in answers.items():
        try:
            found[one.name] = retention_days(future.result(TIMEOUT_S))
        except Exception as error:  # noqa: BLE001
            blind.note("topic settings", error)
    return found


def _short(error: BaseException) -> str:
    inner = error.args[0] if error.args else error
    return str(inner.str()) if hasattr(inner, "str") else str(error)
