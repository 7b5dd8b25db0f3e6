"""A broker as strangers run it: TLS with a certificate of an authority of its own, SASL (SCRAM, PLAIN), and ACLs.

Only for tests. Certificates are made with openssl; without it `MissingToolError` says so.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from bench.backends import NICE
from bench.backends.kafka import JMX_RULES, JVM, LOG4J2, heap, new_cluster_id
from bench.backends.local import free_ports
from bench.backends.subtree import Subtree
from bench.toolchain import provision

ADMIN, ADMIN_PASSWORD = "admin", "admin-only-for-the-test"
SCRAM = "SCRAM-SHA-512"


class MissingToolError(Exception):
    """openssl is not here."""


@dataclass(frozen=True)
class Secured:
    """Where it is, and what its clients have to know."""

    bootstrap: str
    authority: Path  # the certificate that signed the broker's
    stranger: Path  # of an authority that signed nothing here
    jmx_url: str
    admin: AdminClient
    subtree: Subtree
    passwords: dict[str, str] = field(default_factory=dict)

    def config(self, path: Path, user: str, password: str = "", *, mechanism: str = SCRAM, **more: str) -> Path:
        """A client's settings; without a password it has to come from elsewhere."""
        settings = {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": mechanism,
            "sasl.username": user,
            **({"sasl.password": password} if password else {}),
            "ssl.ca.location": str(self.authority),
            **more,
        }
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return path

    def allow(self, user: str, *rules: tuple[ResourceType, str, ResourcePatternType, Sequence[AclOperation]]) -> None:
        """Give a user these operations, from any host."""
        bindings = [
            AclBinding(kind, name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
            for kind, name, pattern, operations in rules
            for operation in operations
        ]
        for done in self.admin.create_acls(bindings).values():
            done.result(20)


def certificates(folder: Path) -> None:
    """ca.pem with broker.pem (chain and key, for 127.0.0.1 and localhost), and other.pem that signed nothing."""
    if shutil.which("openssl") is None:
        raise MissingToolError("openssl is not here")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.pem")  # fmt: skip
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "broker.key",
            "-out", "broker.csr")  # fmt: skip
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", "broker.crt")  # fmt: skip
    key, chain = (folder / "broker.key").read_text(), (folder / "broker.crt").read_text()
    (folder / "broker.pem").write_text(key + chain + (folder / "ca.pem").read_text())


def _properties(folder: Path, port: int, controller: int, plain_users: dict[str, str]) -> str:
    users = " ".join(f'user_{name}="{password}"' for name, password in plain_users.items())
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    settings = {
        "node.id": 1,
        "process.roles": "broker,controller",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"SASL_SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"SASL_SSL://127.0.0.1:{port}",
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "SASL_SSL",
        "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
        "sasl.mechanism.inter.broker.protocol": SCRAM,
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config":
            f'{scram} username="{ADMIN}" password="{ADMIN_PASSWORD}";',
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": f"{scram};",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": f"{plain} {users};",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": folder / "broker.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": folder / "ca.pem",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{ADMIN};User:ANONYMOUS",  # the second: the controller, on its own listener
        "log.dirs": folder / "data",
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": 1,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "log.segment.delete.delay.ms": 1000,
        "log.initial.task.delay.ms": 1000,
    }  # fmt: skip
    return "".join(f"{key}={value}\n" for key, value in settings.items())


@contextmanager
def secured(
    folder: Path, scram: dict[str, str], plain: dict[str, str] | None = None, heap_mb: int = 512
) -> Iterator[Secured]:
    """A broker on loopback, ready; `scram`, `plain`: its users beside the administrator, with their passwords."""
    tools = provision()
    folder.mkdir(parents=True, exist_ok=True)
    certificates(folder)
    port, controller, jmx = free_ports(3)
    (folder / "server.properties").write_text(_properties(folder, port, controller, plain or {}))
    (folder / "jmx.yaml").write_text(JMX_RULES)
    (folder / "log4j2.xml").write_text(LOG4J2)
    users = {ADMIN: ADMIN_PASSWORD, **scram}
    added = [
        word
        for name, password in users.items()
        for mechanism in (SCRAM, "SCRAM-SHA-256")
        for word in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
    ]
    common = [
        *JVM, f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}",
        "-cp", ":".join(str(jar) for jar in tools.kafka_classpath),
    ]  # fmt: skip
    properties = str(folder / "server.properties")
    # a class of arguments of their own: passwords of users are in no process list once formatting is over
    subprocess.run(
        [str(tools.java), "-Xmx128m", *common, "kafka.tools.StorageTool", "format", "-t", new_cluster_id(),
         "-c", properties, *added],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    agent = f"-javaagent:{tools.jmx_agent}=127.0.0.1:{jmx}:{folder / 'jmx.yaml'}"
    with Subtree() as subtree:
        log = folder / "broker.log"
        child = subtree.spawn(
            "secured", [str(tools.java), *heap(heap_mb), agent, *common, "kafka.Kafka", properties],
            log=log, cwd=folder, nice=NICE,
        )  # fmt: skip
        bootstrap = f"127.0.0.1:{port}"
        admin = AdminClient(
            {
                "bootstrap.servers": bootstrap, "log_level": 0, "security.protocol": "SASL_SSL",
                "sasl.mechanism": SCRAM, "sasl.username": ADMIN, "sasl.password": ADMIN_PASSWORD,
                "ssl.ca.location": str(folder / "ca.pem"), "reconnect.backoff.max.ms": 200,
            }
        )  # fmt: skip

        def check() -> None:
            assert child.poll() is None, child.log_tail()

        for _ in range(400):
            check()
            try:
                admin.list_topics(timeout=0.5)
                break
            except Exception:  # noqa: BLE001 -- not there yet
                pass
        url = f"http://127.0.0.1:{jmx}/metrics"
        yield Secured(bootstrap, folder / "ca.pem", folder / "other.pem", url, admin, subtree, users)
