"""What a client of librdkafka sent to each broker and received from it, by its own statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WireByNode = dict[int, tuple[int, int]]
"""Broker id -> bytes (sent, received) on all connections of a client to it, protocol included."""


def wire_by_node(statistics: Mapping[str, Any]) -> WireByNode:
    """Of a client's statistics so far, without what went over a connection before its broker was known."""
    found: WireByNode = {}
    for broker in statistics.get("brokers", {}).values():
        if (node := int(broker.get("nodeid", -1))) >= 0:
            sent, received = found.get(node, (0, 0))
            found[node] = sent + int(broker["txbytes"]), received + int(broker["rxbytes"])
    return found


def wire_from_json(plain: Mapping[str, Any]) -> WireByNode:
    """As a process hands it in: JSON has words for keys."""
    return {int(node): (int(sent), int(received)) for node, (sent, received) in plain.items()}
