"""How a live cluster is reached: librdkafka settings from a file of key=value lines, TLS for its log directories."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bench import logdirs
from bench.errors import BrokerError, ScenarioError
from bench.logdirs import Replica

JAVAS = {
    "sasl.jaas.config": "sasl.username and sasl.password",
    "ssl.truststore.location": "ssl.ca.location",
    "ssl.keystore.location": "ssl.certificate.location and ssl.key.location",
}
PROTOCOL, PLAIN, TLS = "security.protocol", "plaintext", "ssl"


def read(path: Path) -> dict[str, str]:
    """The settings in `path`. Raises ScenarioError with file and line; a value may be a secret and is never shown."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith(("#", "!")):
            continue
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise ScenarioError(f"{path}:{number}: expected KEY=VALUE, such as security.protocol=SASL_SSL")
        if key in JAVAS:
            raise ScenarioError(f"{path}:{number}: {key} is the Java client's; expected librdkafka's {JAVAS[key]}")
        found[key] = value
    return found


def client(bootstrap: str, config: Mapping[str, Any]) -> Any:
    """An admin client; it connects when it is first asked. Raises ScenarioError for settings that do not exist."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, **config})
    except KafkaException as error:
        raise ScenarioError(f"the client's settings: {error.args[0].str()}") from None


def describe_log_dirs(host: str, port: int, *, config: Mapping[str, Any]) -> Mapping[Replica, int]:
    """Bytes of every replica on that broker, over plain text or TLS. Raises BrokerError: with SASL always."""
    protocol = str(config.get(PROTOCOL, PLAIN)).lower()
    if protocol == PLAIN:
        return logdirs.describe(host, port)
    if protocol == TLS:
        return logdirs.describe(host, port, _context(config))
    raise BrokerError(f"they are asked for in plain text or TLS only, not over {protocol.upper()}")


def log_dirs(config: Mapping[str, Any]) -> Any:
    """`describe_log_dirs` with these settings."""
    return partial(describe_log_dirs, config=config)


def _context(config: Mapping[str, Any]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.get("ssl.ca.location"))
        if "ssl.certificate.location" in config:
            context.load_cert_chain(
                config["ssl.certificate.location"], config.get("ssl.key.location"), config.get("ssl.key.password")
            )
    except OSError as error:  # ssl.SSLError is one
        raise BrokerError(f"the certificates of the client's settings cannot be used: {error}") from None
    return context
