"""Bytes of each replica on disk, asked of a broker by Kafka's own protocol (DescribeLogDirs v1).

librdkafka's admin client has no such call. Version 1 is the oldest that Kafka 4 answers and the last without tagged
fields; it needs DESCRIBE on the cluster, and changes nothing.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from bench.errors import BrokerError
from bench.login import MECHANISMS, Login

API_KEY, API_VERSION = 35, 1
HANDSHAKE, AUTHENTICATE = (17, 1), (36, 1)  # of SASL: API key and version
CLIENT = b"streamgauge"
LARGEST_ANSWER_BYTES = 256 * 2**20  # a bound on what a wrong port could make us read
PLAIN, TLS, SASL_PLAIN, SASL_TLS = "plaintext", "ssl", "sasl_plaintext", "sasl_ssl"

Replica = tuple[str, int]  # topic, partition
Describe = Callable[[str, int], Mapping[Replica, int]]


def describe(
    host: str, port: int, tls: ssl.SSLContext | None = None, timeout_s: float = 10, login: Login | None = None
) -> Mapping[Replica, int]:
    """Bytes of every replica that the broker at `host`:`port` holds. Raises BrokerError if it will not say.

    Speaks PLAINTEXT, or TLS with a context; with SASL if there is a login.
    """
    where = f"{host}:{port}"
    try:
        plain = socket.create_connection((host, port), timeout=timeout_s)
        with plain, tls.wrap_socket(plain, server_hostname=host) if tls else nullcontext(plain) as link:
            if login:
                _log_in(link, login, where)
            answer = _ask(link, (API_KEY, API_VERSION), struct.pack(">i", -1), where)  # a null array: all topics
    except OSError as error:
        raise BrokerError(f"{where} does not describe its log directories: {error}") from error
    return _parse(answer, where)


def describing(config: Mapping[str, Any]) -> Describe:
    """`describe` as a client with these settings of librdkafka would ask. BrokerError where it cannot."""

    def ask(host: str, port: int) -> Mapping[Replica, int]:
        protocol = str(config.get("security.protocol", PLAIN)).lower()
        if protocol not in (PLAIN, TLS, SASL_PLAIN, SASL_TLS):
            raise BrokerError(f"log directories are not asked for over {protocol.upper()}")
        login = None
        if protocol in (SASL_PLAIN, SASL_TLS):
            mechanism = str(config.get("sasl.mechanism", config.get("sasl.mechanisms", "")))
            if mechanism not in MECHANISMS:
                raise BrokerError(f"log directories are asked for by {', '.join(MECHANISMS)}, not by {mechanism}")
            login = Login(mechanism, str(config.get("sasl.username", "")), str(config.get("sasl.password", "")))
        return describe(host, port, _context(config) if protocol in (TLS, SASL_TLS) else None, login=login)

    return ask


def _context(config: Mapping[str, Any]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.get("ssl.ca.location"))
        if config.get("ssl.endpoint.identification.algorithm") == "none":
            context.check_hostname = False
        if "ssl.certificate.location" in config:
            context.load_cert_chain(
                config["ssl.certificate.location"], config.get("ssl.key.location"), config.get("ssl.key.password")
            )
    except OSError as error:  # ssl.SSLError is one
        raise BrokerError(f"the certificates of the client's settings cannot be used: {error}") from None
    return context


def _log_in(link: socket.socket, login: Login, where: str) -> None:
    refused = f"{where} does not let {login.username} in to describe its log directories"
    mechanism = login.mechanism.encode()
    answer = _Reader(_ask(link, HANDSHAKE, struct.pack(">h", len(mechanism)) + mechanism, where))
    answer.take("i")  # correlation id
    if answer.take("h"):
        raise BrokerError(f"{refused}: {login.mechanism} is not enabled there")

    def exchange(token: bytes) -> bytes:
        told = _Reader(_ask(link, AUTHENTICATE, struct.pack(">i", len(token)) + token, where))
        told.take("i")
        error, message = told.take("h"), told.text()
        if error:
            raise BrokerError(f"{refused}: {message}")
        return told.blob()

    login.perform(exchange)


def _ask(link: socket.socket, api: tuple[int, int], body: bytes, where: str) -> bytes:
    request = struct.pack(">hhih", *api, 1, len(CLIENT)) + CLIENT + body
    link.sendall(struct.pack(">i", len(request)) + request)
    (length,) = struct.unpack(">i", _read(link, 4))
    if not 6 <= length <= LARGEST_ANSWER_BYTES:
        raise BrokerError(f"{where} answered {length} bytes, which is no Kafka broker's log directories")
    return _read(link, length)


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
        return self._some(self.take("h")).decode()

    def blob(self) -> bytes:
        return self._some(self.take("i"))

    def _some(self, length: int) -> bytes:
        length = max(0, length)  # -1: null
        self.at += length
        return self.data[self.at - length : self.at]


def _parse(answer: bytes, where: str) -> dict[Replica, int]:
    """The body: throttle, then directories [error, path, topics [name, partitions [id, size, lag, future]]]."""
    reader = _Reader(answer)
    found: dict[Replica, int] = {}
    reader.take("i")  # correlation id
    reader.take("i")  # throttle, ms
    try:
        directories = reader.take("i")
        if not directories:  # version 1 has no other way to say so
            raise BrokerError(f"{where} says nothing of its log directories: DESCRIBE on the cluster is not allowed")
        for _ in range(directories):
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
