"""How encoded events reach Kafka: one face, three engines, so that the difference between them is itself a measurement.

native          rd_kafka_produce_batch on numpy arrays (bench.loadgen.native), the default
produce_batch   confluent-kafka's Producer.produce_batch: a dict for each event
produce         confluent-kafka's Producer.produce: a call for each event
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from confluent_kafka import KafkaException, Message, Producer

from bench import keyring
from bench.errors import ScenarioError
from bench.loadgen import native
from bench.loadgen.librdkafka import MESSAGE
from bench.workloads import Batch
from bench.workloads.draws import partition_of

I64 = npt.NDArray[np.int64]
QUEUE_EVENTS = 1_600_000  # of all workers together: about 1 GiB of memory when full, however long the run
QUEUE_KBYTES = 409_600


def client_settings(bootstrap: str, producer: Mapping[str, Any], workers: int = 1) -> dict[str, str]:
    """Librdkafka's properties for a scenario's `producer:` section.

    Lowest first: bases that hold 1 M events/s, then the section, then a `client` mapping of properties, which tests may
    give and scenarios may not. Idempotence is on unless said otherwise (Java's default; librdkafka's own is off).
    """
    acks = str(producer.get("acks", "all"))
    idempotent = bool(producer.get("idempotent", True)) and acks in ("all", "-1")
    base: dict[str, Any] = {
        **keyring.client(bootstrap),
        "client.id": "streamgauge",
        "acks": acks,
        "enable.idempotence": idempotent,
        "linger.ms": producer.get("linger_ms", 10),
        "batch.size": producer.get("batch_bytes", 900_000),
        "batch.num.messages": 10_000,
        "compression.type": producer.get("compression", "lz4"),
        "queue.buffering.max.messages": QUEUE_EVENTS // workers,
        "queue.buffering.max.kbytes": QUEUE_KBYTES // workers,
        "message.timeout.ms": 30_000,
        "statistics.interval.ms": 1000,
        "partitioner": "murmur2_random",
    }
    merged = base | dict(producer.get("client") or {})
    return {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in merged.items()}


class Engine(Protocol):
    """Hands events to a client. Not thread-safe; make it after any fork."""

    failed: dict[str, int]
    errors: dict[str, int]

    def prepare(self, batch: Batch, due_ns: I64, slices: I64) -> Any:
        """Order a batch for sending; `slices` (int64[k + 1]) are the bounds of the parts that will be sent together."""
        ...

    def send(self, prepared: Any, start: int, stop: int) -> int:
        """Hand over [start, stop) of a prepared batch; returns how many fitted before the queue was full."""
        ...

    def poll(self) -> None: ...

    def take_stats(self) -> list[dict[str, Any]]: ...

    def take_acked(self) -> tuple[I64, I64]: ...

    @property
    def acked(self) -> int: ...

    @property
    def queued(self) -> int: ...

    def close(self) -> None: ...


class Router:
    """Which partition each event goes to. Keyed agrees with Java's murmur2 partitioner; sticky fills one at a time."""

    def __init__(self, routing: str, partitions: int, batch_bytes: int, first: int = 0) -> None:
        if routing not in ("keyed", "sticky"):
            raise ScenarioError(f"producer.routing: {routing!r} is neither keyed nor sticky")
        self.keyed, self.partitions, self._batch_bytes = routing == "keyed", partitions, batch_bytes
        self._sent_bytes = first * batch_bytes  # workers start on different partitions

    def follow(self, statistics: Mapping[str, Any]) -> None:
        """A topic that has grown is written to in whole, as soon as the client knows of it (its metadata's refresh)."""
        for topic in statistics.get("topics", {}).values():
            known = sum(int(partition) >= 0 for partition in topic["partitions"])
            self.partitions = max(self.partitions, known)

    def route(self, batch: Batch, slices: I64) -> tuple[npt.NDArray[np.int32], I64 | None]:
        """(partition of each event in sending order, or that order if it is not the given one).

        Keyed: each slice grouped by partition, stably, so that a key's events keep their order: librdkafka then takes
        runs of one partition, 2-3 times cheaper than alternating ones.
        """
        n = len(batch)
        if not self.keyed:
            filled = self._sent_bytes + np.cumsum(batch.lengths)
            self._sent_bytes = int(filled[-1])
            starts = filled[np.maximum(slices[:-1] - 1, 0)] // self._batch_bytes  # a slice stays together
            return np.repeat(starts % self.partitions, np.diff(slices)).astype(np.int32), None
        partition = partition_of(batch.key_hash, self.partitions)
        slots = (len(slices) - 1) * self.partitions
        group = (
            partition
            if len(slices) == 2
            else partition
            + np.repeat(np.arange(len(slices) - 1, dtype=np.int32) * np.int32(self.partitions), np.diff(slices))
        )
        small = group.astype(np.uint16) if slots <= 1 << 16 else group  # radix sort below 16 bits
        order = np.argsort(small, kind="stable")
        assert len(order) == n
        return partition[order], order


class NativeEngine:
    """The default: see bench.loadgen.native."""

    def __init__(
        self, settings: Mapping[str, str], topic: str, router: Router, *, keyless: bool = False, sample_every: int = 1
    ) -> None:
        self._handle = native.Handle(settings, topic, sample_every=sample_every)
        self._router, self._keyless = router, keyless
        self.failed, self.errors = self._handle.failed, self._handle.errors

    @property
    def acked(self) -> int:
        return self._handle.acked

    @property
    def queued(self) -> int:
        return self._handle.queued

    def prepare(self, batch: Batch, due_ns: I64, slices: I64) -> tuple[npt.NDArray[np.void], Batch]:
        partition, order = self._router.route(batch, slices)
        n = len(batch)
        messages = np.zeros(n, dtype=MESSAGE)
        index = np.arange(n) if order is None else order
        messages["partition"] = partition
        messages["payload"] = batch.rows.ctypes.data + index * batch.rows.shape[1]
        messages["len"] = batch.lengths if order is None else batch.lengths.take(order)
        if not self._keyless:
            lengths = batch.key_lengths
            messages["key"] = batch.keys.ctypes.data + index * batch.keys.shape[1]
            messages["key_len"] = batch.keys.shape[1] if lengths is None else lengths.take(index)
        messages["private"] = due_ns if order is None else due_ns.take(order)
        return messages, batch  # the batch keeps the bytes alive

    def send(self, prepared: tuple[npt.NDArray[np.void], Batch], start: int, stop: int) -> int:
        return self._handle.produce(prepared[0][start:stop])

    def poll(self) -> None:
        self._handle.poll()

    def take_stats(self) -> list[dict[str, Any]]:
        taken, self._handle.stats = self._handle.stats, []
        if taken:
            self._router.follow(taken[-1])
        return taken

    def take_acked(self) -> tuple[I64, I64]:
        return self._handle.take_acked()

    def close(self) -> None:
        self._handle.close()


class ConfluentEngine:
    """confluent-kafka's own calls, for comparison: `produce_batch` (cannot choose partitions) or `produce`."""

    def __init__(
        self, settings: Mapping[str, str], topic: str, router: Router, *, batched: bool, keyless: bool
    ) -> None:
        self._acked = 0
        self.failed: dict[str, int] = {}
        self.errors: dict[str, int] = {}
        self._stats: list[dict[str, Any]] = []
        self._topic, self._router, self._batched, self._keyless = topic, router, batched, keyless
        self._producer = Producer({**settings, "stats_cb": self._on_stats, "error_cb": self._on_error})
        self._producer.list_topics(topic, timeout=15)

    @property
    def acked(self) -> int:
        return self._acked

    @property
    def queued(self) -> int:
        return len(self._producer)

    def prepare(self, batch: Batch, due_ns: I64, slices: I64) -> list[dict[str, Any]]:
        del due_ns  # travels in the payload; these engines have no room for it beside the message
        partition, order = self._router.route(batch, slices)
        index = range(len(batch)) if order is None else order.tolist()
        whole, stride = batch.rows.tobytes(), batch.rows.shape[1]
        lengths = batch.lengths.tolist()
        made = []
        for i, part in zip(index, partition.tolist(), strict=True):
            message: dict[str, Any] = {"value": whole[i * stride : i * stride + lengths[i]]}
            if not self._keyless:
                message["key"] = batch.key(i)
            if self._batched:
                message["callback"] = self._on_delivery
            else:
                message["partition"] = part
            made.append(message)
        return made

    def send(self, prepared: list[dict[str, Any]], start: int, stop: int) -> int:
        if self._batched:
            part = prepared[start:stop]
            return int(self._producer.produce_batch(self._topic, part))
        for i in range(start, stop):
            try:
                self._producer.produce(self._topic, on_delivery=self._on_delivery, **prepared[i])
            except BufferError:
                return i - start
            except KafkaException as e:
                self._count(e.args[0].name())
        return stop - start

    def poll(self) -> None:
        self._producer.poll(0)

    def _on_delivery(self, error: Any, _message: Message) -> None:
        if error is None:
            self._acked += 1
        else:
            self._count(error.name())

    def _count(self, name: str) -> None:
        self.failed[name] = self.failed.get(name, 0) + 1

    def _on_stats(self, document: str) -> None:
        self._stats.append(json.loads(document))

    def _on_error(self, error: Any) -> None:
        self.errors[error.name()] = self.errors.get(error.name(), 0) + 1

    def take_stats(self) -> list[dict[str, Any]]:
        taken, self._stats = self._stats, []
        return taken

    def take_acked(self) -> tuple[I64, I64]:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)  # no cheap way to a due time in these engines

    def close(self) -> None:
        self._producer.purge()


def open_engine(
    producer: Mapping[str, Any], *, bootstrap: str, topic: str, partitions: int, worker: int, workers: int,
    sample_every: int = 1,
) -> Engine:  # fmt: skip
    """The engine that `producer.engine` names, for one worker of several; `sample_every`: see `native.Handle`."""
    settings = client_settings(bootstrap, producer, workers)
    routing = str(producer.get("routing", "keyed"))
    keyless = routing == "sticky"  # null keys, as Java's sticky partitioner wants them
    first = worker * max(1, partitions // max(workers, 1))
    router = Router(routing, partitions, int(settings["batch.size"]), first)
    kind = str(producer.get("engine", "native"))
    if kind == "native":
        return NativeEngine(settings, topic, router, keyless=keyless, sample_every=sample_every)
    if kind in ("produce_batch", "produce"):
        return ConfluentEngine(settings, topic, router, batched=kind == "produce_batch", keyless=keyless)
    raise ScenarioError(f"producer.engine: {kind!r}, expected native, produce_batch or produce")
