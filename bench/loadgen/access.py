"""How a generator gets into a cluster that asks who it is: from its environment alone, so that no file keeps it.

STREAMGAUGE_KAFKA_USERNAME, _PASSWORD (SCRAM-SHA-512 over TLS) and _CA, the file of the cluster's own authority.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench.errors import HostError

USERNAME, PASSWORD, AUTHORITY = (f"STREAMGAUGE_KAFKA_{word}" for word in ("USERNAME", "PASSWORD", "CA"))


def properties(environment: Mapping[str, str]) -> dict[str, str]:
    """What librdkafka is told; nothing where the environment names no user. HostError with the variable that lacks."""
    if USERNAME not in environment:
        return {}
    if PASSWORD not in environment:
        raise HostError(f"{USERNAME} is set and {PASSWORD} is not: expected both, from the user's Secret")
    authority = {"ssl.ca.location": environment[AUTHORITY]} if AUTHORITY in environment else {}
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": environment[USERNAME],
        "sasl.password": environment[PASSWORD],
        **authority,
    }
