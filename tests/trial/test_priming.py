"""A cluster that was just started is primed with the trial's own load, for as long as its scenario says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import study, topics
from bench.scenario import Trial
from bench.trial.attempt import PRIME_EPS, prime

SCENARIO = """\
schema: 1
name: primed
question: Primed?
workload: {{name: clicks}}
consumers: [{{group: a}}]
cluster: {cluster}
load: {{rate_eps: {rate}}}
"""


class Watched:
    """Stands for one life of a trial: notes what it would have run, and that it was torn down."""

    ran: list[Trial]
    torn_down: int

    def __init__(self, trial: Trial, stage: Any, tell: Any) -> None:
        self.names, self.settings, self.bootstrap = None, trial.settings, ""
        self.ran.append(trial)

    def load(self) -> None:
        pass

    def tear_down(self) -> None:
        type(self).torn_down += 1


def primed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, cluster: str = "{}", rate: int = 4000, theirs: bool = False
) -> Trial:
    (tmp_path / "primed.yaml").write_text(SCENARIO.format(cluster=cluster, rate=rate))
    one = study.trials(study.scenario(study.Asked(str(tmp_path / "primed.yaml"))), "local")[0]
    Watched.ran, Watched.torn_down = [], 0
    monkeypatch.setitem(prime.__globals__, "_Life", Watched)
    monkeypatch.setattr(topics, "create_all", lambda *_: 0.0)
    stage: Any = SimpleNamespace(clocks=(lambda: None) if theirs else None)
    prime(one, stage)
    assert Watched.torn_down == 1
    [ran] = Watched.ran
    assert ran.settings.consumers == one.settings.consumers
    return ran


@pytest.mark.parametrize(("cluster", "expected_s"), [("{}", 20.0), ("{prime_s: 45}", 45.0)])
def test_for_as_long_as_the_scenario_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: str, expected_s: float
) -> None:
    """A key that reaches nothing would let somebody believe that his cluster was warm."""
    ran = primed(tmp_path, monkeypatch, cluster=cluster)
    assert (ran.settings.phases.warmup_s, ran.settings.phases.measure_s) == (0.0, expected_s)
    assert ran.settings.load.rate_eps == 4000


def test_no_faster_than_a_cold_broker_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert primed(tmp_path, monkeypatch, rate=400_000).settings.load.rate_eps == PRIME_EPS


def test_somebody_elses_cluster_is_climbed_within_that_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full rate from nothing is how a load test becomes an incident."""
    shape = primed(tmp_path, monkeypatch, cluster="{prime_s: 8}", theirs=True).settings.load.shape
    assert shape is not None and shape.ramp is not None
    assert (shape.ramp.from_eps, shape.ramp.to_eps, shape.ramp.over_s) == (200, 4000, 6)
