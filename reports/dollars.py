"""The answer in dollars: what each arm costs a month on each platform, the difference, and what it rests on.

Reads the documents of `cost --json` (one an arm), so that a report is made again offline and needs no price list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports import wording
from reports.report import (
    Bar,
    Column,
    Number,
    Paragraph,
    Section,
    Segment,
    Source,
    Stacks,
    Table,
    Tone,
    Words,
)

Document = Mapping[str, Any]
Bills = Mapping[str, "Document | Sequence[Document]"]
"""Arm (as `wording.arm_label` calls it) -> the document of `cost --json`, or only its options."""

_KINDS = (
    "compute",
    "storage",
    "cross-zone",
    "requests",
    "ingress",
    "egress",
    "partitions",
    "fixed",
    "processing",
    "sinks",
    "idle",
    "operations",
)


@dataclass(frozen=True)
class Priced:
    """One option of one arm."""

    arm: str
    option: Document

    @property
    def platform(self) -> str:
        return str(self.option.get("platform", "unnamed platform"))

    @property
    def ref(self) -> str:
        """What sources call it."""
        return f"{self.arm}/{self.platform}"

    def usd(self, part: str = "p50") -> Number | None:
        """p10, p50 or p90 of the month's total; None where it is infeasible or nothing has a price."""
        value = (self.option.get("usd_month") or {}).get(part)
        return None if value is None else wording.money(float(value), Source("bill", self.ref, f"usd_month.{part}"))

    @property
    def at_least(self) -> bool:
        return bool(self.option.get("at_least"))


def priced(bills: Bills) -> list[Priced]:
    """Every option, platform by platform, arms in the order given."""
    found = [Priced(arm, option) for arm, document in bills.items() for option in _options(document)]
    platforms = list(dict.fromkeys(each.platform for each in found))
    return sorted(found, key=lambda each: platforms.index(each.platform))


def _options(document: Document | Sequence[Document]) -> Sequence[Document]:
    return document.get("options", ()) if isinstance(document, Mapping) else document


def section(bills: Bills) -> Section:
    """The dollars, shortest answer first."""
    found = priced(bills)
    if not found:
        return Section(
            "dollars",
            "What it costs",
            (
                Paragraph(
                    (
                        "Nothing was priced: no run was finished, or no platform was asked "
                        "for. No price is assumed in its place.",
                    ),
                    Tone.UNSURE,
                ),
            ),
        )
    blocks: list[Any] = [Paragraph(words) for words in _answers(found)]
    blocks.append(Paragraph(_rests_on(bills)))
    blocks += [Paragraph((text,), Tone.WARNING) for text in _warnings(bills, found)]
    blocks.append(_table(found))
    return Section("dollars", "What it costs", tuple(blocks))


def _answers(found: Sequence[Priced]) -> Iterator[Words]:
    """One sentence a platform: the first arm, the last, and the difference."""
    for platform in dict.fromkeys(each.platform for each in found):
        arms = [each for each in found if each.platform == platform]
        name = wording.platform_name(platform)
        base, last = arms[0], arms[-1]
        yield (
            f"{name[:1].upper()}{name[1:]}: ",
            *_cost(base),
            *((", ", *_cost(last), *_difference(base, last)) if len(arms) > 1 else ()),
            ".",
        )


def _cost(one: Priced) -> Words:
    total = one.usd()
    if total is None:
        why = one.option.get("reason") or "no price"
        nearest = one.option.get("nearest_feasible")
        return (f"{one.arm} cannot be had ({why}{f'; nearest: {nearest}' if nearest else ''})",)
    low, high = one.usd("p10"), one.usd("p90")
    band: Words = (" (", low, " to ", high, " in 8 of 10 draws)") if low and high and low.value < high.value else ()
    return (f"{one.arm} costs {'at least ' if one.at_least else ''}", total, " a month", *band)


def difference(base: Priced, other: Priced) -> tuple[Number, Number | None] | None:
    """(dollars more a month, share more), None where either has no total."""
    a, b = base.usd(), other.usd()
    if a is None or b is None:
        return None
    made = (b.source, a.source)
    change = b.value - a.value
    dollars = Number(change, wording.usd_change(change), "USD", Source("derived", "a - b", of=made))
    if not a.value:
        return dollars, None
    share = change / a.value
    text = f"{'+' if share >= 0 else wording.MINUS}{abs(share):.1%}".replace("%", " %")
    return dollars, Number(share, text, "share", Source("derived", "a / b - 1", of=made))


def _difference(base: Priced, other: Priced) -> Words:
    found = difference(base, other)
    if found is None:
        return ()
    dollars, share = found
    if abs(dollars.value) < 0.5:
        return (": ", Number(dollars.value, "no difference", "USD", dollars.source))
    return (": ", dollars, " a month", *((" (", share, ")") if share is not None else ()))


def _table(found: Sequence[Priced]) -> Table:
    bases: dict[str, Priced] = {}
    rows = []
    for one in found:
        base = bases.setdefault(one.platform, one)
        change = difference(base, one) if base is not one else None
        low, high, total = one.usd("p10"), one.usd("p90"), one.usd()
        bound = one.option.get("bound_by") or {}
        rows.append(
            (
                (wording.platform_name(one.platform),),
                (one.arm,),
                ((*(("at least ",) if one.at_least else ()), total) if total is not None else ()),
                (low, " to ", high) if low is not None and high is not None else (),
                (change[0],) if change else ("base",) if base is one else (),
                _rate(one, "usd_gb_in"),
                _rate(one, "usd_million_events"),
                (str(bound["constraint"]) if bound else str(one.option.get("reason") or ""),),
            )
        )
    columns = (
        Column("platform"),
        Column("arm"),
        Column("a month", "USD", numeric=True),
        Column("p10 to p90", "USD", numeric=True),
        Column("against the first arm", "USD", numeric=True),
        Column("per GB in", "USD", numeric=True),
        Column("per million events", "USD", numeric=True),
        Column("size decided by"),
    )
    note = "p10 to p90: the total over draws of everything uncertain, prices included; both arms rest on the same assumptions, so "
    note += "their bands overlapping does not mean that they cost the same."
    return Table("bills", "Monthly bill by platform and arm", columns, tuple(rows), note)


def _rate(one: Priced, name: str) -> Words:
    value = one.option.get(name)
    return () if value is None else (Number(float(value), f"${value:,.4f}", "USD", Source("bill", one.ref, name)),)


def usages(bills: Bills) -> dict[str, Mapping[str, Document]]:
    """Arm -> what its price rests on, dotted path -> number with basis; {} where the documents do not say."""
    return {
        arm: document["usage"]
        for arm, document in bills.items()
        if isinstance(document, Mapping) and document.get("usage")
    }


def _rests_on(bills: Bills) -> Words:
    found = usages(bills)
    if not found:
        return ("What the bills rest on was not recorded with them.",)
    arm, usage = next(iter(found.items()))
    measured = [_quantity(path) for path, number in usage.items() if number.get("basis") == "measured"]
    assumed = [(path, number) for path, number in usage.items() if number.get("basis") != "measured"]
    told = [(path, number) for path, number in assumed if path in _TOLD]
    words: list[str | Number] = [f"Measured here: {wording.listed(measured) or 'nothing'}. Assumed: "]
    for index, (path, number) in enumerate(told):
        words += [", " if index else "", f"{_TOLD[path][0]} ", _usage_number(arm, path, number, _TOLD[path][1])]
    rest = len(assumed) - len(told)
    if rest > 0:
        left = wording.number(rest, "", Source("counted", "usage", f"{arm} assumed, not told"))
        words += [" and " if told else "", left, " more (listed below)" if told else " quantities (listed below)"]
    return (*words, ".")


_TOLD = {
    "ingest.mb_s": ("stream", "MB/s"),
    "retention.days": ("retention", "days"),
    "topics.replication_factor": ("replication factor", ""),
    "consumers.groups": ("consumer groups", ""),
    "zones": ("zones", ""),
}
_QUANTITIES = {
    "ingest.record_bytes": "record size",
    "ingest.compression_ratio": "compression",
    "ingest.mb_s": "the stream's rate",
    "broker.cpu_s_per_million_events": "broker CPU",
    "broker.disk_bytes_per_wire_byte": "disk bytes per wire byte",
    "processing.cpu_s_per_million_events": "Flink CPU",
    "processing.state_gb": "state",
    "processing.checkpoint_gb": "checkpoint size",
}


def _quantity(path: str) -> str:
    return _QUANTITIES.get(path, path.replace("_", " ").replace(".", " "))


def _usage_number(arm: str, path: str, number: Document, unit: str = "") -> Number:
    return wording.number(float(number["value"]), unit, Source("usage", arm, f"{path} value"))


def _warnings(bills: Bills, found: Sequence[Priced]) -> list[str]:
    said = [
        text for document in bills.values() if isinstance(document, Mapping) for text in document.get("warnings", ())
    ]
    said += [f"{wording.platform_name(one.platform)}: {note}" for one in found for note in one.option.get("notes", ())]
    return list(dict.fromkeys(said))


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
            low, high = (
                wording.number(float(number[part]), "", Source("usage", arm, f"{path} {part}"))
                if number.get(part) is not None
                else None
                for part in ("low", "high")
            )
            n = number.get("n")
            rows.append(
                (
                    (path,),
                    (arm,),
                    (_usage_number(arm, path, number),),
                    (low, " to ", high) if low is not None and high is not None else (),
                    (str(number.get("basis", "not said")),),
                    (wording.number(n, "", Source("usage", arm, f"{path} n")),) if n is not None else (),
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
        said = [text for one in found if one.platform == platform for text in one.option.get("assumptions", ())]
        if said:
            yield Paragraph((f"{wording.platform_name(platform)}: {'; '.join(dict.fromkeys(said))}.",))


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
        else wording.digits(value)
    )
    unit = "" if name == "quantity" else "USD"
    return (Number(float(value), text, unit, Source("bill", one.ref, path, of)),)


def figure(bills: Bills) -> Stacks | None:
    """The bills as stacked bars, by line kind."""
    bars, alt = [], []
    for one in priced(bills):
        total = one.usd()
        if total is None:
            continue
        segments = []
        for kind in _KINDS:
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
                wording.platform_name(one.platform),
                one.arm,
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
        title="Monthly bill by platform and arm",
        alt=tuple(part for words in alt for part in words),
        note=("List prices; the whisker is p10 to p90 over draws of everything uncertain. ", *_rests_on(bills)),
        unit="USD a month",
        bars=tuple(bars),
    )
