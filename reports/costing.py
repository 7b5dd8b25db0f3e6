"""What a stream costs, told: the cheapest way and how often it is, the bills, what moves them, what binds each size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from costmodel.breakeven import BreakEven
from reports import billing, dollars, wording
from reports.dollars import Bills, Document, Priced
from reports.report import (
    Badge,
    Column,
    Fact,
    Facts,
    Line,
    Number,
    OverTime,
    Range,
    Report,
    Section,
    Source,
    Table,
    TimePanel,
    Tone,
    Tornado,
    Tradeoff,
    Way,
    Words,
    said,
)

SURE = 0.95  # of the draws: as for a claim about cost
FEW = 3  # options told in words
MOST_BARS = 10  # of a tornado; the table has them all
LEAST_WIDTH = 0.02  # of the widest: what is narrower cannot be seen


def tell(
    name: str, bills: Bills, odds: Mapping[str, Document], flips: Mapping[str, BreakEven], *, generated_utc: str
) -> Report:
    """The report of `cost`. `bills`: usage -> the document of `cost --json`; `odds`: usage -> that of `cost --odds`.

    `flips`: usage -> where its two cheapest cross. A deployment, in which nothing is uncertain, has no odds.
    """
    sections = [
        _verdicts(bills, odds),
        dollars.section(bills, {}),
        _figures(bills, odds, flips),
        *_tables("odds", "How often each is the cheapest", odds, _cheapest),
        *_tables("swings", "What moves the two cheapest apart", odds, _swings),
        _sizes(bills),
        *billing.details(bills),
    ]
    return Report(
        scenario=name,
        title=f"What {name} {'cost' if len(bills) > 1 else 'costs'}",
        question="Which platform carries this stream for the least money, how sure is that, and what does it rest on?",
        generated_utc=generated_utc,
        machine="Computed from list prices and the usage below",
        sections=tuple(section for section in sections if section is not None),
    )


# ---- the four questions


def _verdicts(bills: Bills, odds: Mapping[str, Document]) -> Section:
    blocks: list[Any] = []
    many = len(bills) > 1
    for label in bills:
        do, tone = _choice(label, bills, odds.get(label))
        rows = (
            Fact("What to do", do, tone),
            Fact("How sure", _sure(label, odds.get(label))),
            Fact("What it costs", _costs(label, bills, odds.get(label))),
            Fact("What it depends on", (*_moves(odds.get(label)), *dollars.rests_on({label: bills[label]}))),
        )
        facts = Facts(f"in-short-{label}" if many else "in-short", rows)
        blocks.append(Section(f"for-{label}", wording.capital(label), (facts,)) if many else facts)
    return Section("verdicts", "Verdict", tuple(blocks))


def _choice(label: str, bills: Bills, document: Document | None) -> tuple[Words, Tone]:
    if document is None or not document["options"] or document["options"][0]["usd_month"] is None:
        complete = [one for one in dollars.priced({label: bills[label]}) if one.usd() is not None and not one.at_least]
        if len(complete) < 2:
            return ("Nothing to choose between: fewer than two options have a whole price.",), Tone.UNSURE
        best = wording.platform_name(complete[0].platform)
        return (f"At central values {best} costs least; nothing says how sure that is.",), Tone.UNSURE
    first = max(document["options"], key=lambda option: option["cheapest_in"])
    share = _share(label, first, "cheapest_in")
    name = wording.platform_name(first["platform"])
    if len(document["options"]) < 2:
        return (f"Nothing to choose between: only {name} was priced.",), Tone.UNSURE
    of = f"of {document['draws']:,} draws of everything that is uncertain."
    if first["cheapest_in"] >= SURE:
        return (f"Choose {name}: it costs least in ", share, f" {of}"), Tone.GOOD
    limit = wording.percent(SURE)
    return (f"Not decided: {name} costs least in ", share, f" {of[:-1]}, and a choice wants {limit}."), Tone.UNSURE


def _sure(label: str, document: Document | None) -> Words:
    if document is None:
        return ("A deployment is priced as it stands: nothing in it is uncertain but the prices.",)
    known = [option["platform"] for option in document["options"] if option["usd_month"] is not None]
    if len(known) < 2:
        return ("There is nothing to hold it against.",)
    first = max(document["options"], key=lambda option: option["cheapest_in"])["platform"]
    beats = document["cheaper"][first]
    rival = min((name for name in known if name != first), key=lambda name: beats[name])
    share = Number(
        beats[rival], wording.percent(beats[rival]), "share", Source("odds", label, f"cheaper.{first}.{rival}")
    )
    names = [wording.platform_name(name) for name in (first, rival)]
    return (f"{wording.capital(names[0])} costs less than {names[1]}, its closest rival, in ", share,
            " of the draws. They share each draw, so that this holds even where their bands overlap.")  # fmt: skip


def _costs(label: str, bills: Bills, document: Document | None) -> Words:
    """What is compared first, and what only processes the stream after it."""
    found = dollars.priced({label: bills[label]})
    compared = {option["platform"] for option in document["options"]} if document is not None else set()
    words: list[Any] = []
    for title, some in (
        ("", [one for one in found if not compared or one.platform in compared]),
        ("Processing, on top: ", [one for one in found if compared and one.platform not in compared]),
    ):
        told = [one for one in some if one.usd() is not None][:FEW]
        for at, one in enumerate(told):
            before = ", " if at else f" {title}" if words else title
            words += [before, f"{wording.platform_name(one.platform)} ", *_total(one)]
        words += ["."] if told else []
    return tuple(words) if words else dollars.costs({label: bills[label]}, {})


def _total(one: Priced) -> Words:
    total, low, high = one.usd(), one.usd("p10"), one.usd("p90")
    assert total is not None
    band: Words = (" (", low, " to ", high, ")") if low is not None and high is not None else ()
    return ("at least " if one.at_least else "", total, " a month", *band)


def _moves(document: Document | None) -> Words:
    return () if document is None else (f"{document['tornado']['measure_next']} ",)


def _share(label: str, option: Document, part: str) -> Number:
    source = Source("odds", label, f"options.{option['platform']}.{part}")
    return Number(option[part], wording.percent(option[part]), "share", source)


# ---- figures


def _figures(bills: Bills, odds: Mapping[str, Document], flips: Mapping[str, BreakEven]) -> Section | None:
    found: list[Any] = [billing.figure(bills)]
    found += [tornado(label, document) for label, document in odds.items()]
    found += [billing.break_even(flip, label) for label, flip in flips.items()]
    drawn = tuple(figure for figure in found if figure is not None)
    return Section("figures", "What it looks like", drawn) if drawn else None


def tornado(label: str, document: Document) -> Tornado | None:
    """What moves the two cheapest apart, from the document of `cost --odds`; None where nothing does."""
    told = document["tornado"]
    whole = [swing for swing in told["swings"] if None not in swing["difference_usd_month"].values()]
    if not whole:
        return None
    swings = [swing for swing in whole if _width(swing) >= LEAST_WIDTH * _width(whole[0])][:MOST_BARS]
    names = [wording.platform_name(name) for name in told["of"]]
    about, unit = (" less ".join(names), "USD a month")
    bars = tuple(
        Range(_told(swing),
              swing["difference_usd_month"]["low"], swing["difference_usd_month"]["high"],
              Source("odds", label, f"tornado.{swing['name']}"))
        for swing in swings
    )  # fmt: skip
    pair = len(names) > 1
    alone = "Each bar: one quantity from its P10 to its P90, the others in their middle. "
    left = f"Left of 0 {names[0]} is cheaper, right of it {names[1]}. " if pair else ""
    rest = f"The {len(swings)} widest of {len(whole)}. " if len(swings) < len(whole) else ""
    return Tornado(
        key=f"tornado-{wording.slug(label)}",
        title=f"What moves {about}, for {label}",
        alt=tuple(part for swing in swings for part in _swing_alt(label, swing)),
        note=(
            f"{alone}{left}{rest}Hatched: it alone turns the answer. List prices; nothing here was drawn by chance.",
        ),
        unit=f"{about}, {unit}",
        below=names[0],
        above=names[1] if pair else "",
        bars=bars,
    )


def _told(swing: Document) -> str:
    ends = f"{wording.digits(swing['low'])} to {wording.digits(swing['high'])}"
    return f"{dollars.quantity(swing['name'])} ({swing['basis']}), {ends}"


def _width(swing: Document) -> float:
    low, high = swing["difference_usd_month"].values()
    return abs(float(high) - float(low))


def _swing_alt(label: str, swing: Document) -> Words:
    ends = [_swing_end(label, swing, "difference_usd_month", end) for end in ("low", "high")]
    return (f"{wording.capital(dollars.quantity(swing['name']))}: ", *ends[0], " to ", *ends[1], ". ")


def tradeoff(document: Document) -> Tradeoff:
    """Dollars against lag of every policy, from the document of `simulate fleet`; what cannot keep up has none."""
    best, limit = set(document.get("frontier", ())), f"{document['lag_limit_s']:g} s"
    kept = [policy for policy in document["policies"] if policy["keeps_up"]]
    ways = tuple(
        Way(policy["policy"].partition(" at ")[0], policy["usd_month"], policy["lag"]["over_limit"],
            policy["policy"] in best, Source("policy", policy["policy"], "usd_month, lag.over_limit"))
        for policy in kept
    )  # fmt: skip
    load = document["load"]
    days, rate = f"{load['minutes'] / 1440:.3g} days", f"{load['mean_eps']:,.0f} events/s"
    left = [policy["policy"] for policy in document["policies"] if not policy["keeps_up"]]
    note = f"A simulation by the minute over {days}, {rate} in the mean, at list prices: it illustrates, it decides "
    note += "nothing. Filled: no other way costs less and is late no more often."
    told = (f"{p['policy']}: {wording.usd(p['usd_month'])} a month, over {limit} behind in "
            f"{wording.percent(p['lag']['over_limit'])} of the minutes" for p in kept)  # fmt: skip
    return Tradeoff(
        key="saving-against-lag",
        title="What each way to run the fleet costs, and how often it is late",
        alt=(". ".join(told) + ".",),
        note=(note + (f" Not drawn, for they cannot keep up: {wording.listed(left)}." if left else ""),),
        cost_axis="USD a month",
        lost_axis=f"minutes over {limit} behind",
        ways=ways,
    )


MOST_LINES = 8  # curves that one figure can be read with


def growth(document: Document) -> OverTime:
    """USD for each GB that comes in by the size of the stream, from the document of `simulate growth`.

    The cheapest at the largest size that each can be had at, as far as they can be told apart.
    """
    rows, alt, left = [], [], []
    reach = document["support"]
    for roles, what in ((("kafka", "stack"), "carries"), (("flink",), "processes")):
        lines = [line for name, found in document["platforms"].items() if found["role"] in roles
                 for line in _grown(name, found["sizes"])]  # fmt: skip
        lines.sort(key=lambda line: line.values[-1])
        shown = lines[:MOST_LINES]
        left += [line.name for line in lines[MOST_LINES:]]
        alt += [
            f"{line.name}: {wording.digits(line.values[0])} USD per GB at {wording.digits(line.t_s[0])} MB/s, "
            f"{wording.digits(line.values[-1])} at {wording.digits(line.t_s[-1])} MB/s" for line in shown
        ]  # fmt: skip
        if shown:
            first = min(line.t_s[0] for line in shown)
            end = reach["measured_mb_s" if "kafka" in roles else "tested_mb_s"]  # no test was of brokers
            shaded = (first, end) if end > first else None
            rows.append((TimePanel(f"what {what} it", "USD per GB in", "USD", tuple(shown), shaded),))
    known = any(panel.measured_s for row in rows for panel in row)
    note = "Shaded: supported by measurements. " if known else ""
    note += f"{' '.join(reach['sentences'])} A line ends where a quota does, or where no price is known. "
    note += "List prices, central values."
    note += f" Not drawn, for they cost more per GB: {wording.listed(left)}." if left else ""
    return OverTime(
        key="growth",
        title="What a GB costs as the stream grows",
        alt=(". ".join(alt) + ".",),
        note=(note,),
        rows=tuple(rows),
        axis="MB/s in",
    )


def _grown(name: str, sizes: Sequence[Document]) -> Iterator[Line]:
    """The platform's line, as far as it has a price; none without any."""
    priced = [one for one in sizes if one["usd_gb_in"] is not None]
    if priced:
        rates, usd = (tuple(one[key] for one in priced) for key in ("mb_s", "usd_gb_in"))
        yield Line(wording.platform_name(name), rates, usd, Source("growth", name, "usd_gb_in"))


# ---- tables


def _tables(
    key: str, title: str, odds: Mapping[str, Document], of: Callable[[str, Document], Iterator[Any]]
) -> Iterator[Section]:
    """One section for all usages; none where there is nothing to tell."""
    blocks = tuple(block for label, document in odds.items() for block in of(label, document))
    if blocks:
        yield Section(key, title, blocks)


def _cheapest(label: str, document: Document) -> Iterator[Any]:
    rows = []
    for option in document["options"]:
        usd = option["usd_month"]
        source = Source("odds", label, f"options.{option['platform']}.usd_month")
        step = wording.step_of(usd["p50"], usd["p10"], usd["p90"]) if usd else 0.0
        amounts = {
            part: wording.money(usd[part], Source(source.kind, label, f"{source.path}.{part}"), step)
            for part in ("p10", "p50", "p90") if usd
        }  # fmt: skip
        rows.append((
            (option["platform"],), *((amounts[part],) if usd else () for part in ("p10", "p50", "p90")),
            (_share(label, option, "cheapest_in"),), (_share(label, option, "known_in"),),
        ))  # fmt: skip
    shares = (Column(name, "of draws", numeric=True) for name in ("cheapest in", "has a price in"))
    columns = (Column("platform"), *(Column(part, "USD a month", numeric=True) for part in ("p10", "p50", "p90")),
               *shares)  # fmt: skip
    note = "All options are priced in the same draws of everything uncertain, prices included."
    caption = f"{label}: {document['draws']:,} draws, seed {document['seed']}"
    yield Table(f"odds-{wording.slug(label)}", caption, columns, tuple(rows), note)


def _swings(label: str, document: Document) -> Iterator[Any]:
    told = document["tornado"]
    if not told["swings"]:
        return
    rows = tuple(
        (
            (dollars.quantity(swing["name"]),),
            (swing["basis"],),
            *((wording.number(swing[end], "", Source("odds", label, f"tornado.{swing['name']}.{end}")),)
              for end in ("low", "high")),
            *(_swing_end(label, swing, "difference_usd_month", end) for end in ("low", "high")),
            (Badge("turns the answer", Tone.WARNING),) if swing["flips"] else ("",),
        )
        for swing in told["swings"]
    )  # fmt: skip
    columns = (Column("quantity"), Column("basis"), Column("P10", numeric=True), Column("P90", numeric=True),
               Column("at P10", "USD a month", numeric=True), Column("at P90", "USD a month", numeric=True),
               Column(""))  # fmt: skip
    about = " less ".join(told["of"])
    caption = f"{label}: {about}, each quantity alone from its P10 to its P90"
    yield Table(f"swings-{wording.slug(label)}", caption, columns, rows)
    yield said(told["measure_next"])


def _swing_end(label: str, swing: Document, of: str, end: str) -> Words:
    usd = swing[of][end]
    if usd is None:
        return ("no total",)
    return (wording.rough_money(usd, Source("odds", label, f"tornado.{swing['name']}.{of}.{end}")),)


def _sizes(bills: Bills) -> Section | None:
    """What decides each size, what comes next, and what one more of it costs; why what cannot be had cannot."""
    found = dollars.priced(bills)
    rows = tuple(_size(one) for one in found)
    if not rows:
        return None
    columns = (Column("platform"), Column("usage"), Column("parts"), Column("size decided by"), Column("next"),
               Column("one more costs", "USD a month", numeric=True))  # fmt: skip
    table = Table("sizes", "The binding constraint of each size, and the one behind it", columns, rows)
    return Section("sizes", "What binds each size", (table, *_parts(found)))


def _size(one: Priced) -> tuple[Words, ...]:
    bound: Mapping[str, Any] = one.option.get("bound_by") or {}
    parts: Sequence[Document] = one.option.get("parts") or ()
    shadow = bound.get("shadow_usd_month")
    more: Words = ("",)
    if shadow is not None and bound.get("shadow_of"):
        more = (wording.rough_money(float(shadow), Source("bill", one.ref, "bound_by.shadow_usd_month")),)
        more = (*more, f" a {bound['shadow_of']}")
    return (
        (one.platform,),
        (one.arm,),
        ("; ".join(f"{part['count']:,.6g} {part['what']}" for part in parts) or str(one.option.get("reason") or ""),),
        (str(bound.get("constraint", "")),),
        (str(bound.get("next") or ""),),
        more,
    )


def _parts(found: Sequence[Priced]) -> Iterator[Section]:
    """Why there is so much of each part, folded."""
    rows = tuple(
        ((one.platform,), (one.arm,), (f"{part['count']:,.6g} {part['what']}",), (str(part["because"]),))
        for one in found for part in one.option.get("parts") or ()
    )  # fmt: skip
    if rows:
        columns = (Column("platform"), Column("usage"), Column("part"), Column("because"))
        table = Table("parts", "Every part, and why there is so much of it", columns, rows)
        yield Section("parts", "Every part and why", (table,), folded=True)
