"""What a person sees while trials run, on a terminal and in a log."""

from __future__ import annotations

import io
import math
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from bench import progress
from bench.campaign import Event
from bench.record import Outcome
from bench.trial import Now
from bench.trial.loads import _Pace

TRIAL: Any = SimpleNamespace(load_name="steady", knobs={"topic.partitions": 6}, repetition=1)


def ended(outcome: Outcome = Outcome.FINISHED, reason: str = "") -> Any:
    latency = SimpleNamespace(value=12.0, percentiles={"p50": 12.0, "p99": 40.0})
    metrics = {"acknowledged_eps": SimpleNamespace(value=50_000.0), "e2e_latency_ms": latency}
    return SimpleNamespace(outcome=outcome, reason=reason, metrics=metrics if outcome is Outcome.FINISHED else {})


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_log_has_a_line_a_step_with_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    """A CI log of carriage returns, or one that says nothing for an hour, is cancelled by whoever watches it."""
    clock = Clock()
    listen = progress.plain([165.0, 150.0, 150.0, 135.0], clock)
    listen(Event(1, 4, "cluster", 20.0, TRIAL))
    for at in range(70):  # a long load, told twice
        clock.now_s = 1010.0 + at
        listen(Event(1, 4, "load", 60.0, TRIAL, now=Now(49_990.0, 1_000.0, 0.4)))
    clock.now_s = 1100.0
    listen(Event(1, 4, "done", 0.0, TRIAL, ended()))
    listen(Event(2, 4, "no steady state: the warm-up was extended", 0.0, TRIAL))
    listen(Event(2, 4, "done", 0.0, TRIAL, ended(Outcome.INVALID, "the generator fell behind\nmore")))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "starting Kafka and Flink (about 20 s)",
        *["[1/4] sending on schedule and measuring: 49,990 events/s, backlog 1,000 (20 ms behind)"] * 2,
        "[1/4] steady partitions 6 #2: 50,000 events/s; p50 12 ms, p99 40 ms (about 4 min left)",
        "  no steady state: the warm-up was extended",
        "[2/4] steady partitions 6 #2: invalid: the generator fell behind (about 2 min left)",
    ]


def test_what_is_left_follows_the_runs_and_not_the_plan() -> None:
    """A host that is twice as slow as planned must not be "1 s left" for an hour."""
    pace = progress.Pace([25.0, 25.0, 25.0, 25.0], began_s=0.0)
    assert pace.left_s(20.0) == 80.0
    pace.end(50.0)
    assert pace.left_s(50.0) == 150.0
    assert pace.left_s(75.0) == 125.0
    assert progress.about(40.2) == "40 s" and progress.about(150) == "2 min"


def test_what_comes_once_and_what_never_ran_are_not_taken_for_the_usual_run() -> None:
    """The first run brings the cluster's start along: nine more of it would be 13 minutes of the 5 that it takes."""
    pace = progress.Pace([85.0, *[35.0] * 8, 20.0], began_s=0.0)
    pace.end(85.0)
    assert pace.left_s(85.0) == 300.0
    pace.end(85.5, ran=False)  # refused: at once, and no sign of a fast host
    assert pace.left_s(85.5) == 265.0


def test_what_nobody_knows_yet_is_left_out() -> None:
    """A rate of "nan" or a backlog of 0 before the first sample would be believed."""
    assert progress.going(Now(math.nan, math.nan)) == ""
    assert progress.going(Now(5.0, math.nan, 30.0)) == "5 events/s, generator 30 ms late"
    assert progress.going(Now(0.0, 12.0)) == "0 events/s, backlog 12"
    pace = _Pace()
    assert math.isnan(pace.of(10.0)) and pace.of(11.0) > 0


def test_a_terminal_has_one_moving_line_with_trial_phase_rate_and_lag() -> None:
    """Who sits before it wants to know whether to stay."""
    console = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
    following = progress._moving(console, [150.0] * 4)
    listen = next(following)
    listen(Event(1, 4, "load", 60.0, TRIAL, now=Now(49_990.0, 1_000.0)))
    listen(Event(1, 4, "done", 0.0, TRIAL, ended()))
    following.close()
    text = cast("io.StringIO", console.file).getvalue()
    assert (
        "steady partitions 6: sending on schedule and measuring, 49,990 events/s, backlog 1,000 (20 ms behind)" in text
    )
    assert "[1/4] steady partitions 6 #2: 50,000 events/s; p50 12 ms, p99 40 ms" in text
    assert "10 min left" in text
