"""Studies on systems whose truth is known: how often does the chain say what is true?"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from bench import study
from bench.analysis import power, search
from bench.analysis.compare import compare
from bench.analysis.decide import Answer, comparison
from bench.analysis.intervals import mean_interval
from bench.analysis.ratio import paired
from bench.analysis.search import Answer as Told
from bench.analysis.search import Ask, Found, Status
from bench.analysis.slope import theil_sen
from bench.analysis.sustainable import of_run
from bench.measure import Window
from bench.record import Outcome
from bench.scenario import Trial
from bench.scenario.words import parse_threshold
from bench.trial.stage import Keep, Now, Recorded
from bench.trial.steadiness import judge, steadily
from tests.simulated.recorded import Level
from tests.simulated.system import Bench, System, changed

STEADY = """\
schema: 1
name: warm
workload: {name: clicks}
load: {rate_eps: 80000}
pipeline: {job: revenue}
phases: {warmup_s: 6, measure_s: 30}
"""
SLO = (parse_threshold("e2e_latency_ms p99 < 2000"), parse_threshold("lost_events value == 0"))


def searched(system: System, seed: int, start_eps: float = 50_000.0) -> Found:
    """One search on a system, from load to confirmed answer."""
    bench = Bench(system, np.random.default_rng(seed))

    def trial(ask: Ask) -> Told:
        before = bench.clock.now_s
        run, series = bench.run(ask.rate_eps)
        found = of_run(run, series, SLO, from_s=bench.warmup_s, to_s=bench.warmup_s + bench.measure_s)
        return Told(found.outcome, "; ".join(found.reasons), bench.clock.now_s - before)

    return search.drive(search.search(start_eps), trial)


@dataclass(frozen=True)
class Searches:
    """Many searches on one system."""

    system: System
    statuses: Counter[Status]
    errors: tuple[float, ...]  # of the confirmed ones, relative to the truth
    trials: float  # mean number

    @property
    def within(self) -> float:
        """Share of confirmed rates within 5 % of the truth."""
        return float(np.mean([abs(error) <= 0.05 for error in self.errors])) if self.errors else float("nan")


def searches(system: System, studies: int) -> Searches:
    """Searches from seeded starts, so that the ladder never favours one capacity."""
    found = [searched(system, seed, 30_000.0 * 1.7 ** (seed % 7 / 3)) for seed in range(studies)]
    truth = system.sustainable_eps()
    errors = tuple(one.rate_eps / truth - 1 for one in found if one.rate_eps is not None)
    trials = float(np.mean([len(one.attempts) for one in found]))
    return Searches(system, Counter(one.status for one in found), errors, trials)


def carried(system: System, runs: int = 200) -> float:
    """The rate that 4 of 5 fresh runs pass at, by the search's own criteria: the truth of a system without a limit."""
    low, high = 0.4 * system.capacity_eps, 1.1 * system.capacity_eps
    for _ in range(8):
        middle = (low * high) ** 0.5
        if _passes(system, middle, runs) >= 0.8:
            low = middle
        else:
            high = middle
    return low


def _passes(system: System, rate_eps: float, runs: int) -> float:
    """Share of fresh runs that are sustained at this rate."""
    passed = 0
    for seed in range(runs):
        bench = Bench(system, np.random.default_rng([11, seed]))
        run, series = bench.run(rate_eps)
        until_s = bench.warmup_s + bench.measure_s
        passed += of_run(run, series, SLO, from_s=bench.warmup_s, to_s=until_s).outcome == "pass"
    return passed / runs


def generator_error(system: System) -> float:
    """The most that a search may find where the generator ends: it may fall 0.5 % short of its load and stay valid."""
    return system.generator_eps / 0.995 / system.sustainable_eps() - 1


def mean_coverage(n: int, studies: int, seed: int = 1, cv: float = 0.037) -> float:
    """How often the t interval of n runs holds the true mean."""
    rng = np.random.default_rng(seed)
    hits = 0
    for values in rng.lognormal(-(cv**2) / 2, cv, (studies, n)):
        _, low, high = mean_interval(list(values))
        assert low is not None
        assert high is not None
        hits += low <= 1.0 <= high
    return hits / studies


def ratio_coverage(n: int, studies: int, seed: int = 2, *, drift: float = 0.0, shared: float = 0.05) -> float:
    """How often the paired interval holds the true ratio, on a host whose speed drifts and wanders between pairs."""
    rng = np.random.default_rng(seed)
    truth, hits = 1.08, 0
    for _ in range(studies):
        host = np.cumsum(rng.normal(0, shared, n))
        sides = np.where(np.arange(n) % 2 == 0, 1, -1)  # ABBA: the second of a pair alternates
        base = np.exp(host + drift * -sides / 2 + rng.normal(0, 0.037, n))
        new = truth * np.exp(host + drift * sides / 2 + rng.normal(0, 0.037, n))
        found = paired(list(base), list(new))
        assert found is not None
        low, high = found.interval()
        hits += low <= truth <= high
    return hits / studies


def slope_coverage(rho: float, studies: int, seed: int = 3, samples: int = 30) -> float:
    """How often the bounds of a backlog's slope hold the true one, with noise that remembers."""
    rng = np.random.default_rng(seed)
    t_s, hits = np.arange(float(samples)), 0
    for _ in range(studies):
        noise = np.empty(samples)
        noise[0] = rng.standard_normal()
        for i in range(1, samples):
            noise[i] = rho * noise[i - 1] + np.sqrt(1 - rho**2) * rng.standard_normal()
        found = theil_sen(t_s, 1_000 + 50 * t_s + 300 * noise)
        assert found is not None
        hits += found.low <= 50 <= found.high
    return hits / studies


@dataclass(frozen=True)
class Answers:
    """How often studies with a known effect ended in which word."""

    supported: float
    refuted: float
    inconclusive: float


def verdicts(
    effect: float, d: float, n: int, studies: int, *, seed: int = 4, cv: float = 0.037, stat: str = "value"
) -> Answers:
    """Words of a comparison whose true increase is `effect` and whose claim is "at least d"."""
    rng = np.random.default_rng(seed)
    words: Counter[Answer] = Counter()
    for _ in range(studies):
        base, new = rng.lognormal(0, cv, n), (1 + effect) * rng.lognormal(0, cv, n)
        found = paired(list(base), list(new), stat)
        assert found is not None
        words[comparison(found, "increases", d).answer] += 1
    return Answers(*(words[word] / studies for word in (Answer.SUPPORTED, Answer.REFUTED, Answer.INCONCLUSIVE)))


def recorded_answers(
    level: Level, effect: float, d: float, n: int, studies: int, *, seed: int = 5, stat: str = "value"
) -> tuple[Answers, float]:
    """(words, coverage of the 95 % interval) of n interleaved pairs (ABBA) with the noise of recorded A/A runs."""
    rng = np.random.default_rng(seed)
    words: Counter[Answer] = Counter()
    hits = 0
    for _ in range(studies):
        values = level.draw(rng, 2 * n)
        first = np.arange(n) % 2 == 0  # whether the base goes first in its pair
        base = np.where(first, values[::2], values[1::2])
        new = np.where(first, values[1::2], values[::2]) * (1 + effect)
        found = paired(list(base), list(new), stat)
        assert found is not None
        low, high = found.interval()
        hits += low <= 1 + effect <= high
        words[comparison(found, "increases", d).answer] += 1
    shares = (words[word] / studies for word in (Answer.SUPPORTED, Answer.REFUTED, Answer.INCONCLUSIVE))
    return Answers(*shares), hits / studies


def power_gap(n: int, studies: int, d: float = 0.05, cv: float = 0.037, stat: str = "value") -> tuple[float, float]:
    """(true effect that `plan` says n repeats decide, how often they did): the second should be 80 %."""
    effect = power.decidable_effect(cv, n, d, stat=stat)
    return effect, verdicts(effect, d, n, studies, seed=n, cv=cv, stat=stat).supported


def gate(effect: float, studies: int, n: int = 5) -> float:
    """How often a release that costs `effect` more CPU fails the gate, runs taken from a simulated system."""
    system = System("release", 137_000.0, run_noise=0.037)
    failed = 0
    for seed in range(studies):
        benches = [
            Bench(one, np.random.default_rng([seed, at]), measure_s=10.0, warmup_s=2.0)
            for at, one in enumerate(
                (system, changed(system, cpu_s_per_million=system.cpu_s_per_million * (1 + effect)))
            )
        ]
        base, new = ([bench.run(50_000.0, i)[0] for i in range(n)] for bench in benches)
        failed += not compare(base, new).passes
    return failed / studies


@cache
def constant() -> Trial:
    """A trial at 80,000 events/s with 6 s of warm-up and 30 s measured."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "warm.yaml"
        file.write_text(STEADY)
        return study.trials(study.scenario(study.Asked(str(file))), "local")[0]


@dataclass
class Steadied:
    """A trial at a constant load on a system, extended where that is due: every attempt, what was kept and said."""

    system: System
    seed: int
    trial: Trial = field(default_factory=constant)
    attempts: list[Trial] = field(default_factory=list)
    kept: list[Recorded] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._bench = Bench(self.system, np.random.default_rng(self.seed))
        self.ended = steadily(self.trial, self._once, tell=self._hear, keep=self.kept.append)

    def _hear(self, what: str, seconds: float, now: Now | None = None) -> None:
        del seconds, now
        self.said.append(what)

    def _once(self, one: Trial, keep: Keep) -> Recorded:
        phases, rate = one.settings.phases, one.load.rate_eps
        assert isinstance(rate, float)
        self.attempts.append(one)
        self._bench.warmup_s, self._bench.measure_s = phases.warmup_s, phases.measure_s
        run, series = self._bench.run(rate)
        run = replace(run, trial_id=one.id, settings=one.settings.model_dump(mode="json"), phases={"t0": 1.0})
        window = Window(phases.warmup_s, phases.warmup_s + phases.measure_s)
        keep(Recorded(replace(run, outcome=Outcome.UNFINISHED), series, {}))
        return Recorded(run, series, {}, "", window, judge(one, series, window))
