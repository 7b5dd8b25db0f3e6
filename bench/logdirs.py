"""Bytes of each replica on disk, asked of a broker by Kafka's own protocol (DescribeLogDirs v1).

librdkafka's admin client has no such call. Version 1 is the oldest that Kafka 4 answers and the last without tagged
fields; it needs DESCRIBE on the cluster, and changes nothing.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Mapping

from bench.errors import BrokerError

API_KEY, API_VERSION = 35, 1
CLIENT = b"streamgauge"
LARGEST_ANSWER_BYTES = 256 * 2**20  # a bound on what a wrong port could make us read

Replica = tuple[str, int]  # topic, partition


def describe(host: str, port: int, tls: ssl.SSLContext | None = None, timeout_s: float = 10) -> Mapping[Replica, int]:
    """Bytes of every replica that the broker at `host`:`port` holds. Raises BrokerError if it will not say.

    Speaks PLAINTEXT, or TLS with a context; not SASL.
    """
    header = struct.pack(">hhih", API_KEY, API_VERSION, 1, len(CLIENT)) + CLIENT
    request = header + struct.pack(">i", -1)  # a null array: all topics
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as plain:
            link = tls.wrap_socket(plain, server_hostname=host) if tls else plain
            link.sendall(struct.pack(">i", len(request)) + request)
            (length,) = struct.unpack(">i", _read(link, 4))
            if not 8 <= length <= LARGEST_ANSWER_BYTES:
                raise BrokerError(f"{host}:{port} answered {length} bytes, which is no Kafka broker's log directories")
            answer = _read(link, length)
    except OSError as error:
        raise BrokerError(f"{host}:{port} does not describe its log directories: {error}") from error
    return _parse(answer, f"{host}:{port}")


def _read(link: socket.socket, count: int) -> bytes:
    chunks: list[bytes] = []
    while count:
        chunk = link.recv(min(count, 1 << 20))
        if not chunk:
            raise ConnectionError("the connection was closed")
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> int:
        (value,) = struct.unpack_from(f">{form}", self.data, self.at)
        self.at += struct.calcsize(form)
        return int(value)

    def text(self) -> str:
        length = self.take("h")
        self.at += length
        return self.data[self.at - length : self.at].decode()


def _parse(answer: bytes, where: str) -> dict[Replica, int]:
    """The body: throttle, then directories [error, path, topics [name, partitions [id, size, lag, future]]]."""
    reader = _Reader(answer)
    found: dict[Replica, int] = {}
    reader.take("i")  # correlation id
    reader.take("i")  # throttle, ms
    try:
        for _ in range(reader.take("i")):
            error, path = reader.take("h"), reader.text()
            if error:
                raise BrokerError(f"{where}: log directory {path}: Kafka error {error}")
            for _ in range(reader.take("i")):
                topic = reader.text()
                for _ in range(reader.take("i")):
                    partition, size = reader.take("i"), reader.take("q")
                    reader.take("q")  # offset lag
                    future = reader.take("b")  # a replica on its way to another directory is counted where it is
                    if not future:
                        found[topic, partition] = found.get((topic, partition), 0) + size
    except struct.error as error:
        raise BrokerError(f"{where}: its log directories cannot be read: {error}") from error
    return found
