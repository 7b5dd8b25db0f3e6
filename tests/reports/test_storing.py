"""Checkpoints in an object store told: the sentence follows from the runs, pairs differ in their store alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bench.analysis.cells import cells
from bench.metrics import METRICS
from bench.record import Knob, Measurement, Outcome, Run
from reports import storing
from reports.evidence import Evidence, gather
from reports.report import Paragraph, Section, plain, tables

WORK_MS, IN_A_ROW, REQUESTS = 50.0, 12, 40
STORAGE, LATENCY = "pipeline.checkpoint.storage", "pipeline.checkpoint.s3.latency_ms"


def run(load: str, knobs: Mapping[str, Knob], repetition: int) -> Run:
    storage, keys = str(knobs.get(STORAGE, "s3")), knobs.get("workload.keys.distinct", 1)
    call_ms = float(knobs.get(LATENCY, 30) or 0) if storage == "s3" else 0.0
    assert isinstance(keys, int)
    values = {"checkpoint_duration_ms": WORK_MS * keys + IN_A_ROW * call_ms + repetition, "checkpoints_completed": 10.0}
    if storage == "s3":
        values |= {"s3_latency_ms": call_ms, "s3_requests": 10.0 * REQUESTS}
    return Run(
        scenario="checkpoint-storage", trial_id=f"{load}{sorted(knobs.items())}{repetition}", load=load,
        repetition=repetition, order=repetition, outcome=Outcome.FINISHED, reason="", knobs=knobs,
        settings={"pipeline": {"checkpoint": {"storage": storage}}, "load": {"rate_eps": 1000.0}}, seed=7,
        backend="local", started_utc=f"2026-11-27T18:{repetition:02}:00Z", duration_s=30.0,
        environment={"cores": 2}, metrics={name: Measurement(v, METRICS[name].unit) for name, v in values.items()},
    )  # fmt: skip


def told(*arms: tuple[str, dict[str, Knob]], repeats: int = 3) -> Section | None:
    runs = [run(load, knobs, repetition) for load, knobs in arms for repetition in range(repeats)]
    found: Evidence = gather(runs, cells(runs), list(dict.fromkeys(load for load, _ in arms)))
    return storing.section(found)


def test_the_difference_is_told_as_calls_one_after_the_other() -> None:
    """What a reader can carry to a store at another distance."""
    section = told(("grid", {STORAGE: "local"}), ("grid", {STORAGE: "s3"}))
    assert section is not None
    (said,) = [plain(block.words) for block in section.blocks if isinstance(block, Paragraph)][:1]
    assert "360 ms longer" in said
    assert "as much as 12 calls one after the other, of 40 requests for each checkpoint" in said


def test_only_what_differs_in_its_store_alone_is_compared() -> None:
    """More state and another store at once: the difference would be both's."""
    arms: list[tuple[str, dict[str, Knob]]] = [
        ("grid", {STORAGE: storage, "workload.keys.distinct": keys}) for storage in ("local", "s3") for keys in (1, 9)
    ]
    section = told(*arms)
    assert section is not None
    (table,) = tables(section)
    assert len(table.rows) == 2
    assert [plain(row[5]) for row in table.rows] == ["12", "12"]
    assert [plain(row[7]) for row in table.rows] == ["40", "40"]


def test_stores_at_several_distances_are_held_against_the_nearest() -> None:
    """Without a disk beside them the nearest one's calls are no zero."""
    section = told(*(("latencies", {LATENCY: each}) for each in (100, 10, 30)))
    assert section is not None
    (table,) = tables(section)
    assert [plain(row[4]) for row in table.rows] == ["20", "90"]
    assert [plain(row[5]) for row in table.rows] == ["12", "12"]


@pytest.mark.parametrize("arms", [[{STORAGE: "local"}], [{}], [{STORAGE: "local"}, {STORAGE: "jobmanager"}]])
def test_nothing_to_compare_is_no_section(arms: list[dict[str, Knob]]) -> None:
    """A table of one store explains nothing."""
    assert told(*(("grid", knobs) for knobs in arms)) is None
