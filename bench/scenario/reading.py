"""Reading a scenario file and saying everything that is wrong with it at once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import ValidationError

from bench.errors import ScenarioError
from bench.scenario.coherence import incoherences
from bench.scenario.keypaths import apply_options, axis_place, axis_problem, explain, locate, set_path
from bench.scenario.sections import LOADS, SHAPES, Names
from bench.scenario.source import KeyPath, Source, dotted, read
from bench.scenario.trials import BadCellError, LoadPlan, Scenario
from bench.scenario.words import nearest, one_of, shown

ROOT = Path(__file__).resolve().parent.parent.parent


def find(word: str, *, root: Path = ROOT) -> Path:
    """`quickstart`, or a path -> the scenario's file. ScenarioError with the nearest name if there is none."""
    named = root / "scenarios" / f"{word}.yaml"
    if named.is_file():
        return named
    if Path(word).is_file():
        return Path(word)
    known = sorted(p.stem for p in (root / "scenarios").glob("*.yaml"))
    raise ScenarioError(
        f"no scenario '{word}', expected a file or one of {', '.join(known) or '(none exist)'}"
        + nearest(Path(word).stem, known)
    )


def scan(root: Path, metrics: Collection[str] | None = None) -> Names:
    """The workloads, jobs and claims there are, by their files: a workload defines a Workload, a job a JOB."""

    def marked(folder: str, suffix: str, mark: str) -> dict[str, str]:
        """Name -> text of the files in `folder` that have `mark`."""
        texts = {p.stem: p.read_text(encoding="utf-8") for p in (root / folder).glob(f"*{suffix}") if p.stem[0] != "_"}
        return {name: text for name, text in texts.items() if re.search(mark, text, re.MULTILINE)}

    jobs = {name.replace("_", "-"): text for name, text in marked("bench/jobs", ".py", r"^JOB\b").items()}
    forms = {name: re.search(r"^    functions = \((.*)\)", text, re.MULTILINE) for name, text in jobs.items()}
    reads = {name: re.search(r'^    reads = "(\w*)"', text, re.MULTILINE) for name, text in jobs.items()}
    return Names(
        frozenset(marked("bench/workloads", ".py", r"^class \w+\(.*Workload")),
        frozenset(jobs) | {"none"},
        frozenset(marked("scenarios/claims", ".yaml", "")),
        frozenset(metrics) if metrics is not None else None,
        {name: found[1] for name, found in reads.items() if found and found[1]},
        {name: tuple(re.findall(r'"(\w+)"', found[1])) for name, found in forms.items() if found},
    )


def load(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    quick: bool = False,
    repeats: int | None = None,
    root: Path = ROOT,
    metrics: Collection[str] | None = None,
    inputs: bool = True,
) -> Scenario:
    """Reads and checks a scenario. ScenarioError lists everything that is wrong, a finding a line.

    `overrides` are `PATH=VALUE` words of `--set`; `quick` applies the file's `quick` section; `repeats` wins over both.
    `root` is where workloads, jobs and claims are looked up; `metrics`, where given, checks the thresholds' names.
    `inputs` False: a recording that it replays need not be there, for its runs are over.
    """
    source = read(path)
    source.data.setdefault("name", path.stem)
    apply_options(source, overrides)
    if repeats is not None and (place := locate("repeats", source.data)):
        set_path(source, place, repeats, f"--repeats {repeats}")
    if quick and source.get(("quick",)) is None:
        source.blame(("quick",), "is missing, expected a quick section for --quick")
    names = scan(root, metrics)
    _check_choices(source)
    _check_shares(source)
    _check_axes(source, names)
    try:
        scenario = Scenario.model_validate(source.data, context=names)
    except ValidationError as error:
        for detail in error.errors():
            if detail["loc"] or not source.findings:  # of the whole file, `_check_choices` has said it
                source.blame(tuple(detail["loc"]), explain(detail, tuple(detail["loc"])))
        source.stop_if_wrong()
        raise
    source.stop_if_wrong()
    scenario = scenario.placed(path, quick=quick)
    _check_cells(scenario, source, names, scenario.file.parent if inputs else None)
    source.stop_if_wrong()
    return scenario


def _levels(source: Source) -> list[KeyPath]:
    loads = source.get(("loads",))
    return [(), *(("loads", name) for name in (loads if isinstance(loads, dict) else ()))]


def _check_choices(source: Source) -> None:
    """Exactly one load, and one kind of it. pydantic would say so only once all else is right."""
    given = [key for key in ("load", "loads") if source.data.get(key) is not None]
    if problem := one_of(given, ("load", "loads")):
        source.blame(tuple(given[-1:]), problem)
    for where in [("load",), *_levels(source)[1:]]:
        for place, keys in ((where, LOADS), ((*where, "shape"), SHAPES)):
            here = source.get(place)
            if isinstance(here, dict) and (problem := one_of([k for k in keys if here.get(k) is not None], keys)):
                source.blame(place, problem)


def _check_shares(source: Source) -> None:
    """A share of what is drained wants a load that drains, and before it: loads run in the order of the file."""
    drained = False
    for where in [("load",), *_levels(source)[1:]]:
        here = source.get(where)
        if not isinstance(here, dict):
            continue
        drained |= here.get("drain") is not None
        if here.get("of_drain") is not None and not drained:
            source.blame((*where, "of_drain"), "is a share of nothing, expected a load with drain before it (loads)")


def _check_axes(source: Source, names: Names) -> None:
    """Each axis names one value of this file and each of its values could stand there, whatever else is wrong."""
    for where in [(*level, *tail) for level in _levels(source) for tail in (("axes",), ("quick", "axes"))]:
        axes = source.get(where)
        for axis, values in axes.items() if isinstance(axes, dict) else ():
            path = (*where, axis)
            if problem := axis_problem(axis, source.data):
                source.blame(path, problem)
                continue
            place = axis_place(axis, source.data)
            for i, value in enumerate(values if isinstance(values, tuple) else ()):
                if value is None and axis.startswith("pipeline.flink."):
                    continue  # leaves that option unset in these cells
                if place is not None and (problem := place.problem(value, names)):
                    source.blame((*path, i), problem)
                elif value in values[:i]:
                    source.blame((*path, i), f"{shown(value)} is given twice, expected each value once")


def _check_cells(scenario: Scenario, source: Source, names: Names, folder: Path | None) -> None:
    """Refuses combinations that make no sense, in the cells that would run."""
    for plan in scenario.plans.values():
        try:
            cells = scenario.cells(plan)
        except BadCellError as bad:
            row = ", ".join(f"{axis} = {shown(value)}" for axis, value in bad.row.items())
            for detail in bad.error.errors():
                text = explain(detail, tuple(detail["loc"]))
                source.blame(_written(source, scenario, plan, tuple(detail["loc"])), f"{text} (where {row})")
            continue
        wrong: dict[tuple[str, str], list[str]] = defaultdict(list)
        for knobs, settings in cells:
            row = ", ".join(f"{axis} = {shown(value)}" for axis, value in knobs.items())
            slo = bool(scenario.thresholds)
            for problem in incoherences(settings, has_slo=slo, folder=folder, names=names):
                wrong[problem].append(row)
        for (path, text), rows in wrong.items():
            cell = "" if len(rows) == len(cells) else f" (where {rows[0]})"
            words = tuple(int(word) if word.isdigit() else word for word in path.split("."))
            source.blame(_written(source, scenario, plan, words), text + cell)


def _written(source: Source, scenario: Scenario, plan: LoadPlan, path: KeyPath) -> KeyPath:
    """Where a setting of a cell was written: an axis, the load's own entry, or its section."""
    level: KeyPath = ("loads", plan.name) if source.get(("loads",)) is not None else ()
    own_axes = source.get((*level, "axes")) is not None
    axes: list[KeyPath] = [(*level, "axes")] if own_axes else [("axes",)]
    if scenario.is_quick:
        axes = [(*level, "quick", "axes"), *([] if own_axes else [("quick", "axes")]), *axes]
    for where in axes:
        if source.get((*where, dotted(path))) is not None:
            return (*where, dotted(path))
    if path[0] == "load" and level:
        return (*level, *path[1:])
    return (*level, *path) if level and source.get((*level, *path)) is not None else path
