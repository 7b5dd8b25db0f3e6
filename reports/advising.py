"""The figure of `advise partitions`: what so many partitions were shown to carry, and what more of them cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from costmodel import advised
from costmodel.advice import START, Advice, bills
from costmodel.ladder import Cell, Status, better_with_more, hot_share, worse_than_fewer
from costmodel.option import Option
from costmodel.prices import Catalog
from reports import wording
from reports.report import Level, Line, Sizing, Source, Tried

PLACES = 40  # along the axis, from one partition to ten times the answer
SAME_SIZE = 0.02  # records that differ by less are drawn alike
MOST_LINES = 6  # platforms that one panel can be read with
SHOWN_BY = ("msk-serverless", "confluent-basic", "confluent-standard", "msk-standard", "self-ec2", "msk-express",
            "redpanda-serverless", "event-hubs")  # fmt: skip
"""Whom to draw if nobody is named: those whose prices or limits know partitions, where they can be had."""


def sizing(advice: Advice, platforms: Sequence[str] | None, prices: Catalog) -> Sizing:
    """Both panels. ValueError where no number carries it: there is nothing to draw."""
    if advice.partitions is None or advice.low is None:
        raise ValueError("no number of partitions to draw")
    need, chosen = advice.need, advice.partitions
    places = _places(max(10 * chosen, advice.ladder.partitions[-1]), chosen)
    runs = Source("derived", "capacity of the busiest partition / its share", advice.ladder.source)
    least = min(one.shown for one in (advice.partition, advice.consumer) if one.shown is not None)
    most = min(advice.partition.most, advice.consumer.most)
    shown = _capacity(f"shown: {least:.3g} MB/s on the busiest", least, places, need.top_key, runs)
    ruled = _capacity(f"ruled out: {most:.3g} MB/s", most, places, need.top_key, runs) if math.isfinite(most) else None
    grown = (Level(f"{need.design_mb_s:.4g}: after growing {need.growth:.3g} x", need.design_mb_s),) * (need.growth > 1)
    lines, left = _dearer(advice, places, platforms, prices)
    note = (
        f"From {advice.ladder.source}: each mark is the runs of one cell, drawn where they put the same load on the "
        f"busiest partition; p99 below {need.slo_ms:g} ms. Bills at today's mean of {need.target_mb_s:.4g} MB/s, list "
        "prices, central values; a line ends where the platform cannot have so many or so few."
    )
    if abs(need.record_bytes / advice.ladder.record_bytes - 1) > SAME_SIZE:
        note += (
            f" Marks are of the runs' records of {advice.ladder.record_bytes:.4g} bytes; what one partition carries of "
            f"{need.record_bytes:.4g}-byte ones is drawn at the worst and at the best."
        )
    note += f" Not drawn: {wording.listed(left)}." if left else ""
    note += "".join(f" {wording.capital(text)}." for text in advised.warnings(advice))
    return Sizing(
        key="partitions",
        title=f"{chosen:,} partitions for {need.target_mb_s:.4g} MB/s, and what more of them cost",
        alt=(f"{advised.headline(advice)}. What 6 would do: {advised.six(advice)['sentence']}.",),
        note=(note,),
        axis="partitions",
        carries_unit="MB/s in the busiest minutes (log)",
        shown=shown,
        ruled_out=ruled,
        tried=_tried(advice),
        levels=(Level(f"{need.peak_mb_s:.4g}: today", need.peak_mb_s), *grown),
        dearer_name=f"What other numbers cost, against {chosen:,}",
        dearer_unit="USD a month more",
        dearer=tuple(lines),
        low=advice.low,
        chosen=chosen,
        folk=START,
    )


def _places(most: int, *marked: int) -> list[int]:
    return sorted({START, *marked, *(round(most ** (step / (PLACES - 1))) for step in range(PLACES))})


def _capacity(name: str, mb_s: float, places: Sequence[int], top_key: float, source: Source) -> Line:
    return Line(name, tuple(map(float, places)), tuple(mb_s / hot_share(p, top_key) for p in places), source)


def _tried(advice: Advice) -> tuple[Tried, ...]:
    return tuple(
        Tried(
            cell.partitions,
            cell.hot_mb_s / hot_share(cell.partitions, advice.need.top_key),
            _what(cell, advice.cells),
            Source("run", cell.runs[0], "e2e_latency_ms p99"),
        )
        for cell in advice.cells
    )


def _what(cell: Cell, cells: Sequence[Cell]) -> str:
    if cell.status is not Status.FAILS:
        return "enough" if cell.status is Status.MEETS else "undecided"
    return (
        "too few" if better_with_more(cell, cells) else "too many" if worse_than_fewer(cell, cells) else "host's limit"
    )


def _dearer(
    advice: Advice, places: Sequence[int], platforms: Sequence[str] | None, prices: Catalog
) -> tuple[list[Line], list[str]]:
    """A line a platform: its month less that with the answer; and those that are not drawn."""
    chosen = advice.partitions or START
    at_answer = bills(advice, [chosen], platforms, prices)
    known = [name for name, options in at_answer.items() if _month(options[chosen]) is not None]
    if not platforms:
        known.sort(key=lambda name: SHOWN_BY.index(name) if name in SHOWN_BY else len(SHOWN_BY))
    drawn = known[:MOST_LINES]
    found = bills(advice, places, drawn, prices) if drawn else {}
    lines = []
    for name in drawn:
        base = _month(at_answer[name][chosen]) or 0.0
        values = tuple(math.nan if (usd := _month(found[name][p])) is None else usd - base for p in places)
        source = Source("bill", name, "topics.partitions")
        lines.append(Line(wording.platform_name(name), tuple(map(float, places)), values, source))
    return lines, [wording.platform_name(name) for name in at_answer if name not in drawn]


def _month(option: Option) -> float | None:
    return None if option.bill is None or option.bill.at_least else float(option.bill.usd_month)
