"""How secured brokers are reached, by their address: secrets live here, and everything else carries the address alone.

Whoever opens a Kafka client asks `client(bootstrap)` for its settings. Brokers that nobody told of are reached in plain
text. A bundle, a log, an argument or a settings file of a child only ever holds the address, so that none of them can
give a secret away; a child that opens clients of its own is entrusted with them in its environment (`entrusted`), and
takes them out of it at once (`inherit`).

    file      --command-config, or STREAMGAUGE_KAFKA_CONFIG: librdkafka's settings, a KEY=VALUE a line
    variables STREAMGAUGE_KAFKA_USERNAME, STREAMGAUGE_KAFKA_PASSWORD: go before the file's sasl.username, sasl.password
              STREAMGAUGE_KAFKA_CA: the cluster's own authority, of a worker that was started elsewhere without a file
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

from bench.errors import HostError, ScenarioError

CONFIG = "STREAMGAUGE_KAFKA_CONFIG"
USERNAME, PASSWORD, AUTHORITY = (f"STREAMGAUGE_KAFKA_{word}" for word in ("USERNAME", "PASSWORD", "CA"))
VARIABLES = {USERNAME: "sasl.username", PASSWORD: "sasl.password"}
ENTRUSTED = "STREAMGAUGE_KAFKA_ENTRUSTED"  # of our own children: JSON, address -> settings
JOBS = "flink."  # before a setting of the jobs' connectors, which are Java's and run elsewhere
COMMON = ("security.protocol", "ssl.endpoint.identification.algorithm")  # said alike by both clients
SECRET = ("password", "secret", "key.pem", "jaas", "token")
KAFKA = "org.apache.kafka"
SHADED = f"org.apache.flink.kafka.shaded.{KAFKA}"
JAVAS = {
    "sasl.jaas.config": "sasl.username and sasl.password",
    "ssl.truststore.location": "ssl.ca.location",
    "ssl.keystore.location": "ssl.certificate.location and ssl.key.location",
}

_ring: dict[str, dict[str, str]] = {}
_elsewhere: dict[str, str] = {}  # of brokers that are in no ring: only in a worker on another machine
_told: dict[str, str] = {}  # what the caller's environment said, until somebody asks


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


def take(environment: MutableMapping[str, str]) -> None:
    """Take the caller's secrets out of the environment, before any child could inherit them."""
    _told.update({key: environment.pop(name) for name, key in VARIABLES.items() if name in environment})


def settings(config: Path | None) -> dict[str, str]:
    """What the caller said of how to reach a cluster: the file, and over it what `take` took."""
    return {**(read(config) if config else {}), **_told}


def keep(bootstrap: str, found: Mapping[str, str]) -> None:
    """From now on reach `bootstrap` with these."""
    _ring[bootstrap] = dict(found)


def client(bootstrap: str) -> dict[str, str]:
    """Librdkafka's settings of a client for these brokers."""
    known = _ring.get(bootstrap, _elsewhere)
    own = {key: value for key, value in known.items() if not key.startswith(JOBS)}
    return {"bootstrap.servers": bootstrap, **own}


def security(bootstrap: str) -> dict[str, str]:
    """The same beside the address: {} in plain text."""
    return {key: value for key, value in client(bootstrap).items() if key != "bootstrap.servers"}


def entrusted(spawn: Callable[..., Any], bootstrap: str) -> Callable[..., Any]:
    """`spawn` for a child that opens clients for these brokers."""
    own = security(bootstrap)
    return partial(spawn, env={ENTRUSTED: json.dumps({bootstrap: own})}) if own else spawn


def inherit() -> None:
    """In such a child, first of all; where somebody started it elsewhere, its own environment tells of all brokers."""
    if handed := os.environ.pop(ENTRUSTED, ""):
        _ring.update(json.loads(handed))
        return
    take(os.environ)
    config = os.environ.get(CONFIG)
    _elsewhere.update(settings(Path(config)) if config else _usual(os.environ.get(AUTHORITY)))


def _usual(authority: str | None) -> dict[str, str]:
    """A login by the variables alone: SCRAM-SHA-512 over TLS. HostError with the one that lacks."""
    if VARIABLES[USERNAME] not in _told:
        return {}
    if VARIABLES[PASSWORD] not in _told:
        raise HostError(f"{USERNAME} is set and {PASSWORD} is not: expected both, from the user's Secret")
    own = {"ssl.ca.location": authority} if authority else {}
    return {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", **_told, **own}


def hidden(text: bytes, *known: Mapping[str, str]) -> bytes:
    """What somebody logged, without the secrets of these settings (none: of any of ours), should one ever be in it."""
    for one in known or _ring.values():
        for key, value in one.items():
            if value and any(word in key for word in SECRET):
                text = text.replace(value.encode(), b"[hidden]")
    return text


def java(bootstrap: str, package: str = KAFKA) -> dict[str, str]:
    """The Java client's settings for a job's connectors.

    Certificates go along as text (PEM), so that no file has to lie where the job runs. What the caller says with
    `flink.` before it goes in their place, as it is: a path there, or a reference to a secret that is kept there.
    `package`: what Kafka's classes are called there (`SHADED`: in Flink's SQL connector).
    """
    known = _ring.get(bootstrap, {})
    own = {key.removeprefix(JOBS): value for key, value in known.items() if key.startswith(JOBS)}
    mechanism = known.get("sasl.mechanism", known.get("sasl.mechanisms", ""))
    found: dict[str, str] = {key: known[key] for key in COMMON if key in known and known[key] != "none"}
    if known.get("ssl.endpoint.identification.algorithm") == "none":
        found["ssl.endpoint.identification.algorithm"] = ""
    if mechanism:
        found["sasl.mechanism"] = mechanism
    if "sasl.jaas.config" not in own and "sasl.password" in known:
        found["sasl.jaas.config"] = jaas(package, mechanism, known.get("sasl.username", ""), known["sasl.password"])
    if not any(key.startswith("ssl.truststore") for key in own) and (authority := known.get("ssl.ca.location")):
        found |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": pem(Path(authority))}
    return {key: value for key, value in (found | own).items() if key != "bootstrap.servers"}


def pem(path: Path) -> str:
    """The certificates of a file, on one line a line of theirs; ScenarioError without it."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"ssl.ca.location {path}: cannot be read: {error}") from None


def jaas(package: str, mechanism: str, username: str, password: str) -> str:
    """The login of PLAIN or SCRAM as Java's client wants it; ScenarioError for another mechanism."""
    if mechanism == "PLAIN":
        module = f"{package}.common.security.plain.PlainLoginModule"
    elif mechanism.startswith("SCRAM-"):
        module = f"{package}.common.security.scram.ScramLoginModule"
    else:
        raise ScenarioError(
            f"sasl.mechanism {mechanism or '(not said)'}: expected PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; for the jobs "
            f"another goes with {JOBS}sasl.jaas.config"
        )

    def quoted(text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    return f"{module} required username={quoted(username)} password={quoted(password)};"


def inside(bootstrap: str) -> str:
    """The brokers' addresses for the jobs, which may be in another network."""
    return _ring.get(bootstrap, {}).get(f"{JOBS}bootstrap.servers", bootstrap)
