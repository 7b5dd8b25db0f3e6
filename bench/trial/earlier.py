"""Attempts of a search that was killed or crashed: taken up where it ended, if it was the same search on the same host.

A search asks for its rates by the outcomes so far (`bench.analysis.search`): what was recorded answers the same
questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from bench import record
from bench.analysis.compare import differing
from bench.analysis.histogram import LogLinearHistogram
from bench.analysis.search import Ask
from bench.record import Attempt, BundleError, Outcome, Run
from bench.trial.stage import Recorded

ENDED = (Outcome.UNFINISHED, Outcome.CRASHED)  # with attempts that are worth something


def label(number: int) -> str:
    """What an attempt's series and histograms are called in a search's bundle."""
    return f"attempt-{number + 1:02}"


@dataclass(frozen=True)
class Earlier:
    """What such a search left; nothing, where there was none."""

    attempts: Sequence[Attempt] = ()
    series: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    histograms: Mapping[str, LogLinearHistogram] = field(default_factory=dict)
    told: str = ""  # for a person: what was taken up, or why it was not

    def answer(self, ask: Ask) -> Attempt | None:
        """The attempt that asked the same; None from the first one on that did not."""
        if ask.number >= len(self.attempts):
            return None
        one = self.attempts[ask.number]
        same = (one.number, one.rate_eps, one.purpose) == (ask.number, ask.rate_eps, str(ask.purpose))
        return one if same else None

    def recorded(self, one: Attempt, blank: Run) -> Recorded:
        """The attempt as it was recorded, as far as the bundle kept it."""
        start = f"{label(one.number)}/"
        series = {name.removeprefix(start): table for name, table in self.series.items() if name.startswith(start)}
        seen = {name.removeprefix(start): each for name, each in self.histograms.items() if name.startswith(start)}
        return Recorded(replace(blank, metrics=one.metrics, checks=one.checks), series, seen)


def take_up(now: Run, bundles: Sequence[Path]) -> Earlier:
    """What the newest of these bundles (oldest first) left for the search `now`, in which nothing was measured yet.

    Attempts on another host or platform, or under other settings, say nothing about this search; what cannot be read is
    passed over, and kept. After a search that came to its end there is nothing to take up.
    """
    for bundle in reversed(bundles):
        try:
            run = record.load(bundle)
            found = Earlier(
                run.search.attempts if run.search else (), record.load_series(bundle), record.load_histograms(bundle)
            )
        except BundleError:
            continue
        if run.outcome not in ENDED:
            return Earlier()
        if not found.attempts:
            continue
        count = f"{len(found.attempts)} attempts of {run.started_utc}"
        if (run.scenario, run.trial_id, run.seed) != (now.scenario, now.trial_id, now.seed):
            return Earlier(told=f"{count} are of another search: they were not taken up")
        if other := differing([run], [now]):
            fields = ", ".join(f"{field}: {was} then, {is_} now" for field, (was, is_) in other.items())
            return Earlier(told=f"{count} were not taken up, for they ran under other conditions ({fields})")
        return replace(found, told=f"{count} were taken up: that search ended as {run.outcome} ({bundle})")
    return Earlier()
