"""Bytes between zones as a report tells them: each leg beside the formula, and a leg that was not measured left out."""

from __future__ import annotations

from typing import Any

from bench.analysis.cells import cells
from bench.metrics import METRICS
from bench.record import Measurement, Outcome, Run
from reports import zones
from reports.evidence import gather
from reports.report import plain, tables

MEASURED = {
    "wire_bytes_per_event": 90.0, "cross_zone_produce_bytes_per_event": 60.0,
    "cross_zone_replication_bytes_per_event": 183.6, "cross_zone_consume_bytes_per_event": 60.0,
    "cross_zone_bytes_per_event": 303.6, "cross_zone_over_formula": 1.012, "cross_zone_over_places": 1.009,
}  # fmt: skip


def run(metrics: dict[str, float], *, follower: bool = False) -> Run:
    group: dict[str, Any] = {"group": "g", "members": 1, "racks": ["b"], "fetch_from_follower": follower}
    return Run(
        scenario="zones", trial_id=f"t{follower}", load="even", repetition=0, order=0, outcome=Outcome.FINISHED,
        reason="", knobs={"consumers.0.fetch_from_follower": follower},
        settings={
            "cluster": {"racks": ["a", "b", "c"]}, "topic": {"replication_factor": 3}, "consumers": [group],
        },
        seed=7, backend="local", started_utc="2026-11-27T18:00:00Z", duration_s=30.0, environment={"cores": 2},
        metrics={name: Measurement(value, METRICS[name].unit) for name, value in metrics.items()},
    )  # fmt: skip


def told(*runs: Run) -> list[list[str]]:
    section = zones.section(gather(runs, cells(runs), ["even"]))
    assert section is not None
    (table,) = tables(section)
    return [[plain(cell) for cell in row[1:]] for row in table.rows]


def test_every_leg_stands_beside_the_formula() -> None:
    """A reader has to see which leg is off, not only that the sum is right."""
    assert told(run(MEASURED)) == [
        ["producers to leaders", "60", "60", "1"],
        ["leaders to followers", "184", "180", "1.02"],
        ["brokers to consumers", "60", "60", "1"],
        ["together", "304", "300", "1.01"],
        ["together, by the actual places", "304", "301", "1.01"],
    ]


def test_what_the_formula_calls_nothing_has_no_ratio() -> None:
    fetched = {**MEASURED, "cross_zone_consume_bytes_per_event": 0.02, "cross_zone_bytes_per_event": 243.62,
               "cross_zone_over_formula": 243.62 / 240}  # fmt: skip
    rows = told(run(fetched, follower=True))
    assert rows[2] == ["brokers to consumers", "0.02", "0", "nothing expected"]
    assert rows[3][:3] == ["together", "244", "240"]


def test_without_racks_there_is_no_such_section() -> None:
    bare = run({"wire_bytes_per_event": 90.0})
    assert zones.section(gather([bare], cells([bare]), ["even"])) is None
