"""What the runs of a study cost: each cell as what a platform must carry, and the bills that a report is given."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.analysis.cells import Cell
    from bench.run import Run
    from bench.study import Study
    from costmodel import Usage


def usages(found: Study, assumptions: Mapping[str, Any]) -> dict[str, Usage]:
    """Arm -> what has to be carried, for every cell whose runs carry what a bill needs."""
    import costmodel
    from bench import record

    # a bill needs them, whether they are axes or not
    needed = {
        run.trial_id: {
            **{f"topic.{key}": run.settings["topic"].get(key, 1) for key in ("partitions", "replication_factor")},
            "consumers.fetch_from_follower": _from_followers(run.settings.get("consumers") or ()),
            "topic.tiered": _is_tiered(run.settings),
        }
        for run in found.runs
    }
    rows = [{**row, **needed[row["trial_id"]]} for row in record.rows(found.runs)]
    pricing = {**found.scenario.pricing.model_dump(), **assumptions}
    return {
        label: costmodel.usage_from_runs(rows, pricing, dict(cell.knobs) | {"load": cell.load})
        for label, cell in _billed(found).items()
    }


def _from_followers(groups: Sequence[Mapping[str, Any]]) -> bool:
    return bool(groups) and all(group.get("fetch_from_follower") for group in groups)


def _is_tiered(settings: Mapping[str, Any]) -> bool:
    return settings["topic"].get("local_retention_s") is not None


def _billed(found: Study) -> dict[str, Cell]:
    """Arm -> its cell, of every cell whose runs carry what a bill needs."""
    from reports.wording import bill_labels

    # a drain writes flat out: its batches are not those of the priced stream, and it has no wire bytes
    priced = [cell for cell in found.cells if cell.n and "wire_bytes_per_event" in cell.metrics]
    labels = bill_labels([(cell.load, cell.knobs) for cell in priced])
    return dict(zip(labels, priced, strict=True))


REPORTED = {"self-ec2": "self-ec2+flink-ec2", "msk-standard": "msk-standard+flink-managed-aws"}
"""What a report compares, and the same with its Flink; `cost` prices every platform."""
TIERED = {"self-ec2": "self-ec2-tiered", "msk-standard": "msk-tiered"}
"""The same with tiered storage, which is how a tiered topic's arm is priced."""


def reported(found: Study, *, today: date | None = None) -> dict[str, Any]:
    """Arm -> the document of a report's bills. A study with a job is priced with its Flink.

    An arm without a job stands under the same names, and has no Flink to pay. So does one with a tiered topic, priced
    as `TIERED`. One whose job's CPU was not measured has no price at all. Of old prices each document says the same,
    counted over all arms.
    """
    from datetime import UTC, datetime

    import costmodel
    from costmodel.formats import warnings
    from costmodel.option import Option
    from costmodel.sizing import Infeasible

    today = today or datetime.now(UTC).date()
    used, billed = usages(found, {}), _billed(found)
    with_job = {label: _has_job(found, cell) for label, cell in billed.items()}
    priced: dict[str, Sequence[Option]] = {}
    for label, usage in used.items():
        tiered = any(_is_tiered(run.settings) for run in _runs(found, billed[label]))
        names = {kafka: TIERED[kafka] if tiered else kafka for kafka in REPORTED}
        shown = list(REPORTED.values() if any(with_job.values()) else REPORTED)
        if with_job[label] and usage.processing is None:
            why = "what its job takes of CPU was not measured, so that its Flink has no size"
            priced[label] = [Option(name, infeasible=Infeasible(name, why, "")) for name in shown]
            continue
        flink = [stack.removeprefix(kafka) if with_job[label] else "" for kafka, stack in REPORTED.items()]
        asked = [name + beside for name, beside in zip(names.values(), flink, strict=True)]
        options = costmodel.price(usage, asked)
        priced[label] = [replace(option, platform=name) for option, name in zip(options, shown, strict=True)]
    stale = warnings(itertools.chain.from_iterable(priced.values()), today)
    return {label: {**costmodel.to_json(options, used[label]), "warnings": stale} for label, options in priced.items()}


def _has_job(found: Study, cell: Cell) -> bool:
    return any(run.settings.get("pipeline") is not None for run in _runs(found, cell))


def _runs(found: Study, cell: Cell) -> list[Run]:
    return [run for run in found.runs if run.load == cell.load and dict(run.knobs) == dict(cell.knobs)]
