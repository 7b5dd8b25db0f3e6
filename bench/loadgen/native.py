"""An own librdkafka producer through ctypes: messages are described in a numpy array, no Python object for any of them.

`rd_kafka_produce_batch` releases the GIL for a whole chunk and costs 0.4-0.7 us an event; confluent-kafka's own calls,
which make Python objects, cost two to three times that.
"""

from __future__ import annotations

import ctypes as ct
import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.errors import BrokerError
from bench.loadgen.librdkafka import PRODUCER, configuration, error_name, library

_F_COPY, _F_PARTITION = 2, 8
_EVENT_DR, _EVENT_ERROR, _EVENT_STATS = 1, 8, 0x40
QUEUE_FULL = -184
_UNKNOWN_PARTITION_ANY = -1


class Handle:
    """One librdkafka producer and one topic. Make it after any fork; use it from one thread.

    `messages` arrays (dtype MESSAGE) must stay alive only during `produce`: librdkafka copies. `sample_every`: of which
    share of the acknowledged events `take_acked` tells.
    """

    def __init__(
        self, settings: Mapping[str, str], topic: str, metadata_timeout_s: float = 15.0, *, sample_every: int = 1
    ) -> None:
        lib = self._lib = library()
        error, conf = ct.create_string_buffer(512), configuration(settings, "producer")
        lib.rd_kafka_conf_set_events(conf, _EVENT_DR | _EVENT_ERROR | _EVENT_STATS)
        self._rk = lib.rd_kafka_new(PRODUCER, conf, error, 512)
        if not self._rk:
            raise BrokerError(f"no producer: {error.value.decode()}")
        self._queue = lib.rd_kafka_queue_get_main(self._rk)
        self._topic = lib.rd_kafka_topic_new(self._rk, topic.encode(), None)
        self.acked = 0
        self.failed: dict[str, int] = {}  # error name -> events that will never be delivered
        self.errors: dict[str, int] = {}  # error text -> times said by the client (broker down, ...)
        self.stats: list[dict[str, Any]] = []  # statistics documents since the last `take_stats`
        self._acked_sample: list[tuple[int, int]] = []  # (due, acknowledged) in ns, of one event in so many
        self._sample_every, self._to_next = sample_every, 0  # acknowledged events until the next one of the sample
        self._pointers = np.zeros(200_000, dtype=np.uint64)
        self._fetch_metadata(topic, metadata_timeout_s)

    def _fetch_metadata(self, topic: str, timeout_s: float) -> None:
        """Produce before metadata is known and messages pile up unassigned: wait for it first."""
        found = ct.c_void_p()
        code = self._lib.rd_kafka_metadata(self._rk, 0, self._topic, ct.byref(found), int(timeout_s * 1000))
        if code:
            self.poll()  # what the client had to say meanwhile: a refused login, a broker that is down
            told = ", ".join(f"{name} ({times} times)" for name, times in self.errors.items())
            self.close()
            raise BrokerError(
                f"topic {topic}: no metadata within {timeout_s:g} s ({error_name(code)})"
                + (f"; the client said {told}" if told else "")
            )
        self._lib.rd_kafka_metadata_destroy(found)

    @property
    def queued(self) -> int:
        """Messages (and events) in the client: waiting, in flight, or acknowledged but not polled."""
        return int(self._lib.rd_kafka_outq_len(self._rk))

    def produce(self, messages: npt.NDArray[np.void]) -> int:
        """Hand over from the first; returns how many were dealt with before the queue was full.

        A message that is refused for another reason (too large, no such partition) counts as dealt with, in `failed`.
        """
        n = len(messages)
        good = self._lib.rd_kafka_produce_batch(
            self._topic, _UNKNOWN_PARTITION_ANY, _F_COPY | _F_PARTITION, messages.ctypes.data, n
        )
        if good == n:
            return n
        errors = messages["err"]
        full = np.flatnonzero(errors == QUEUE_FULL)
        done = int(full[0]) if full.size else n  # after the first "full" librdkafka refuses all the rest
        for code, count in zip(*np.unique(errors[:done], return_counts=True), strict=True):
            if code:
                self._fail(int(code), int(count))
        return done

    def poll(self, timeout_ms: int = 0) -> None:
        """Take what librdkafka has to say: acknowledgements, errors, statistics."""
        lib = self._lib
        while event := lib.rd_kafka_queue_poll(self._queue, timeout_ms):
            timeout_ms = 0
            kind = lib.rd_kafka_event_type(event)
            if kind == _EVENT_DR:
                self._delivered(event)
            elif kind == _EVENT_STATS:
                self.stats.append(json.loads(lib.rd_kafka_event_stats(event)))
            elif kind == _EVENT_ERROR:
                text = error_name(lib.rd_kafka_event_error(event))
                self.errors[text] = self.errors.get(text, 0) + 1
            lib.rd_kafka_event_destroy(event)

    def _delivered(self, event: int) -> None:
        """One event carries the reports of one batch of one partition, and they share their fate: look at the first.

        Latencies are of every `sample_every`-th acknowledged event, whatever batches they come in: what a stall held up
        comes back in a few large ones, so that drawing batches would lose the stall. A batch is walked as far as its
        last such event, and not at all without one: walking all of them costs as much as encoding.
        """
        lib, pointers, now = self._lib, self._pointers, time.time_ns()
        count = int(lib.rd_kafka_event_message_count(event))
        if not lib.rd_kafka_event_message_array(event, pointers.ctypes.data, 1):
            return
        bad = ct.c_int32.from_address(int(pointers[0])).value
        sampled = range(self._to_next, count, self._sample_every)
        if not bad and not sampled:
            self.acked += count
            self._to_next -= count
            return
        got = self._walk(event, 1, count if bad else sampled[-1] + 1)
        if bad or ct.c_int32.from_address(int(pointers[got - 1])).value:
            self._count_one_by_one(self._walk(event, got, count))
            return
        self.acked += count
        self._to_next = sampled[-1] + self._sample_every - count
        chosen = pointers[sampled.start : got : self._sample_every].tolist()
        self._acked_sample += [(ct.c_uint64.from_address(at + 64).value, now) for at in chosen]

    def _walk(self, event: int, got: int, wanted: int) -> int:
        """Fetch the pointers of an event's messages up to `wanted`, `got` being there; how many are there then."""
        while got < wanted:
            more = self._lib.rd_kafka_event_message_array(event, self._pointers[got:].ctypes.data, wanted - got)
            if not more:
                break
            got += int(more)
        return got

    def _count_one_by_one(self, got: int) -> None:
        for at in self._pointers[:got].tolist():
            code = ct.c_int32.from_address(at).value
            if code:
                self._fail(code, 1)
            else:
                self.acked += 1

    def _fail(self, code: int, count: int) -> None:
        name = error_name(code)
        self.failed[name] = self.failed.get(name, 0) + count

    def take_acked(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(due ns, acknowledged ns) of the sampled events since the last call."""
        pairs, self._acked_sample = np.array(self._acked_sample, dtype=np.int64).reshape(-1, 2), []
        return pairs[:, 0], pairs[:, 1]

    def close(self) -> None:
        """Drop what is left and free the client."""
        if self._rk:
            self._lib.rd_kafka_purge(self._rk, 3)
            self._lib.rd_kafka_topic_destroy(self._topic)
            self._lib.rd_kafka_queue_destroy(self._queue)
            self._lib.rd_kafka_destroy(self._rk)
            self._rk = None
