"""`streamgauge compare` as a release engineer meets it: exit codes, refusals, JUnit, arms of one study."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from bench import record
from bench.cli import main
from bench.metrics import METRICS
from bench.record import Knob, Measurement, Outcome, Run

CPU = "broker_cpu_s_per_million_events"


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Compare = Callable[..., Said]


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Compare:
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["streamgauge", "compare", *map(str, words)])
        capsys.readouterr()
        code = main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Said(code, out, err)

    return run


def result(
    folder: str, level: float = 1.0, *, n: int = 6, seed: int = 1, host: Sequence[float] = (), at_s: int = 0,
    knobs: Mapping[str, Knob] | None = None, **changes: Any,
) -> None:  # fmt: skip
    """A results folder of n finished runs; `host`: what the machine did to each repetition; `at_s`: begun so late."""
    rng = np.random.default_rng(seed)
    for k in range(n):
        cpu = level * rng.lognormal(0, 0.02) * (host[k] if host else 1.0)
        run = Run(
            scenario=folder, trial_id=f"{folder}{seed}{k}", load="load", repetition=k, order=k,
            outcome=Outcome.FINISHED, reason="", knobs=knobs or {},
            settings={"workload": {"name": "clicks"}, "producer": {"linger_ms": 5}},
            seed=7 + k, backend="local", started_utc=f"2026-11-23T18:{k:02}:{at_s:02}Z", duration_s=20.0,
            environment={"cpu_model": "a", "kafka": "4.3.1"},
            metrics={CPU: Measurement(cpu, METRICS[CPU].unit), "lost_events": Measurement(0.0, "events")},
        )  # fmt: skip
        record.save(replace(run, **changes), Path("results") / folder / run.trial_id / f"2026112{at_s % 10}T18{k:02}")


def test_a_release_that_got_slower_fails_with_a_sentence_and_a_junit_case(compare: Compare) -> None:
    """Prevents a build from staying green on a broker that takes a fifth more CPU."""
    result("old", seed=1)
    result("new", 1.2, seed=2)
    said = compare("results/old", "results/new", "--junit", "gate/junit.xml")
    assert said.code == 1
    assert "WORSE broker CPU per million events: +19.3%" in said.out
    assert "The gate fails." in said.out
    cases = ET.parse("gate/junit.xml").getroot().iter("testcase")
    failed = {case.get("name"): case.find("failure") is not None for case in cases}
    assert failed == {f"load: {CPU}": True, "load: lost_events": False}
    assert compare("results/new", "results/old").code == 0


def test_without_a_change_it_passes_and_says_what_it_cannot_tell(compare: Compare) -> None:
    """Prevents "no regression" from being said of runs too few to show one: inconclusive is its own exit code."""
    result("old", seed=1, n=2)
    result("new", seed=2, n=2)
    assert compare("results/old", "results/new").code == 0
    said = compare("results/old", "results/new", "--fail-on", "inconclusive", "--floor", "1%", "--json")
    assert said.code == 3
    row = next(row for row in json.loads(said.out)["rows"] if row["metric"] == CPU)
    assert row["change"] == "inconclusive"
    assert row["floor"] == 0.01
    assert row["low"] < row["ratio"] < row["high"]
    assert compare("results/old/old10", "results/new/new20", "--fail-on", "inconclusive").code == 3  # one run a side


def test_arms_of_one_interleaved_study_are_paired(compare: Compare) -> None:
    """Prevents a host whose speed wanders from hiding a difference that every pair of neighbours shows."""
    host = [1.0, 2.0, 0.5, 1.5, 0.7, 1.2]
    result("linger", seed=1, host=host, knobs={"producer.linger_ms": 5})
    result("linger", 0.8, seed=2, host=host, at_s=30, knobs={"producer.linger_ms": 500})
    sides = ("results/linger:producer.linger_ms=5", "results/linger:producer.linger_ms=500")
    row = json.loads(compare(*sides, "--json").out)["rows"][0]
    assert (row["metric"], row["change"], row["paired"], row["n"]) == (CPU, "better", True, [6, 6])
    result("later", 0.8, seed=2, host=host, at_s=0, started_utc="2026-11-24T00:00:00Z")  # all after: no neighbours
    row = json.loads(compare(sides[0], "results/later", "--json").out)["rows"][0]
    assert (row["change"], row["paired"]) == ("inconclusive", False)


@pytest.mark.parametrize(
    ("changes", "allowed", "says"),
    [
        ({"environment": {"cpu_model": "b", "kafka": "4.3.1"}}, "--across-environments",
         "environment.cpu_model: a against b"),
        ({"settings": {"workload": {"name": "payments"}, "producer": {"linger_ms": 5}}}, "--allow=workload.name",
         "workload.name: clicks against payments"),
    ],
)  # fmt: skip
def test_another_machine_or_workload_is_refused_by_name(
    changes: dict[str, Any], allowed: str, says: str, compare: Compare
) -> None:
    """Prevents a faster laptop, or an easier workload, from being taken for a faster release."""
    result("old")
    result("new", seed=2, **changes)
    said = compare("results/old", "results/new")
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    said = compare("results/old", "results/new", allowed)
    assert said.code == 0
    assert "What else differs" in said.out


def test_a_damaged_bundle_never_passes(compare: Compare) -> None:
    """Prevents the one run that would have shown the regression from vanishing with a full disk."""
    result("old")
    result("new", seed=2)
    path = next(Path("results/new").glob("*/*/run.json"))
    path.write_text(path.read_text()[:-300])
    said = compare("results/old", "results/new", "--json")
    assert said.code == 1
    assert str(path) in said.err
    assert json.loads(said.out)["unreadable"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["results/nowhere", "results/old"], "no such file or folder"),
        (["results/old:producer.linger=5", "results/old"], "no run has the knob producer.linger"),
        (["results/old:linger", "results/old"], "expected KNOB=VALUE"),
        (["results/old", "results/old", "--floor", "a lot"], "such as 5%"),
        (["results/old", "results/old", "--metric", "broker_cpu"], "docs/metrics.md"),
        (["results/old", "results/old", "--metric", "broker_rss_bytes"], "expected --floor"),
        (["results", "."], "expected"),
    ],
)
def test_wrong_words_are_the_users_error(words: list[str], says: str, compare: Compare) -> None:
    """Prevents a gate that compares something else than was meant."""
    result("old")
    Path("empty").mkdir()
    said = compare(*words) if words[1] != "." else compare("results/old", "empty")
    assert (said.code, said.out) == (2, "")
    assert says in said.err
