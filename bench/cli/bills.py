"""How bills look on a terminal: options side by side, one line by line, and what changes between two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.cli import wide_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from costmodel import Option

Document = Mapping[str, Any]


def tell_options(label: str, options: Sequence[Option], document: Document, beneath: Iterable[str]) -> None:
    """The options of one usage, cheapest first; what must be said beside a total, and what all rest on, `beneath`."""
    import costmodel

    console = wide_console()
    rows = costmodel.rows(options)
    table = _table(label, {name: _is_amount(name) for name in rows[0]})
    for row in rows:
        table.add_row(*row.values())
    console.print(table)
    for option in options:
        for note in costmodel.notes(option):
            _write(console, f"{option.platform}: {note}")
    hours = document.get("break_even_hours")
    if hours:
        told = ", ".join(f"{name} {count:+,.1f}" for name, count in hours.items())
        _write(console, f"Hours of people a month to save, against running it oneself, to cost as much: {told}.")
    for text in beneath:
        _write(console, text)


def tell_lines(document: Document) -> None:
    """Each option of a `cost --json` document from its parts to the sources of its prices."""
    console = wide_console()
    for option in document["options"]:
        if not option["feasible"]:
            _write(console, f"\n{option['platform']}: infeasible: {option['reason']}; {option['nearest_feasible']}")
            continue
        least = "at least " if option["at_least"] else ""
        total = f"{least}{option['usd_month']['p50']:,.2f} USD a month"
        _write(console, f"\n{option['platform']}: {total}, of which {option['usd_month_baseline']:,.2f} at no load too")
        for part in option["parts"]:
            _write(console, f"  {part['count']:,.6g} {part['what']}, because {part['because']}")
        _write(console, f"  {_bound(option['bound_by'])}")
        for rule in option["assumptions"]:
            _write(console, f"  {rule}")
        console.print(_lines(option["lines"]))


def tell_difference(labels: Sequence[str], compared: Document) -> None:
    """What the second of two bills costs more, and in which kinds of lines."""
    table = _table(
        f"{labels[1]} instead of {labels[0]}",
        {"platform": False, labels[0]: True, labels[1]: True, "difference, USD a month": True, "of which": False},
    )
    for row in compared["options"]:
        change = row["difference_usd_month"]
        cells = [row["platform"], _usd(row["a_usd_month"]), _usd(row["b_usd_month"])]
        table.add_row(*cells, *((f"{change:+,.2f}", _kinds(row)) if change is not None else (row["reason"], "")))
    wide_console().print(table)


def tell_odds(label: str, document: Document) -> None:
    """Who is cheaper how often, and what moves the difference of the two cheapest, from a `cost --odds` document."""
    console = wide_console()
    names = ("platform", "p10", "p50 $/month", "p90", "cheapest in", "cheaper than the next")
    table = _table(f"{label}: {document['draws']:,} draws of all that is uncertain", {n: n != names[0] for n in names})
    options = document["options"]
    for option, following in zip(options, [*options[1:], None], strict=True):
        name, usd = option["platform"], option["usd_month"]
        if usd is None:
            table.add_row(name, "-", "no total", "-", "0%", "")
            continue
        beats = "" if following is None else f"{document['cheaper'][name][following['platform']]:.1%}"
        note = "" if option["known_in"] == 1 else f" (has a total in {option['known_in']:.0%})"
        amounts = (f"{usd[part]:,.0f}" for part in ("p10", "p50", "p90"))
        table.add_row(name + note, *amounts, f"{option['cheapest_in']:.1%}", beats)
    console.print(table)
    tornado = document["tornado"]
    if tornado["swings"]:
        console.print(_tornado(tornado))
    _write(console, tornado["measure_next"])


def _tornado(tornado: Document) -> Table:
    about = " less ".join(tornado["of"])
    names = ("quantity", "basis", "P10", "P90", f"{tornado['of'][0]} $", f"{about} $", "turns the answer")
    table = _table(
        f"What moves {about}, each alone from its P10 to its P90", {n: n.endswith(("0", "$")) for n in names}
    )
    for swing in tornado["swings"]:
        usd, less = swing["usd_month"], swing["difference_usd_month"]
        table.add_row(
            swing["name"], swing["basis"], f"{swing['low']:.4g}", f"{swing['high']:.4g}",
            f"{_whole(usd['low'])} to {_whole(usd['high'])}", f"{_whole(less['low'])} to {_whole(less['high'])}",
            "yes" if swing["flips"] else "no",
        )  # fmt: skip
    return table


def _whole(value: float | None) -> str:
    return "no total" if value is None else f"{value:,.0f}"


def tell_policies(document: Document) -> None:
    """Simulated policies side by side: dollars and lag in one row."""
    load, over = document["load"], f"over {document['lag_limit_s']:g} s"
    names = ("policy", "platform", "USD a month", "saves", over, "p99 lag", "most lag", "units", "restarts")
    peak = load["peak_eps"] / load["mean_eps"]
    title = (
        f"{load['minutes'] / 1440:.1f} days by the minute, {load['mean_eps']:,.0f} events/s, at most {peak:.2f} x that"
    )
    table = _table(title, {name: name not in names[:2] for name in names})
    for row in document["policies"]:
        lag, units, saving = row["lag"], row["units"], row["saving"]
        fixed, between = f"{units['least']:,}", f"{units['least']:,}-{units['most']:,}, {units['mean']:,.1f}"
        table.add_row(
            row["policy"], row["platform"],
            f"{row['usd_month']:,.2f}" if row["keeps_up"] else "cannot keep up",
            f"{saving['usd_month']:,.2f} ({saving['share']:.0%})" if saving else "",
            f"{lag['over_limit']:.2%}", f"{lag['p99_s']:,.0f} s", f"{lag['max_s']:,.0f} s",
            fixed if units["least"] == units["most"] else between,
            f"{row['restarts_month']:,.0f}",
        )  # fmt: skip
    wide_console().print(table)


def tell_growth(document: Document) -> None:
    """Each platform from size to size, and what the sizes rest on."""
    console = wide_console()
    names = ("platform", "MB/s", "bound by", "units at the end", "USD a month", "USD per GB in", "sizes are")
    table = _table("", {name: name.startswith(("MB", "USD")) for name in names})
    for platform, found in document["platforms"].items():
        for at, one in enumerate(found["stretches"]):
            first, last = one["from"], one["to"]
            parts = ", ".join(f"{part['count']:,.6g} {part['what']}" for part in last["parts"][:1])
            rates = " to ".join(dict.fromkeys(_size(one["mb_s"]) for one in (first, last)))
            table.add_row(
                "" if at else platform, rates, last["bound_by"], parts,
                _from_to(first["usd_month"], last["usd_month"], ",.0f"),
                _from_to(first["usd_gb_in"], last["usd_gb_in"], ".3g"), last["support"] if last["feasible"] else "",
            )  # fmt: skip
    console.print(table)
    for text in document["support"]["sentences"]:
        _write(console, text)
    limit = document["partition_mb_s"]
    alike = "Assumed: bytes and CPU per event stay as they are"
    _write(console, f"{alike}; a partition carries {limit:g} MB/s at peak before there are more of them.")


def _size(mb_s: float) -> str:
    return f"{mb_s:,.0f}" if mb_s >= 100 else f"{mb_s:.3g}"


def _from_to(first: float | None, last: float | None, digits: str) -> str:
    if first is None or last is None:
        return "-" if first is last is None else "no total at one end"
    ends = dict.fromkeys(format(end, digits) for end in (first, last))
    return " to ".join(ends)


def tell_leaving(document: Document) -> None:
    """What leaving takes once, what it changes a month, when it has paid, and what all that assumes."""
    console, once, usd = wide_console(), document["once"], document["usd_month"]
    table = _table(f"Leaving {document['from']} for {document['to']}", {"": False, "USD": True})
    for name, key in (
        ("people who change what speaks to it", "rewrite_usd"), ("both side by side", "both_run_usd"),
        ("one more reader of the old one, meanwhile", "mirror_usd"), ("data that crosses", "crossing_usd"),
    ):  # fmt: skip
        table.add_row(name, "no price" if once[key] is None else f"{once[key]:,.0f}")
    table.add_row("once, in all", ("at least " if once["at_least"] else "") + f"{once['usd']:,.0f}")
    for name, key in ((document["from"], "from"), (document["to"], "to"), ("difference", "saved")):
        table.add_row(f"{name}, a month", f"{usd[key]:,.0f}")
    console.print(table)
    for text in document["sentences"]:
        _write(console, text)
    bands = (f"{path} {n['value']:g}" + (f" ({n['low']:g} to {n['high']:g})" if n["low"] is not None else "")
             for path, n in document["assumed"].items())  # fmt: skip
    _write(console, f"Assumed: {'; '.join(bands)}. Not priced: what a vendor asks for reading old data, contracts that "
                    "run on.")  # fmt: skip


def tell_promptness(rows: Iterable[Document]) -> None:
    """Losses and bills of each cadence under each tau."""
    names = ("tau", "cadence", "lost, USD a month", "bill, USD a month", "all, USD a month")
    table = _table("", {name: _is_amount(name) for name in names})
    for row in rows:
        usd = (row[f"{part}_usd_month"] for part in ("lost", "bill", "total"))
        table.add_row(row["tau"], row["cadence"], *(f"{amount:,.0f}" for amount in usd))
    wide_console().print(table)


def _lines(lines: Iterable[Document]) -> Table:
    names = ("line", "kind", "quantity", "unit", "USD a unit", "USD a month", "price", "source, as of (confidence)")
    table = _table("", {name: name.startswith(("USD", "quantity")) for name in names})
    for line in lines:
        price, unpriced = line["price"], line["usd_month"] is None
        source = price["source"] + (f", {price['as_of']}" if price["as_of"] else "") + f" ({price['confidence']})"
        amounts = ("no price", "no price") if unpriced else (f"{line['unit_price']:.6g}", f"{line['usd_month']:,.2f}")
        quantity = f"{line['quantity']:,.6g}" if line["quantity"] < 1e6 else f"{line['quantity']:,.0f}"
        table.add_row(line["item"], line["kind"], quantity, line["unit"], *amounts, price["id"], source)
    return table


def _bound(bound: Document) -> str:
    shadow = bound["shadow_usd_month"]
    told = f"bound by {bound['constraint']}" + (f"; next: {bound['next']}" if bound["next"] else "")
    if not bound["shadow_of"]:
        return told
    usd = "what has no price" if shadow is None else f"{shadow:,.4g} a month"
    return f"{told}; one more {bound['shadow_of']} costs {usd}"


def _kinds(row: Document) -> str:
    changes = {kind["kind"]: (kind["b_usd_month"] or 0) - (kind["a_usd_month"] or 0) for kind in row["kinds"]}
    ranked = sorted(changes.items(), key=lambda item: -abs(item[1]))
    return ", ".join(f"{kind} {change:+,.2f}" for kind, change in ranked if abs(change) >= 0.005)


def _table(title: str, columns: Mapping[str, bool]) -> Table:
    """`columns`: name -> whether it holds amounts."""
    from rich.table import Table

    table = Table(title=title or None, title_justify="left")
    for name, amounts in columns.items():
        table.add_column(name, justify="right" if amounts else "left", overflow="fold")
    return table


def _is_amount(name: str) -> bool:
    return "USD" in name.upper() or "$" in name


def _usd(value: float | None) -> str:
    return "none" if value is None else f"{value:,.2f}"


def _write(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False)
