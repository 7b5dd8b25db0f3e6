"""The search as a state machine, and the criteria that answer it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.search import ABOVE, BUDGET_S, STEP, Answer, Ask, Found, Purpose, Status, drive, search
from bench.analysis.steady import State, Steadiness
from bench.analysis.steady import assess as assess_steadiness
from bench.analysis.sustainable import Observed, Outcome, Reader, Series, assess, of_run
from bench.metrics import METRICS
from bench.record import Measurement, Run
from bench.record import Outcome as Ended
from bench.scenario.words import parse_threshold


def carries(capacity: float, took_s: float = 45.0) -> Callable[[Ask], Answer]:
    return lambda ask: Answer(Outcome.PASS if ask.rate_eps <= capacity else Outcome.FAIL, "", took_s)


def hunt(trial: Callable[[Ask], Answer], start: float = 50_000.0, **options: Any) -> Found:
    return drive(search(start, **options), trial)


@given(st.floats(1_000, 5_000_000), st.floats(1_000, 5_000_000))
def test_a_sharp_limit_is_found_within_three_percent_from_anywhere(capacity: float, start: float) -> None:
    """Prevents a bracket, rounding or ladder mistake from publishing a rate beyond the limit, or far below it."""
    found = hunt(carries(capacity), start, budget_s=1e9)
    assert found.status is Status.FOUND and found.rate_eps is not None
    assert capacity / 1.03 <= found.rate_eps <= capacity
    assert found.high_eps is not None and found.high_eps > capacity


def test_the_found_rate_is_confirmed_by_fresh_runs_and_the_one_above_fails() -> None:
    """Prevents one lucky pass from being the answer."""
    found = hunt(carries(137_000))
    assert found.rate_eps is not None
    at = [a for a in found.attempts if a.ask.purpose is Purpose.CONFIRM and a.ask.rate_eps == found.rate_eps]
    above = [a for a in found.attempts if a.ask.purpose is Purpose.ABOVE]
    assert [a.answer.outcome for a in at] == [Outcome.PASS] * 4
    assert [a.answer.outcome for a in above] == [Outcome.FAIL] * 3
    assert above[0].ask.rate_eps == pytest.approx(found.rate_eps * STEP**ABOVE, rel=1e-3)
    assert sum(a.answer.took_s for a in found.attempts) <= BUDGET_S
    assert [a.ask.number for a in found.attempts] == list(range(len(found.attempts)))


def test_a_cold_first_trial_does_not_bound_the_answer() -> None:
    """One failure of a system that was not warm held every later rate below the first one's."""
    limit, cold = carries(137_000), Answer(Outcome.FAIL, "cold", 45.0)
    found = hunt(lambda ask: limit(ask) if ask.number else cold, 100_000.0)
    assert found.status is Status.FOUND and found.rate_eps is not None
    assert 137_000 / 1.03 <= found.rate_eps <= 137_000


def test_a_coin_is_never_confirmed_for_sure() -> None:
    """Prevents a rate whose runs pass by chance from being confirmed on less than 4 of 5."""
    endings = set()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = hunt(lambda _: Answer(Outcome.PASS if rng.random() < 0.5 else Outcome.FAIL, "", 45.0))  # noqa: B023
        endings.add(found.status)
        if found.status is Status.FOUND:
            counted = [
                a.answer.outcome
                for a in found.attempts
                if a.ask.rate_eps == found.rate_eps and a.ask.purpose in (Purpose.CONFIRM, Purpose.ABOVE)
            ]
            assert counted.count(Outcome.PASS) >= 4 and counted.count(Outcome.FAIL) <= 1
    assert Status.OUT_OF_TIME in endings


def test_the_budget_ends_a_search_without_an_answer() -> None:
    """Prevents a search from taking an hour, and an unconfirmed rate from being its answer."""
    found = hunt(carries(137_000), budget_s=500.0)
    assert (found.status, found.rate_eps) == (Status.OUT_OF_TIME, None)
    assert sum(a.answer.took_s for a in found.attempts) <= 500.0
    assert found.low_eps is not None and "Inconclusive" in found.sentence


def test_what_was_confirmed_before_the_time_was_over_is_a_lower_bound() -> None:
    """Prevents four confirmed runs from being thrown away, and a limit from being claimed that was never shown."""
    whole = hunt(carries(137_000), budget_s=1e9)
    found = hunt(carries(137_000), budget_s=45.0 * (len(whole.attempts) - 1))
    assert (found.status, found.rate_eps) == (Status.AT_LEAST, whole.rate_eps)
    assert "the time was over" in found.sentence


def test_nothing_sustainable_is_an_answer() -> None:
    """Prevents the search from going on for ever below its floor."""
    found = hunt(carries(50), floor_eps=1_000.0, budget_s=1e9)
    assert (found.status, found.rate_eps) == (Status.NOT_FOUND, None)
    assert min(a.ask.rate_eps for a in found.attempts) == 1_000.0


def test_the_top_of_the_range_and_of_the_generator_give_a_lower_bound() -> None:
    """Prevents "at most" from being read into a load that could not be taken further."""
    assert hunt(carries(1e9), ceiling_eps=400_000.0).status is Status.AT_LEAST

    def starved(ask: Ask) -> Answer:
        return Answer(Outcome.PASS if ask.rate_eps <= 90_000 else Outcome.INVALID, "generator", 45.0)

    found = hunt(starved)
    assert found.status is Status.AT_LEAST and found.rate_eps is not None
    assert 90_000 / 1.03 <= found.rate_eps <= 90_000


def test_the_same_answers_lead_to_the_same_questions() -> None:
    """Prevents a resumed search from running other trials than the ones it already has."""
    first = hunt(carries(137_000))
    known = {a.ask: a.answer for a in first.attempts}
    assert hunt(lambda ask: known[ask]) == first


T = np.arange(30.0)
GOOD = Observed(
    offered_eps=50_000.0,
    generator="",
    backlog=Series(T, 300 + 20 * np.sin(T)),
    output_share=1.0,
    latency=Series(T, 23 + np.sin(3 * T)),
    slo={"e2e_latency_ms p99 < 500": True},
    checkpoints_failed=0.0,
    restarts=0.0,
)
HOLES = np.where(T % 8 == 0, np.nan, 300.0)


def test_a_healthy_trial_passes_every_criterion() -> None:
    """Prevents criteria that nothing meets."""
    found = assess(GOOD)
    assert found.outcome is Outcome.PASS and found.reasons == ()
    assert (
        assess(replace(GOOD, reader=Reader.NOBODY, backlog=Series(T[:0], T[:0]), restarts=None)).outcome is Outcome.PASS
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"backlog": Series(T, 300 + 900 * T)}, "backlog grows"),
        ({"backlog": Series(T, np.full(30, 120_000.0))}, "2.40 s of load behind"),
        ({"backlog": Series(T, HOLES)}, "samples are missing"),
        ({"backlog": Series(T, np.append(np.full(29, 300.0), np.nan))}, "last sample"),
        ({"backlog": Series(T[:0], T[:0])}, "100% of the backlog's samples are missing"),
        ({"backlog": Series(T[:5], T[:5])}, "give no slope"),
        ({"output_share": 0.98}, "98.00% of the expected output"),
        ({"output_share": None}, "nothing says how much"),
        ({"output_share": float("nan")}, "nothing says how much"),
        ({"latency": Series(T, 20 + 3 * T)}, "latency grows"),
        ({"latency": Series(T, HOLES)}, "too few samples of the latency"),
        ({"slo": {"e2e_latency_ms p99 < 500": False}}, "not met"),
        ({"slo": {"e2e_latency_ms p99 < 500": None}}, "cannot be judged"),
        ({"checkpoints_failed": 1.0}, "1 failed checkpoints"),
        ({"checkpoints_failed": None}, "nothing says how many failed checkpoints"),
        ({"restarts": float("nan")}, "nothing says how many restarts"),
        ({"steady": Steadiness(State.NONE, 0, 0.2, "the last third differs")}, "the last third differs"),
    ],
)
def test_each_criterion_fails_alone_and_says_why(changes: dict[str, Any], reason: str) -> None:
    """Prevents a rate from being called sustainable on what is missing, or on all criteria but one."""
    found = assess(replace(GOOD, **changes))
    assert found.outcome is Outcome.FAIL
    assert any(reason in text for text in found.reasons)


NO_NUMBER = re.compile(r"\b(inf|nan|infinity)\b", re.IGNORECASE)


@given(
    values=st.lists(st.sampled_from([0.0, 1.0, 30.0, 1e9, np.nan]), max_size=40),
    offered=st.sampled_from([None, 0.0, 1e-3, 50_000.0]),
    share=st.sampled_from([None, np.nan, 1.0]),
)
@settings(max_examples=150, deadline=None)
def test_no_sentence_has_a_number_that_is_none(values: list[float], offered: float | None, share: float | None) -> None:
    """Prevents "backlog grows by at most inf events/s": what is not known is said, in words."""
    one = Series(np.arange(float(len(values))), np.array(values, dtype=float))
    seen = replace(GOOD, offered_eps=offered, backlog=one, latency=one, output_share=share, restarts=share)
    for criterion in assess(seen).criteria:
        assert not NO_NUMBER.search(criterion.detail), criterion
    assert not NO_NUMBER.search(assess_steadiness(values).reason)


def test_what_moves_together_bounds_no_growth_and_says_so() -> None:
    """Prevents fifteen samples of one slow wave from passing as a backlog that is known not to grow."""
    wave = Series(np.arange(15.0), 3_000 + 2_000 * np.sin(np.arange(15.0) / 3))
    found = {one.name: one for one in assess(replace(GOOD, backlog=wave, latency=wave)).criteria}
    assert not found["backlog slope"].ok
    assert "put no bound on its growth" in found["backlog slope"].detail
    assert "do not show it to grow" in found["latency growth"].detail


@pytest.mark.parametrize("changes", [{"generator": "lateness p99 31 ms"}, {"generator": None}, {"offered_eps": None}])
def test_without_a_proven_generator_a_trial_says_nothing(changes: dict[str, Any]) -> None:
    """Prevents a pass, or a fail, because the generator starved."""
    assert assess(replace(GOOD, **changes)).outcome is Outcome.INVALID


def recorded(**changes: Any) -> Run:
    values = {"offered_eps": 50_000.0, "target_eps": 50_000.0, "acknowledged_eps": 50_000.0, "output_share": 1.0,
              "checkpoints_failed": 0.0, "restarts": 0.0}  # fmt: skip
    metrics = {name: Measurement(value, METRICS[name].unit) for name, value in values.items()}
    metrics["e2e_latency_ms"] = Measurement(12.0, "ms", {"p99": 23.0}, 5_000)
    settings = {"pipeline": {"job": "revenue"}}
    made = Run("s", "t", "load", 0, 0, Ended.FINISHED, "", {}, settings, 7, "local", "now", 60.0, {}, metrics)
    return replace(made, **changes)


def test_a_recorded_run_is_assessed_by_its_measured_window_alone() -> None:
    """Prevents warm-up and settling from deciding, and a crash from being taken for no answer."""
    t_s = np.arange(60.0)
    warm = (t_s >= 15) & (t_s <= 45)
    series = {
        "backlog_events": pd.DataFrame({"t_s": t_s, "value": np.where(warm, 300.0, 90_000.0)}),
        "e2e_latency_ms": pd.DataFrame({"t_s": t_s, "value": np.where(warm, 23.0, 5_000.0)}),
    }
    slo = [parse_threshold("e2e_latency_ms p99 < 500")]

    def outcome(run: Run, **options: Any) -> Outcome:
        return of_run(run, options.get("series", series), options.get("slo", slo), from_s=15, to_s=45).outcome

    assert outcome(recorded()) is Outcome.PASS
    assert outcome(recorded(), series={}) is Outcome.FAIL
    assert outcome(recorded(), slo=[parse_threshold("e2e_latency_ms p99.9 < 500")]) is Outcome.FAIL
    assert outcome(recorded(outcome=Ended.CRASHED, reason="broker died")) is Outcome.FAIL
    assert outcome(recorded(outcome=Ended.INVALID, reason="clock step")) is Outcome.INVALID
    produced = recorded(settings={"pipeline": None, "consumers": []})
    assert outcome(produced, series={"e2e_latency_ms": series["e2e_latency_ms"]}) is Outcome.PASS
