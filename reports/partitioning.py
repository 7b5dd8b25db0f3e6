"""A study that varies the number of partitions, told: how much of an increase is batching, and what decides it.

A ladder is a load's arms that differ in nothing but the number of partitions. To part an increase takes a control, see
`bench.analysis.attribution`; the curves are `climbing`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis import ratio
from bench.analysis.attribution import Attribution, Part, attribute
from bench.metrics import METRICS, full_name
from reports import wording
from reports.climbing import Climb, batch, climbs, near, refilled
from reports.evidence import FEWEST, Arm, Evidence, run_number
from reports.report import Column, Paragraph, Section, Source, Table, Tone, Words, said

# A longer linger is itself a wait: what latency owes to batching only the other control can tell.
BY_LINGER = ("log_bytes_per_event", "wire_bytes_per_event", "broker_cpu_s_per_million_events",
             "generator_cpu_s_per_million_events")  # fmt: skip
_SAID = (("log_bytes_per_event", "value"), ("broker_cpu_s_per_million_events", "value"), ("e2e_latency_ms", "p99"))
_STATS = {"e2e_latency_ms": ("p50", "p99")}


@dataclass(frozen=True)
class Control:
    """Two arms that differ in partitions, and whose batches are equal."""

    how: str
    few: Arm
    many: Arm
    metrics: Sequence[str]


def section(evidence: Evidence) -> Section | None:
    """The curves, and for each ladder with a control what is batching and what partitions; None without a ladder."""
    ladders = [one for one in climbs(evidence) if one.rate and one.arms[one.ends[0]].finished]
    blocks: list[Any] = []
    for one in ladders:
        if len(one.arms) >= FEWEST and one.arms[one.ends[1]].finished and one.routing == "keyed":
            blocks += _attributed(one, list(_controls(one, ladders, evidence)))
    for load in dict.fromkeys(one.load for one in ladders):
        factor = [one for one in ladders if one.load == load]
        if len(factor) > 1 and (table := _factor(load, factor)):
            blocks.append(table)
    return Section("partitioning", "What more partitions cost, and why", tuple(blocks)) if blocks else None


def _controls(one: Climb, ladders: Sequence[Climb], evidence: Evidence) -> Iterator[Control]:
    """By a longer linger, and by a ladder of the same rate whose batches do not depend on partitions: without keys."""
    few, many = one.ends
    for how, arm in refilled(one, evidence):
        yield Control(how, one.arms[few], arm, BY_LINGER)
    for other in ladders:
        if other.routing == "sticky" and other.rate == one.rate and few in other.arms and many in other.arms:
            a, b = other.arms[few], other.arms[many]
            if near(b, a):
                yield Control("routing without keys", a, b, (*BY_LINGER, "e2e_latency_ms"))


# ---- the mechanism


def _attributed(one: Climb, controls: Sequence[Control]) -> Iterator[Any]:
    few, many = one.ends
    if not controls:
        yield said(f"Load {one.name}: no control keeps batches equal, so nothing says what is batching.", Tone.UNSURE)
        return
    for control in controls:
        found = [
            (metric, stat, parts)
            for metric in control.metrics
            for stat in _STATS.get(metric, ("value",))
            if (parts := _parts(one, control, metric, stat)) is not None
        ]
        if found:
            yield Paragraph(_sentence(one, control, found))
            yield _table(one, control, found, few, many)
        else:
            yield said(
                f"Load {one.name}: what is batching takes three repetitions of each end and of the control by "
                f"{control.how}.",
                Tone.UNSURE,
            )


def _parts(one: Climb, control: Control, metric: str, stat: str) -> Attribution | None:
    """By the repetitions that finished in all four arms."""
    arms = [one.arms[one.ends[0]], one.arms[one.ends[1]], control.few, control.many]
    known = [{run.repetition: n.value for run in arm.finished if (n := run_number(run, metric, stat))} for arm in arms]
    shared = sorted(set.intersection(*map(set, known)))
    return attribute(*([values[at] for at in shared] for values in known))


def _source(one: Climb, control: Control, named: str, part: str) -> Source:
    arms = [one.arms[one.ends[0]], one.arms[one.ends[1]], control.few, control.many]
    of = tuple(Source("cell", key, f"{named} value") for key in dict.fromkeys(arm.key for arm in arms))
    return Source("derived", f"{named} {part}, by {control.how}", "", of)


def _sentence(one: Climb, control: Control, found: Sequence[tuple[str, str, Attribution]]) -> Words:
    """The one that a reader can repeat."""
    few, many = one.ends
    words: list[Any] = [f"From {few:,} to {many:,} partitions at the same rate, batching is "]
    shares = [(metric, stat, parts.share) for metric, stat, parts in found if parts.share and (metric, stat) in _SAID]
    for at, (metric, stat, share) in enumerate(shares):
        name = wording.metric_name(metric, stat)
        before = "" if not at else " and " if at == len(shares) - 1 else ", "
        words += [
            before,
            *_share(share, _source(one, control, full_name(metric, stat), "share")),
            f" of the added {name}",
        ]
    if not shares:
        words = [f"From {few:,} to {many:,} partitions nothing grows beyond its spread that batching could explain"]
    batches = [(batch(arm), arm) for arm in (one.arms[few], one.arms[many], control.many)]
    words.append("; partitions themselves are the rest. Control: " if shares else ". Control: ")
    told = [wording.number(value, "", Source("cell", arm.key, "batch_records value")) for value, arm in batches]
    words += [control.how, " keeps ", told[2], " events in a batch at ", f"{many:,}; the ladder goes from ", told[0],
              " to ", told[1], "."]  # fmt: skip
    return tuple(words)


def _share(part: Part, source: Source) -> Words:
    step = wording.step_of(part.value, part.low, part.high)
    value = wording.number(part.value, "share", source, step)
    if part.low is None or part.high is None:
        return (value,)
    low, high = (wording.number(each, "share", source, step) for each in (part.low, part.high))
    return (value, " (95 % interval ", low, " to ", high, ")")


def _table(one: Climb, control: Control, found: Sequence[tuple[str, str, Attribution]], few: int, many: int) -> Table:
    columns = (
        Column("metric"), Column(f"at {few:,}", numeric=True), Column(f"at {many:,}", numeric=True),
        Column("batching adds", numeric=True), Column("95 % interval", numeric=True),
        Column("partitions themselves add", numeric=True), Column("95 % interval", numeric=True),
        Column("n", "pairs", numeric=True), Column("unit"),
    )  # fmt: skip
    rows = []
    for metric, stat, parts in found:
        name = wording.metric_name(metric, stat)
        sources = {
            part: _source(one, control, full_name(metric, stat), part)
            for part in ("few", "many", "batching", "own", "n")
        }
        rows.append(
            (
                (name,),
                (wording.number(parts.few, "", sources["few"]),),
                (wording.number(parts.many, "", sources["many"]),),
                *_with_interval(parts.batching, sources["batching"]),
                *_with_interval(parts.own, sources["own"]),
                (wording.number(parts.n, "", sources["n"]),),
                (METRICS[metric].unit,),
            )
        )
    key = f"attributed-{wording.slug(one.name)}-{wording.slug(control.how)}"
    caption = f"Load {one.name}, {few:,} to {many:,} partitions: what is batching and what partitions, by {control.how}"
    return Table(key, caption, columns, tuple(rows))


def _with_interval(part: Part, source: Source) -> tuple[Words, Words]:
    step = wording.step_of(part.value, part.low, part.high)
    value = wording.number(part.value, "", source, step)
    if part.low is None or part.high is None:
        return (value,), ()
    low, high = (wording.number(each, "", source, step) for each in (part.low, part.high))
    return (value,), (low, " to ", high)


# ---- what decides it

_FACTORS = (("log_bytes_per_event", "value"), ("broker_cpu_s_per_million_events", "value"), ("e2e_latency_ms", "p99"))


def _factor(load: str, ladders: Sequence[Climb]) -> Table | None:
    """A row a setting: batches at both ends, and how many times as much an event takes; None without pairs."""
    rows = []
    for one in ladders:
        few, many = (one.arms[end] for end in one.ends)
        ratios = [_times(few, many, metric, stat) for metric, stat in _FACTORS]
        if any(ratios):
            ends = [(wording.number(batch(arm), "", Source("cell", arm.key, "batch_records value")),)
                    if arm.estimate("batch_records") else () for arm in (few, many)]  # fmt: skip
            setting = one.name.removeprefix(f"{load}, ")
            rows.append(((f"{setting}, {one.ends[0]:,} to {one.ends[1]:,}",), *ends, *ratios))
    if len(rows) < 2:
        return None
    columns = (
        Column("setting, partitions"), Column("batch before", "events", numeric=True),
        Column("batch after", "events", numeric=True), Column("log bytes", "times", numeric=True),
        Column("broker CPU", "times", numeric=True), Column("latency p99", "times", numeric=True),
    )  # fmt: skip
    caption = f"Load {load}: what more partitions do to an event, by the setting that differs"
    note = "Ratios of geometric means over pairs of neighbouring runs, with 95 % intervals where there are three pairs."
    return Table(f"factor-{wording.slug(load)}", caption, columns, tuple(rows), note)


def _times(few: Arm, many: Arm, metric: str, stat: str) -> Words:
    known = [{run.repetition: n.value for run in arm.finished if (n := run_number(run, metric, stat))}
             for arm in (few, many)]  # fmt: skip
    shared = sorted(known[0].keys() & known[1].keys())
    of = tuple(Source("cell", arm.key, f"{full_name(metric, stat)} value") for arm in (few, many))
    source = Source("derived", f"{full_name(metric, stat)}, after over before", "", of)
    if not shared or min(values[at] for values in known for at in shared) <= 0:
        return ()
    found = ratio.paired([known[0][at] for at in shared], [known[1][at] for at in shared], stat)
    if found is None:
        return (wording.number(known[1][shared[0]] / known[0][shared[0]], "", source), " (one pair)")
    if found.n < FEWEST:
        return (wording.number(found.value, "", source), f" ({found.n} pairs)")
    low, high = found.interval()
    step = wording.step_of(found.value, low, high)
    told = [wording.number(value, "", source, step) for value in (found.value, low, high)]
    return (told[0], " (", told[1], " to ", told[2], ")")
