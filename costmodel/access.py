"""How a live cluster is reached: an admin client with the caller's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.errors import ScenarioError


def client(bootstrap: str, config: Mapping[str, Any]) -> Any:
    """An admin client; it connects when it is first asked. Raises ScenarioError for settings that do not exist."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, **config})
    except KafkaException as error:
        raise ScenarioError(f"the client's settings: {error.args[0].str()}") from None
