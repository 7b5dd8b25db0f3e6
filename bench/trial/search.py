"""One trial that looks for the highest sustainable rate: attempts one after another, each judged, and confirmed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench import environment
from bench.analysis import search as rates
from bench.analysis import sustainable
from bench.analysis.histogram import LogLinearHistogram
from bench.analysis.search import Answer, Ask, Found, Purpose
from bench.errors import PlatformError
from bench.metrics import METRICS
from bench.probes import INTERVAL_S
from bench.record import Attempt, Measurement, Outcome, Search
from bench.scenario import Trial, parse_threshold
from bench.trial.attempt import START_EPS, attempt, blank
from bench.trial.earlier import Earlier, label, take_up
from bench.trial.stage import Keep, Recorded, Stage, Tell, forget, silence

CEILING_EPS = 4_000_000.0
BUDGET_S = 840.0  # with a cluster's start and priming, fifteen minutes
KEPT_SERIES = ("backlog_events", "e2e_latency_ms", "generator_offered", "output_eps")  # of each attempt
SEARCHING = "searching"


def search(
    trial: Trial,
    stage: Stage,
    *,
    latency_slo_ms: float | None = None,
    tell: Tell = silence,
    keep: Keep = forget,
    earlier: Sequence[Path] = (),
) -> Recorded:
    """Run attempts until a rate is confirmed, or it is clear that none will be; `keep` gets the search after each.

    An attempt whose job dies failed at its rate. When Kafka or Flink itself is gone the search ends as crashed, with
    the attempts so far. `earlier`: bundles of this trial, oldest first; what a search that was cut short had tried is
    not tried again.
    """
    closely = replace(stage, watch_interval_s=INTERVAL_S)  # a rate is judged by how its backlog grows
    hunt = _Hunt(trial, closely, latency_slo_ms, tell, keep)
    hunt.keep()
    hunt.take_up(earlier)
    try:
        found = rates.drive(rates.search(START_EPS, ceiling_eps=CEILING_EPS, budget_s=BUDGET_S), hunt.attempt)
    except PlatformError as error:
        return hunt.recorded(Outcome.CRASHED, str(error))
    return hunt.recorded(Outcome.FINISHED, "", found)


@dataclass
class _Hunt:
    """A search under way."""

    trial: Trial
    stage: Stage
    latency_slo_ms: float | None
    tell: Tell
    save: Keep
    attempts: list[Attempt] = field(default_factory=list)
    confirmed: dict[float, list[Recorded]] = field(default_factory=dict)  # rate -> confirmations that passed
    series: dict[str, pd.DataFrame] = field(default_factory=dict)
    histograms: dict[str, LogLinearHistogram] = field(default_factory=dict)  # of these, while the search goes on
    earlier: Earlier = field(default_factory=Earlier)

    def __post_init__(self) -> None:
        self._began, self._taken_up_s = time.monotonic(), 0.0
        self._slos = [parse_threshold(text) for text in self.trial.thresholds]
        cluster = self.stage.cluster
        self._blank = replace(
            blank(self.trial, cluster.backend, Outcome.UNFINISHED, "it began, and nothing says how it ended"),
            environment=environment.describe(cluster.backend, cluster.versions),
        )

    def take_up(self, bundles: Sequence[Path]) -> None:
        """What an earlier search had tried answers before anything is run."""
        self.earlier = take_up(self._blank, bundles)
        if self.earlier.told:
            self.tell(self.earlier.told, 0.0)

    def attempt(self, ask: Ask) -> Answer:
        """One attempt, judged. A PlatformError when the cluster did not survive it."""
        if (before := self.earlier.answer(ask)) is not None:
            self._taken_up_s += before.took_s
            self._remember(before, self.earlier.recorded(before, self._blank))
            return Answer(sustainable.Outcome(before.outcome), before.reason, before.took_s)
        self.earlier = replace(self.earlier, attempts=())  # from here on everything is new
        began = time.monotonic()
        phases = self.trial.settings.phases
        name = f"attempt {ask.number + 1}: {ask.rate_eps:,.0f} events/s ({ask.purpose})"
        self.tell(name, phases.warmup_s + phases.measure_s + 15.0)
        recorded = attempt(self._at(ask), self.stage, latency_slo_ms=self.latency_slo_ms)
        self.stage.cluster.check()
        judged = self._judged(recorded)
        reason = "; ".join(judged.reasons)
        took_s = time.monotonic() - began
        run = recorded.run
        one = Attempt(ask.number, ask.rate_eps, str(ask.purpose), str(judged.outcome), reason, took_s, run.started_utc,
                      judged.criteria, run.metrics, run.checks)  # fmt: skip
        self._remember(one, recorded)
        self.tell(f"{name}: {judged.outcome}{f': {reason}' if reason else ''}", 0.0)
        return Answer(judged.outcome, reason, took_s)

    def _at(self, ask: Ask) -> Trial:
        """The trial at one rate; every attempt has events of its own."""
        settings = self.trial.settings
        load = settings.load.model_copy(update={"rate_eps": ask.rate_eps})
        return replace(
            self.trial, settings=settings.model_copy(update={"load": load}), seed=self.trial.seed + ask.number
        )

    def _judged(self, recorded: Recorded) -> sustainable.Assessment:
        window = recorded.window
        from_s, to_s = (window.from_s, window.to_s) if window is not None else (0.0, 0.0)
        return sustainable.of_run(
            recorded.run, recorded.series, self._slos, from_s=from_s, to_s=to_s, generator=recorded.generator
        )

    def _remember(self, one: Attempt, recorded: Recorded) -> None:
        self.attempts.append(one)
        for name in KEPT_SERIES:
            if name in recorded.series:
                self.series[f"{label(one.number)}/{name}"] = recorded.series[name]
        if one.purpose in (Purpose.CONFIRM, Purpose.ABOVE) and one.outcome == sustainable.Outcome.PASS:
            self.confirmed.setdefault(one.rate_eps, []).append(recorded)
            self.histograms |= {f"{label(one.number)}/{name}": each for name, each in recorded.histograms.items()}
        self.keep()

    def keep(self) -> None:
        """The search so far, for whoever asks while it runs, or after it was killed."""
        self.save(self.recorded(Outcome.UNFINISHED, self._blank.reason))

    def recorded(self, outcome: Outcome, reason: str, found: Found | None = None) -> Recorded:
        """The trial's run: the rate that was confirmed, and what the confirmations measured at it."""
        at_rate = self.confirmed.get(found.rate_eps, []) if found is not None and found.rate_eps else []
        metrics, histograms = _together(at_rate)
        histograms = histograms if found is not None else self.histograms
        if found is not None and found.rate_eps is not None:
            measured = Measurement(found.rate_eps, METRICS["sustainable_rate_eps"].unit, n=len(at_rate))
            metrics = {"sustainable_rate_eps": measured, **metrics}
        run = replace(
            self._blank,
            outcome=outcome,
            reason=reason,
            duration_s=self._taken_up_s + time.monotonic() - self._began,
            metrics=metrics,
            checks=tuple(check for one in at_rate for check in one.run.checks),
            warnings=self._warnings(found),
            search=self._search(found),
        )
        if outcome is not Outcome.UNFINISHED:
            over = environment.since(self._blank.environment)
            run = replace(run, environment={**self._blank.environment, "over_the_run": over})
        return Recorded(run, {**self.series, **(at_rate[-1].series if at_rate else {})}, histograms)

    def _search(self, found: Found | None) -> Search:
        attempts, thresholds = tuple(self.attempts), self.trial.thresholds
        if found is None:
            return Search(SEARCHING, "The search is not over.", thresholds, None, None, None, attempts)
        return Search(
            str(found.status), found.sentence, thresholds, found.rate_eps, found.low_eps, found.high_eps, attempts
        )

    def _warnings(self, found: Found | None) -> tuple[str, ...]:
        """What qualifies the answer stands beside it wherever it is shown."""
        told = (found.sentence,) if found is not None and found.status is not rates.Status.FOUND else ()
        return (*told, self.earlier.told) if self.earlier.told else told


def _together(many: Sequence[Recorded]) -> tuple[dict[str, Measurement], Mapping[str, LogLinearHistogram]]:
    """Confirmations as one: histograms merged, percentiles read from them; of every other metric the mean.

    A metric that one of them lacks is left out, and so are percentiles that no histogram stands behind.
    """
    if not many:
        return {}, {}
    histograms: dict[str, LogLinearHistogram] = {}
    for name in set.intersection(*(set(one.histograms) for one in many)):
        merged = LogLinearHistogram(many[0].histograms[name].unit)
        for one in many:
            merged.merge(one.histograms[name])
        histograms[name] = merged
    metrics = {}
    for name, first in many[0].run.metrics.items():
        values = [one.run.metrics[name].value for one in many if name in one.run.metrics]
        if len(values) < len(many):
            continue
        if name in histograms and first.percentiles is not None:
            histogram = histograms[name]
            median = histogram.percentile(50.0)
            if median is not None:
                metrics[name] = Measurement(median, first.unit, histogram.percentiles(), histogram.n)
        else:
            metrics[name] = Measurement(float(np.mean(values)), first.unit)
    return metrics, histograms
