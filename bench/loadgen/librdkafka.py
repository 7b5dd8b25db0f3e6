"""The librdkafka that confluent-kafka's wheel carries, called directly: signatures, its message struct, bulk reading.

Its C calls release the GIL and take arrays, so that no Python object is made for an event on either way.
"""

from __future__ import annotations

import ctypes as ct
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import confluent_kafka
import numpy as np
import numpy.typing as npt

from bench.errors import BrokerError, HostError

MESSAGE = np.dtype(  # rd_kafka_message_t on 64 bits
    [
        ("err", "i4"), ("_a", "u4"), ("topic", "u8"), ("partition", "i4"), ("_b", "u4"), ("payload", "u8"),
        ("len", "u8"), ("key", "u8"), ("key_len", "u8"), ("offset", "i8"), ("private", "u8"),
    ]
)  # fmt: skip
assert MESSAGE.itemsize == 72

CONF_OK = 0
PRODUCER, CONSUMER = 0, 1
REBALANCED = ct.CFUNCTYPE(None, ct.c_void_p, ct.c_int, ct.c_void_p, ct.c_void_p)
STATS = ct.CFUNCTYPE(ct.c_int, ct.c_void_p, ct.c_void_p, ct.c_size_t, ct.c_void_p)
ERROR = ct.CFUNCTYPE(None, ct.c_void_p, ct.c_int, ct.c_char_p, ct.c_void_p)


@lru_cache(maxsize=1)
def library() -> Any:
    """The librdkafka inside confluent-kafka's wheel, with the signatures we use. Missing: HostError."""
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    found = sorted(folder.glob("librdkafka-*.so*"))
    if not found:
        raise HostError(f"no librdkafka beside confluent-kafka (looked for {folder.name}/librdkafka-*.so*)")
    lib = ct.CDLL(str(found[0]))
    p, i, s = ct.c_void_p, ct.c_int, ct.c_size_t
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "rd_kafka_version_str": (ct.c_char_p, []),
        "rd_kafka_err2name": (ct.c_char_p, [i]),
        "rd_kafka_err2str": (ct.c_char_p, [i]),
        "rd_kafka_conf_new": (p, []),
        "rd_kafka_conf_set": (i, [p, ct.c_char_p, ct.c_char_p, ct.c_char_p, s]),
        "rd_kafka_conf_set_events": (None, [p, i]),
        "rd_kafka_new": (p, [i, p, ct.c_char_p, s]),
        "rd_kafka_destroy": (None, [p]),
        "rd_kafka_topic_new": (p, [p, ct.c_char_p, p]),
        "rd_kafka_topic_destroy": (None, [p]),
        "rd_kafka_metadata": (i, [p, i, p, ct.POINTER(p), i]),
        "rd_kafka_metadata_destroy": (None, [p]),
        "rd_kafka_produce_batch": (i, [p, ct.c_int32, i, p, i]),
        "rd_kafka_outq_len": (i, [p]),
        "rd_kafka_purge": (i, [p, i]),
        "rd_kafka_queue_get_main": (p, [p]),
        "rd_kafka_queue_destroy": (None, [p]),
        "rd_kafka_queue_poll": (p, [p, i]),
        "rd_kafka_event_type": (i, [p]),
        "rd_kafka_event_destroy": (None, [p]),
        "rd_kafka_event_message_count": (s, [p]),
        "rd_kafka_event_message_array": (s, [p, p, s]),
        "rd_kafka_event_stats": (ct.c_char_p, [p]),
        "rd_kafka_event_error": (i, [p]),
        "rd_kafka_poll_set_consumer": (i, [p]),
        "rd_kafka_conf_set_rebalance_cb": (None, [p, REBALANCED]),
        "rd_kafka_conf_set_stats_cb": (None, [p, STATS]),
        "rd_kafka_conf_set_error_cb": (None, [p, ERROR]),
        "rd_kafka_topic_partition_list_new": (p, [i]),
        "rd_kafka_topic_partition_list_add": (p, [p, ct.c_char_p, ct.c_int32]),
        "rd_kafka_topic_partition_list_set_offset": (i, [p, ct.c_char_p, ct.c_int32, ct.c_int64]),
        "rd_kafka_topic_partition_list_destroy": (None, [p]),
        "rd_kafka_subscribe": (i, [p, p]),
        "rd_kafka_commit": (i, [p, p, i]),
        "rd_kafka_assign": (i, [p, p]),
        "rd_kafka_incremental_assign": (p, [p, p]),
        "rd_kafka_incremental_unassign": (p, [p, p]),
        "rd_kafka_rebalance_protocol": (ct.c_char_p, [p]),
        "rd_kafka_error_code": (i, [p]),
        "rd_kafka_error_destroy": (None, [p]),
        "rd_kafka_pause_partitions": (i, [p, p]),
        "rd_kafka_resume_partitions": (i, [p, p]),
        "rd_kafka_queue_get_consumer": (p, [p]),
        "rd_kafka_consume_batch_queue": (ct.c_ssize_t, [p, i, p, s]),
        "rd_kafka_message_destroy": (None, [p]),
        "rd_kafka_message_timestamp": (ct.c_int64, [p, p]),
        "rd_kafka_consumer_close": (i, [p]),
        "rd_kafka_mock_cluster_new": (p, [p, i]),
        "rd_kafka_mock_cluster_destroy": (None, [p]),
        "rd_kafka_mock_cluster_bootstraps": (ct.c_char_p, [p]),
        "rd_kafka_mock_topic_create": (i, [p, ct.c_char_p, i, i]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def version() -> str:
    """Version of librdkafka, e.g. 2.16.0."""
    return str(library().rd_kafka_version_str().decode())


def error_name(code: int) -> str:
    """Librdkafka's name of an error code, e.g. _QUEUE_FULL."""
    return str(library().rd_kafka_err2name(code).decode())


def configuration(settings: Mapping[str, str], whose: str) -> int:
    """An rd_kafka_conf_t of these settings. BrokerError names a setting that librdkafka refuses."""
    lib, error = library(), ct.create_string_buffer(512)
    conf = lib.rd_kafka_conf_new()
    for name, value in settings.items():
        if lib.rd_kafka_conf_set(conf, name.encode(), value.encode(), error, 512) != CONF_OK:
            raise BrokerError(f"{whose} setting {name}={value}: {error.value.decode()}")
    return int(conf)


class _Memory:
    """All of this process's memory as an array of 32-bit words; an index is read only when it is asked for."""

    __array_interface__: Mapping[str, Any] = {"data": (4096, True), "shape": (1 << 46,), "typestr": "<i4", "version": 3}


_WORDS: npt.NDArray[np.int32] = np.asarray(_Memory())
_LONGS: npt.NDArray[np.int64] = _WORDS.view(np.int64)
_BYTES: npt.NDArray[np.uint8] = _WORDS.view(np.uint8)


def gather(addresses: npt.NDArray[np.int64], name: str) -> npt.NDArray[Any]:
    """One field of the messages that live at these addresses. They must be alive: nothing checks it."""
    kind, offset = MESSAGE.fields[name][:2]  # type: ignore[index]
    shift, memory = (2, _WORDS) if kind.itemsize == 4 else (3, _LONGS)
    found: npt.NDArray[Any] = memory[(addresses + (offset - 4096)) >> shift]
    return found


def gather_bytes(addresses: npt.NDArray[np.int64], offset: int, width: int) -> npt.NDArray[np.uint8]:
    """uint8[n, width]: what lies `offset` bytes behind each address. It must be alive, as in `gather`."""
    found: npt.NDArray[np.uint8] = _BYTES[(addresses + (offset - 4096))[:, None] + np.arange(width)]
    return found
