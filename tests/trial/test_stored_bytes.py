"""A topic's bytes, told three ways that have to agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from bench import study
from bench.measure import Window
from bench.probes import Samples
from bench.record import Check
from bench.scenario import Trial
from bench.topics import Names
from bench.trial import stored_bytes
from bench.trial.notes import Notes, Seen

LOG_BYTES = 20_000  # two copies of 10,000
FAULT = "faults: [{at_s: 1, do: restart, target: broker}]\n"


def trial(tmp_path: Path, more: str = "") -> Trial:
    file = tmp_path / "weighed.yaml"
    file.write_text(
        "schema: 1\nname: weighed\nquestion: How much?\nworkload: {name: clicks}\npipeline: none\n"
        "cluster: {brokers: 2}\ntopic: {replication_factor: 2}\nload: {rate_eps: 1000}\n"
        f"phases: {{warmup_s: 1, measure_s: 5}}\n{more}"
    )
    return study.trials(study.scenario(study.Asked(str(file))), "local")[0]


def weighed(trial: Trial, came_in: Sequence[float], *, urls: Sequence[str] = ("http://broker",)) -> Notes:
    samples, notes = Samples(0), Notes()
    for at_s, value in enumerate(came_in):
        samples.add(float(at_s), {"broker_bytes_in": value})
    disk = {"partitions": 12, "log": LOG_BYTES, "allocated": 24_000}
    cluster: Any = SimpleNamespace(
        bootstrap="nowhere:1", jmx_urls=urls, disk_bytes=lambda _: disk, broker_footprint=dict
    )
    stage: Any = SimpleNamespace(cluster=cluster)
    seconds = pd.DataFrame({"offered_bytes": [10_000.0]})
    sent: Any = SimpleNamespace(acknowledged_events=100, offered_events=100, seconds=seconds)
    stored_bytes.weigh(
        trial, stage, Names("run", "in", {}), seen=Seen(sent, samples, Window(0.0, 1.0), False), notes=notes
    )
    return notes


@pytest.fixture(autouse=True)
def _described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_bytes, "described_bytes", lambda *_: LOG_BYTES)


@pytest.mark.parametrize(("came_in", "ok"), [(10_000.0, True), (10_099.0, True), (9_800.0, False), (20_000.0, False)])
def test_what_came_in_is_one_copy_of_the_log(tmp_path: Path, came_in: float, *, ok: bool) -> None:
    """Followers fetch, they are sent nothing: two copies on disk came in once."""
    notes = weighed(trial(tmp_path), [0.0, came_in])
    assert {check.name: check.ok for check in notes.checks} == {
        "record bytes by BytesIn": ok, "record bytes by DescribeLogDirs": True
    }  # fmt: skip
    assert notes.warnings == []


def test_a_count_that_is_missing_is_no_pass(tmp_path: Path) -> None:
    """The check was left out without a word where the counter had not come."""
    notes = weighed(trial(tmp_path), [float("nan")])
    assert [check.name for check in notes.checks] == ["record bytes by DescribeLogDirs"]
    assert notes.warnings == ["record bytes were not compared with the brokers' BytesIn: nobody told it"]
    assert weighed(trial(tmp_path), [], urls=()).warnings == []  # a cluster without such counters: known before


def test_a_byte_that_only_one_of_both_knows_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_bytes, "described_bytes", lambda *_: LOG_BYTES - 1)
    found = weighed(trial(tmp_path), [10_000.0]).checks[-1]
    assert found == Check("record bytes by DescribeLogDirs", LOG_BYTES, LOG_BYTES - 1, ok=False)


def test_brokers_that_are_replaced_are_held_against_nothing(tmp_path: Path) -> None:
    """Its counters begin anew, copies catch up, and a client may have sent twice."""
    notes = weighed(trial(tmp_path, FAULT), [10.0])
    assert (notes.checks, notes.warnings) == ([], [])
    assert notes.found.metrics["log_bytes_per_event"].value == LOG_BYTES / 100
