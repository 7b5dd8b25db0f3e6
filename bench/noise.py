"""How much runs of the same setting differ: by this host's own runs, recorded A/A runs, or the literature.

`python -m bench.noise results/noise` keeps A/A runs in small form as studies/noise.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import record
from bench.analysis import power
from bench.analysis.thresholds import stat_of
from bench.environment import host_class
from bench.errors import StreamgaugeError
from bench.record import Outcome, Run

RECORDED = Path(__file__).resolve().parents[1] / "studies" / "noise"
SCENARIO = "noise"  # its runs differ in a label only
SERIES = ("flink_cpu_s", "broker_cpu_s", "source_events", "e2e_latency_ms", "backlog_events", "output_eps")
FEWEST = 4  # degrees of freedom: from fewer, a spread is off by half of itself too often


@dataclass(frozen=True)
class Noise:
    """Variation of one metric from run to run: `cv` with `freedom` degrees of freedom, and where it is from."""

    cv: float
    freedom: int
    source: str


def noise(metric: str, stat: str, own: Iterable[Run], out: Path | None = None) -> Noise:
    """The variation to plan with. `own`: runs of the very scenario; `out`: where A/A runs of this host would lie.

    Of A/A runs the two arms of a repetition are compared, as pairs will be: what drifts from pair to pair is left out.
    """
    cv, freedom = variation(own, metric, stat)
    if cv is not None and freedom >= FEWEST:
        return Noise(cv, freedom, f"this scenario's own runs here ({freedom} degrees of freedom)")
    aa = _runs(out / SCENARIO) if out is not None else []
    if aa and _class(aa) == host_class():
        cv, freedom = variation(aa, metric, stat)
        if cv is not None and freedom >= FEWEST:
            return Noise(cv, freedom, f"A/A runs of this host ({freedom} pairs)")
    recorded = _runs(RECORDED)
    cv, freedom = variation(recorded, metric, stat)
    if cv is not None and freedom >= FEWEST:
        where = "this class of host" if _class(recorded) == host_class() else _class(recorded)
        return Noise(cv, freedom, f"recorded A/A runs of {where} ({freedom} pairs)")
    return Noise(power.CV, 0, "the literature: nothing was recorded")


def variation(runs: Iterable[Run], metric: str, stat: str = "value") -> tuple[float | None, int]:
    """(CV, degrees of freedom) pooled over groups of runs that should be alike; None where there is no such group."""
    groups: dict[str, list[float]] = {}
    for run in runs:
        value = stat_of(run, metric, stat)
        if run.outcome is not Outcome.FINISHED or value is None or value <= 0:
            continue
        knobs: Mapping[str, object] = {path: knob for path, knob in run.knobs.items() if path != "label"}
        repetition = run.repetition if "label" in run.knobs else None  # the arms of a repetition are the group
        groups.setdefault(json.dumps([run.load, knobs, repetition], sort_keys=True), []).append(value)
    return power.pooled_cv(groups.values()), sum(len(values) - 1 for values in groups.values())


def keep(source: Path, folder: Path = RECORDED) -> list[Run]:
    """Write A/A runs in small form (run.json and the series that noise is fitted to), as `studies/noise` has them."""
    kept = []
    for bundle in record.find(source):
        run, series = record.load(bundle), record.load_series(bundle)
        few = {name: series[name] for name in SERIES if name in series}
        kept.append(record.save(run, folder / run.trial_id / bundle.name, series=few))
    return kept


def _runs(folder: Path) -> list[Run]:
    found = []
    for bundle in record.find(folder):
        try:
            found.append(record.load(bundle))
        except StreamgaugeError:  # a plan is no place to complain of an old bundle
            continue
    return found


def _class(runs: Iterable[Run]) -> str:
    """The class of host that they ran on, as `environment.host_class` has it."""
    about = next(iter(runs)).environment
    return f"{about.get('cores')} cores, {float(about.get('memory_gib') or 0):.0f} GiB, {about.get('cpu_model')}"


if __name__ == "__main__":
    print(f"{len(keep(Path(sys.argv[1])))} runs in {RECORDED}")
