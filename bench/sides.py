"""One side of a comparison: a results folder, a single bundle, or one arm of a study (`results/noise:label=a`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import record
from bench.errors import ScenarioError
from bench.record import Knob, Run
from bench.scenario.source import read_value
from bench.scenario.words import nearest
from bench.study import asked_trials, readable


@dataclass(frozen=True)
class Side:
    """Runs, and what could not be read. `where`: the knobs that picked an arm; its runs have them no more."""

    word: str
    runs: Sequence[Run]
    unreadable: Sequence[str]
    where: Mapping[str, Knob]


def side(word: str) -> Side:
    """`PATH` or `PATH:KNOB=VALUE[,KNOB=VALUE]`. ScenarioError when nothing is there or no run has such a knob.

    Of a results folder, the trials that were last asked for count, as in its report.
    """
    name, conditions = (word, "") if Path(word).exists() else word.rpartition(":")[::2]
    path = Path(name)
    if not name or not path.exists():
        raise ScenarioError(f"{word}: no such file or folder, expected results/SCENARIO, a bundle, or PATH:KNOB=VALUE")
    wanted = asked_trials(path)
    bundles = [bundle for bundle in record.find(path) if wanted is None or bundle.parent.name in wanted]
    if not bundles:
        raise ScenarioError(f"{name}: no run.json below it, expected a bundle or a results folder")
    runs, unreadable = readable(bundles)
    where = _where(word, conditions)
    return Side(word, _arm(word, runs, where), unreadable, where)


def _where(word: str, conditions: str) -> dict[str, Knob]:
    found: dict[str, Knob] = {}
    for part in filter(None, conditions.split(",")):
        path, equals, value = part.partition("=")
        if not equals:
            raise ScenarioError(f"{word}: was {part!r}, expected KNOB=VALUE, such as topic.partitions=6")
        try:
            read = read_value(value)
        except ValueError as error:
            raise ScenarioError(f"{word}: {path}: {error}") from None
        if isinstance(read, dict | tuple):
            raise ScenarioError(f"{word}: {path} was {value}, expected one word, number, true or false")
        found[path.strip()] = read
    return found


def _arm(word: str, runs: Sequence[Run], where: Mapping[str, Knob]) -> list[Run]:
    knobs = {path for run in runs for path in run.knobs}
    for path, value in where.items():
        if path not in knobs:
            some = ", ".join(sorted(knobs)) or "none"
            raise ScenarioError(f"{word}: no run has the knob {path}, expected one of: {some}{nearest(path, knobs)}")
        values = {run.knobs[path] for run in runs if path in run.knobs}
        if value not in values:
            some = ", ".join(sorted(map(str, values)))
            raise ScenarioError(f"{word}: no run has {path}={value}, expected one of: {some}")
    picked = [run for run in runs if all(path in run.knobs and run.knobs[path] == v for path, v in where.items())]
    return [replace(run, knobs={path: v for path, v in run.knobs.items() if path not in where}) for run in picked]
