"""What runs at several partition counts say: how much one partition and one consumer carry, and bytes by fill.

A rung is one run: so many partitions under a fixed rate. What transfers from rung to rung is the rate of the *busiest
partition* (it decides whether the limit on latency is met) and the rate that fills one open batch (it decides bytes and
CPU per event). Both are read per partition, so that a ladder at 40 MB/s speaks about topics of other sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from statistics import fmean
from typing import Any

from costmodel.batchcost import Parts, Spent, fit
from costmodel.measured import number
from costmodel.usage import Number

MEETS, FAILS = 0.8, 0.6  # 4 of 5 runs pass; 3 of 5 fail (method: thresholds, and a search's confirmations)
RATE_KNOWN = 0.002  # what a paced run acknowledges in its window is known so well
SAME_RATE = 0.05  # rates that differ by less are one
QUANTITIES = ("wire", "disk", "stored", "cpu", "batch")


class Status(StrEnum):
    """What the runs of a cell say about their partitions under their rate."""

    MEETS = "meets the limit"
    FAILS = "fails"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Rung:
    """One run. MB are 10^6 bytes of payload; ratios are per payload byte, of one copy; cpu per million events.

    `hot_mb_s` is the busiest partition's share of `mb_s`, from the workload's keys; `fill_mb_s` what fills one open
    batch: a partition's mean share where keys choose it, all of it where a sticky producer does. `behind` says why it
    did not keep up, "" if it did; `reader_mb_s` is what one member of the largest group read.
    """

    run: str
    partitions: int
    mb_s: float
    nominal_eps: float
    record_bytes: float
    hot_mb_s: float
    fill_mb_s: float
    behind: str
    p99_ms: float | None
    reader_mb_s: float | None
    wire: float | None
    disk: float | None
    cpu: float | None
    batch: float | None = None  # events in one

    @property
    def stored(self) -> float | None:
        """Disk over wire bytes, of the same run, so that what varies in both cancels."""
        return None if self.disk is None or not self.wire else self.disk / self.wire


@dataclass(frozen=True)
class Cell:
    """The runs at one number of partitions and one rate, judged against a limit on p99."""

    partitions: int
    mb_s: float
    hot_mb_s: float
    nominal_eps: float
    status: Status
    passed: int
    why: str  # of the first run that failed
    p99_ms: tuple[float, ...]
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Capacity:
    """What one of something carries: at least `shown`, and less than `ruled_out` (None: nothing failed because of it).

    MB/s; `shown_by` and `ruled_out_by` are runs, or say who assumed it.
    """

    shown: float | None
    shown_by: tuple[str, ...] = ()
    ruled_out: float | None = None
    ruled_out_by: tuple[str, ...] = ()

    @property
    def most(self) -> float:
        """Where it is ruled out, or what somebody states of it; nothing speaks against less."""
        return math.inf if self.ruled_out is None else max(self.ruled_out, self.shown or 0.0)

    @property
    def open_until(self) -> float:
        """The most that nothing speaks against: less than what failed, by more than its rate is known to."""
        return max(self.most * (1 - RATE_KNOWN), self.shown or 0.0)

    def scaled(self, low: float, high: float) -> Capacity:
        """Of another record size: what is shown times `low`, what is ruled out times `high`."""
        return Capacity(
            None if self.shown is None else self.shown * low,
            self.shown_by,
            None if self.ruled_out is None else self.ruled_out * high,
            self.ruled_out_by,
        )


@dataclass(frozen=True)
class Read:
    """A quantity at a fill, from the rungs beside it. `beyond`: how many times outside them (1: within)."""

    number: Number
    runs: tuple[str, ...]
    beyond: float


@dataclass(frozen=True)
class Ladder:
    """The rungs of one setting, by path; `others`: what else the results hold; `drains`: (run, MB/s a reader).

    `left_out`: runs of the results that are no evidence, for they are invalid, crashed, refused or unfinished.
    """

    source: str
    setting: Mapping[str, Any]
    rungs: tuple[Rung, ...]
    keyed: bool
    drains: tuple[tuple[str, float], ...] = ()
    others: tuple[str, ...] = ()
    pricing: Mapping[str, Any] = field(default_factory=dict)
    left_out: int = 0

    @property
    def partitions(self) -> tuple[int, ...]:
        return tuple(sorted({rung.partitions for rung in self.rungs}))

    @property
    def record_bytes(self) -> float:
        return fmean(rung.record_bytes for rung in self.rungs)

    def cells(self, slo_ms: float) -> tuple[Cell, ...]:
        """Every number of partitions and rate, judged."""
        groups: dict[tuple[int, float], list[Rung]] = {}
        for rung in self.rungs:
            groups.setdefault((rung.partitions, rung.nominal_eps), []).append(rung)
        return tuple(_judged(groups[key], slo_ms) for key in sorted(groups))

    def fill(self, mb_s: float, partitions: int) -> float:
        """MB/s that fill one open batch of a topic."""
        return mb_s / partitions if self.keyed else mb_s

    def at(self, quantity: str, fill_mb_s: float) -> Read | None:
        """`wire`, `disk`, `stored`, `batch` or `cpu` at a fill: between two rungs linear in its logarithm.

        Outside of all it is that of the last, with its interval, which knows nothing of how far away that is: `beyond`
        does. Between, the ends of both intervals are mixed like their values, which is wider than a mean's would be.
        CPU is that of the batches at this fill, without what a broker spends on being up where rates can tell it.
        """
        if quantity == "cpu" and self._cpu is not None:
            return self._cpu_at(fill_mb_s, self._cpu)
        known = self._curves[quantity]
        if not known:
            return None
        fills = [fill for fill, _, _ in known]
        place = min(max(fill_mb_s, fills[0]), fills[-1])
        above = next(index for index, fill in enumerate(fills) if fill >= place)
        below = max(above - 1, 0) if fills[above] > place else above
        left, right = known[below], known[above]
        share = 0.0 if below == above else math.log(place / left[0]) / math.log(right[0] / left[0])
        return Read(
            _between(left[1], right[1], share),
            tuple(dict.fromkeys((*left[2], *right[2]))),
            max(fills[0] / fill_mb_s, fill_mb_s / fills[-1], 1.0),
        )

    @property
    def _kept_up(self) -> Iterator[Rung]:
        """Those that bytes and CPU are read from: behind a queue, batches fill as they would not otherwise."""
        return (rung for rung in self.rungs if not rung.behind)

    @cached_property
    def _cpu(self) -> Parts | None:
        return fit(
            [
                Spent(rung.cpu, rung.batch, rung.nominal_eps)
                for rung in self._kept_up
                if rung.cpu and rung.batch and rung.cpu > 0
            ]
        )

    def _cpu_at(self, fill_mb_s: float, parts: Parts) -> Read | None:
        batch = self.at("batch", fill_mb_s)
        if batch is None:
            return None
        size = batch.number
        value = parts.per_million(float(size.value))
        spent = tuple(rung.run for rung in self._kept_up if rung.cpu and rung.batch)
        told = {"value": value}
        fuller, emptier = float(size.high or size.value), float(size.low or size.value)
        halves = [parts.half_width(events) for events in (fuller, emptier)]
        if halves[0] is not None and halves[1] is not None:  # of the fit, and on either side of it of the batches
            told |= {
                "low": min(max(parts.per_million(fuller) - halves[0], 0.0), value),
                "high": max(parts.per_million(emptier) + halves[1], value),
            }
        note = f"fitted to {len(spent)} runs by events and batches"
        return Read(
            Number.model_validate({**told, "basis": "measured", "n": len(spent), "note": note}), spent, batch.beyond
        )

    @cached_property
    def _curves(self) -> dict[str, list[tuple[float, Number, tuple[str, ...]]]]:
        return {quantity: self._curve(quantity) for quantity in QUANTITIES}

    def _curve(self, quantity: str) -> list[tuple[float, Number, tuple[str, ...]]]:
        groups: dict[tuple[int, float], list[Rung]] = {}
        for rung in self._kept_up:
            if getattr(rung, quantity) is not None:
                groups.setdefault((rung.partitions, rung.nominal_eps), []).append(rung)
        if not self.keyed:  # where batches do not know of partitions, all runs at a rate are one
            groups = {
                (0, rate): [rung for (_, eps), rungs in groups.items() if eps == rate for rung in rungs]
                for rate in {rate for _, rate in groups}
            }
        found = [
            (
                fmean(rung.fill_mb_s for rung in rungs),
                number([getattr(rung, quantity) for rung in rungs], quantity),
                tuple(rung.run for rung in rungs),
            )
            for rungs in groups.values()
        ]
        return sorted(found, key=lambda one: one[0])


def _between(left: Number, right: Number, share: float) -> Number:
    def mix(name: str) -> float | None:
        ends = [getattr(left, name), getattr(right, name)]
        return None if None in ends else float(ends[0]) * (1 - share) + float(ends[1]) * share

    fields = {name: value for name in ("value", "low", "high") if (value := mix(name)) is not None}
    n = min(left.n or 0, right.n or 0)
    return Number.model_validate({**fields, "basis": "measured", "n": n, "note": left.note})


def _judged(rungs: Sequence[Rung], slo_ms: float) -> Cell:
    reasons = [_reason(rung, slo_ms) for rung in rungs]
    passed = sum(not reason for reason in reasons)
    share = passed / len(rungs)
    status = Status.MEETS if share >= MEETS else Status.FAILS if 1 - share >= FAILS else Status.UNDECIDED
    return Cell(
        rungs[0].partitions,
        fmean(rung.mb_s for rung in rungs),
        fmean(rung.hot_mb_s for rung in rungs),
        rungs[0].nominal_eps,
        status,
        passed,
        next((reason for reason in reasons if reason), ""),
        tuple(rung.p99_ms for rung in rungs if rung.p99_ms is not None),
        tuple(rung.run for rung in rungs),
    )


def _reason(rung: Rung, slo_ms: float) -> str:
    """Why the run does not meet the limit; "" if it does. What was not measured is no pass."""
    if rung.behind:
        return rung.behind
    if rung.p99_ms is None:
        return "its p99 is missing"
    return "" if rung.p99_ms < slo_ms else f"p99 {rung.p99_ms:,.0f} ms, not below {slo_ms:g}"


def partition_capacity(cells: Sequence[Cell]) -> Capacity:
    """What one partition carries within the limit.

    A cell that fails speaks against its partitions only if more of them meet the limit at the same rate: otherwise this
    host was the limit, or there were too many of them.
    """
    too_few = [cell for cell in cells if cell.status is Status.FAILS and better_with_more(cell, cells)]
    met = [cell for cell in cells if cell.status is Status.MEETS]
    least_failed = min(too_few, key=lambda cell: cell.hot_mb_s, default=None)
    below = [cell for cell in met if least_failed is None or cell.hot_mb_s < least_failed.hot_mb_s]
    lowest = sorted(met, key=lambda cell: cell.hot_mb_s)[:1]  # where cells contradict each other, the least is shown
    shown = max(below or lowest, key=lambda cell: cell.hot_mb_s, default=None)
    highest_met = max((cell.hot_mb_s for cell in met), default=0.0)
    return Capacity(
        None if shown is None else shown.hot_mb_s,
        () if shown is None else shown.runs,
        None if least_failed is None else max(least_failed.hot_mb_s, highest_met),
        () if least_failed is None else least_failed.runs,
    )


def better_with_more(cell: Cell, cells: Iterable[Cell]) -> bool:
    """Whether more partitions meet the limit at its rate."""
    return any(other.partitions > cell.partitions for other in _met_at_its_rate(cell, cells))


def worse_than_fewer(cell: Cell, cells: Iterable[Cell]) -> bool:
    """Whether fewer partitions meet the limit at its rate."""
    return any(other.partitions < cell.partitions for other in _met_at_its_rate(cell, cells))


def _met_at_its_rate(cell: Cell, cells: Iterable[Cell]) -> Iterator[Cell]:
    for other in cells:
        if other.status is Status.MEETS and abs(other.nominal_eps / cell.nominal_eps - 1) < SAME_RATE:
            yield other


def too_many(cells: Sequence[Cell]) -> Cell | None:
    """The cell with the fewest partitions that fails where fewer meet the limit at the same rate."""
    worse = [cell for cell in cells if cell.status is Status.FAILS and worse_than_fewer(cell, cells)]
    return min(worse, key=lambda cell: cell.partitions, default=None)


def reader_capacity(ladder: Ladder, cells: Sequence[Cell]) -> Capacity:
    """What one consumer reads: shown by runs that met the limit, or flat out by drains, whichever showed more.

    Of the drains the slowest counts. None of them failed, so that nothing is ruled out: another limit held them.
    """
    met = {run for cell in cells if cell.status is Status.MEETS for run in cell.runs}
    kept = [(rung.reader_mb_s, rung.run) for rung in ladder.rungs if rung.reader_mb_s is not None and rung.run in met]
    shown, by = max(kept, default=(None, ""))
    slowest = min((rate for _, rate in ladder.drains), default=None)
    if slowest is None or (shown is not None and shown > slowest):
        return Capacity(shown, (by,) if by else ())
    return Capacity(slowest, tuple(run for run, _ in ladder.drains))


def hot_share(partitions: int, top: float) -> float:
    """The busiest partition's share of a topic whose busiest key has the share `top`; the rest is spread evenly."""
    return top + (1 - top) / partitions
