"""Options as data: the JSON of `cost --json`, and rows for a table. Adds no facts."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from costmodel.bill import KINDS, LineItem
from costmodel.breakeven import break_even_hours
from costmodel.extrapolation import beside
from costmodel.extrapolation import to_json as extrapolated
from costmodel.option import Option
from costmodel.prices import STALE_AFTER_DAYS
from costmodel.usage import AsBuilt, Usage

SCHEMA = 1


def to_json(
    options: Sequence[Option], usage: Usage | AsBuilt | None = None, *, today: dt.date | None = None
) -> dict[str, Any]:
    """The document of `cost --json` (names are stable). With `usage`, what it rests on; with `today`, stale prices."""
    document: dict[str, Any] = {"schema": SCHEMA, "options": [_option(option) for option in options]}
    if usage is not None:
        document["usage"] = _basis(usage)
    carried = beside(usage) if isinstance(usage, Usage) else None
    if carried is not None:
        document["extrapolation"] = extrapolated(carried)
        for option in document["options"]:
            if option["bound_by"] and "CPU" in option["bound_by"]["constraint"]:
                option["notes"].append(f"bound by CPU. {carried.sentence()}")
    if isinstance(usage, Usage) and usage.operations is not None:
        document["break_even_hours"] = break_even_hours(options, usage)
    if today is not None:
        document["warnings"] = warnings(options, today)
    return document


def warnings(options: Iterable[Option], today: dt.date) -> list[str]:
    """One sentence if prices in use are old: a price list a year old is a guess."""
    dated = {
        (line.price_id, line.region): line.as_of
        for option in options
        if option.bill
        for line in option.bill.lines
        if line.as_of is not None
    }
    old = {key: as_of for key, as_of in dated.items() if (today - as_of).days > STALE_AFTER_DAYS}
    if not old:
        return []
    (oldest, _), as_of = min(old.items(), key=lambda item: item[1])
    return [
        (
            f"{len(old)} of the {len(dated)} prices in use are over {STALE_AFTER_DAYS} days old "
            f"(oldest: {oldest} of {as_of}): check them with `streamgauge prices refresh`"
        )
    ]


def rows(options: Iterable[Option]) -> list[dict[str, str]]:
    """For a table: what carries the stream before what only processes it, cheapest first.

    An incomplete total comes after the complete ones, the infeasible last.
    """

    def rank(option: Option) -> tuple[bool, bool, bool, Decimal]:
        unknown = option.bill is None or option.bill.at_least
        return option.role == "flink", option.bill is None, unknown, option.usd_month or Decimal(0)

    return [_row(option) for option in sorted(options, key=rank)]


FOCUS_COLUMNS = (
    "ListCost",
    "BilledCost",
    "EffectiveCost",
    "PricingQuantity",
    "PricingUnit",
    "ChargeCategory",
    "SkuPriceId",
    "RegionId",
    "CommitmentDiscountStatus",
    "Tags",
    "x_PriceConfidence",
    "x_PriceAsOf",
    "x_BoundBy",
)


def focus_csv(priced: Mapping[str, Iterable[Option]]) -> str:
    """Every line of every bill, by usage: the ten FOCUS 1.x columns to join on, three of ours.

    Unpriced costs are empty. Which usage, platform and kind a line belongs to is in Tags, so that several bills in one
    table stay apart.
    """
    out = io.StringIO()
    table = csv.DictWriter(out, FOCUS_COLUMNS, lineterminator="\n")
    table.writeheader()
    for usage, options in priced.items():
        for option in options:
            table.writerows(_focus(usage, option, line) for line in (option.bill.lines if option.bill else ()))
    return out.getvalue()


def _focus(usage: str, option: Option, line: LineItem) -> dict[str, str]:
    listed = None if line.list_unit_price is None else line.list_unit_price * line.quantity
    tags = {"usage": usage, "platform": option.platform, "kind": line.kind, "item": line.item}
    return {
        "ListCost": _cell(listed),
        "BilledCost": _cell(line.usd_month),
        "EffectiveCost": _cell(line.usd_month),
        "PricingQuantity": _cell(line.quantity),
        "PricingUnit": line.unit,
        "ChargeCategory": "Usage",
        "SkuPriceId": line.price_id,
        "RegionId": line.region,
        "CommitmentDiscountStatus": "Used" if line.discount else "",
        "Tags": json.dumps(tags),
        "x_PriceConfidence": line.confidence,
        "x_PriceAsOf": line.as_of.isoformat() if line.as_of else "",
        "x_BoundBy": option.bound_by.constraint if option.bound_by else "",
    }


def diff(before: Sequence[Option], after: Sequence[Option]) -> dict[str, Any]:
    """What changes a month between two lists of options (two usages, or two catalogues), by platform and line kind.

    A total that is incomplete or infeasible on one side has no difference: None, never a number.
    """
    old, new = ({option.platform: option for option in options} for options in (before, after))
    return {"schema": SCHEMA, "options": [_change(name, old.get(name), new.get(name)) for name in {**old, **new}]}


def _change(name: str, a: Option | None, b: Option | None) -> dict[str, Any]:
    left, right = (option.bill if option else None for option in (a, b))
    comparable = left is not None and right is not None and not left.at_least and not right.at_least
    kinds = [
        {
            "kind": kind,
            "a_usd_month": _float(left.of(kind)) if left else None,
            "b_usd_month": _float(right.of(kind)) if right else None,
        }
        for kind in KINDS
        if (left and left.of(kind)) or (right and right.of(kind))
    ]
    return {
        "platform": name,
        "a_usd_month": _float(left.usd_month) if left else None,
        "b_usd_month": _float(right.usd_month) if right else None,
        "difference_usd_month": _float(right.usd_month - left.usd_month) if comparable and left and right else None,
        "reason": next(
            (o.infeasible.reason for o in (a, b) if o and o.infeasible), "" if comparable else "a price is missing"
        ),
        "kinds": kinds,
    }


def _cell(number: Decimal | None) -> str:
    return "" if number is None else f"{number:f}"


def notes(option: Option) -> list[str]:
    """What must stand beside an option's total: what is unpriced, and the unverified prices it rests on."""
    if option.bill is None:
        return []
    found = [f"unpriced: {text}" for text in option.bill.unpriced]
    if option.bill.unverified:
        found.append(f"rests on unverified prices: {', '.join(option.bill.unverified)}")
    if option.unverified_quotas:
        found.append(f"sized by unverified quotas: {', '.join(option.unverified_quotas)}")
    return found


_IN_RULES = ("ingest.peak_to_mean", "discount", "environments")


def rules(usage: Usage) -> str:
    """The same rules that every option of `usage` was sized and billed by, in one sentence."""
    units, sizing = usage.units, usage.sizing
    gb = "10^9 bytes" if units.gb == "decimal" else "2^30 bytes"
    times = usage.environments.value
    return (
        f"All sized alike: for a peak of {usage.ingest.peak_to_mean.value:f} x the mean; disks "
        f"{sizing.disk_fill.value:.0%}, CPU {sizing.cpu_fill.value:.0%}, network and disk path "
        f"{sizing.network_fill.value:.0%} full, under 100 % with one zone gone; vendors' quotas used whole. "
        f"Discount on EC2 compute {usage.discount.value:.0%}; "
        f"{'one environment' if times == 1 else f'{times:f} environments'}; "
        f"a month of {units.month_hours:f} h, a GB of {gb}."
    )


def basis(usage: Usage) -> list[str]:
    """What the bill rests on beyond `rules`: one sentence each for what was measured, given and assumed."""
    found: dict[str, list[str]] = {"measured": [], "given": [], "assumed": []}
    for path, number in usage.numbers():
        if path in _IN_RULES or path.startswith("sizing.") or (number.basis == "assumed" and not number.value):
            continue
        band = f" ({number.low:.4g} to {number.high:.4g})" if number.low is not None and number.high is not None else ""
        runs = f", n = {number.n}" if number.n is not None else ""
        found[number.basis].append(f"{path} {number.value:.4g}{band}{runs}")
    return [f"{basis.capitalize()}: {'; '.join(numbers)}." for basis, numbers in found.items() if numbers]


def _option(option: Option) -> dict[str, Any]:
    if option.infeasible is not None or option.bill is None:
        broken = option.infeasible
        return {
            "platform": option.platform,
            "feasible": False,
            "reason": broken.reason if broken else "",
            "nearest_feasible": broken.nearest_feasible if broken else "",
            "usd_month": None,
            "at_least": False,
            "usd_gb_in": None,
            "usd_million_events": None,
            "bound_by": None,
            "parts": [],
            "lines": [],
        }
    bill, bound = option.bill, option.bound_by
    centre = _float(bill.usd_month)
    return {
        "platform": option.platform,
        "feasible": True,
        "reason": "",
        "usd_month": {
            "p10": centre if option.p10 is None else _float(option.p10),
            "p50": centre,
            "p90": centre if option.p90 is None else _float(option.p90),
        },
        "at_least": bill.at_least,
        "usd_gb_in": _float(option.usd_gb_in),
        "usd_million_events": _float(option.usd_million_events),
        "usd_month_baseline": _float(bill.baseline_usd_month),
        "notes": notes(option),
        "assumptions": list(option.assumptions),
        "bound_by": None
        if bound is None
        else {
            "constraint": bound.constraint,
            "next": bound.next,
            "shadow_usd_month": _float(bound.shadow_usd_month),
            "shadow_of": bound.shadow_of,
        },
        "parts": [{"what": part.what, "count": _float(part.count), "because": part.because} for part in option.parts],
        "lines": [_line(line) for line in bill.lines],
    }


def _line(line: LineItem) -> dict[str, Any]:
    return {
        "item": line.item,
        "kind": line.kind,
        "quantity": _float(line.quantity),
        "unit": line.unit,
        "unit_price": _float(line.unit_price),
        "usd_month": _float(line.usd_month),
        "price": {
            "id": line.price_id,
            "source": line.source,
            "as_of": None if line.as_of is None else line.as_of.isoformat(),
            "confidence": line.confidence,
        },
    }


def _basis(usage: Usage | AsBuilt) -> dict[str, Any]:
    if isinstance(usage, AsBuilt):
        return {}
    return {
        path: {
            "value": _float(number.value),
            "low": _float(number.low),
            "high": _float(number.high),
            "basis": number.basis,
            "n": number.n,
            "note": number.note,
        }
        for path, number in usage.numbers()
    }


def _row(option: Option) -> dict[str, str]:
    if option.bill is None or option.bound_by is None:
        broken = option.infeasible
        text = f"infeasible: {broken.reason}; nearest: {broken.nearest_feasible}" if broken else ""
        return {
            "platform": option.platform,
            "$/month": "-",
            "p10-p90": "-",
            "$/GB in": "-",
            "$/million events": "-",
            "bound by": text,
        }
    least = "at least " if option.bill.at_least else ""
    band = "" if option.p10 == option.p90 else f"{_money(option.p10)} - {_money(option.p90)}"
    flag = " *" if option.bill.unverified or option.unverified_quotas else ""
    return {
        "platform": option.platform,
        "$/month": f"{least}{_money(option.usd_month)}{flag}" if option.usd_month or not least else "no price",
        "p10-p90": band,
        "$/GB in": "-" if option.usd_gb_in is None or least else f"{option.usd_gb_in:.4f}",
        "$/million events": "-" if option.usd_million_events is None or least else f"{option.usd_million_events:.4f}",
        "bound by": option.bound_by.constraint,
    }


def _money(usd: Decimal | None) -> str:
    return "-" if usd is None else f"{usd:,.2f}" if usd < 1000 else f"{usd:,.0f}"


def _float(number: Decimal | None) -> float | None:
    return None if number is None else float(number)
