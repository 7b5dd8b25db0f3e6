"""Whether a run was measured in a steady state; where it was not, once more after a longer warm-up (method 11).

Only constant loads have one: shapes and faults are about change, a drain has no warm-up, and a search judges growth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bench.analysis import steady
from bench.analysis.steady import State, Steadiness
from bench.measure import Window
from bench.record import Outcome
from bench.scenario import Trial
from bench.trial.stage import Keep, Recorded, Tell

if TYPE_CHECKING:
    import pandas as pd

SHORTEST_S = 15.0  # thirds of less than 5 s: a hiccup of a quarter second is 5 % of one, and no drift
BY_SECOND_S = 20.0  # the fewest samples, one a second
REFRESHED_S = 30.0  # Flink refreshes its counters once a second: a tenth of a third at most
BEFORE = "before-extension"

# The end of the path first: where nothing tells it for each event, what was read, and where nobody reads, what came in
_RATES = {"output_eps": SHORTEST_S, "consumed_events": BY_SECOND_S, "source_events": REFRESHED_S,
          "generator_acked": BY_SECOND_S}  # fmt: skip
_COUNTERS = ("consumed_events", "source_events")

Once = Callable[[Trial, Keep], Recorded]
"""One attempt at a trial."""


def judge(trial: Trial, series: Mapping[str, pd.DataFrame], window: Window) -> Steadiness | None:
    """Of the rate at the end of the path, in the measured window; None where there is nothing to be steady."""
    if trial.load.kind != "rate" or trial.settings.faults:
        return None
    name, shortest_s = next(((name, s) for name, s in _RATES.items() if name in series), ("", 0.0))
    if not name:
        return Steadiness(State.UNTESTED, 0, math.nan, "no series tells the rate")
    if window.seconds < shortest_s:
        why = f"{window.seconds:g} s were measured, {shortest_s:g} s are needed"
        return Steadiness(State.UNTESTED, 0, math.nan, why)
    rates = _rates(series[name], window, counted=name in _COUNTERS)
    found = steady.assess(rates)
    off = steady.still_warming(rates, found.warmup)
    if found.state is State.STEADY and abs(off) >= steady.DRIFT_LIMIT:  # the warm-up ended within the window
        why = f"its beginning differs from the rest of the window{steady.by(off)}"
        return replace(found, state=State.EXTEND, reason=why)
    return found


def _rates(table: pd.DataFrame, window: Window, *, counted: bool) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    t_s, value = table["t_s"].to_numpy(dtype=float), table["value"].to_numpy(dtype=float)
    if not counted:
        return value[(t_s > window.from_s) & (t_s <= window.to_s)]
    known = np.isfinite(value)
    grid = np.arange(window.from_s, window.to_s + 1e-9)
    return np.diff(np.interp(grid, t_s[known], value[known], left=math.nan, right=math.nan))


def steadily(trial: Trial, once: Once, *, tell: Tell, keep: Keep) -> Recorded:
    """Run a trial, and where it was not steady once more, measured from where the first window ended.

    What was measured twice and never steady is no evidence. The run begins with the first attempt, whose settings are
    what was asked for; `warmup_s` says what was cut instead, and a series tells what was not steady.
    """
    first = once(trial, keep)
    drifted = _why(first)
    if first.run.outcome is not Outcome.FINISHED or not drifted:
        return first
    phases = trial.settings.phases
    longer_s = phases.warmup_s + phases.measure_s
    note = f"no steady state after a warm-up of {phases.warmup_s:g} s ({drifted}): it was extended to {longer_s:g} s"
    tell(note, 0.0)
    longer = trial.settings.model_copy(update={"phases": phases.model_copy(update={"warmup_s": longer_s})})

    def continued(recorded: Recorded) -> Recorded:
        began_s = first.run.duration_s
        run = replace(
            recorded.run,
            started_utc=first.run.started_utc,
            settings=first.run.settings,
            duration_s=began_s + recorded.run.duration_s,
            phases={"extended": began_s, **{name: began_s + at_s for name, at_s in recorded.run.phases.items()}},
            warmup_s=longer_s,
            warnings=(note, *recorded.run.warnings),
        )
        before = {f"{BEFORE}/{name}": first.series[name] for name in _RATES if name in first.series}
        return replace(recorded, run=run, series={**before, **recorded.series})

    again = continued(once(replace(trial, settings=longer), lambda recorded: keep(continued(recorded))))
    if again.run.outcome is not Outcome.FINISHED or not (drifts := _why(again)):
        return again
    reason = f"inconclusive: no steady state, not even after a warm-up of {longer_s:g} s: {drifts}"
    return replace(again, run=replace(again.run, outcome=Outcome.INVALID, reason=reason))


def _why(recorded: Recorded) -> str:
    """What was not steady; "" where it was, or could not be tested."""
    found = recorded.steady
    return found.reason if found is not None and found.state not in (State.STEADY, State.UNTESTED) else ""
