"""What a run says of bytes between racks: legs from counters, and nothing where somebody stands nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from bench.analysis.crossing import Placed
from bench.analysis.histogram import LogLinearHistogram
from bench.loadgen import Read, Schedule, Sent
from bench.loadgen.consume import MemberRead
from bench.loadgen.wire import WireByNode, wire_by_node, wire_from_json
from bench.measure import Window
from bench.metrics import METRICS
from bench.probes import Samples
from bench.probes.kafka import Links
from bench.record import Measurement
from bench.scenario.sections import Settings
from bench.trial import zones
from bench.trial.notes import Notes, Seen
from bench.trial.zones import measure_crossing

EVENTS = 3_000
RACK = {1: "a", 2: "b", 3: "c"}
PLACED = {p: Placed(rack, ("a", "b", "c")) for p, rack in enumerate("abc")}
TO_EACH: WireByNode = {1: (100_000, 1_000), 2: (100_000, 1_000), 3: (100_000, 1_000)}  # of a producer
FROM_EACH: WireByNode = {1: (500, 100_000), 2: (500, 100_000), 3: (500, 100_000)}  # of a consumer
COPIED: Links = {(x, y): (200.0, 100_000.0) for x in RACK for y in RACK if x != y}


def settings(**changes: Any) -> Settings:
    plain: dict[str, Any] = {
        "workload": {"name": "clicks"}, "load": {"rate_eps": 1000.0}, "producer": {"racks": ("a",)},
        "topic": {"partitions": 3, "replication_factor": 3}, "cluster": {"brokers": 3, "racks": ("a", "b", "c")},
        "pipeline": None, "consumers": ({"group": "g", "racks": ("b",)},), "faults": (), "phases": {}, "seed": 7,
    }  # fmt: skip
    return Settings.model_validate(plain | changes)


def crossing(asked: Settings, wire: WireByNode, links: Links | None) -> tuple[Mapping[str, float], list[str]]:
    """(metric -> value, what is missing), a third of the events in each partition."""
    nothing = LogLinearHistogram("ms")
    sent = Sent(
        schedule=Schedule.constant(0, 1000, 3), mode="paced", started_ns=0, workers=1, warmup_s=0, duration_s=3,
        offered_by_worker=(EVENTS,), acknowledged_events=EVENTS, failed={}, errors={}, without_report=0, flushed_s=3.0,
        seconds=pd.DataFrame(), lateness_ms=nothing, lateness_blocked_ms=nothing, produce_latency_ms=nothing, cpu_s=0.1,
        rss_peak_bytes=1, clock_step_ms=0.0, versions={}, wire=(wire,),
    )  # fmt: skip
    member = MemberRead((1_000, 1_000, 1_000), FROM_EACH)
    read = Read("g", 1, EVENTS, 0, EVENTS, pd.DataFrame(), (), {}, 0, 0.1, 1, (), {}, by_member=(member,))
    notes = Notes()
    notes.found.metrics["wire_bytes_per_event"] = Measurement(100.0, "bytes/event")
    notes.series["input_partition_events"] = pd.DataFrame({"t_s": [0, 1, 2], "value": [1_000, 1_000, 1_000]})
    seen = Seen(sent, Samples(0), Window(0.0, 3.0), is_drain=False)
    reads = [read] if asked.consumers else []
    measure_crossing(asked, seen, reads, notes, links=links, rack=RACK, placed=PLACED)
    found = {name: one.value for name, one in notes.found.metrics.items() if name.startswith("cross_zone")}
    assert all(notes.found.metrics[name].unit == METRICS[name].unit for name in found)
    return found, notes.found.missing


def test_each_leg_comes_from_its_own_counter() -> None:
    """A leg in the wrong direction, or one's own rack counted, would still give a plausible sum."""
    found, missing = crossing(settings(), TO_EACH, COPIED)
    assert missing == []
    assert found["cross_zone_produce_bytes_per_event"] == pytest.approx(200_000 / EVENTS)
    assert found["cross_zone_replication_bytes_per_event"] == pytest.approx(600_000 / EVENTS)
    assert found["cross_zone_consume_bytes_per_event"] == pytest.approx(200_000 / EVENTS)
    assert found["cross_zone_bytes_per_event"] == pytest.approx(1_000_000 / EVENTS)
    assert found["cross_zone_return_bytes_per_event"] == pytest.approx((2_000 + 1_200 + 1_000) / EVENTS)
    assert found["cross_zone_over_formula"] == pytest.approx(1.0)  # 100 x (2/3 + 2 + 2/3)
    assert found["cross_zone_over_places"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changes", "wire", "links", "lost"),
    [
        ({"producer": {}}, TO_EACH, COPIED, "produce"),
        ({"consumers": ({"group": "g"},)}, TO_EACH, COPIED, "consume"),
        ({}, {}, COPIED, "produce"),  # a worker that died told nothing
        ({}, TO_EACH, None, "replication"),
        ({}, TO_EACH, {}, "replication"),  # copies were made, and no fetcher was heard of
        ({}, TO_EACH, COPIED | {(4, 1): (1.0, 1.0)}, "replication"),  # a broker that nobody knows the rack of
        ({}, TO_EACH | {4: (1, 1)}, COPIED, "produce"),
        ({"pipeline": {"job": "revenue"}}, TO_EACH, COPIED, "consume"),  # a job stands nowhere
    ],
)
def test_what_nobody_told_is_missing_and_so_is_the_sum(
    changes: dict[str, Any], wire: WireByNode, links: Links | None, lost: str
) -> None:
    """Zero bytes from a client that stands nowhere would read as money saved."""
    found, missing = crossing(settings(**changes), wire, links)
    assert f"cross_zone_{lost}_bytes_per_event" in missing
    assert {"cross_zone_bytes_per_event", "cross_zone_return_bytes_per_event"} <= set(missing)
    assert {"cross_zone_over_formula", "cross_zone_over_places"}.isdisjoint(found)


@pytest.mark.parametrize("later", [{}, {(1, 2): (5.0, 50.0)}])
def test_links_that_are_gone_or_began_anew_have_moved_nobody_knows_how_much(
    monkeypatch: pytest.MonkeyPatch, later: Links
) -> None:
    told = iter([{(1, 2): (10.0, 100.0)}, later])
    monkeypatch.setattr(zones, "followers", lambda _: next(told))
    assert zones.Followers(["of a broker"]).moved() is None


def test_a_topic_that_nobody_reads_has_two_legs() -> None:
    found, missing = crossing(settings(consumers=()), TO_EACH, COPIED)
    assert missing == []
    assert found["cross_zone_consume_bytes_per_event"] == 0
    assert found["cross_zone_over_formula"] == pytest.approx(1.0)


def test_a_clients_connections_to_one_broker_are_one() -> None:
    """The group's coordinator is a connection of its own; what went over before a broker was known is nobody's."""
    statistics = {
        "brokers": {
            "h:1/1": {"nodeid": 1, "txbytes": 10, "rxbytes": 20},
            "GroupCoordinator/1": {"nodeid": 1, "txbytes": 1, "rxbytes": 2},
            "h:1/bootstrap": {"nodeid": -1, "txbytes": 5, "rxbytes": 5},
        }
    }
    assert wire_by_node(statistics) == {1: (11, 22)}
    assert wire_from_json({"1": [11, 22]}) == {1: (11, 22)}
