"""From a scenario to its trials: loads, cells, repetitions, and the order in which they run.

Trials come load by load, in blocks. A block holds every cell once; blocks come in mirrored pairs: the first is shuffled
by the seed, the second is its reverse (ABBA for two cells), so that a linear drift of the host cancels within a pair.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import PrivateAttr, ValidationError

from bench.record import Knob
from bench.scenario.keypaths import locate
from bench.scenario.sections import Axes, Consumers, Document, Fault, Load, NamedLoad, Phases, Settings
from bench.scenario.source import KeyPath, replaced
from bench.scenario.words import Threshold, parse_threshold

BACKEND = "backend"  # the knob of trials that run on several
DRAIN_EPS = 100_000.0  # what a job reads flat out on two cores, as long as nobody has measured it
PLANNED = ("load", "phases", "faults", "consumers")  # what a load may say for itself


@dataclass(frozen=True)
class LoadPlan:
    """One load with its cells, after `quick` and what the load says for itself."""

    name: str
    load: Load
    axes: Mapping[str, tuple[Knob, ...]]
    design: Literal["full", "one-at-a-time"]
    repeats: int
    phases: Phases
    claims: tuple[str, ...]
    faults: tuple[Fault, ...]
    consumers: tuple[Consumers, ...]


@dataclass(frozen=True)
class Trial:
    """One cell, one repetition. `seed` is the scenario's plus the repetition: cells of a block see the same events."""

    id: str  # 12 hex digits: settings, knobs, load, repetition, versions, backend, host class
    scenario: str
    load_name: str
    repetition: int  # from 0; also the number of its block
    order: int  # position among all trials of the scenario
    knobs: Mapping[str, Knob]  # axis path -> value here
    settings: Settings
    seed: int
    folder: Path = Path()  # where its scenario lies: files it names are relative to it
    thresholds: tuple[str, ...] = ()  # the scenario's: a search looks for the highest rate that meets them
    backend: str = "local"
    turn: int = 0  # of its backend, where several take turns (`beside`)

    @property
    def replay(self) -> dict[str, Any] | None:
        """The recording to send, with its file's whole path; None if it sends a workload."""
        shape = self.settings.load.shape
        if shape is None or shape.replay is None:
            return None
        return {**shape.replay.model_dump(mode="json"), "file": str((self.folder / shape.replay.file).resolve())}

    @property
    def load(self) -> Load:
        """How events arrive."""
        return self.settings.load

    def value(self, path: str) -> Any:
        """What it has at the path of an axis, also where it is none of its own; None where there is nothing."""
        if path in self.knobs:
            return self.knobs[path]
        settings = self.settings.model_dump()
        return _at(settings, _axis_path(path, settings))

    @property
    def value_format(self) -> Literal["json", "csv", "avro"]:
        """How an event is written: a recording goes out as JSON, whatever it was."""
        return "json" if self.replay else self.settings.workload.format

    @property
    def shape_key(self) -> str:
        """Trials with equal keys can share one cluster: backend, turn, brokers, heap, disk, TaskManagers, options."""
        pipeline = self.settings.pipeline
        flink: dict[str, Any] | None = None
        if pipeline is not None:
            flink = {
                "task_managers": pipeline.task_managers,
                "slots": pipeline.slots_each,
                "options": pipeline.cluster_flink,
            }
        bounded_disk = any(fault.do == "fill-disk" for fault in self.settings.faults)
        cluster = self.settings.cluster.model_dump(mode="json")
        cpus = self.settings.cluster.limits.task_manager_cpus
        if self.backend == "local" and cpus is not None:  # the quota changes while it runs, its cores do not
            cluster["limits"]["task_manager_cpus"] = math.ceil(cpus)
        where = [self.backend, self.turn]
        shape = {"where": where, "cluster": cluster, "flink": flink, "bounded_disk": bounded_disk}
        return _canonical(shape)


class Scenario(Document):
    """A validated question; its sections are attributes, its cells and trials are computed."""

    _file: Path = PrivateAttr(default=Path())
    _quick: bool = PrivateAttr(default=False)

    def placed(self, file: Path, *, quick: bool) -> Scenario:
        """Itself, knowing where it was read and whether `quick` applies. For `reading` only."""
        self._file, self._quick = file, quick
        return self

    @property
    def file(self) -> Path:
        """Where it was read from; a replay's file is relative to its folder."""
        return self._file

    @property
    def is_quick(self) -> bool:
        """Whether its `quick` section applies."""
        return self._quick

    @property
    def slos(self) -> tuple[Threshold, ...]:
        """The thresholds, read."""
        return tuple(parse_threshold(text) for text in self.thresholds)

    @property
    def all_claims(self) -> tuple[str, ...]:
        """Claims of the scenario and of its loads, each once."""
        named = itertools.chain(self.claims, *(plan.claims for plan in self.plans.values()))
        return tuple(dict.fromkeys(named))

    @property
    def plans(self) -> dict[str, LoadPlan]:
        """The loads by name, resolved: quick over the load's own over the scenario's. A single one is called "load"."""
        if self.load is not None:
            return {"load": self._plan("load", self.load, None)}
        return {
            name: self._plan(name, Load(**{k: getattr(entry, k) for k in Load.model_fields}), entry)
            for name, entry in (self.loads or {}).items()
        }

    def _plan(self, name: str, load: Load, entry: NamedLoad | None) -> LoadPlan:
        quick = self.quick if self._quick else None
        own_quick = entry.quick if self._quick and entry else None
        own_axes: Axes | None = entry.axes if entry else None
        axes: dict[str, tuple[Any, ...]] = dict(self.axes if own_axes is None else own_axes)
        if quick and own_axes is None:
            axes |= quick.axes or {}
        if own_quick:
            axes |= own_quick.axes or {}
        phases = self.phases
        for over in (entry and entry.phases, quick and quick.phases, own_quick and own_quick.phases):
            if over:
                phases = phases.model_copy(update={k: getattr(over, k) for k in over.model_fields_set})
        repeats = [r.repeats for r in (own_quick, quick, entry) if r and r.repeats is not None]
        return LoadPlan(
            name,
            load,
            axes,
            (entry and entry.design) or self.design,
            (repeats or [self.repeats])[0],
            phases,
            self.claims if entry is None or entry.claims is None else entry.claims,
            self.faults if entry is None or entry.faults is None else entry.faults,
            self.consumers if entry is None or entry.consumers is None else entry.consumers,
        )

    def cells(self, plan: LoadPlan) -> list[tuple[dict[str, Knob], Settings]]:
        """The points of one load's matrix: each with its knobs and the settings that result.

        `full` is the product of the axes; `one-at-a-time` varies one and keeps the others at the file's own values.
        """
        base = Settings(
            **{k: getattr(plan if k in PLANNED else self, k) for k in Settings.model_fields},
        ).model_dump()
        places = {axis: _axis_path(axis, base) for axis in plan.axes}
        if plan.design == "full" or len(plan.axes) < 2:
            rows = [dict(zip(plan.axes, values, strict=True)) for values in itertools.product(*plan.axes.values())]
        else:
            home = {axis: _at(base, path) for axis, path in places.items()}
            rows = [{**home, axis: value} for axis, values in plan.axes.items() for value in values]
        found: dict[str, tuple[dict[str, Knob], Settings]] = {}
        for row in rows:
            data: Any = base
            for axis, value in row.items():
                data = replaced(data, places[axis], value)
            try:
                settings = Settings.model_validate(data)
            except ValidationError as error:
                raise BadCellError(row, error) from error
            resolved = settings.model_dump()
            knobs = {axis: _at(resolved, path) for axis, path in places.items()}
            found.setdefault(_canonical(knobs), (knobs, settings))
        return list(found.values())

    def trials(
        self, *, backend: str, workload_version: int, measurement_version: int, host_class: str, where: str = ""
    ) -> list[Trial]:
        """Every trial in the order to run it. More repeats append blocks: the ids of the first ones stay.

        `where`: which cluster, of a backend that may be several.
        """
        trials: list[Trial] = []
        for plan in self.plans.values():
            cells = self.cells(plan)
            for repetition, order in enumerate(_blocks(len(cells), plan.repeats, f"{self.seed}:{plan.name}")):
                for i in order:
                    knobs, settings = cells[i]
                    identity = {
                        "settings": settings.model_dump(mode="json"),
                        "knobs": knobs,
                        "load_name": plan.name,
                        "repetition": repetition,
                        "workload_version": workload_version,
                        "measurement_version": measurement_version,
                        "backend": backend,
                        "host_class": host_class,
                    }
                    if where:
                        identity["where"] = where
                    if plan.load.kind == "search":
                        identity["thresholds"] = self.thresholds
                    if settings.load.shape is not None and (replay := settings.load.shape.replay) is not None:
                        identity["recording"] = _digest(self.file.parent / replay.file)
                    digest = hashlib.sha256(_canonical(identity).encode()).hexdigest()[:12]
                    trials.append(
                        Trial(
                            digest,
                            self.name,
                            plan.name,
                            repetition,
                            len(trials),
                            knobs,
                            settings,
                            self.seed + repetition,
                            self.file.parent,
                            self.thresholds,
                            backend,
                        )
                    )
        return trials

    def describe(self) -> dict[str, Any]:
        """One row for `list`: plain data, JSON-ready. `estimate_s` is what `plan` says of its trials: on processes."""
        trials = self.trials(backend="local", workload_version=0, measurement_version=0, host_class="")
        return {
            "name": self.name,
            "question": self.question,
            "file": str(self.file),
            "workload": self.workload.name,
            "job": self.pipeline.job if self.pipeline else None,
            "loads": {name: plan.load.kind for name, plan in self.plans.items()},
            "axes": {
                name: {axis: list(values) for axis, values in plan.axes.items()} for name, plan in self.plans.items()
            },
            "cells": sum(len(self.cells(plan)) for plan in self.plans.values()),
            "trials": len(trials),
            "claims": list(self.all_claims),
            "thresholds": list(self.thresholds),
            "estimate_s": estimate_s(trials),
        }


def beside(arms: Sequence[Sequence[Trial]]) -> list[Trial]:
    """The same trials on several backends, each repetition's as neighbours in time: to and fro between them (ABBA).

    All loads of a repetition follow each other, and each turn has a cluster of its own: on one that has run before they
    take half the CPU, and half the pairs would compare a warm backend with a cold one. The backend becomes a knob, the
    last: cells, pairs and bills then keep it apart like any other. Such a trial is none of those that a backend by
    itself has.
    """
    found: list[Trial] = []
    for repetition in sorted({one.repetition for arm in arms for one in arm}):
        for arm in arms[:: -1 if repetition % 2 else 1]:
            found += [replace(one, turn=repetition) for one in arm if one.repetition == repetition]
    return [
        replace(
            one,
            id=hashlib.sha256(f"beside {one.id}".encode()).hexdigest()[:12],
            order=order,
            knobs={**one.knobs, BACKEND: one.backend},
        )
        for order, one in enumerate(found)
    ]


class BadCellError(Exception):
    """An axis value that its section refuses in this combination; `reading` turns it into findings."""

    def __init__(self, row: Mapping[str, Knob], error: ValidationError) -> None:
        super().__init__(str(error))
        self.row, self.error = row, error


def _blocks(cells: int, repeats: int, seed: str) -> Iterator[list[int]]:
    """Mirrored pairs of blocks: see the module's docstring."""
    for pair in range((repeats + 1) // 2):
        order = list(range(cells))
        random.Random(f"{seed}:{pair}").shuffle(order)
        yield order
        if 2 * pair + 1 < repeats:
            yield order[::-1]


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(path: Path) -> str:
    """Of a recording: another content is another trial. "" for one that is gone."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _axis_path(axis: str, base: Mapping[str, Any]) -> KeyPath:
    place = locate(axis, base)
    return place.path if place else tuple(axis.split("."))


def _at(data: Any, path: KeyPath) -> Any:
    for word in path:
        if isinstance(data, tuple) and isinstance(word, int):
            data = data[word]
        else:
            data = data.get(word) if isinstance(data, dict) else None
    return data


def expected_events(load: Load, seconds: float, maximum_eps: float) -> float:
    """About how many events an open load sends; a recording at its own pace is taken for a maximum."""
    if isinstance(load.rate_eps, float):
        return load.rate_eps * seconds
    if load.of_drain is not None:
        return load.of_drain * DRAIN_EPS * seconds
    if load.shape is None or load.shape.replay is not None:
        return maximum_eps * seconds
    from bench.loadgen.shapes import plan  # brings pandas along: only who asks pays

    return float(plan(load.model_dump(mode="json"), duration_s=seconds, warmup_s=0.0, seed=0)[1].events)


def estimate_s(trials: Sequence[Trial], **rates: float) -> float:
    """Expected seconds for these trials in this order, by the `rates` of `estimates_s`."""
    return sum(estimates_s(trials, **rates))


def estimates_s(
    trials: Sequence[Trial],
    *,
    cluster_s: float = 15.0,
    primed_s: float = 15.0,
    submit_s: float = 3.0,
    verify_eps: float = 150_000.0,
    fill_eps: float = 300_000.0,
    drain_eps: float = DRAIN_EPS,
    consumers_eps: float = 1_000_000.0,
    maximum_eps: float = 1_000_000.0,
    search_s: float = 900.0,
    settle_s: float = 2.0,
) -> Iterator[float]:
    """Expected seconds of each of these trials, in this order; the defaults are what two cores took, no measurement.

    `cluster_s` per change of cluster, with `primed_s` and its priming where somebody reads meanwhile. A trial's job
    takes `submit_s`, settles within `settle_s` where it keeps up, and its events are compared at `verify_eps`. A drain
    is filled at `fill_eps` and read at `drain_eps` by a job, at `consumers_eps` by consumers; a search takes its cap,
    `search_s`. Where nobody reads, the topic is counted afterwards at `consumers_eps`. A maximum is guessed.
    """
    shape = ""
    for trial in trials:
        settings, load, has_job = trial.settings, trial.load, trial.settings.pipeline is not None
        total = submit_s
        if trial.shape_key != shape:
            shape, total = trial.shape_key, total + cluster_s
            total += primed_s + settings.cluster.prime_s if has_job or settings.consumers else 0.0
        if any(fault.target in ("broker", "taskmanager") and fault.do != "stop" for fault in settings.faults):
            shape = ""  # what a fault replaced is cold: another cluster is opened
        if load.kind == "search":
            yield total + search_s
            continue
        seconds = settings.phases.warmup_s + settings.phases.measure_s
        events = load.drain or expected_events(load, seconds, maximum_eps)
        if load.drain is not None:
            job_eps = drain_eps * (settings.cluster.limits.task_manager_cpus or 2) / 2
            total += load.drain / fill_eps + load.drain / (job_eps if has_job else consumers_eps)
        else:
            is_read = has_job or settings.consumers
            total += seconds + (min(settings.phases.settle_s, settle_s) if is_read else events / consumers_eps)
        yield total + (events / verify_eps if has_job else 0.0)
