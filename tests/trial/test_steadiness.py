"""Steady state, from the series to the run, on systems that warm up slowly or never come to rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import record, study
from bench.analysis.steady import State
from bench.measure import Window
from bench.record import Outcome
from bench.scenario import Trial
from bench.study import Asked
from bench.trial.stage import Recorded, silence
from bench.trial.steadiness import judge, steadily
from tests.simulated.studies import STEADY, Steadied
from tests.simulated.system import CAPACITY, COLD, SHRINKING, Bench, System


def made(tmp_path: Path, text: str = STEADY) -> Trial:
    (tmp_path / "warm.yaml").write_text(text)
    return study.trials(study.scenario(Asked(str(tmp_path / "warm.yaml"))), "local")[0]


def test_what_is_steady_is_measured_once() -> None:
    """Prevents a study from taking twice as long on a system that was warm."""
    ran = Steadied(System("linear", CAPACITY), 5)
    assert ran.ended.run.outcome is Outcome.FINISHED
    assert (len(ran.attempts), ran.ended.run.warnings, ran.ended.run.warmup_s, ran.said) == (1, (), None, [])


def test_a_warm_up_that_was_too_short_is_extended_once_and_the_run_says_so(tmp_path: Path) -> None:
    """Prevents a system that is still catching up from its own start from being published as what it carries."""
    ran = Steadied(COLD, 5)
    run = ran.ended.run
    assert [one.settings.phases.warmup_s for one in ran.attempts] == [6, 36]
    assert run.outcome is Outcome.FINISHED
    assert run.warmup_s == 36
    assert run.settings["phases"]["warmup_s"] == 6  # what was asked for: the run is compared with others of its cell
    assert run.metrics["e2e_latency_ms"].percentiles["p99"] < 60  # type: ignore[index]  # a warm system's
    assert "after a warm-up of 6 s" in run.warnings[0] and "extended to 36 s" in run.warnings[0]
    assert ran.said == [run.warnings[0]]
    assert run.phases["t0"] == run.phases["extended"] + 1.0
    # each step was kept in the same bundle, and the end too, with what was not steady
    for each in (*ran.kept, ran.ended):
        record.save(each.run, tmp_path / "bundle", series=each.series)
    saved = record.load(tmp_path / "bundle")
    assert (saved.outcome, saved.warmup_s) == (Outcome.FINISHED, 36)
    series = record.load_series(tmp_path / "bundle")
    assert series["before-extension/output_eps"].t_s.max() == 36
    assert series["output_eps"].t_s.max() == 66


def test_what_is_still_not_steady_is_no_evidence() -> None:
    """Prevents a number that depends on when one looked from deciding a claim, and a trial from going on for ever."""
    ran = Steadied(SHRINKING, 5)
    assert len(ran.attempts) == 2
    assert ran.ended.run.outcome is Outcome.INVALID
    assert ran.ended.run.reason.startswith("inconclusive: no steady state, not even after a warm-up of 36 s")


@pytest.mark.parametrize("change", ["drain: 500000", "shape: {steps: [{rate_eps: 8000, for_s: 9}]}", "fault"])
def test_what_is_about_change_is_exempt(change: str, tmp_path: Path) -> None:
    """Prevents a recovery from being called a fault of the measurement."""
    text = STEADY.replace("rate_eps: 80000", change)
    if change == "fault":
        text = f"{STEADY}faults: [{{at_s: 5, do: kill, target: taskmanager}}]\n"
    table = pd.DataFrame({"t_s": np.arange(1.0, 60), "value": np.arange(1.0, 60)})
    assert judge(made(tmp_path, text), {"output_eps": table}, Window(6, 36)) is None


@pytest.mark.parametrize(
    ("series", "seconds", "state"),
    [
        ("output_eps", 8.0, State.UNTESTED),  # half-second bins: sixteen of them, and a hiccup would be a drift
        ("generator_acked", 15.0, State.UNTESTED),
        ("generator_acked", 30.0, State.STEADY),
        ("source_events", 20.0, State.UNTESTED),
        ("source_events", 30.0, State.STEADY),
        ("host_busy_s", 30.0, State.UNTESTED),
    ],
)
def test_a_window_too_short_is_not_called_steady(series: str, seconds: float, state: State, tmp_path: Path) -> None:
    """Prevents "too few samples" from passing, and from making every short look run twice."""
    t_s = np.arange(1.0, 60)
    counted = 1e4 * t_s if series.endswith("_events") else np.full(t_s.size, 1e4)
    found = judge(made(tmp_path), {series: pd.DataFrame({"t_s": t_s, "value": counted})}, Window(6, 6 + seconds))
    assert found is not None
    assert found.state is state, found
    assert (found.reason == "") == (state is State.STEADY)
    untested = Recorded(Bench(SHRINKING, np.random.default_rng(1)).run(1e4)[0], {}, {}, steady=found)
    assert steadily(made(tmp_path), lambda *_: untested, tell=silence, keep=print) is untested
