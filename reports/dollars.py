"""The answer in dollars: what each arm costs a month on each platform, the difference, and what it rests on.

Reads the documents of `cost --json` (one an arm), so that a report is made again offline and needs no price list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports import wording
from reports.report import Column, Number, Paragraph, Section, Source, Table, Tone, Words, said

Document = Mapping[str, Any]
Bills = Mapping[str, "Document | Sequence[Document]"]
"""Arm (as `wording.bill_labels` calls it) -> the document of `cost --json`, or only its options."""


MOST_SENTENCES = 4  # platforms told in words; the table has them all


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
        band = self.option.get("usd_month") or {}
        value = band.get(part)
        if value is None:
            return None
        step = wording.step_of(float(band.get("p50") or value), band.get("p10"), band.get("p90"))
        return wording.money(float(value), Source("bill", self.ref, f"usd_month.{part}"), step)

    @property
    def at_least(self) -> bool:
        return bool(self.option.get("at_least"))


@dataclass(frozen=True)
class Standing:
    """What the runs say about the arms, whatever they cost.

    `kept`: arm -> whether its finished runs keep every threshold, None where that is not known. `apart`: pairs of arms
    of which some cost-bearing metric has 95 % intervals that do not meet. `loads`: arm -> its load, with the rate
    where a load has several: how much comes in is nobody's choice, so that settings compete under the same one.
    `lost`: arms of which a finished run lost events; whatever the thresholds say, none of them is advised.
    """

    kept: Mapping[str, bool | None]
    apart: frozenset[frozenset[str]]
    loads: Mapping[str, str]
    lost: frozenset[str] = frozenset()


def priced(bills: Bills) -> list[Priced]:
    """Every option, arms in the order given; platforms cheapest first, incomplete totals and none after them."""
    found = [Priced(arm, option) for arm, document in bills.items() for option in _options(document)]
    rank: dict[str, tuple[bool, bool, float]] = {}
    for one in found:  # a platform ranks by its first arm
        usd = one.usd()
        rank.setdefault(one.platform, (usd is None, one.at_least, usd.value if usd is not None else 0.0))
    return sorted(found, key=lambda one: (rank[one.platform], one.platform))


def _options(document: Document | Sequence[Document]) -> Sequence[Document]:
    return document.get("options", ()) if isinstance(document, Mapping) else document


def section(bills: Bills, loads: Mapping[str, str]) -> Section:
    """The bills: what they rest on, what to mind, platform by platform. `loads`: as in `Standing`."""
    found = priced(bills)
    if not found:
        return Section("dollars", "What it costs", (Paragraph((NOT_PRICED,), Tone.UNSURE),))
    told = [Paragraph(("Not to be had: ", *_cost(one), ".")) for one in found if one.usd() is None]
    warned = [said(text, Tone.WARNING) for text in _warnings(bills, found)]
    return Section("dollars", "What it costs", (_table(found, loads), *told[:MOST_SENTENCES], *warned))


NOT_PRICED = "Nothing was priced: no finished run carries what a bill needs. Nothing is assumed instead."


def choice(bills: Bills, standing: Standing) -> tuple[Words, Tone]:
    """What to do: the cheapest arm that keeps every threshold, and its equals; or why there is nothing to choose.

    Of several loads with bills of their own, a sentence each in which there is a choice; those in which nothing is told
    apart share one.
    """
    by_load: dict[str, list[Priced]] = {}
    for one in priced(bills):
        by_load.setdefault(standing.loads.get(one.arm, ""), []).append(one)
    if not by_load:
        return ("Nothing to choose between: no setting has a price.",), Tone.UNSURE
    open_ = {load: many for load, many in by_load.items() if len({one.arm for one in many if one.usd()}) > 1}
    if not open_:
        each = "only one setting has a price" if len(by_load) == 1 else "each load has one setting with a price"
        return (f"Nothing to choose between: {each}.",), Tone.UNSURE
    alike = [load for load, many in open_.items() if _is_level(many, standing)]
    shared = alike if len(alike) > 1 else []
    told = [
        _choice(many, standing, f"Under {load}: " if load and len(by_load) > 1 else "")
        for load, many in open_.items()
        if load not in shared
    ]
    if shared:
        level = "bytes and CPU per event do not tell the cheapest setting apart from any other"
        told.append((f"Not decided under {wording.listed(shared)}: {level}.", Tone.UNSURE))
    sure = all(tone is Tone.GOOD for _, tone in told)
    return (" ".join(text for text, _ in told),), Tone.GOOD if sure else Tone.UNSURE


def _is_level(found: Sequence[Priced], standing: Standing) -> bool:
    """Whether no setting is told apart from the cheapest, on any platform, and none is out for what it lost."""
    arms = list(dict.fromkeys(one.arm for one in found))
    if standing.lost.intersection(arms):
        return False
    best = _cheapest(found, standing)
    pairs = [_rivals(arm, arms, standing) for arm in best]
    return bool(best) and all(rivals and len(alike) == len(rivals) for rivals, alike in pairs)


def _stands(arm: str, standing: Standing) -> bool:
    return bool(standing.kept.get(arm)) and arm not in standing.lost


def _rivals(arm: str, arms: Sequence[str], standing: Standing) -> tuple[list[str], list[str]]:
    """The other arms that keep every threshold, and those of them that nothing tells apart from `arm`."""
    rivals = [other for other in arms if other != arm and _stands(other, standing)]
    return rivals, [other for other in rivals if frozenset((arm, other)) not in standing.apart]


def _choice(found: Sequence[Priced], standing: Standing, under: str) -> tuple[str, Tone]:
    arms = list(dict.fromkeys(one.arm for one in found))
    best = _cheapest(found, standing)
    lost = [arm for arm in arms if arm in standing.lost]
    gone = f" Not in the choice, for events were lost: {wording.listed(lost)}." if lost else ""
    if not best:
        why = "no setting with a price has kept every threshold in all its runs."
        return f"{under}Nothing yet: {why}{gone}", Tone.UNSURE
    told = [_choose(arm, platforms, arms, standing, alone=len(best) == 1) for arm, platforms in best.items()]
    sentences = [text for text, _ in told]
    unknown = [arm for arm in arms if standing.kept.get(arm) is None]
    if unknown:
        sentences.append(f"Not in the choice, for its thresholds cannot be judged: {wording.listed(unknown)}.")
    sure = all(tone is Tone.GOOD for _, tone in told)
    return under + " ".join(sentences) + gone, Tone.GOOD if sure else Tone.UNSURE


def _cheapest(found: Sequence[Priced], standing: Standing) -> dict[str, list[str]]:
    """Arm -> the platforms on which it costs least of those that keep every threshold."""
    best: dict[str, list[str]] = {}
    for platform in dict.fromkeys(one.platform for one in found):
        totals = {
            o.arm: usd.value for o in found if o.platform == platform and (usd := o.usd()) and _stands(o.arm, standing)
        }
        if totals:
            best.setdefault(min(totals, key=lambda arm: totals[arm]), []).append(wording.platform_name(platform))
    return best


def _choose(
    arm: str, platforms: Sequence[str], arms: Sequence[str], standing: Standing, *, alone: bool
) -> tuple[str, Tone]:
    where = "every platform priced here" if alone and len(platforms) > 1 else wording.listed(platforms)
    rivals, alike = _rivals(arm, arms, standing)
    if rivals and len(alike) == len(rivals):
        but = f"bytes and CPU per event do not tell it apart from {wording.listed(alike)}"
        return f"Not decided: {arm} costs least on {where} at central values, but {but}.", Tone.UNSURE
    same = f"; not told apart from it: {wording.listed(alike)}" if alike else ""
    return f"Choose {arm} on {where}: the cheapest setting whose finished runs kept every threshold{same}.", Tone.GOOD


def costs(bills: Bills, loads: Mapping[str, str]) -> Words:
    """What it costs, a sentence a platform (of many the first few): the first arm, the last, and the difference.

    Of one load only, the first that has a price: another load's bill is no saving.
    """
    found = priced(bills)
    if not found:
        return (NOT_PRICED,)
    words: list[Any] = []
    for platform in list(dict.fromkeys(each.platform for each in found))[:MOST_SENTENCES]:
        arms = [each for each in found if each.platform == platform]
        load = next((loads.get(one.arm, "") for one in arms if one.usd()), loads.get(arms[0].arm, ""))
        arms = [each for each in arms if loads.get(each.arm, "") == load]
        name = wording.platform_name(platform)
        words += [" " if words else "", f"{name[:1].upper()}{name[1:]}: ", *_cost(arms[0])]
        if len(arms) > 1:
            words += [", ", *_cost(arms[-1]), *_difference(arms[0], arms[-1])]
        words.append(".")
    return tuple(words)


def _cost(one: Priced) -> Words:
    total = one.usd()
    if total is None:
        why = one.option.get("reason") or "no price"
        nearest = one.option.get("nearest_feasible")
        return (f"{one.arm} cannot be had ({why}{f'; nearest: {nearest}' if nearest else ''})",)
    return ("at least " if one.at_least else "", total, f" a month with {one.arm}")


def difference(base: Priced, other: Priced) -> tuple[Number, Number | None] | None:
    """(dollars more a month, share more), None where either has no total."""
    a, b = base.usd(), other.usd()
    if a is None or b is None:
        return None
    made = (b.source, a.source)
    change, step = b.value - a.value, max(a.step, b.step)
    dollars = Number(change, wording.usd_change(change, step), "USD", Source("derived", "a - b", of=made), step)
    if not a.value:
        return dollars, None
    share = change / a.value
    text = wording.percent(share, signed=True)
    return dollars, Number(share, text, "share", Source("derived", "a / b - 1", of=made))


def _difference(base: Priced, other: Priced) -> Words:
    found = difference(base, other)
    if found is None:
        return ()
    dollars, share = found
    if abs(dollars.value) < 0.5:
        return (" (", Number(dollars.value, "no difference", "USD", dollars.source), ")")
    return (" (", dollars, *((", ", share) if share is not None else ()), ")")


def _table(found: Sequence[Priced], loads: Mapping[str, str]) -> Table:
    bases: dict[tuple[str, str], Priced] = {}
    rows = []
    for one in found:
        base = bases.setdefault((one.platform, loads.get(one.arm, "")), one)
        change = difference(base, one) if base is not one else None
        low, high, total = one.usd("p10"), one.usd("p90"), one.usd()
        bound = one.option.get("bound_by") or {}
        rows.append(
            (
                (one.platform,),
                (one.arm,),
                ("at least " if one.at_least else "", total) if total is not None else (_no_total(one),),
                (low, " to ", high) if low is not None and high is not None else ("",),
                (change[0],) if change else ("base" if base is one and total is not None else "",),
                _rate(one, "usd_gb_in"),
                (str(bound["constraint"]) if bound else str(one.option.get("reason") or ""),),
            )
        )
    columns = (
        Column("platform"),
        Column("arm"),
        Column("a month", "USD", numeric=True),
        Column("p10 to p90", "USD", numeric=True),
        Column("change", "USD", numeric=True),
        Column("per GB in", "USD", numeric=True),
        Column("size decided by"),
    )
    note = (
        "Change: against the platform's first arm under the same load, at central values. p10 to p90: the total over "
        "draws of everything uncertain, prices included. Arms rest on the same assumptions: overlapping bands do not "
        "mean equal costs."
    )
    return Table("bills", "Monthly bill by platform and arm", columns, tuple(rows), note)


def _no_total(one: Priced) -> str:
    """Why there is none: where no size would do, the nearest usage that fits is told; else something is not known."""
    return "infeasible" if one.option.get("nearest_feasible") else "missing"


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


def rests_on(bills: Bills) -> Words:
    """What was measured and what is assumed, in one sentence, by the first arm that says."""
    found = usages(bills)
    if not found:
        return ("What the bills rest on was not recorded with them.",)
    arm, usage = next(iter(found.items()))
    measured = [quantity(path) for path, number in usage.items() if number.get("basis") == "measured"]
    assumed = [(path, number) for path, number in usage.items() if number.get("basis") != "measured"]
    told = [(path, number) for path, number in assumed if path in _TOLD]
    words: list[str | Number] = [f"Measured here: {wording.listed(measured) or 'nothing'}. Assumed: "]
    for index, (path, number) in enumerate(told):
        words += [", " if index else "", f"{_TOLD[path][0]} ", usage_number(arm, path, number, _TOLD[path][1])]
    rest = len(assumed) - len(told)
    if rest > 0:
        left = wording.number(rest, "", Source("counted", "usage", f"{arm} assumed, not told"))
        words += [" and " if told else "", left, " more (listed below)" if told else " quantities (listed below)"]
    carried = _carried(bills)
    return (*words, f". {' '.join(carried)}" if carried else ".")


def _carried(bills: Bills) -> list[str]:
    """How far measurements were carried and what is known of that: a sentence for all arms of which the same is."""
    documents = {arm: bill for arm, bill in bills.items() if isinstance(bill, Mapping)}
    alike: dict[str, dict[str, Document]] = {}
    for arm, bill in documents.items():
        if about := bill.get("extrapolation"):
            alike.setdefault(str(about["sentence"]).partition("; ")[2], {})[arm] = about
    sentences = []
    for known, arms in alike.items():
        told = {str(about["sentence"]) for about in arms.values()}
        text = told.pop()
        if told:  # the arms were measured at different rates
            times, eps = (_span([float(about[key]) for about in arms.values()]) for key in ("times", "measured_at_eps"))
            text = f"Priced at {times} times the measured rates ({eps} events/s); {known}"
        sentences.append(text if len(arms) == len(documents) else f"{wording.listed(list(arms))}: {text}")
    return sentences


def _span(values: Sequence[float]) -> str:
    low, high = (wording.digits(end) for end in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


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
    "ingest.measured_at_mb_s": "the rate at which it was measured",
    "broker.speed_factor": "speed of a core",
    "broker.follower_cpu_share": "a follower's share of CPU",
}


def quantity(path: str) -> str:
    """A number of the usage, or a price, as a reader calls it."""
    return _QUANTITIES.get(path, path.replace("_", " ").replace(".", " "))


def usage_number(arm: str, path: str, number: Document, unit: str = "") -> Number:
    """A quantity that bills were made of, with its source."""
    return wording.number(float(number["value"]), unit, Source("usage", arm, f"{path} value"), usage_step(number))


def usage_step(number: Document) -> float:
    """What a measured quantity is rounded to; what somebody assumed stands as it was given."""
    measured = number.get("basis") == "measured"
    return wording.step_of(float(number["value"]), number.get("low"), number.get("high")) if measured else 0.0


def _warnings(bills: Bills, found: Sequence[Priced]) -> list[str]:
    said = [
        text for document in bills.values() if isinstance(document, Mapping) for text in document.get("warnings", ())
    ]
    carried = tuple(
        str(about["sentence"]) for bill in bills.values() if isinstance(bill, Mapping)
        if (about := bill.get("extrapolation"))
    )  # fmt: skip
    notes = [(wording.platform_name(one.platform), str(note)) for one in found for note in one.option.get("notes", ())]
    said += [f"{name}: {note}" for name, note in notes if not (carried and note.endswith(carried))]
    by_cpu = list(dict.fromkeys(name for name, note in notes if carried and note.endswith(carried)))
    if by_cpu:  # the same for each arm and platform: said once, above
        said.append(
            f"CPU decides the size of {wording.listed(by_cpu)}: how far it was carried, see What it depends on."
        )
    return list(dict.fromkeys(said))
