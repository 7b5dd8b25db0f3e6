"""An own librdkafka consumer, in a group or alone: messages come as arrays of addresses, none as a Python object.

Costs 0.7 us an event, everything included, and reads 2.4 M/s alone; confluent-kafka's `consume` takes 0.9-1.1 us, and
asking its messages for value, time and partition 3 us more.
"""

from __future__ import annotations

import ctypes as ct
import json
import time
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.errors import BrokerError
from bench.loadgen.librdkafka import CONSUMER, ERROR, REBALANCED, STATS, configuration, error_name, gather, library
from bench.loadgen.wire import WireByNode, wire_by_node

I64 = npt.NDArray[np.int64]
_ASSIGN = -175
_PARTITION_EOF = -191
_ANY = -1
_BEGINNING = -2


@dataclass(frozen=True)
class Fetched:
    """Messages without an error. Their memory is freed by the next `fetch`.

    `ended`: partitions whose end was met, where the client was told to say so (enable.partition.eof); `failed`: names
    of the errors that came in place of messages.
    """

    addresses: I64
    partition: npt.NDArray[np.int32]
    offset: I64
    value_bytes: I64
    ended: frozenset[int] = frozenset()
    failed: tuple[str, ...] = ()

    def value(self, at: int) -> bytes:
        """One message's value."""
        address = self.addresses[at : at + 1]
        return ct.string_at(int(gather(address, "payload")[0]), int(self.value_bytes[at]))

    def values(self) -> list[bytes]:
        """Every message's value, copied; no value is an empty one."""
        return list(map(ct.string_at, gather(self.addresses, "payload").tolist(), self.value_bytes.tolist()))

    def timestamps_ms(self) -> list[int]:
        """The producer's or the broker's time of every message, ms since the epoch."""
        return list(map(library().rd_kafka_message_timestamp, self.addresses.tolist(), repeat(None)))


class Subscription:
    """One member of a group, reading one topic. It holds still until `begin`. Use it from one thread.

    With `partitions` it joins no group, and reads these from their beginning at once.
    """

    def __init__(
        self, settings: Mapping[str, str], topic: str, batch: int, *, partitions: Collection[int] | None = None
    ) -> None:
        lib = self._lib = library()
        error, conf = ct.create_string_buffer(512), configuration(settings, "consumer")
        # kept: ctypes' own references end with this call, librdkafka's do not
        self._calls = REBALANCED(self._on_rebalance), STATS(self._on_stats), ERROR(self._on_error)
        lib.rd_kafka_conf_set_rebalance_cb(conf, self._calls[0])
        lib.rd_kafka_conf_set_stats_cb(conf, self._calls[1])
        lib.rd_kafka_conf_set_error_cb(conf, self._calls[2])
        self._rk = lib.rd_kafka_new(CONSUMER, conf, error, 512)
        if not self._rk:
            raise BrokerError(f"no consumer: {error.value.decode()}")
        lib.rd_kafka_poll_set_consumer(self._rk)  # statistics and errors come with the messages
        self._queue = lib.rd_kafka_queue_get_consumer(self._rk)
        self._room = np.zeros(batch, dtype=np.int64)
        self._held = self._room[:0]
        self._begun = False
        self.assigned: set[int] = set()
        self.rebalances_s: list[float] = []  # when partitions were given to this member, s since the epoch
        self.errors: dict[str, int] = {}
        self.rx_bytes = 0  # on the wire, as of the client's last statistics
        self.wire: WireByNode = {}  # the same by broker
        self.stats_s = 0.0  # when they came, s since the epoch
        self.asked_s = time.time()  # to join the group, s since the epoch
        self._topic = topic
        wanted = self._list({_ANY} if partitions is None else set(partitions))
        for partition in partitions or ():  # said, or librdkafka asks a group's coordinator where to begin
            lib.rd_kafka_topic_partition_list_set_offset(wanted, topic.encode(), partition, _BEGINNING)
        code = (lib.rd_kafka_subscribe if partitions is None else lib.rd_kafka_assign)(self._rk, wanted)
        lib.rd_kafka_topic_partition_list_destroy(wanted)
        if code:
            raise BrokerError(f"subscribing to {topic}: {error_name(code)}")

    def begin(self) -> None:
        """Let what is owned, and what will be, be read."""
        self._begun = True
        mine = self._list(self.assigned)
        self._lib.rd_kafka_resume_partitions(self._rk, mine)
        self._lib.rd_kafka_topic_partition_list_destroy(mine)

    def fetch(self, timeout_ms: int) -> Fetched:
        """The next messages, at most a batch; none when there were none in time."""
        # a list rather than a loop: the call is all that is left of Python for a message
        deque(map(self._lib.rd_kafka_message_destroy, self._held.tolist()), maxlen=0)
        room = self._room
        got = self._lib.rd_kafka_consume_batch_queue(self._queue, timeout_ms, room.ctypes.data, len(room))
        self._held = addresses = room[: max(0, got)]
        errors = gather(addresses, "err")
        ended: frozenset[int] = frozenset()
        failed: tuple[str, ...] = ()
        if errors.any():
            ended = frozenset(gather(addresses[errors == _PARTITION_EOF], "partition").tolist())
            failed = tuple(error_name(code) for code in errors[(errors != 0) & (errors != _PARTITION_EOF)].tolist())
            for name in failed:
                self._note(name, 1)
            addresses = addresses[errors == 0]
        partition, offset, value_bytes = (gather(addresses, name) for name in ("partition", "offset", "len"))
        return Fetched(addresses, partition, offset, value_bytes, ended, failed)

    def close(self) -> None:
        """Commit, leave the group and free the client."""
        deque(map(self._lib.rd_kafka_message_destroy, self._held.tolist()), maxlen=0)
        self._held = self._room[:0]
        self._lib.rd_kafka_consumer_close(self._rk)
        self._lib.rd_kafka_queue_destroy(self._queue)
        self._lib.rd_kafka_destroy(self._rk)

    def _list(self, partitions: set[int]) -> int:
        made = self._lib.rd_kafka_topic_partition_list_new(max(1, len(partitions)))
        for partition in partitions:
            self._lib.rd_kafka_topic_partition_list_add(made, self._topic.encode(), partition)
        return int(made)

    def _on_rebalance(self, rk: int, code: int, partitions: int, _opaque: int) -> None:
        given, named = code == _ASSIGN, _partitions(partitions)
        if not given and self._begun:  # whoever gets them goes on where this member stopped
            self._lib.rd_kafka_commit(rk, None, 0)
        if self._lib.rd_kafka_rebalance_protocol(rk) == b"COOPERATIVE":  # KIP-848: what changes, not all there is
            change = self._lib.rd_kafka_incremental_assign if given else self._lib.rd_kafka_incremental_unassign
            if wrong := change(rk, partitions):
                self._note(error_name(self._lib.rd_kafka_error_code(wrong)), 1)
                self._lib.rd_kafka_error_destroy(wrong)
            self.assigned = self.assigned | named if given else self.assigned - named
        else:
            self._lib.rd_kafka_assign(rk, partitions if given else None)
            self.assigned = named if given else set()
        if given:
            self.rebalances_s.append(time.time())
            if not self._begun:
                self._lib.rd_kafka_pause_partitions(rk, partitions)

    def _on_stats(self, _rk: int, text: int, length: int, _opaque: int) -> int:
        told = json.loads(ct.string_at(text, length))
        self.rx_bytes, self.wire = int(told["rx_bytes"]), wire_by_node(told)
        self.stats_s = time.time()
        return 0  # librdkafka frees the text

    def _on_error(self, _rk: int, code: int, _reason: bytes, _opaque: int) -> None:
        self._note(error_name(code), 1)

    def _note(self, name: str, count: int) -> None:
        self.errors[name] = self.errors.get(name, 0) + count


_ELEMENT = np.dtype(  # rd_kafka_topic_partition_t on 64 bits
    [
        ("topic", "u8"), ("partition", "i4"), ("_a", "u4"), ("offset", "i8"), ("metadata", "u8"),
        ("metadata_size", "u8"), ("opaque", "u8"), ("err", "i4"), ("_b", "u4"), ("_private", "u8"),
    ]
)  # fmt: skip
assert _ELEMENT.itemsize == 64


def _partitions(partitions: int) -> set[int]:
    """Of an rd_kafka_topic_partition_list_t: int cnt, int size, elements."""
    count = ct.c_int.from_address(partitions).value
    if not count:
        return set()
    elements: Any = np.frombuffer(
        ct.string_at(ct.c_void_p.from_address(partitions + 8).value or 0, count * 64), _ELEMENT
    )
    return {int(partition) for partition in elements["partition"]}
