"""A scenario as somebody asked for it, and what its runs say: cells, verdicts, exit code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import environment, record
from bench.analysis.cells import Cell, cells
from bench.analysis.thresholds import meets
from bench.errors import ScenarioError
from bench.metrics import METRICS
from bench.record import BundleError, Outcome, Run
from bench.scenario import Scenario, Trial, beside, find, load

if TYPE_CHECKING:  # at run time late: a bill of a results folder needs neither statistics nor a cluster's clients
    from bench.verdict import Verdict

MEASUREMENT_VERSION = 2  # raised by hand when a metric's meaning changes: older results are then not resumed from
INDEX = "index.json"
SCHEMA = 1
LATENCIES = ("e2e_latency_ms", "produce_latency_ms")


@dataclass(frozen=True)
class Asked:
    """The words of a `run` or `plan`: enough to make the same trials again."""

    scenario: str
    overrides: tuple[str, ...] = ()
    repeats: int | None = None
    quick: bool = False
    backends: tuple[str, ...] = ("local",)
    remote: str = ""  # which cluster, of the backend remote


@dataclass(frozen=True)
class Study:
    """A scenario's runs and what they amount to."""

    scenario: Scenario
    runs: Sequence[Run]
    cells: Sequence[Cell]
    verdicts: Sequence[Verdict]
    unreadable: Sequence[str] = field(default=())
    asked_for: int = 0  # trials, run or not; 0: not known

    @property
    def finished(self) -> int:
        return sum(run.outcome is Outcome.FINISHED for run in self.runs)


def scenario_files() -> list[Path]:
    """Every scenario of the repository."""
    return sorted((Path(__file__).resolve().parents[1] / "scenarios").glob("*.yaml"))


def scenario(asked: Asked, metrics: Sequence[str] = tuple(METRICS), *, inputs: bool = True) -> Scenario:
    """Read and check it; ScenarioError says everything that is wrong. `inputs` False: nothing will be sent any more."""
    return load(
        find(asked.scenario), overrides=asked.overrides, quick=asked.quick, repeats=asked.repeats, metrics=metrics,
        inputs=inputs,
    )  # fmt: skip


def trials(scenario: Scenario, *backends: str, remote: str = "") -> list[Trial]:
    """Its trials on this machine, on several backends as `beside`. Another kind of machine's are not resumed from."""
    from bench.workloads import find as find_workloads

    version = find_workloads()[scenario.workload.name].version
    arms = [
        scenario.trials(
            backend=backend,
            workload_version=version,
            measurement_version=MEASUREMENT_VERSION,
            host_class=environment.host_class(),
            where=remote if backend == "remote" else "",
        )
        for backend in dict.fromkeys(backends)
    ]
    return arms[0] if len(arms) == 1 else beside(arms)


def latency_slo_ms(scenario: Scenario) -> float | None:
    """The tightest latency objective among the thresholds: a generator may be late by a tenth of it."""
    limits = [slo.value for slo in scenario.slos if slo.metric in LATENCIES and slo.op in ("<", "<=")]
    return min(limits) if limits else None


def remember(asked: Asked, scenario: Scenario, trials: Sequence[Trial], out: Path) -> None:
    """Keep what was asked beside the results, so that a report can be made from them alone."""
    folder = out / scenario.name
    folder.mkdir(parents=True, exist_ok=True)
    if scenario.file.resolve() != (folder / "scenario.yaml").resolve():
        shutil.copyfile(scenario.file, folder / "scenario.yaml")
    _write_json(
        folder / INDEX,
        {"schema": SCHEMA, "scenario": scenario.name, "asked": asdict(asked), "trials": [t.id for t in trials]},
    )


def write_index(folder: Path, document: Mapping[str, Any]) -> None:
    """The answer of `run --json` beside the results; what was asked stays."""
    before = _read_json(folder / INDEX) or {}
    kept: dict[str, Any] = {key: before[key] for key in ("asked", "trials") if key in before}
    _write_json(folder / INDEX, {**document, **kept})


def recall(folder: Path, *, judged: bool = True) -> Study:
    """The study in results/SCENARIO as it was last asked for; also when it is half-finished or partly damaged.

    What is damaged or missing is said in `unreadable`, and what is whole is told. ScenarioError where no study lies.
    """
    index, bundles = _read_json(folder / INDEX), record.find(folder)
    words, trials = (index or {}).get("asked"), (index or {}).get("trials")
    if not (words and trials is not None) and not bundles:
        raise ScenarioError(f"{folder}: expected a folder that `streamgauge run` made ({INDEX} and scenario.yaml)")
    wrong = []
    if not words or trials is None:
        wrong.append(f"{folder / INDEX}: missing or damaged, so that every run below {folder} is told")
        words, trials = {"scenario": "", "overrides": ()}, {bundle.parent.name for bundle in bundles}
    runs, unreadable = readable([bundle for bundle in bundles if bundle.parent.name in trials])
    wrong += unreadable + [
        f"{path}: no run.json: this run never ended"
        for trial in sorted(trials) for path in sorted((folder / trial).glob("*/"))
        if path.is_dir() and not (path / "run.json").exists()
    ]  # fmt: skip
    known = {key: words[key] for key in ("repeats", "quick") if key in words}
    asked = Asked(str(folder / "scenario.yaml"), tuple(words["overrides"]), **known)
    found = _recall_scenario(asked, runs, wrong)
    return replace(conclude(found, runs, wrong, judged=judged), asked_for=len(trials))


def _recall_scenario(asked: Asked, runs: Sequence[Run], wrong: list[str]) -> Scenario:
    """What was asked, from its copy beside the results; where that is damaged, as the repository has it now."""
    try:
        return scenario(asked, inputs=False)
    except ScenarioError as error:
        name = runs[0].scenario if runs else ""
        stand_in = next((file for file in scenario_files() if file.stem == name), None)
        if stand_in is None:
            raise
        first = str(error).splitlines()[0]
        wrong.append(f"{asked.scenario}: cannot be read ({first}); scenarios/{stand_in.name} stands in for it")
        return scenario(replace(asked, scenario=str(stand_in)), inputs=False)


def keep(folder: Path, into: Path) -> Path:
    """The small form of results/SCENARIO as `into`/SCENARIO: what reports, verdicts and bills are made of, no logs.

    A folder of another name keeps its own, so that two studies of one scenario can stand side by side. Of each trial
    that was asked for, the latest run; what lay there under this name before is replaced. ScenarioError
    where the study is damaged: what is kept must be whole.
    """
    found = recall(folder, judged=False)
    if found.unreadable:
        raise ScenarioError(f"{folder}: not kept, for something in it cannot be read: {found.unreadable[0]}")
    name = folder.resolve().name
    home = into / name
    partial = into / f".{name}.partial"  # until it is whole, what was kept before stands
    shutil.rmtree(partial, ignore_errors=True)
    for run in found.runs:
        assert run.bundle is not None
        kept = partial / run.trial_id / run.bundle.name
        kept.mkdir(parents=True)
        for part in ("run.json", "series.parquet", "latency.parquet"):
            if (run.bundle / part).exists():
                shutil.copyfile(run.bundle / part, kept / part)
    shutil.copyfile(folder / "scenario.yaml", partial / "scenario.yaml")
    index = _read_json(folder / INDEX) or {}
    asked = {**index["asked"], "scenario": found.scenario.name}  # where it lay on that machine is nobody's business
    _write_json(partial / INDEX, {"schema": SCHEMA, "scenario": found.scenario.name, "asked": asked,
                                  "trials": sorted(index["trials"])})  # fmt: skip
    shutil.rmtree(home, ignore_errors=True)
    partial.replace(home)
    return home


def asked_trials(folder: Path) -> frozenset[str] | None:
    """Ids of the trials that were last asked for in results/SCENARIO; None where no study lies there."""
    trials = (_read_json(folder / INDEX) or {}).get("trials")
    return None if trials is None else frozenset(trials)


def readable(bundles: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """(runs, sentences about bundles that could not be read)."""
    runs, wrong = [], []
    for bundle in bundles:
        try:
            runs.append(record.load(bundle))
        except BundleError as error:
            wrong.append(str(error))
    return runs, wrong


def conclude(scenario: Scenario, runs: Sequence[Run], unreadable: Sequence[str] = (), *, judged: bool = True) -> Study:
    """Cells and verdicts of these runs; each trial's latest run counts. `judged` False: no verdicts.

    Of runs on several backends the claims are about the first one's: what the others change is told beside them.
    """
    from bench.analysis.cells import latest

    last = latest(runs)
    if not judged:
        return Study(scenario, last, cells(last), (), unreadable)
    from bench.verdict import Evidence, judge, load_claims

    first = [run for run in last if run.backend == last[0].backend]
    return Study(scenario, last, cells(last), judge(load_claims(scenario.all_claims), Evidence(first)), unreadable)


def exit_code(study: Study, fail_on: Sequence[str]) -> int:
    """See `bench.cli`."""
    from bench.analysis.decide import Answer

    if not study.finished:
        return 4
    answers = {verdict.verdict for verdict in study.verdicts if verdict.primary}
    good = [run for run in study.runs if run.outcome is Outcome.FINISHED]
    kept = [[meets(run, slo) for run in good] for slo in study.scenario.slos]
    if any(False in one for one in kept) or ("refuted" in fail_on and Answer.REFUTED in answers):
        return 1
    unknown = any(True not in one for one in kept)  # no run says: that is no pass
    return 3 if "inconclusive" in fail_on and (unknown or Answer.INCONCLUSIVE in answers) else 0


def run_document(run: Run) -> dict[str, Any]:
    """One run as `run --json` gives it."""
    metrics = {
        name: {key: value for key, value in asdict(m).items() if value is not None} for name, m in run.metrics.items()
    }
    return {
        "trial_id": run.trial_id,
        "load": run.load,
        "repetition": run.repetition,
        "backend": run.backend,
        "outcome": str(run.outcome),
        "reason": run.reason,
        "knobs": dict(run.knobs),
        "metrics": metrics,
        "checks": [asdict(check) for check in run.checks],
        "warnings": list(run.warnings),
        "search": asdict(run.search) if run.search else None,
        "bundle": str(run.bundle) if run.bundle else None,
    }


def _cell_document(cell: Cell) -> dict[str, Any]:
    estimates = {
        name: {"value": e.value, "unit": e.unit, "low": e.low, "high": e.high} for name, e in cell.metrics.items()
    }
    about = {"load": cell.load, "knobs": dict(cell.knobs), "n": cell.n, "left_out": cell.left_out}
    return {**about, "metrics": estimates}


def document(study: Study) -> dict[str, Any]:
    """The answer of `run --json`."""
    return {
        "schema": SCHEMA,
        "scenario": study.scenario.name,
        "runs": [run_document(run) for run in study.runs],
        "cells": [_cell_document(cell) for cell in study.cells],
        "verdicts": [verdict.to_json() for verdict in study.verdicts],
    }


def run_lines(run: Run) -> list[str]:
    """One run as a person reads it."""
    knobs = ", ".join(f"{path} {value}" for path, value in run.knobs.items())
    lines = [
        f"{run.scenario} {run.load} {knobs} #{run.repetition + 1}: {run.outcome}"
        + (f": {run.reason}" if run.reason else "")
    ]
    for name, measured in sorted(run.metrics.items()):
        tail = "".join(f"  {stat} {value:,.4g}" for stat, value in (measured.percentiles or {}).items())
        lines.append(f"  {name:<40} {measured.value:>14,.4g} {measured.unit}{tail}")
    lines += [
        f"  attempt {one.number + 1}: {one.rate_eps:,.0f} events/s, {one.purpose}: {one.outcome}"
        + (f": {one.reason}" if one.reason else "")
        for one in (run.search.attempts if run.search else ())
    ]
    lines += [f"  {run.search.sentence}"] if run.search else []
    lines += [f"  {'ok  ' if check.ok else 'WRONG'} {check.says(',g')}" for check in run.checks]
    lines += [f"  note: {text}" for text in run.warnings]
    return [*lines, f"  {run.bundle}"]


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.tmp")
    partial.write_text(json.dumps(document, indent=1, default=str) + "\n")
    partial.replace(path)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found
