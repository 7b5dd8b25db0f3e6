"""Checkpoints on a disk and in an object store: what the second takes longer, told as calls one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.sequential import InARow, calls_in_a_row
from bench.record import Run
from reports import wording
from reports.evidence import FEWEST, Arm, Evidence, run_number
from reports.report import Column, Paragraph, Section, Source, Table, Words, said

_STORE = ("pipeline.checkpoint.storage", "pipeline.checkpoint.s3.latency_ms")
_DURATION, _CALL = "checkpoint_duration_ms", "s3_latency_ms"


@dataclass(frozen=True)
class Pair:
    """Two arms of a load that differ in their store alone; `near` is a disk, or the store whose calls take less."""

    near: Arm
    far: Arm
    found: InARow


def section(evidence: Evidence) -> Section | None:
    """A sentence for the first pair of each load, and all in a table; None where no run used an object store."""
    blocks: list[Any] = []
    for load in evidence.loads:
        pairs = list(_pairs(evidence.load_arms(load)))
        if pairs:
            blocks += [Paragraph(_sentence(load, pairs[-1])), _table(load, pairs)]
    if not blocks:
        return None
    note = said(
        "Calls in a row: how much longer a checkpoint takes there, over how much longer a call takes, as measured at "
        "the store. Calls side by side count once; where bytes take time of their own, the true number is smaller. "
        "Requests are all that were made per checkpoint completed, of every task and of the JobManager."
    )
    return Section("storing", "Checkpoints in an object store", (*blocks, note))


def _pairs(arms: Sequence[Arm]) -> Iterator[Pair]:
    """Each object store against the disk beside it, or, where there is none, against the nearest store."""
    groups: dict[str, list[Arm]] = {}
    for arm in arms:
        if _checkpoint(arm).get("storage") in ("local", "s3"):  # the JobManager's heap is neither
            groups.setdefault(_rest(arm.finished[0]), []).append(arm)
    for alike in groups.values():
        near, *farther = sorted(alike, key=_call_ms)
        for far in farther:
            known = [_by_repetition(arm, _DURATION) for arm in (near, far)]
            calls = [dict.fromkeys(known[0], 0.0) if _on_disk(near) else _by_repetition(near, _CALL),
                     _by_repetition(far, _CALL)]  # fmt: skip
            shared = sorted(set.intersection(*(set(each) for each in (*known, *calls))))
            found = calls_in_a_row(*([each[at] for at in shared] for each in (*known, *calls)))
            if found is not None:
                yield Pair(near, far, found)


def _rest(run: Run) -> str:
    """Everything that the arms of a pair must have in common."""
    return repr(sorted((path, value) for path, value in run.knobs.items() if path not in _STORE))


def _checkpoint(arm: Arm) -> Mapping[str, Any]:
    pipeline = (arm.finished[0].settings.get("pipeline") if arm.finished else None) or {}
    return pipeline.get("checkpoint") or {}


def _on_disk(arm: Arm) -> bool:
    return _checkpoint(arm).get("storage") == "local"


def _call_ms(arm: Arm) -> float:
    found = arm.estimate(_CALL)
    return found.value if found is not None and not _on_disk(arm) else 0.0


def _by_repetition(arm: Arm, metric: str) -> dict[int, float]:
    return {run.repetition: found.value for run in arm.finished if (found := run_number(run, metric)) is not None}


def _sentence(load: str, pair: Pair) -> Words:
    longer = wording.number(pair.found.far_ms - pair.found.near_ms, "ms", _source(pair, "longer"))
    call = wording.number(pair.found.call_ms, "ms", _source(pair, "call"))
    words: Words = (
        f"Load {load}: a checkpoint takes ", longer, f" longer ({pair.far.label}) than ({pair.near.label}). A call ",
        "takes ", call, " longer there: as much as ", _calls(pair), " calls one after the other",
    )  # fmt: skip
    requests = _requests(pair.far)
    return (*words, ", of ", *requests, " requests for each checkpoint.") if requests else (*words, ".")


def _calls(pair: Pair) -> Any:
    found = pair.found
    return wording.number(found.calls, "", _source(pair, "calls"), wording.step_of(found.calls, found.low, found.high))


def _requests(arm: Arm) -> Words:
    asked, done = arm.estimate("s3_requests"), arm.estimate("checkpoints_completed")
    if asked is None or done is None or not done.value:
        return ()
    of = tuple(Source("cell", arm.key, f"{metric} value") for metric in ("s3_requests", "checkpoints_completed"))
    return (wording.number(asked.value / done.value, "", Source("derived", "requests per checkpoint", "", of)),)


def _table(load: str, pairs: Sequence[Pair]) -> Table:
    columns = (
        Column("near store"), Column("far store"), Column("a checkpoint near", "ms", numeric=True),
        Column("a checkpoint far", "ms", numeric=True),
        Column("a call longer by", "ms", numeric=True), Column("calls in a row", numeric=True),
        Column("95 % interval", numeric=True), Column("requests a checkpoint", numeric=True),
        Column("n", "pairs", numeric=True),
    )  # fmt: skip
    rows = [
        (
            (pair.near.label,),
            (pair.far.label,),
            (wording.number(pair.found.near_ms, "", _source(pair, "near")),),
            (wording.number(pair.found.far_ms, "", _source(pair, "far")),),
            (wording.number(pair.found.call_ms, "", _source(pair, "call")),),
            (_calls(pair),),
            _interval(pair),
            _requests(pair.far),
            (wording.number(float(pair.found.n), "", _source(pair, "n")),),
        )
        for pair in pairs
    ]
    return Table(f"storing-{wording.slug(load)}", f"Load {load}: checkpoints by their store", columns, tuple(rows))


def _interval(pair: Pair) -> Words:
    found = pair.found
    if found.low is None or found.high is None or found.n < FEWEST:
        return ()
    step = wording.step_of(found.calls, found.low, found.high)
    low, high = (wording.number(each, "", _source(pair, "calls"), step) for each in (found.low, found.high))
    return (low, " to ", high)


def _source(pair: Pair, what: str) -> Source:
    arms = (pair.near, pair.far)
    of = [Source("cell", arm.key, f"{_DURATION} value") for arm in arms]
    calls = [Source("cell", arm.key, f"{_CALL} value") for arm in arms if not _on_disk(arm)]
    return Source("derived", f"checkpoints, {what}", "", (*of, *calls))
