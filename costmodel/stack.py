"""Kafka alone, Kafka and Flink, or serverless: which of them meets a need for the least money, and what would flip it.

    asked = Need(rate_eps=100_000, record_bytes=1000, windows=True)
    found = advise(usage, asked)            # `usage`: what a stream like it takes, from runs or by hand
    found.kind, found.choices["serverless"].reason

What meets a need is a matter of what each can do at all: consumer groups fan out and filter, and have no windows and no
patterns by event time; a platform whose vendor keeps fewer copies than are needed is left out. Among those that do,
bills decide: every platform of a kind is sized for the need, the cheapest one stands for its kind, and the kinds are
then priced under the same draws of everything uncertain, each by the cheapest of its nearest platforms in every draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any

import numpy as np

from bench.errors import ScenarioError
from costmodel import paired
from costmodel import platforms as registry
from costmodel.extrapolation import beside
from costmodel.option import Option, size
from costmodel.platforms import Platform
from costmodel.prices import Catalog, built_in
from costmodel.sizing import processing
from costmodel.usage import Number, Usage

DRAWS = 400
SURE = 0.95  # of the draws: as for a claim about cost
TIMES = (1e-4, 1e4)  # of the rate, between which a flip is looked for
STEPS = 24
NO_JOB = "no job's CPU is known"
NEAR, WITHIN = 4, 1.5  # so many platforms of a kind, of at most so many times its least, are drawn with it
USD_HOUR = 100.0  # of people, to say what a difference is worth: assumed, and said with the answer


class Kind(StrEnum):
    """What can be answered."""

    KAFKA = "Kafka only"
    FLINK = "Kafka + Flink"
    SERVERLESS = "serverless"


@dataclass(frozen=True)
class Need:
    """What somebody wants of a stream. `copies`: of each record, so many less one may be lost at once.

    `readers`: consumer groups that each read everything, beside a job. `windows`: aggregates by event time; `patterns`:
    of several events (CEP).
    """

    rate_eps: float
    record_bytes: float = 1000.0
    copies: int = 3
    retention_days: float = 7.0
    readers: int = 1
    windows: bool = False
    patterns: bool = False

    def __post_init__(self) -> None:
        for name in ("rate_eps", "record_bytes", "retention_days"):
            if not 0 < getattr(self, name) < math.inf:
                raise ScenarioError(f"{name}: expected more than 0, got {getattr(self, name):g}")
        if not 1 <= self.copies <= 5 or self.readers < 1:
            raise ScenarioError(f"expected 1 to 5 copies and at least 1 reader, got {self.copies} and {self.readers}")

    @property
    def mb_s(self) -> float:
        """Of records as they are written."""
        return self.rate_eps * self.record_bytes / 1e6

    @property
    def processes(self) -> bool:
        """Whether something has to keep state by event time."""
        return self.windows or self.patterns


@dataclass(frozen=True)
class Choice:
    """One kind: the platform that stands for it and its bill; or `reason`, why it does not meet the need.

    `usd_month`: its P10, P50, P90 over the draws. `cheapest_in`: the share of draws in which no platform of another
    kind costs less than the least of `near`: this one and those that cost hardly more.
    """

    kind: Kind
    platform: str = ""
    near: tuple[str, ...] = ()
    option: Option | None = None
    usd_month: tuple[float, float, float] | None = None
    cheapest_in: float = 0.0
    reason: str = ""

    @property
    def central_usd_month(self) -> float | None:
        """None where it does not meet the need."""
        return None if self.option is None else float(self.option.usd_month or 0)


@dataclass(frozen=True)
class Flip:
    """What would change the answer, and to what; None: nothing would meet it then."""

    change: str
    kind: Kind | None


@dataclass(frozen=True)
class Advice:
    """The answer, what else there is, and what would flip it. `kind` is None where nothing meets the need.

    `too_few`: platforms that keep fewer copies than the need's, with how many. `usd_hour`: of people, assumed.
    """

    need: Need
    kind: Kind | None
    choices: Mapping[Kind, Choice]
    flips: tuple[Flip, ...]
    draws: int
    too_few: Mapping[str, int] = field(default_factory=dict)
    usd_hour: float = USD_HOUR

    @property
    def rival(self) -> Choice | None:
        """The next cheapest kind that meets the need."""
        others = [c for c in self.choices.values() if c.kind is not self.kind and c.central_usd_month is not None]
        return min(others, key=lambda c: c.central_usd_month or 0.0, default=None)

    def sentences(self) -> list[str]:
        """What a reader takes away."""
        if self.kind is None:
            return ["Nothing here meets this need: " + "; ".join(c.reason for c in self.choices.values()) + "."]
        best, rival = self.choices[self.kind], self.rival
        usd = best.central_usd_month or 0.0
        sure = "" if best.cheapest_in >= SURE or rival is None else ": close, so that other reasons may decide"
        share = f", the cheapest of those that meet the need in {best.cheapest_in:.0%} of {self.draws} draws{sure}"
        found = [f"{self.kind}: {best.platform}, {usd:,.0f} USD a month{share if rival else ''}."]
        if rival is not None:
            more = (rival.central_usd_month or 0.0) - usd
            found.append(
                f"{rival.kind} ({rival.platform}) costs {more:,.0f} USD a month more: it pays for itself if it saves "
                f"{more / self.usd_hour:,.1f} hours of people at {self.usd_hour:g} USD (assumed)."
            )
        found += [f"Not {choice.kind}: {choice.reason}." for choice in self.choices.values() if choice.reason]
        if self.too_few:
            names = ", ".join(f"{name} ({copies})" for name, copies in self.too_few.items())
            found.append(f"Left out, for they keep fewer than {self.need.copies} copies: {names}.")
        return found


def advise(
    usage: Usage,
    need: Need,
    *,
    prices: Catalog | None = None,
    draws: int = DRAWS,
    seed: int = 7,
    flips: bool = True,
    usd_hour: float = USD_HOUR,
) -> Advice:
    """`usage` says what events of such a stream take: bytes on the wire, CPU per event, a job's CPU. The need says how
    many there are and what is to become of them. ScenarioError for a usage without a job where one is needed.
    """
    catalog = prices or built_in()
    catalog.require_region(usage.region)
    if need.processes:
        processing(usage, "windows or patterns")
    central = _central(usage, need, catalog)
    kind = _best(central)
    rows = registry.found().values()
    too_few = {row.id: row.copies for row in rows if row.role == "kafka" and row.copies and not _keeps(row, need)}
    choices = _drawn(usage, need, central, partial(paired.compare, prices=catalog, draws=draws, seed=seed))
    turned = tuple(_flips(usage, need, kind, catalog)) if flips and kind is not None else ()
    return Advice(need, kind, choices, turned, draws, too_few, usd_hour)


def usage_of(usage: Usage, need: Need, kind: Kind) -> Usage:
    """The usage with the need's numbers; a job that nobody reads by is one more group."""
    job = need.processes or kind is Kind.FLINK
    numbers: dict[str, Decimal] = {
        **_measured_at(usage, need),
        "ingest.record_bytes": _decimal(need.record_bytes),
        "ingest.mb_s": _decimal(need.mb_s),
        "retention.days": _decimal(need.retention_days),
        "topics.replication_factor": Decimal(need.copies),
        "consumers.groups": Decimal(need.readers + job),
    }
    for path, value in numbers.items():
        usage = usage.with_value(path, value)
    return usage


def _measured_at(usage: Usage, need: Need) -> dict[str, Decimal]:
    """CPU was measured at so many events a second: as many, of the need's size."""
    at = usage.ingest.measured_at_mb_s
    if at is None:
        return {}
    return {"ingest.measured_at_mb_s": at.value * _decimal(need.record_bytes) / usage.ingest.record_bytes.value}


def candidates(need: Need, kind: Kind, usage: Usage) -> list[str]:
    """Platforms and stacks of this kind; none where it cannot do what is needed, or keeps too few copies."""
    rows = registry.found().values()
    kafka = [row for row in rows if row.role == "kafka" and _keeps(row, need)]
    carriers = [row for row in kafka if row.serverless == (kind is Kind.SERVERLESS)]
    if kind is Kind.KAFKA:
        return [] if need.processes else [row.id for row in carriers]
    if kind is Kind.SERVERLESS and not need.processes:
        return [row.id for row in carriers]
    if usage.processing is None:
        return []
    jobs = [row for row in rows if row.role == "flink" and (kind is Kind.FLINK or row.serverless)]
    return [f"{one.id}+{job.id}" for one in carriers for job in jobs if _reads(job, one)]


def _keeps(row: Platform, need: Need) -> bool:
    """Whether it keeps as many copies as are needed: as many as are asked for, or what its vendor has fixed."""
    return row.copies is None or row.copies >= need.copies


def _reads(job: Platform, carrier: Platform) -> bool:
    """Confluent's Flink reads Confluent's topics; every other one what lies in its own cloud."""
    if job.id == "flink-confluent":
        return carrier.id.startswith("confluent-")
    return job.cloud == carrier.cloud


Central = Mapping[Kind, tuple[Option, ...] | str]


def _central(usage: Usage, need: Need, prices: Catalog) -> Central:
    """Each kind's options at central values, the cheapest first and only those near it; or why it has none."""
    found: dict[Kind, tuple[Option, ...] | str] = {}
    for kind in Kind:
        names = candidates(need, kind, usage)
        sized = [size(usage_of(usage, need, kind), name, prices) for name in names]
        priced = [one for one in sized if one.bill is not None and not one.bill.at_least]
        if priced:
            ranked = sorted(priced, key=_usd)
            most = _usd(ranked[0]) * Decimal(str(WITHIN))
            found[kind] = tuple(one for one in ranked[:NEAR] if _usd(one) <= most)
        else:
            found[kind] = _why_not(usage, need, kind, sized)
    return found


def _usd(option: Option) -> Decimal:
    return option.usd_month or Decimal(0)


def _why_not(usage: Usage, need: Need, kind: Kind, sized: list[Option]) -> str:
    if kind is Kind.KAFKA and need.processes:
        what = " and ".join(name for name, asked in (("windows", need.windows), ("patterns", need.patterns)) if asked)
        return f"consumer groups have no {what} by event time"
    if not sized:
        return f"none keeps {need.copies} copies" if candidates(replace(need, copies=1), kind, usage) else NO_JOB
    broken = next((one.infeasible for one in sized if one.infeasible is not None), None)
    return f"none can be had: {broken.reason}" if broken is not None else "none is fully priced"


def _best(central: Central) -> Kind | None:
    priced = {kind: _usd(one[0]) for kind, one in central.items() if not isinstance(one, str)}
    return min(priced, key=lambda kind: priced[kind], default=None)


def _drawn(
    usage: Usage, need: Need, central: Central, compare: Callable[[Usage, list[str]], paired.Paired]
) -> dict[Kind, Choice]:
    drawn = {
        kind: compare(usage_of(usage, need, kind), [one.platform for one in options])
        for kind, options in central.items()
        if not isinstance(options, str)
    }  # a draw depends on the seed and the quantity's name alone, so that other readers see the same world
    least = {str(kind): np.fmin.reduce(list(found.totals.values())) for kind, found in drawn.items()}
    cheapest = paired.Paired(least).cheapest() if least else {}
    found: dict[Kind, Choice] = {}
    for kind, options in central.items():
        if isinstance(options, str):
            found[kind] = Choice(kind, reason=options)
            continue
        first = options[0]
        band = drawn[kind].quantiles(first.platform) or (math.nan,) * 3
        near = tuple(one.platform for one in options)
        found[kind] = Choice(kind, first.platform, near, first, band, cheapest[str(kind)])
    return found


# ---- what would flip it


def _flips(usage: Usage, need: Need, kind: Kind | None, prices: Catalog) -> Iterator[Flip]:
    """One change at a time, at central values; only what changes the answer."""

    def answer(changed: Need) -> Kind | None:
        return _best(_central(usage, changed, prices))

    for words, changed in _changes(need, has_job=usage.processing is not None):
        other = answer(changed)
        if other is not kind:
            yield Flip(words, other)
    for way, end in (("fewer", TIMES[0]), ("more", TIMES[1])):
        found = _turn(lambda times: answer(replace(need, rate_eps=need.rate_eps * times)), kind, end)
        if found is not None:
            times, other = found
            rate = need.rate_eps * times
            change = f"{way} events: about {rate:,.3g} a second ({rate * need.record_bytes / 1e6:,.3g} MB/s)"
            yield Flip(change, other)


def _changes(need: Need, *, has_job: bool) -> Iterator[tuple[str, Need]]:
    if need.processes or has_job:
        yield "no windows" if need.windows else "windows", replace(need, windows=not need.windows)
        yield "no patterns" if need.patterns else "patterns over events", replace(need, patterns=not need.patterns)
    yield from ((f"copies of each record: {n}", replace(need, copies=n)) for n in (1, 3) if n != need.copies)
    more = (1, need.readers * 4, need.readers * 16)
    yield from ((f"readers of everything: {n}", replace(need, readers=n)) for n in more if n != need.readers)
    days = (1.0, 30.0, 365.0)
    yield from ((f"days kept: {n:g}", replace(need, retention_days=n)) for n in days if n != need.retention_days)
    for size_bytes in {100.0, 10_000.0} - {need.record_bytes}:
        same = replace(need, record_bytes=size_bytes, rate_eps=need.rate_eps * need.record_bytes / size_bytes)
        yield f"records of {size_bytes:,.0f} bytes at the same MB/s", same


def _turn(answer: Callable[[float], Kind | None], kind: Kind | None, end: float) -> tuple[float, Kind | None] | None:
    """The nearest multiple of the rate towards `end` at which the answer is another, to 5 %; None if there is none."""
    inside = 1.0
    for step in range(1, STEPS + 1):
        outside = end ** (step / STEPS)
        if answer(outside) is not kind:
            while max(outside / inside, inside / outside) > 1.05:
                middle = math.sqrt(inside * outside)
                inside, outside = (middle, outside) if answer(middle) is kind else (inside, middle)
            return outside, answer(outside)
        inside = outside
    return None


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))


def rests_on(usage: Usage, need: Need) -> list[str]:
    """What was measured of it, with its interval, and how far that was carried to meet the need."""

    def told(number: Number) -> str:
        band = f" ({number.low:.3g} to {number.high:.3g})" if number.low is not None else ""
        return f"{number.value:.3g}{band}, {number.basis}"

    found = [f"Brokers take {told(usage.broker.cpu_s_per_million_events)} CPU-seconds per million events"]
    if usage.processing is not None:
        found.append(f"a job {told(usage.processing.cpu_s_per_million_events)}")
    found.append(f"{told(usage.ingest.record_bytes)} bytes a record where that was so")
    carried = beside(usage_of(usage, need, Kind.KAFKA))
    return ["; ".join(found) + ".", *([carried.sentence()] if carried is not None else [])]


def to_json(found: Advice) -> dict[str, Any]:
    """The document of `advise stack --json`."""
    return {
        "schema": 1,
        "need": {**vars(found.need), "mb_s": found.need.mb_s},
        "answer": None if found.kind is None else str(found.kind),
        "platform": None if found.kind is None else found.choices[found.kind].platform,
        "choices": [
            {
                "kind": str(choice.kind),
                "meets": not choice.reason,
                "reason": choice.reason,
                "platform": choice.platform or None,
                "near": list(choice.near),
                "usd_month": None
                if choice.usd_month is None
                else {"central": choice.central_usd_month,
                      **dict(zip(("p10", "p50", "p90"), choice.usd_month, strict=True))},
                "cheapest_in": choice.cheapest_in,
                "bound_by": choice.option.bound_by.constraint if choice.option and choice.option.bound_by else None,
            }
            for choice in found.choices.values()
        ],
        "flips": [{"change": flip.change, "answer": None if flip.kind is None else str(flip.kind)}
                  for flip in found.flips],
        "draws": found.draws,
        "too_few_copies": dict(found.too_few),
        "assumed": {"usd_hour": found.usd_hour},
        "sentences": found.sentences(),
    }  # fmt: skip
