"""Limits that change while a cluster runs: a drain is held back when its code is compiled, everything else at once."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import measure, study
from bench.backends import Limits
from bench.probes import Samples
from bench.scenario import Trial
from bench.topics import Names
from bench.trial import loads
from bench.trial.loads import Load
from bench.trial.notes import Notes
from bench.trial.stage import silence

EVENTS = 100_000


class Watched:
    """A cluster that notes what it is held to, and when; a job that reads a tenth of the events at each look."""

    component, counter = "flink", "source_events"

    def __init__(self) -> None:
        self.samples, self.read = Samples(0), 0.0
        self.held: list[tuple[float, Limits]] = []

    def hold(self, limits: Limits) -> None:
        self.held.append((self.read, limits))

    def check(self) -> None:
        pass

    def caught_up(self, samples: Samples, events: int) -> bool:
        self.read += 0.1 * EVENTS
        samples.add(self.read, {self.counter: self.read})
        return self.read >= events


def load(trial: Trial, both: Watched) -> Load:
    stage: Any = SimpleNamespace(cluster=both)
    readers: Any = [both]
    return Load(trial, stage, Names("run", "in", {}), readers, Notes(), silence)


def trial(tmp_path: Path, how: str, *, limited: bool = True) -> Trial:
    limits = "{limits: {task_manager_cpus: 0.25}}" if limited else "{}"
    text = "schema: 1\nname: held\nquestion: Held?\nworkload: {name: clicks}\npipeline: {job: revenue}\n"
    file = tmp_path / "held.yaml"
    file.write_text(f"{text}load: {{{how}}}\ncluster: {limits}\n")
    return study.trials(study.scenario(study.Asked(str(file))), "local")[0]


def test_a_drain_is_held_back_once_when_its_code_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job's code is compiled anew: under a quarter of a core that lasts as long as the drain."""
    monkeypatch.setattr(loads, "SETTLE_LOOK_S", 0.0)
    both = Watched()
    one = load(trial(tmp_path, f"drain: {EVENTS}"), both)
    one._settle(both.samples, EVENTS, 60.0)

    ((read, limits),) = both.held
    assert limits == Limits(task_manager_cpus=0.25)
    assert measure.HELD_FROM * EVENTS <= read < measure.HELD_EDGES[0] * EVENTS  # before its window begins


@pytest.mark.parametrize(
    ("how", "limited", "first"),
    [
        ("drain: 100000", True, Limits()),
        ("rate_eps: 1000", True, Limits(task_manager_cpus=0.25)),
        ("rate_eps: 1000", False, Limits()),
    ],
)
def test_what_is_no_drain_is_held_from_the_start_and_a_drain_begins_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, first: Limits, *, limited: bool
) -> None:
    """A quota left over from the trial before would hold back the next one's compiler."""
    for name in ("_drain", "_open_loop"):
        monkeypatch.setattr(Load, name, lambda _self: None)
    both = Watched()
    load(trial(tmp_path, how, limited=limited), both).run()

    assert both.held == [(0.0, first)]


def test_the_window_of_a_held_drain_begins_after_it_was_held() -> None:
    samples = Samples(0)
    for second in range(101):
        samples.add(float(second), {"source_events": second * EVENTS / 100})

    held = measure.drain_window(samples, EVENTS, "source_events", measure.HELD_EDGES)
    free = measure.drain_window(samples, EVENTS, "source_events")
    assert held == measure.Window(pytest.approx(40), pytest.approx(95))
    assert free == measure.Window(pytest.approx(10), pytest.approx(90))


@pytest.mark.parametrize(
    ("held_s", "window"),
    [
        (30.0, measure.Window(40, 95)),
        (50.0, measure.Window(50, 95)),  # the counter is a second old, and a quota takes time to be set
        (80.0, None),
        (float("nan"), None),
    ],
)
def test_what_was_read_before_the_quota_held_is_no_part_of_the_window(
    held_s: float, window: measure.Window | None
) -> None:
    """A fast drain is at 60 % when it is first looked at: its rate would be that of no quota."""
    assert measure.held_window(measure.Window(40, 95), held_s) == window


def test_a_drain_says_when_it_was_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "SETTLE_LOOK_S", 0.0)
    both = Watched()
    both.samples = Samples(time.time_ns() - 5_000_000_000)
    assert load(trial(tmp_path, f"drain: {EVENTS}"), both)._settle(both.samples, EVENTS, 60.0) == pytest.approx(
        5, abs=3
    )
    both.read = 0.95 * EVENTS  # over at the first look: the quota never held
    both.samples = Samples(0)
    assert math.isnan(load(trial(tmp_path, f"drain: {EVENTS}"), both)._settle(both.samples, EVENTS, 60.0))
