"""The page of `cost --report`: bills, odds, what moves them, where they cross."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import say, wide_console
from bench.cli.money import odds

if TYPE_CHECKING:
    from costmodel import AsBuilt, Usage
    from costmodel.prices import Catalog
    from reports.report import Report


def write(
    usages: Mapping[str, Usage | AsBuilt], wanted: Sequence[str] | None, catalog: Catalog, how: Mapping[str, Any]
) -> None:
    """The pages of these bills: HTML first."""
    from datetime import UTC

    from reports import render

    where = how["report"] or Path("results") / "cost"
    told = report(usages, wanted, catalog, draws=how["draws"], now=datetime.now(UTC))
    if how["json_"]:
        click.echo(render.json(told), nl=False)
    else:
        render.terminal(told, wide_console())
    for path in render.write(told, where):
        if path.suffix in (".html", ".md"):
            say(str(path))
    if how["open_"]:
        click.launch(str(where / "report.html"))


def report(
    usages: Mapping[str, Usage | AsBuilt], wanted: Sequence[str] | None, catalog: Catalog, *, draws: int, now: datetime
) -> Report:
    """Bills, odds, what moves the two cheapest and where they cross."""
    import costmodel
    from costmodel.breakeven import break_even
    from reports import costing

    bills, drawn, flips = {}, {}, {}
    for label, usage in usages.items():
        priced = costmodel.price(usage, wanted, prices=catalog)
        bills[label] = costmodel.to_json(priced, usage, today=now.date())
        if not isinstance(usage, costmodel.AsBuilt):
            drawn[label] = odds(label, usage, wanted, catalog, draws)
            pair = drawn[label]["tornado"]["of"]
            if len(pair) == 2:
                low, high = Decimal("0.1"), Decimal(1000)
                flips[label] = break_even(usage, *pair, axis="rate", low=low, high=high, prices=catalog)
    name = next(iter(usages)) if len(usages) == 1 else f"{len(usages)} usages"
    return costing.tell(name, bills, drawn, flips, generated_utc=now.isoformat(timespec="seconds"))
