"""A study that varies the number of partitions, told: curves over it, and how much of an increase is batching.

A ladder is a load's arms that differ in nothing but the number of partitions. What is said here needs two of them, or
one with a control: see `bench.analysis.attribution`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.attribution import Attribution, Part, attribute
from bench.metrics import METRICS
from bench.record import Knob, Run
from reports import wording
from reports.evidence import FEWEST, Arm, Evidence, machine, run_number
from reports.report import (
    Column,
    Estimated,
    Ladder,
    LadderPanel,
    Ladders,
    Paragraph,
    Section,
    Source,
    Table,
    Tone,
    Words,
    said,
)

AXIS = "topic.partitions"
FEW, MANY = 6, 384  # the claim's beginning and what it warns of; a ladder without them is told from end to end
EQUAL = 0.15  # how far a control's batches may be from the ladder's beginning
SHOWN = (("log_bytes_per_event", "value"), ("batch_records", "value"), ("broker_cpu_s_per_million_events", "value"),
         ("e2e_latency_ms", "p99"))  # fmt: skip
# A longer linger is itself a wait: what latency owes to batching only the other control can tell.
BY_LINGER = ("log_bytes_per_event", "wire_bytes_per_event", "broker_cpu_s_per_million_events",
             "generator_cpu_s_per_million_events")  # fmt: skip
_STATS = {"e2e_latency_ms": ("p50", "p99")}


@dataclass(frozen=True)
class Climb:
    """The arms of one load that differ in their number of partitions alone, fewest first."""

    name: str
    arms: Mapping[int, Arm]

    @property
    def ends(self) -> tuple[int, int]:
        """From where to where an increase is told."""
        here = list(self.arms)
        return (FEW, MANY) if FEW in self.arms and MANY in self.arms else (here[0], here[-1])


@dataclass(frozen=True)
class Control:
    """Two arms that differ in partitions, and whose batches are equal."""

    how: str
    few: Arm
    many: Arm
    metrics: Sequence[str]


def section(evidence: Evidence) -> Section | None:
    """The curves, and for each ladder with a control what is batching and what partitions; None without a ladder."""
    ladders = climbs(evidence)
    if not any(len(one.arms) >= FEWEST for one in ladders):
        return None
    blocks: list[Any] = []
    for one in ladders:
        if one.arms[one.ends[0]].finished and one.arms[one.ends[1]].finished and _routing(one) == "keyed":
            blocks += _attributed(one, [*_by_linger(one, evidence), *_by_routing(one, ladders)])
    return Section("partitioning", "What more partitions cost, and why", tuple(blocks)) if blocks else None


def climbs(evidence: Evidence) -> list[Climb]:
    """Every ladder with at least two places, in the order of the loads."""
    groups: dict[tuple[str, tuple[tuple[str, Knob], ...]], dict[int, Arm]] = {}
    for arm in evidence.arms:
        knobs = dict(arm.runs[0].knobs)
        partitions = knobs.pop(AXIS, None)
        if isinstance(partitions, int) and not isinstance(partitions, bool):
            groups.setdefault((arm.load, tuple(sorted(knobs.items()))), {})[partitions] = arm
    found = []
    several = {load: sum(load == other for other, _ in groups) > 1 for load, _ in groups}
    for (load, rest), arms in groups.items():
        if len(arms) > 1:
            name = f"{load}, {wording.arm_label(dict(rest))}" if several[load] and rest else load
            found.append(Climb(name, dict(sorted(arms.items()))))
    return found


def _routing(one: Climb) -> str:
    return _setting(next(iter(one.arms.values())).runs[0], "producer", "routing")


def _setting(run: Run, section: str, key: str) -> str:
    found = run.settings.get(section, {})
    return str(found.get(key, "")) if isinstance(found, Mapping) else ""


def _batch(arm: Arm) -> float:
    found = arm.estimate("batch_records")
    return found.value if found else float("nan")


def _near(a: Arm, b: Arm) -> bool:
    return abs(_batch(a) / _batch(b) - 1) <= EQUAL if _batch(b) else False


def _by_linger(one: Climb, evidence: Evidence) -> Iterator[Control]:
    """Arms of the same load with as many partitions as the ladder's end, and batches as at its beginning."""
    few, many = (one.arms[end] for end in one.ends)
    for arm in evidence.load_arms(few.load):
        knobs = arm.runs[0].knobs
        differs = [path for path, value in knobs.items() if many.runs[0].knobs.get(path) != value]
        if differs == ["producer.linger_ms"] and arm.finished and _near(arm, few) and not _near(many, few):
            yield Control(f"a linger of {wording.knob_text(knobs['producer.linger_ms'])} ms", few, arm, BY_LINGER)


def _by_routing(one: Climb, ladders: Sequence[Climb]) -> Iterator[Control]:
    """A ladder of the same rate whose batches do not depend on partitions, for events have no keys."""
    few, many = one.ends
    for other in ladders:
        if _routing(other) == "sticky" and few in other.arms and many in other.arms:
            a, b = other.arms[few], other.arms[many]
            rates = {_setting(arm.runs[0], "load", "rate_eps") for arm in (a, one.arms[few])}
            if len(rates) == 1 and _near(a, b):
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


def _source(one: Climb, control: Control, metric: str, part: str) -> Source:
    arms = [one.arms[one.ends[0]], one.arms[one.ends[1]], control.few, control.many]
    of = tuple(Source("cell", key, f"{metric} value") for key in dict.fromkeys(arm.key for arm in arms))
    return Source("derived", f"{metric} {part}, by {control.how}", "", of)


def _sentence(one: Climb, control: Control, found: Sequence[tuple[str, str, Attribution]]) -> Words:
    """The one that a reader can repeat."""
    few, many = one.ends
    words: list[Any] = [f"From {few:,} to {many:,} partitions at the same rate, batching is "]
    shares = [(metric, stat, parts.share) for metric, stat, parts in found if parts.share is not None]
    for at, (metric, stat, share) in enumerate(shares):
        name = wording.metric_name(metric) + ("" if stat == "value" else f" {stat}")
        before = "" if not at else " and " if at == len(shares) - 1 else ", "
        words += [before, *_share(share, _source(one, control, metric, "share")), f" of what {name} gain"]
    if not shares:
        words = [f"From {few:,} to {many:,} partitions nothing grows beyond its spread that batching could explain"]
    batches = [(_batch(arm), arm) for arm in (one.arms[few], one.arms[many], control.many)]
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
        name = wording.metric_name(metric) + ("" if stat == "value" else f" {stat}")
        sources = {part: _source(one, control, metric, part) for part in ("few", "many", "batching", "own", "n")}
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


# ---- the curves


def curves(evidence: Evidence) -> Ladders | None:
    """Bytes, batches, CPU and the tail over the number of partitions, a line a ladder; None without a real ladder.

    Of loads at other rates each has a figure's worth of its own arms: only ladders of the longest one's rate are drawn.
    """
    ladders = climbs(evidence)
    longest = max(ladders, key=lambda one: len(one.arms), default=None)
    if longest is None or len(longest.arms) < FEWEST:
        return None
    rate = _rate(longest)
    drawn = [(one.name, list(one.arms.items())) for one in ladders if _rate(one) == rate]
    drawn += [
        (f"{longest.name.partition(',')[0]}, {control.how}", [(longest.ends[1], control.many)])
        for control in _by_linger(longest, evidence)
    ]
    panels = []
    for metric, stat in SHOWN:
        lines = [Ladder(name, marks) for name, arms in drawn if (marks := _marks(arms, metric, stat))]
        if lines:
            name = wording.capital(wording.metric_name(metric)) + ("" if stat == "value" else f" {stat}")
            panels.append(LadderPanel(name, wording.metric_unit(metric), tuple(lines)))
    if not panels:
        return None
    arms = [arm for _, many in drawn for _, arm in many]
    return Ladders(
        key="partitions",
        title="What the number of partitions changes at the same rate",
        alt=_alt(panels),
        note=_note(arms, rate),
        axis="partitions",
        panels=tuple(panels),
    )


def _rate(one: Climb) -> str:
    return _setting(next(iter(one.arms.values())).runs[0], "load", "rate_eps")


def _marks(arms: Sequence[tuple[int, Arm]], metric: str, stat: str) -> tuple[Estimated, ...]:
    found = []
    for partitions, arm in arms:
        estimate = arm.estimate(metric, stat)
        if estimate is None:
            continue
        dots = tuple(n.value for run in arm.finished if (n := run_number(run, metric, stat)) is not None)
        source = Source("cell", arm.key, f"{estimate.metric} value")
        low, high = (estimate.low, estimate.high) if estimate.n >= FEWEST else (None, None)
        found.append(Estimated(arm.label, float(partitions), estimate.value, low, high, dots, source))
    return tuple(found)


def _alt(panels: Sequence[LadderPanel]) -> Words:
    words: list[Any] = []
    for panel in panels:
        for one in panel.ladders:
            words.append(f"{panel.name}, {one.name}: ")
            for arm in one.arms:
                words += [wording.number(arm.value, panel.unit, arm.source), f" at {arm.at:,.0f}, "]
            words[-1] = words[-1].rstrip(", ") + ". "
    return tuple(words)


def _note(arms: Sequence[Arm], rate: str) -> Words:
    counts = sorted({len(arm.finished) for arm in arms})
    n = " to ".join(f"{count}" for count in (counts[0], counts[-1])[: len(counts)])
    told = f"{wording.digits(float(rate))} events/s" if rate.replace(".", "").isdigit() else f"rate: {rate}"
    on = machine([run for arm in arms for run in arm.runs])
    return (f"{_MARKS} {told} throughout; n = {n} runs an arm; {on}.",)


_MARKS = "Large marks: mean of the runs, with its 95 % interval from three runs on; small dots: single runs."
