"""What stands behind the dollars: the quantities, every line with its price's source, and the bars."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from costmodel.bill import KINDS
from costmodel.breakeven import BreakEven
from reports import wording
from reports.dollars import Bills, Document, Priced, priced, rests_on, usage_number, usage_step, usages
from reports.report import (
    Bar,
    Column,
    Line,
    Number,
    OverTime,
    Paragraph,
    Section,
    Segment,
    Source,
    Stacks,
    Table,
    TimePanel,
    Words,
    said,
)

_NONE: Words = ("",)  # nothing belongs there: not the same as missing


def break_even(found: BreakEven, label: str = "") -> OverTime:
    """Both step curves over the axis, and where they cross: intervals, because costs are steps. `label`: the usage."""
    curves = [(found.a, [p.a_usd_month for p in found.points]), (found.b, [p.b_usd_month for p in found.points])]
    lines = tuple(
        Line(name, *_steps(found, [math.nan if usd is None else float(usd) for usd in values]),
             Source("bill", name, found.axis))
        for name, values in curves
    )  # fmt: skip
    flips = [(float(crossing.low), float(crossing.high)) for crossing in found.crossings]
    shaded = (min(low for low, _ in flips), max(high for _, high in flips)) if flips else None
    panel = TimePanel(f"by {found.axis}", "Monthly bill", "USD a month", lines, shaded)
    told = (found.sentence(),)
    note = f"List prices, {len(found.points)} points; gaps: infeasible or not fully priced; shaded: first to last flip."
    key = f"break-even-{wording.slug(label)}".strip("-")
    title = f"{wording.capital(label)}: {found.sentence()}" if label else found.sentence()
    return OverTime(key, title, told, (note,), ((panel,),), f"{found.axis}, {found.unit}")


def _steps(found: BreakEven, usd: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The curve through the points; on a whole axis there is nothing between them, so that it holds until the next."""
    x = [float(point.x) for point in found.points]
    if not found.whole:
        return tuple(x), tuple(usd)
    return (x[0], *(at for at in x[1:] for _ in range(2))), (*(y for y in usd[:-1] for _ in range(2)), usd[-1])


def details(bills: Bills) -> Iterator[Section]:
    """What stands behind the totals, folded: what was assumed, and each line with its price's source."""
    found = priced(bills)
    if usages(bills):
        yield Section("usage", "What the bills rest on, number by number", (_usage_table(usages(bills)),), folded=True)
    if found:
        blocks = (*_assumptions(found), _lines(found))
        yield Section("lines", "Line items and their prices", blocks, folded=True)


def _usage_table(found: Mapping[str, Mapping[str, Document]]) -> Table:
    rows = []
    for path in dict.fromkeys(path for usage in found.values() for path in usage):
        for arm, usage in found.items():
            number = usage.get(path)
            if number is None or number.get("value") is None:
                continue
            step = usage_step(number)
            low, high = (
                wording.number(float(number[part]), "", Source("usage", arm, f"{path} {part}"), step)
                if number.get(part) is not None
                else None
                for part in ("low", "high")
            )
            n, assumed = number.get("n"), number.get("basis") != "measured"
            rows.append(
                (
                    (path,),
                    (arm,),
                    (usage_number(arm, path, number),),
                    (low, " to ", high) if low is not None and high is not None else _NONE if assumed else (),
                    (str(number.get("basis", "not said")),),
                    (wording.number(n, "", Source("usage", arm, f"{path} n")),)
                    if n is not None
                    else _NONE
                    if assumed
                    else (),
                    (str(number.get("note") or ""),),
                )
            )
    columns = (
        Column("quantity"),
        Column("arm"),
        Column("value", numeric=True),
        Column("low to high", numeric=True),
        Column("basis"),
        Column("n", "runs", numeric=True),
        Column("note"),
    )
    note = "Measured intervals are 95 % t-intervals over runs; assumed bands are what somebody stands for."
    return Table("usage", "Quantities that the bills were made of", columns, tuple(rows), note)


def _assumptions(found: Sequence[Priced]) -> Iterator[Paragraph]:
    for platform in dict.fromkeys(one.platform for one in found):
        texts = [text for one in found if one.platform == platform for text in one.option.get("assumptions", ())]
        if texts:
            yield said(f"{wording.platform_name(platform)}: {'; '.join(dict.fromkeys(texts))}.")


def _lines(found: Sequence[Priced]) -> Table:
    rows = []
    for one in found:
        for index, line in enumerate(one.option.get("lines", ())):
            price = line.get("price") or {}
            at = f"lines.{index}"
            rows.append(
                (
                    (wording.platform_name(one.platform),),
                    (one.arm,),
                    (str(line.get("item", "")),),
                    (str(line.get("kind", "")),),
                    _line_number(one, line, "quantity", at),
                    (str(line.get("unit", "")),),
                    _line_number(one, line, "unit_price", at, price_id=str(price.get("id", ""))),
                    _line_number(one, line, "usd_month", at) or ("no price",),
                    (str(price.get("id", "")),),
                    (str(price.get("source", "")),),
                    (str(price.get("as_of") or ""),),
                    (str(price.get("confidence", "")),),
                )
            )
    columns = (
        Column("platform"),
        Column("arm"),
        Column("item"),
        Column("kind"),
        Column("quantity", numeric=True),
        Column("unit"),
        Column("price", "USD a unit", numeric=True),
        Column("a month", "USD", numeric=True),
        Column("price id"),
        Column("source"),
        Column("as of"),
        Column("confidence"),
    )
    return Table("lines", "Quantity x price, and who says so", columns, tuple(rows))


def _line_number(one: Priced, line: Document, name: str, at: str, price_id: str = "") -> Words:
    value = line.get(name)
    if value is None:
        return ()
    path = f"{at}.{name}"
    of = (Source("price", price_id),) if price_id else ()
    text = (
        wording.usd(float(value))
        if name == "usd_month"
        else f"${value:,.6g}"
        if name == "unit_price"
        else f"{value:,.6g}"  # times the price it must give the line's dollars again
    )
    unit = "" if name == "quantity" else "USD"
    return (Number(float(value), text, unit, Source("bill", one.ref, path, of)),)


def figure(bills: Bills) -> Stacks | None:
    """The bills as stacked bars, by line kind."""
    bars, alt = [], []
    alone = len(bills) == 1  # then the platform names the bar, and there is nothing to group
    for one in priced(bills):
        total = one.usd()
        if total is None:
            continue
        segments = []
        for kind in KINDS:
            lines = [
                line
                for line in one.option.get("lines", ())
                if line.get("kind") == kind and line.get("usd_month") is not None
            ]
            if lines:
                usd = sum(float(line["usd_month"]) for line in lines)
                segments.append(Segment(kind, usd, Source("bill", one.ref, f"kind {kind}")))
        low, high = one.usd("p10"), one.usd("p90")
        bars.append(
            Bar(
                "" if alone else wording.platform_name(one.platform),
                wording.platform_name(one.platform) if alone else one.arm,
                tuple(segments),
                low.value if low else None,
                high.value if high else None,
                one.at_least,
            )
        )
        alt.append(
            (f"{wording.platform_name(one.platform)}, {one.arm}: {'at least ' if one.at_least else ''}", total, ". ")
        )
    if not bars:
        return None
    return Stacks(
        key="bills",
        title=f"Monthly bill by platform{'' if alone else ' and arm'}",
        alt=tuple(part for words in alt for part in words),
        note=("List prices; the whisker is p10 to p90 over draws of everything uncertain. ", *rests_on(bills)),
        unit="USD a month",
        bars=tuple(bars),
    )
