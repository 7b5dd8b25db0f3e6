"""How far Streamgauge can be trusted, on systems whose truth is known. `python -m tests.simulated` (about a minute).

Prints a table and ends with 1 if a promise is not kept. Everything is seeded: the same numbers on every machine.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.analysis import power
from bench.analysis.ratio import RANKED
from bench.analysis.search import Status
from bench.noise import variation
from bench.record import BundleError, Outcome, load, save
from tests.simulated import studies
from tests.simulated.ladder import off_by
from tests.simulated.recorded import fitted
from tests.simulated.recorded import runs as recorded_runs
from tests.simulated.system import BLIND, CAPACITY, COLD, SHRINKING, STARVED, SYSTEMS, VERY_NOISY, Bench, System

STUDIES = 2_000
SEARCHES = 100


@dataclass(frozen=True)
class Line:
    """One promise, what was found, and whether it is kept (None: printed for information)."""

    what: str
    found: str
    promised: str
    kept: bool | None


def searching() -> Iterator[Line]:
    """Searches end near the truth, or say that they did not."""
    for system in (*SYSTEMS, VERY_NOISY):
        found = studies.searches(system, SEARCHES)
        ends = ", ".join(f"{count} {status}" for status, count in found.statuses.most_common())
        text = (
            f"{found.within:.0%} within 5%, worst {max(map(abs, found.errors)):.1%} ({ends}; {found.trials:.0f} trials)"
        )
        kept = None if system is VERY_NOISY else found.within >= 0.95
        yield Line(f"search: {system.name}", text, "95% within 5%" if kept is not None else "-", kept)
    starved = studies.searches(STARVED, SEARCHES)
    limit = studies.generator_error(STARVED)
    kept = set(starved.statuses) == {Status.AT_LEAST} and max(starved.errors) <= limit
    yield Line(
        "search: starved generator", f"{starved.statuses[Status.AT_LEAST]} of {SEARCHES} 'at least'", "all", kept
    )
    blind = studies.searches(BLIND, SEARCHES)
    text = f"{len(blind.errors)} of {SEARCHES} confirmed a rate"
    yield Line("search: missing samples", text, "none", not blind.errors)


def steadiness() -> Iterator[Line]:
    """What was not steady is measured again, later, once; what never is, is no evidence."""
    wanted = ((COLD, Outcome.FINISHED, 2), (SHRINKING, Outcome.INVALID, 2), (SYSTEMS[2], Outcome.FINISHED, 1))
    for system, promised, runs in wanted:
        found = [studies.Steadied(system, seed) for seed in range(SEARCHES)]
        ends = Counter((str(one.ended.run.outcome), len(one.attempts)) for one in found)
        text = ", ".join(f"{count} {outcome} after {n} attempts" for (outcome, n), count in ends.most_common())
        expected = ends[(str(promised), runs)]
        goal = f">= {0.95 * SEARCHES:.0f}: {promised} after {runs}"
        yield Line(f"steady state: {system.name}", text, goal, expected >= 0.95 * SEARCHES)


def tails() -> Iterator[Line]:
    """A stall of five seconds shows as five seconds."""
    stall = System("one stall", CAPACITY, stall_s=5.0, stall_every_s=100.0)
    worst, seen = 0.0, 0.0
    for seed in range(50):
        run, _ = Bench(stall, np.random.default_rng(seed)).run(20_000.0)
        worst = max(worst, (run.metrics["e2e_latency_ms"].percentiles or {})["max"])
        seen += worst > 0
    yield Line("a stall of 5 s in the tail", f"max {worst / 1e3:.2f} s", "5 s", 4.9 <= worst / 1e3 <= 5.5)


def bundles() -> Iterator[Line]:
    """A truncated bundle never loads, wherever it was cut."""
    run, series = Bench(SYSTEMS[0], np.random.default_rng(1)).run(50_000.0)
    loaded = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        save(run, Path(folder), series=series)
        whole = path.read_bytes()
        cuts = range(0, len(whole) - 2, max(1, len(whole) // 500))
        for cut in cuts:
            path.write_bytes(whole[:cut])
            try:
                load(Path(folder))
            except BundleError:
                continue
            loaded += 1
    yield Line("truncated bundles that load", f"{loaded} of {len(cuts)}", "none", loaded == 0)


def intervals() -> Iterator[Line]:
    """95 % intervals cover the truth in 93 to 97 % of studies."""
    found = {f"mean of {n} runs": studies.mean_coverage(n, STUDIES) for n in (3, 5, 8)}
    found |= {f"ratio of {n} pairs": studies.ratio_coverage(n, STUDIES) for n in (3, 5, 8)}
    found |= {"ratio of 8 pairs, host drifting 1% a pair": studies.ratio_coverage(8, STUDIES, drift=0.01)}
    found |= {f"slope, autocorrelation {rho:g}": studies.slope_coverage(rho, 3 * STUDIES) for rho in (0.0, 0.5, 0.8)}
    for what, share in found.items():
        yield Line(f"coverage: {what}", f"{share:.1%}", "93-97%", 0.93 <= share <= 0.97)


def as_recorded() -> Iterator[Line]:
    """The same with the noise of the real cluster: drift, outliers and all, from the recorded A/A runs."""
    noise = fitted()
    wandering = System("as recorded", CAPACITY, noise=noise.second_sd, rho=noise.second_rho)
    found = studies.searches(wandering, SEARCHES // 4)
    truth = studies.carried(wandering)
    off = [(1 + error) * wandering.sustainable_eps() / truth - 1 for error in found.errors]
    within = sum(abs(error) <= 0.05 for error in off) / len(off)
    about = f"speed varies by {noise.second_sd:.0%} a second, autocorrelation {noise.second_rho:.2f}"
    worst = max(map(abs, off))
    text = f"{within:.0%} of {len(off)} confirmed within 5% of what 4 of 5 runs carry, worst {worst:.0%} ({about})"
    yield Line("search: noise within a run as recorded", text, "-", None)
    cases = (("CPU", noise.cpu, 0.05, "value"), ("p99", noise.p99, 0.20, "p99"), ("disk", noise.disk, 0.05, "value"))
    for name, level, d, stat in cases:
        about = f"{name} as recorded (CV {level.cv:.1%}, {level.share:.0%} outliers x {level.factor:.1f}), 8 pairs"
        none, coverage = studies.recorded_answers(level, 0.0, d, 8, STUDIES, stat=stat)
        least, _ = studies.recorded_answers(level, d, d, 8, STUDIES, stat=stat)
        yield Line(f"coverage: {about}", f"{coverage:.1%}", "93-97%", 0.93 <= coverage <= 0.97)
        worst = max(none.supported, least.supported)
        yield Line(f"false 'supported': {about}", f"{worst:.1%}", "<= 5%", worst <= 0.05)
    for n in (3, 5, 7, 10, 12, 20):
        coverage = studies.recorded_answers(noise.p99, 0.0, 0.20, n, STUDIES, stat="p99")[1]
        few = n < RANKED.start  # no rank interval, and a t interval that outliers make too wide, never too narrow
        promised, top = ("93% or more", 1.0) if few else ("93-97%", 0.97)
        yield Line(f"coverage: p99 as recorded, {n} pairs", f"{coverage:.1%}", promised, 0.93 <= coverage <= top)
    spread, _ = variation(recorded_runs(), "e2e_latency_ms", "p99")
    assert spread is not None
    effect = power.decidable_effect(spread, 8, 0.20, stat="p99")
    share = studies.recorded_answers(noise.p99, effect, 0.20, 8, STUDIES, stat="p99")[0].supported
    where = f"power at the effect planned ({effect:.0%}): p99 as recorded, outliers and all"
    yield Line(where, f"{share:.1%}", ">= 80%", share >= 0.77)
    effect = power.decidable_effect(noise.cpu.cv, 8, 0.05)
    share = studies.recorded_answers(noise.cpu, effect, 0.05, 8, STUDIES)[0].supported
    yield Line(
        f"power at the effect planned ({effect:.0%}): CPU as recorded", f"{share:.1%}", "80%", abs(share - 0.8) <= 0.03
    )


def words() -> Iterator[Line]:
    """False answers are rare, and the power that `plan` promises is the power found."""
    for effect, n in ((0.0, 3), (0.0, 8), (0.05, 3), (0.05, 8)):
        found = studies.verdicts(effect, 0.05, n, STUDIES)
        share, where = found.supported, f"true effect {effect:.0%}, d = 5%, {n} pairs"
        yield Line(f"false 'supported': {where}", f"{share:.1%}", "<= 5%", share <= 0.05)
    found = studies.verdicts(0.08, 0.05, 8, STUDIES)
    yield Line(
        "false 'refuted': true effect 8%, d = 5%, 8 pairs", f"{found.refuted:.1%}", "<= 5%", found.refuted <= 0.05
    )
    for n, stat in ((3, "value"), (5, "value"), (8, "value"), (8, "p99"), (12, "p99")):
        effect, share = studies.power_gap(n, STUDIES, stat=stat)
        what = f"power at the effect planned ({effect:.1%}), {n} pairs" + (" of a tail" if stat == "p99" else "")
        yield Line(what, f"{share:.1%}", "80%", abs(share - 0.8) <= 0.03)
    share = studies.gate(0.0, 200)
    yield Line("gate: releases without a change that fail", f"{share:.1%}", "<= 5%", share <= 0.05)
    share = studies.gate(0.25, 100)
    yield Line("gate: releases 25% worse that fail (CV 3.7%, 5 runs)", f"{share:.0%}", ">= 80%", share >= 0.8)


def advising() -> Iterator[Line]:
    """The fewest partitions that are enough lie within the interval that is stated."""
    promised = 0.95
    for noise in (0.0, 0.02, 0.037):
        missed = off_by(noise, SEARCHES // 2)
        share = sum(not one for one in missed) / len(missed)
        text = f"{share:.1%} of {len(missed)}, else off by at most {max(missed)}"
        yield Line(
            f"advice: speed varies by {noise:.1%} from run to run", text, f">= {promised:.0%}", share >= promised
        )


def main() -> int:
    """Print every promise with what was found; 1 if one is not kept."""
    table = Table("promise", "found", "promised", "kept")
    lines: list[Line] = []
    for part in (searching, steadiness, tails, bundles, intervals, words, as_recorded, advising):
        for line in part():
            lines.append(line)
            table.add_row(line.what, line.found, line.promised, {True: "yes", False: "NO", None: ""}[line.kept])
    Console(width=160).print(table)
    broken = [line.what for line in lines if line.kept is False]
    print(f"{len(lines)} promises, {len(broken)} not kept{': ' + '; '.join(broken) if broken else ''}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
