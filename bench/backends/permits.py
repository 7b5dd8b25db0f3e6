"""What a login may do on a cluster that is somebody else's, tried on one small topic; and what a failure means.

Every failure is one sentence: the cause, and the next step. Nothing outlives the trial of it but what may not be
deleted, and that is said.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # not re-exported

from bench import keyring
from bench.analysis.clock import Exchange, Offset, hull, offset
from bench.errors import BrokerError

AUTHENTICATION, SSL, RESOLVE, TRANSPORT = (
    KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError._RESOLVE, KafkaError._TRANSPORT,  # noqa: SLF001 -- public
)  # fmt: skip
CONNECT_S = 8.0  # a TLS handshake and a login across an ocean take one; the whole preflight has fifteen
STEP_S = 5.0
PROBES = 20  # exchanges with each broker's clock
PAGE = "docs/remote.md"
Clock = Callable[[], int]


def connected(bootstrap: str) -> tuple[AdminClient, Any]:
    """A client that has talked to a broker, and what that told of the cluster; BrokerError says why it does not."""
    told: list[KafkaError] = []
    quick: dict[str, Any] = {"log_level": 0, "error_cb": told.append, "socket.connection.setup.timeout.ms": "5000"}
    try:
        admin = AdminClient({**keyring.client(bootstrap), **quick})
    except KafkaException as error:
        raise BrokerError(f"the client's settings cannot be used: {error.args[0].str()}; see {PAGE}") from None
    end = time.monotonic() + CONNECT_S
    while time.monotonic() < end:
        try:
            return admin, admin.list_topics(timeout=1.0)
        except KafkaException as error:
            last = error.args[0]
        admin.poll(0)
        if why := refusal(bootstrap, told):
            raise BrokerError(why)
    raise BrokerError(unreachable(bootstrap, [*told, last]))


def refusal(bootstrap: str, told: Sequence[KafkaError]) -> str:
    """Why no further attempt would help, "" while one might."""
    for error in told:
        said = error.str()
        if error.code() == AUTHENTICATION:
            return (
                f"{bootstrap} refuses the login of {_who(bootstrap)}: {_tail(said)}; correct sasl.username, its "
                f"password or sasl.mechanism ({PAGE})"
            )
        if error.code() == SSL and "certificate" in said.lower():
            return (
                f"the certificate of {bootstrap} is not trusted: {_tail(said)}; name the authority that signed it in "
                f"ssl.ca.location ({PAGE})"
            )
    return ""


def unreachable(bootstrap: str, told: Sequence[KafkaError]) -> str:
    """What nobody answered, and what to look at first."""
    known = {error.code(): error.str() for error in reversed(told)}  # the first of a kind names the address
    order = (SSL, RESOLVE, TRANSPORT)
    said = next((known[code] for code in order if code in known), next(iter(known.values()), "no answer"))
    return (
        f"no broker answers at {bootstrap}: {_tail(said)}; check the address, that it can be reached from here, and "
        f"security.protocol ({PAGE})"
    )


def _tail(said: str) -> str:
    """Without the address that librdkafka puts before it, and without what it adds in brackets."""
    return (
        said.rsplit("]: ", maxsplit=1)[-1]
        .rsplit("bootstrap: ", maxsplit=1)[-1]
        .split(" (after ", maxsplit=1)[0]
        .rstrip(". ")
    )


def _who(bootstrap: str) -> str:
    return keyring.security(bootstrap).get("sasl.username") or "this client"


def _note(into: list[tuple[Any, Any, int]], clock: Clock, error: Any, message: Any) -> None:
    into.append((error, message, clock()))


class Preflight:
    """One small topic: made, written, read and removed."""

    def __init__(self, admin: AdminClient, bootstrap: str, prefix: str) -> None:
        self._admin, self._bootstrap, self._prefix = admin, bootstrap, prefix
        self.topic = f"{prefix}preflight-{os.getpid()}-{time.time_ns() // 1_000_000 % 10**8:08d}"

    def clocks(self, brokers: int, clock: Clock = time.time_ns) -> Offset | None:
        """Only that: how far the brokers' clocks are ahead; None when one of them was set meanwhile."""
        self._may("CREATE", "topics", self._create, brokers)
        try:
            found: Offset | None = self._may("WRITE", "topics", self._write, clock)
        finally:
            self._may("DELETE", "topics", self._delete)
        return found

    def perform(self, brokers: int, *, transactions: bool, clock: Clock = time.time_ns) -> Offset | None:
        """Everything that a run does; how far the brokers' clocks are ahead. BrokerError names what is not allowed."""
        found: Offset | None = None
        self._may("CREATE", "topics", self._create, brokers)
        try:
            found = self._may("WRITE", "topics", self._write, clock)
            self._may("READ", "topics and groups", self._read)
            if transactions:
                self._may("WRITE", "transactional ids", self._transact)
        finally:
            self._may("DELETE", "topics", self._delete)
        return found

    def _may(self, operation: str, what: str, do: Callable[..., Any], *words: Any) -> Any:
        try:
            return do(*words)
        except KafkaException as error:
            cause = error.args[0]
            denied = (
                KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED,
                KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            )  # fmt: skip
            left = f"; {self.topic} is left there" if operation == "DELETE" else ""
            if cause.code() in denied:
                raise BrokerError(
                    f"{_who(self._bootstrap)} has no ACL for {operation} on {what} that begin with {self._prefix!r}"
                    f"{left}: add it ({PAGE} has the command), or give a --prefix that it has one for"
                ) from None
            raise BrokerError(f"the preflight's {operation} on {self.topic} failed: {cause.str()}{left}") from None

    def _create(self, partitions: int) -> None:
        new = NewTopic(self.topic, partitions, 1, config={"message.timestamp.type": "LogAppendTime"})
        self._admin.create_topics([new], operation_timeout=STEP_S)[self.topic].result(STEP_S)
        self._partitions = partitions

    def _write(self, clock: Clock) -> Offset | None:
        """One record after the other to each partition, each leader being a clock of its own."""
        settings = {**keyring.client(self._bootstrap), "log_level": 0, "acks": "all", "linger.ms": 0,
                    "message.timeout.ms": int(STEP_S * 1000)}  # fmt: skip
        producer = Producer(settings)
        found = []
        for partition in range(self._partitions):
            exchanges: list[Exchange] = []
            for _ in range(PROBES):
                told: list[tuple[Any, Any, int]] = []  # error, message, when by our clock
                sent_ns = clock()
                producer.produce(self.topic, b"preflight", partition=partition, on_delivery=partial(_note, told, clock))
                producer.flush(STEP_S)
                error, message, answered_ns = told[0] if told else (KafkaError(KafkaError.REQUEST_TIMED_OUT), None, 0)
                if error is not None or message is None:
                    raise KafkaException(error)
                exchanges.append(Exchange(sent_ns, message.timestamp()[1], answered_ns))
            if (one := offset(exchanges)) is not None:
                found.append(one)
        return hull(found) if len(found) == self._partitions else None

    def _read(self) -> None:
        settings = {**keyring.client(self._bootstrap), "log_level": 0, "group.id": f"{self.topic}-readers",
                    "enable.auto.commit": False}  # fmt: skip
        consumer = Consumer(settings)
        try:
            consumer.assign([TopicPartition(self.topic, 0, 0)])
            message = consumer.poll(STEP_S)
            if message is None:
                raise BrokerError(f"the preflight wrote to {self.topic} and read nothing back within {STEP_S:g} s")
            if message.error():
                raise KafkaException(message.error())
            consumer.commit(message=message, asynchronous=False)
        finally:
            consumer.close()

    def _transact(self) -> None:
        settings = {**keyring.client(self._bootstrap), "log_level": 0, "transactional.id": f"{self.topic}-once"}
        Producer(settings).init_transactions(STEP_S)

    def _delete(self) -> None:
        self._admin.delete_topics([self.topic], operation_timeout=STEP_S)[self.topic].result(STEP_S)
