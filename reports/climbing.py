"""Ladders of partitions: a load's arms that differ in nothing but their number, and the curves over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.record import Knob, Run
from reports import wording
from reports.evidence import FEWEST, Arm, Evidence, machine, run_number
from reports.report import Estimated, Ladder, LadderPanel, Ladders, Source, Words

AXIS = "topic.partitions"
FEW, MANY = 6, 384  # the claim's beginning and what it warns of; a ladder without them is told from end to end
EQUAL = 0.15  # how far a control's batches may be from the ladder's beginning

Shown = tuple[tuple[str, str], ...]  # (metric, stat) a panel
AT_A_RATE: Shown = (
    ("log_bytes_per_event", "value"), ("protocol_bytes_per_event", "value"), ("batch_records", "value"),
    ("e2e_latency_ms", "p99"), ("broker_cpu_s_per_million_events", "value"),
    ("generator_cpu_s_per_million_events", "value"),
)  # fmt: skip
AT_REST: Shown = tuple(
    (name, "value")
    for name in ("broker_ready_s", "broker_stop_s", "rebalance_join_s", "rebalance_leave_s", "drain_eps",
                 "broker_live_heap_bytes", "broker_memory_maps", "topic_create_s", "topic_delete_s")
)  # fmt: skip
_MARKS = "Large marks: mean of the runs, with its 95 % interval from three runs on; small dots: single runs."


@dataclass(frozen=True)
class Climb:
    """One ladder, fewest partitions first. `rate` is "" where its load has no constant one, or something goes wrong."""

    load: str
    name: str
    arms: Mapping[int, Arm]

    @property
    def ends(self) -> tuple[int, int]:
        """From where to where an increase is told."""
        here = list(self.arms)
        return (FEW, MANY) if FEW in self.arms and MANY in self.arms else (here[0], here[-1])

    @property
    def first(self) -> Run:
        return next(iter(self.arms.values())).runs[0]

    @property
    def rate(self) -> str:
        rate = self.first.settings.get("load", {}).get("rate_eps")
        return wording.digits(rate) if isinstance(rate, int | float) and not self.first.settings.get("faults") else ""

    @property
    def routing(self) -> str:
        return str(self.first.settings.get("producer", {}).get("routing", ""))


def climbs(evidence: Evidence) -> list[Climb]:
    """Every ladder with at least two places, in the order of the loads."""
    groups: dict[tuple[str, tuple[tuple[str, Knob], ...]], dict[int, Arm]] = {}
    for arm in evidence.arms:
        knobs = dict(arm.runs[0].knobs)
        partitions = knobs.pop(AXIS, None)
        if isinstance(partitions, int) and not isinstance(partitions, bool):
            groups.setdefault((arm.load, tuple(sorted(knobs.items()))), {})[partitions] = arm
    several = {load: sum(load == other for other, _ in groups) > 1 for load, _ in groups}
    return [
        Climb(
            load,
            f"{load}, {wording.arm_label(dict(rest))}" if several[load] and rest else load,
            dict(sorted(arms.items())),
        )
        for (load, rest), arms in groups.items()
        if len(arms) > 1
    ]


def batch(arm: Arm) -> float:
    """Mean events in a batch of its runs; NaN where nobody says."""
    found = arm.estimate("batch_records")
    return found.value if found else float("nan")


def near(a: Arm, b: Arm) -> bool:
    """Whether the batches of two arms are equal."""
    return bool(batch(b)) and abs(batch(a) / batch(b) - 1) <= EQUAL


def refilled(one: Climb, evidence: Evidence) -> Iterator[tuple[str, Arm]]:
    """(how, arm) with as many partitions as the ladder's end, and by a longer linger batches as at its beginning."""
    few, many = (one.arms[end] for end in one.ends)
    for arm in evidence.load_arms(one.load):
        knobs = arm.runs[0].knobs
        differs = [path for path, value in knobs.items() if many.runs[0].knobs.get(path) != value]
        if differs == ["producer.linger_ms"] and arm.finished and near(arm, few) and not near(many, few):
            yield f"a linger of {wording.knob_text(knobs['producer.linger_ms'])} ms", arm


# ---- the curves


def figures(evidence: Evidence) -> list[Ladders]:
    """What changes at the same rate, and what partitions take at rest; none without a ladder of three places."""
    ladders = [one for one in climbs(evidence) if len(one.arms) >= FEWEST]
    if not ladders:
        return []
    rate = next((one.rate for one in sorted(ladders, key=lambda one: -len(one.arms)) if one.rate), "")
    drawn: list[tuple[str, Sequence[tuple[int, Arm]]]] = []
    for one in climbs(evidence) if rate else []:
        if one.rate == rate:
            drawn.append((one.name, list(one.arms.items())))
            drawn += [(f"{one.load}, {how}", [(one.ends[1], arm)]) for how, arm in refilled(one, evidence)]
    at_a_rate = _figure("partitions", "What the number of partitions changes at the same rate", drawn, AT_A_RATE,
                        f"{rate} events/s throughout; ")  # fmt: skip
    held = [(one.name, list(one.arms.items())) for one in ladders]
    at_rest = _figure("partitions-held", "What partitions take", held, AT_REST)
    return [figure for figure in (at_a_rate, at_rest) if figure is not None]


def _figure(
    key: str, title: str, drawn: Sequence[tuple[str, Sequence[tuple[int, Arm]]]], shown: Shown, told: str = ""
) -> Ladders | None:
    panels = []
    for metric, stat in shown:
        lines = [Ladder(name, marks) for name, arms in drawn if (marks := _marks(arms, metric, stat))]
        if any(len(line.arms) > 1 for line in lines):
            name = wording.capital(wording.metric_name(metric, stat))
            unit = wording.metric_unit(metric)
            panels.append(LadderPanel(name, *_readable(unit, lines)))
    if not panels:
        return None
    arms = [arm for _, many in drawn for _, arm in many]
    counts = sorted({len(arm.finished) for arm in arms})
    n = " to ".join(f"{count}" for count in (counts[0], counts[-1])[: len(counts)])
    on = machine([run for arm in arms for run in arm.runs])
    note = (f"{_MARKS} {told}n = {n} runs an arm; {on}.",)
    return Ladders(key, title, _alt(panels), note, "partitions", tuple(panels))


def _readable(unit: str, lines: Sequence[Ladder]) -> tuple[str, tuple[Ladder, ...]]:
    """Bytes as MiB: an axis of hundreds of millions is none."""
    if unit != "bytes":
        return unit, tuple(lines)
    scaled = [
        Ladder(
            line.name,
            tuple(
                Estimated(arm.arm, arm.at, arm.value / 2**20, _mib(arm.low), _mib(arm.high),
                          tuple(run / 2**20 for run in arm.runs), arm.source)
                for arm in line.arms
            ),
        )
        for line in lines
    ]  # fmt: skip
    return "MiB", tuple(scaled)


def _mib(value: float | None) -> float | None:
    return None if value is None else value / 2**20


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
            for at, arm in enumerate(one.arms):
                end = ", " if at < len(one.arms) - 1 else ". "
                words += [wording.number(arm.value, panel.unit, arm.source), f" at {arm.at:,.0f}{end}"]
    return tuple(words)
