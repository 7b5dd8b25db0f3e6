"""A ladder of partitions told: what the sentence says follows from the runs, and only where a control speaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.analysis.cells import cells
from bench.metrics import METRICS
from bench.record import Knob, Measurement, Outcome, Run
from reports import climbing, partitioning
from reports.evidence import Evidence, gather
from reports.figures import png
from reports.report import Paragraph, Section, plain, tables

# what a batch, an event and a partition cost in these runs: bytes, and CPU-seconds per million events
BYTES_A_BATCH, BYTES_AN_EVENT, CPU_A_BATCH, CPU_AN_EVENT, CPU_A_PARTITION = 110.0, 75.0, 30.0, 2.0, 0.01


def run(load: str, knobs: Mapping[str, Knob], batch: float, repetition: int, outcome: Outcome) -> Run:
    partitions = knobs["topic.partitions"]
    assert isinstance(partitions, int)
    rng = np.random.default_rng([repetition, partitions, round(batch)])
    linger = knobs.get("producer.linger_ms", 10)
    values = {
        "batch_records": batch,
        "log_bytes_per_event": BYTES_AN_EVENT + BYTES_A_BATCH / batch,
        "broker_cpu_s_per_million_events": CPU_AN_EVENT + CPU_A_BATCH / batch + CPU_A_PARTITION * partitions,
    }
    metrics = {name: Measurement(value * rng.lognormal(0, 0.01), METRICS[name].unit) for name, value in values.items()}
    p99 = 10 + 20 / batch
    metrics["e2e_latency_ms"] = Measurement(5.0, "ms", {"p50": 5.0, "p99": p99 * rng.lognormal(0, 0.02)}, 5_000)
    return Run(
        scenario="partition-sizing", trial_id=f"{load}{sorted(knobs.items())}{repetition}", load=load,
        repetition=repetition, order=repetition, outcome=outcome, reason="", knobs=knobs,
        settings={
            "producer": {"routing": knobs.get("producer.routing", "keyed"), "linger_ms": linger},
            "topic": {"partitions": partitions}, "load": {"rate_eps": 20_000.0},
        },
        seed=7, backend="local", started_utc=f"2026-11-27T18:{repetition:02}:00Z", duration_s=30.0,
        environment={"cores": 2, "kafka": "4.3.1"}, metrics=metrics,
    )  # fmt: skip


def study(*, control: bool = True, sticky: bool = True, repeats: int = 4) -> Evidence:
    arms: list[tuple[str, dict[str, Knob], float]] = [
        ("keyed", {"topic.partitions": p, "producer.linger_ms": 10}, 1 + 200 / p) for p in (1, 6, 24, 96, 384)
    ]
    if control:
        arms.append(("keyed", {"topic.partitions": 384, "producer.linger_ms": 640}, 1 + 200 / 6))
    if sticky:
        arms += [("sticky", {"producer.routing": "sticky", "topic.partitions": p}, 200) for p in (6, 384)]
    runs = [run(*arm, repetition, Outcome.FINISHED) for arm in arms for repetition in range(repeats)]
    return gather(runs, cells(runs), ["keyed", "sticky"])


def sentences(section: Section | None) -> list[str]:
    assert section is not None
    return [plain(block.words) for block in section.blocks if isinstance(block, Paragraph)]


def test_the_sentence_says_what_the_runs_were_made_of() -> None:
    """A share that is off by a tenth would be repeated in every discussion of partitions."""
    section = partitioning.section(study())
    linger, routing = sentences(section)
    assert "From 6 to 384 partitions" in linger and "a linger of 640 ms" in linger
    assert "routing without keys" in routing
    assert section is not None
    by_linger, by_routing = tables(section)
    few, many = 1 + 200 / 6, 1 + 200 / 384
    batches = CPU_A_BATCH * (1 / many - 1 / few)
    own = CPU_A_PARTITION * 378
    cpu: Any = next(row for row in by_linger.rows if "broker CPU" in plain(row[0]))
    assert cpu[3][0].value == pytest.approx(batches, rel=0.05)
    assert cpu[5][0].value == pytest.approx(own, rel=0.2)
    disk: Any = next(row for row in by_linger.rows if "log" in plain(row[0]))
    assert disk[3][0].value == pytest.approx(BYTES_A_BATCH * (1 / many - 1 / few), rel=0.05)
    assert abs(disk[5][0].value) < 3
    assert not any("latency" in plain(row[0]) for row in by_linger.rows)  # a longer linger is itself a wait
    assert any("latency p99" in plain(row[0]) for row in by_routing.rows)


def test_without_a_control_nothing_is_attributed() -> None:
    """Whoever has only the ladder would call all of it batching."""
    [said] = sentences(partitioning.section(study(control=False, sticky=False)))
    assert "no control keeps batches equal" in said
    assert all("takes three repetitions" in said for said in sentences(partitioning.section(study(repeats=2))))


def test_a_control_whose_batches_are_not_equal_is_none() -> None:
    """A linger that was not long enough would charge partitions with what batching costs."""
    arms = study(sticky=False)
    runs = [
        r if r.knobs.get("producer.linger_ms") != 640 else run("keyed", r.knobs, 12.0, r.repetition, r.outcome)
        for r in arms.runs
    ]
    [said] = sentences(partitioning.section(gather(runs, cells(runs), ["keyed"])))
    assert "no control keeps batches equal" in said


def test_the_curves_hold_every_ladder_and_the_control_as_a_mark() -> None:
    """A figure without its control invites the conclusion that it is there to prevent."""
    [figure] = climbing.figures(study())
    assert [panel.name for panel in figure.panels] == [
        "Log bytes per event", "Batch records", "End-to-end latency p99", "Broker CPU per million events",
    ]  # fmt: skip
    for panel in figure.panels:
        names = {one.name: [arm.at for arm in one.arms] for one in panel.ladders}
        assert names == {
            "keyed, linger ms 10": [1, 6, 24, 96, 384], "sticky": [6, 384], "keyed, a linger of 640 ms": [384],
        }  # fmt: skip
        assert all(len(arm.runs) == 4 and arm.low is not None for one in panel.ladders for arm in one.arms)
    assert png(figure).startswith(b"\x89PNG")


def test_all_that_partitions_take_is_drawn() -> None:
    """The ninth of nine panels was left out without a word, and told all the same to those who cannot see."""
    taken = {name: Measurement(1.0, METRICS[name].unit) for name, _ in climbing.AT_REST}
    runs = [replace(one, metrics={**one.metrics, **taken}) for one in study(repeats=3).runs]
    _, held = climbing.figures(gather(runs, cells(runs), ["keyed", "sticky"]))
    assert len(held.panels) == len(climbing.AT_REST)
    assert all(f"{panel.name}, " in plain(held.alt) for panel in held.panels)


def test_two_places_are_no_ladder() -> None:
    """The quickstart compares two settings: a curve through two points would be one that nobody measured."""
    whole = study()
    runs = [r for r in whole.runs if r.knobs["topic.partitions"] in (6, 96)]
    evidence = gather(runs, cells(runs), ["keyed"])
    assert partitioning.section(evidence) is None
    assert climbing.figures(evidence) == []


def test_a_factor_is_told_setting_by_setting() -> None:
    """Which setting makes partitions dear is read off one table, or not at all."""
    arms: list[tuple[str, dict[str, Knob], float]] = [
        ("linger", {"topic.partitions": p, "producer.linger_ms": linger}, 1 + linger * 20 / p)
        for p in (6, 384) for linger in (0, 10, 200)
    ]  # fmt: skip
    runs = [run(*arm, repetition, Outcome.FINISHED) for arm in arms for repetition in range(4)]
    section = partitioning.section(gather(runs, cells(runs), ["linger"]))
    assert section is not None
    [table] = tables(section)
    told = {plain(row[0]): row for row in table.rows}
    assert list(told) == [f"linger ms {linger}, 6 to 384" for linger in (0, 10, 200)]
    batches: Any = told["linger ms 10, 6 to 384"][1:3]
    assert [cell[0].value for cell in batches] == pytest.approx([34.3, 1.52], rel=0.02)
    times: Any = [told[name][3] for name in told]
    assert times[0][0].value == pytest.approx(1.0, rel=0.02)  # no linger: one event a batch, here and there
    assert times[1][0].value > times[2][0].value > 1.05
    assert plain(times[1]).count(" to ") == 1  # the interval around it
