"""One scenario on two backends: the ratio that a reader takes home is the runs' own, pair by pair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fixtures
import pytest

from bench.record import Run
from reports.report import Number, Table, plain, walk

DEARER = {"flink_cpu_s_per_million_events": 1.2, "disk_bytes_per_event": 1.001}


def both(folder: Path, repeats: int) -> list[Run]:
    """Repetitions on local and compose to and fro; what `DEARER` names costs as much more in compose."""
    runs = []
    for repetition in range(repeats):
        for turn, backend in enumerate(("local", "compose")):
            order = 2 * repetition + (turn if repetition % 2 == 0 else 1 - turn)
            run = fixtures.steady(folder, 6, repetition, order)
            more = DEARER if backend == "compose" else {}
            metrics = {name: replace(m, value=m.value * more.get(name, 1.0)) for name, m in run.metrics.items()}
            environment = fixtures.ENVIRONMENT | {"backend": backend}
            runs.append(
                replace(
                    run, trial_id=f"{backend}{repetition}", backend=backend, metrics=metrics, environment=environment,
                    knobs={**run.knobs, "backend": backend}, bundle=None,
                )
            )  # fmt: skip
    return runs


def test_what_a_backend_changes_is_told_pair_by_pair(tmp_path: Path) -> None:
    """ "Containers cost nothing" is believed from one run of each, an hour apart."""
    report = fixtures.story(tmp_path, both(tmp_path, 3), {}).report
    table = next(block for block in walk(report) if isinstance(block, Table) and block.key == "local-compose")
    rows = {plain(row[0]): row for row in table.rows}
    cpu = rows["Flink CPU per million events"]
    (change,) = [word for word in cpu[5] if isinstance(word, Number)]
    assert change.value == pytest.approx(1.2)
    assert (plain(cpu[8]), plain(cpu[9])) == ("3 pairs", "worse")
    assert plain(rows["disk bytes per event"][9]) == "no difference"
    assert {"end-to-end latency p50", "end-to-end latency p99"} <= rows.keys()


def test_one_backend_alone_is_compared_with_nothing(tmp_path: Path) -> None:
    """A section about a ratio of one is noise; and one of half a pair must not end the report."""
    lone = [run for run in both(tmp_path, 2) if run.backend == "compose"]
    assert "backends" not in {section.key for section in fixtures.story(tmp_path, lone, {}).report.sections}
    half = [replace(lone[0], trial_id="other", load="other", knobs={**lone[0].knobs, "backend": "local"}), *lone]
    section = next(s for s in fixtures.story(tmp_path, half, {}).report.sections if s.key == "backends")
    assert any("no cell" in plain(block.words) for block in section.blocks if hasattr(block, "words"))
