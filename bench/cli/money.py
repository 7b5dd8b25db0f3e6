"""cost, prices: what a stream costs, and from which prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import answer, as_json, bills, cli, say, wide_console
from bench.errors import ScenarioError

if TYPE_CHECKING:
    from costmodel import AsBuilt, Option, Usage
    from costmodel.breakeven import BreakEven
    from costmodel.prices import Catalog
    from reports.report import AnyFigure


@cli.command()
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--platform", "--stack", "platforms", multiple=True, help="A platform, or a stack KAFKA+FLINK. All that fit."
)
@click.option("--set", "assumptions", multiple=True, metavar="KEY=VALUE", help="Another pricing assumption of results.")
@click.option("--catalog", "catalogs", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Prices from this folder; given twice: what changes between the two.")  # fmt: skip
@click.option(
    "--break-even", "axis", metavar="AXIS", help="rate, fan-out, retention or partitions: where two platforms flip."
)
@click.option("--from", "low", metavar="LOW", default="0.1", show_default=True, help="Start of the --break-even axis.")
@click.option("--to", "high", metavar="HIGH", default="1000", show_default=True, help="End of the --break-even axis.")
@click.option("--figure", type=click.Path(dir_okay=False, path_type=Path), help="Draw the --break-even (SVG or PNG).")
@click.option("--odds", is_flag=True, help="How often each is the cheaper one, and what to measure next.")
@click.option("--draws", type=click.IntRange(20, 100_000), default=1000, show_default=True, help="Draws of --odds.")
@click.option("--claims", is_flag=True, help="Judge the claims that bills decide; needs no SOURCES.")
@click.option("--lines", is_flag=True, help="Below the table: parts and why, each line with its price's source.")
@click.option("--report", "report", type=click.Path(file_okay=False, path_type=Path),
              help="Write the report there: bills, odds, what moves them, what binds.")  # fmt: skip
@click.option("--open", "open_", is_flag=True, help="Show that report in the browser (written to results/cost).")
@click.option("--csv", "csv_", is_flag=True, help="Every line of the bills, in FOCUS columns.")
@as_json
def cost(sources: tuple[Path, ...], platforms: tuple[str, ...], **how: Any) -> None:
    """The monthly bill of SOURCES: usage.yaml, deployment.yaml, or results/SCENARIO (each of its cells).

    Two usages, or two --catalog, are also compared.
    """
    from costmodel import prices as catalogues

    if how["claims"]:
        _judge_claims(json_=how["json_"])
        return
    if not sources:
        raise ScenarioError("cost: expected a usage.yaml, a deployment.yaml or a results folder (or --claims)")
    wanted = list(platforms) or None
    catalogs = [catalogues.load(folder) for folder in how["catalogs"]] or [catalogues.built_in()]
    usages = _usages(sources, assumptions(how["assumptions"]))
    if how["axis"]:
        _break_even(usages, wanted, catalogs[0], how)
        return
    if how["odds"]:
        _tell_odds(usages, wanted, catalogs[0], how)
        return
    if how["report"] or how["open_"]:
        from bench.cli import costpage

        costpage.write(usages, wanted, catalogs[0], how)
        return
    priced = _priced(usages, wanted, catalogs)
    if how["csv_"]:
        from costmodel.formats import focus_csv

        click.echo(focus_csv(priced), nl=False)
        return
    _tell_costs(usages, priced, json_=how["json_"], lines=how["lines"])


def _usages(sources: Sequence[Path], assumptions: Mapping[str, Any]) -> dict[str, Usage | AsBuilt]:
    """Label -> what has to be carried: a file is one, a results folder one a cell."""
    import costmodel

    found: dict[str, Usage | AsBuilt] = {}
    for source in sources:
        if source.is_dir():
            from bench import study  # brings pandas and scipy, which a usage file does not need
            from bench.cli import runcosts

            prefix = f"{source.name}: " if len(sources) > 1 else ""
            cells = runcosts.usages(study.recall(source, judged=False), assumptions)
            found |= {f"{prefix}{label}": usage for label, usage in cells.items()}
        else:
            label = source.stem if source.stem not in found else str(source)
            found[label] = costmodel.load(source)
    if not found:
        raise ScenarioError(f"{sources[0]}: no finished run carries what a bill needs, expected wire_bytes_per_event")
    return found


def only_usage(source: Path) -> Usage:
    """The one usage that SOURCE stands for; of results the first cell's."""
    import costmodel

    label, usage = next(iter(_usages([source], {}).items()))
    if isinstance(usage, costmodel.AsBuilt):
        raise ScenarioError(f"{label}: a deployment carries no load; expected a usage.yaml or a results folder")
    return usage


def _judge_claims(*, json_: bool) -> None:
    """Verdicts on every claim that has a hypothesis about bills, each from draws of all that is uncertain."""
    from bench.verdict import Cost, Evidence, judge, load_claims
    from costmodel.odds import estimates

    claims = [claim for claim in load_claims(None) if any(isinstance(h, Cost) for h in claim.hypotheses)]
    verdicts = judge(claims, Evidence((), estimates()))
    if json_:
        answer({"schema": 1, "verdicts": [verdict.to_json() for verdict in verdicts]})
        return
    says = {(claim.claim, h.name): h.says for claim in claims for h in claim.hypotheses}
    for verdict in verdicts:
        if verdict.primary:
            click.echo(f"\n{verdict.claim}: {str(verdict.verdict).upper()}\n  \u201c{verdict.quoted}\u201d")
        click.echo(f"  {says[verdict.claim, verdict.hypothesis]}\n    {verdict.sentence}")


def _priced(
    usages: Mapping[str, Usage | AsBuilt], wanted: Sequence[str] | None, catalogs: Sequence[Catalog]
) -> dict[str, list[Option]]:
    import costmodel

    if len(catalogs) == 1:
        return {label: costmodel.price(usage, wanted, prices=catalogs[0]) for label, usage in usages.items()}
    (label, usage), *others = usages.items()
    if others or len(catalogs) != 2:
        raise ScenarioError("--catalog twice compares two catalogues for one usage; expected one SOURCE")
    return {
        f"{label}, {name} catalogue": costmodel.price(usage, wanted, prices=catalog)
        for name, catalog in zip(("first", "second"), catalogs, strict=True)
    }


def _tell_costs(
    usages: Mapping[str, Usage | AsBuilt], priced: Mapping[str, list[Option]], *, json_: bool, lines: bool
) -> None:
    from datetime import UTC, datetime

    import costmodel
    from costmodel.formats import basis, diff, rules

    today = datetime.now(UTC).date()
    only = next(iter(usages.values()))  # two catalogues price one usage
    of = {label: usages.get(label, only) for label in priced}
    documents = {label: costmodel.to_json(options, of[label], today=today) for label, options in priced.items()}
    compared = diff(*priced.values()) if len(priced) == 2 else None
    if json_:
        if len(documents) == 1:
            answer(next(iter(documents.values())))
        else:
            answer({"schema": 1, "cells": documents} | ({"difference": compared} if compared else {}))
        return
    for label, options in priced.items():
        usage = of[label]
        rests = () if isinstance(usage, costmodel.AsBuilt) else (rules(usage), *basis(usage))
        carried = documents[label].get("extrapolation")
        bills.tell_options(label, options, documents[label], (*rests, *([carried["sentence"]] if carried else ())))
        if lines:
            bills.tell_lines(documents[label])
    if compared:
        bills.tell_difference(list(priced), compared)
    for text in dict.fromkeys(text for document in documents.values() for text in document.get("warnings", ())):
        say(text)


def _tell_odds(
    usages: Mapping[str, Usage | AsBuilt], wanted: Sequence[str] | None, catalog: Catalog, how: Mapping[str, Any]
) -> None:
    found = {label: odds(label, usage, wanted, catalog, how["draws"]) for label, usage in usages.items()}
    if how["json_"]:
        answer(next(iter(found.values())) if len(found) == 1 else {"schema": 1, "cells": found})
        return
    for label, document in found.items():
        bills.tell_odds(label, document)


def odds(
    label: str, usage: Usage | AsBuilt, wanted: Sequence[str] | None, catalog: Catalog, draws: int
) -> dict[str, Any]:
    """The document of `cost --odds --json` of one usage: every Kafka that fits, or those that were named."""
    import costmodel
    from costmodel import paired
    from costmodel import platforms as registry
    from costmodel.option import described

    if isinstance(usage, costmodel.AsBuilt):
        raise ScenarioError(f"{label}: a deployment stands as it is, nothing in it is uncertain; expected a usage")
    catalog.require_region(usage.region)
    kafka = [name for name in described(usage) if registry.named(name).role == "kafka"]
    drawn = paired.compare(usage, wanted or kafka, prices=catalog, draws=draws)
    return paired.to_json(drawn, usage, prices=catalog)


def _break_even(
    usages: Mapping[str, Usage | AsBuilt], wanted: Sequence[str] | None, catalog: Catalog, how: Mapping[str, Any]
) -> None:
    import costmodel
    from costmodel.breakeven import break_even

    if wanted is None or len(wanted) != 2:
        raise ScenarioError("--break-even compares two platforms: expected --platform A --platform B")
    for label, usage in usages.items():
        if isinstance(usage, costmodel.AsBuilt):
            raise ScenarioError(f"{label}: a deployment stands as it is; expected a usage for --break-even")
        low, high = number(how["low"], "--from"), number(how["high"], "--to")
        found = break_even(usage, *wanted, axis=how["axis"], low=low, high=high, prices=catalog)
        if how["figure"]:
            _draw(found, how["figure"])
        if how["json_"]:
            answer({
                "schema": 1, "usage": label, "a": found.a, "b": found.b, "axis": found.axis, "unit": found.unit,
                "sentence": found.sentence(),
                "crossings": [{"low": float(c.low), "high": float(c.high), "below": c.below, "above": c.above}
                              for c in found.crossings],
                "points": [{"x": float(p.x), "a_usd_month": _float(p.a_usd_month), "b_usd_month": _float(p.b_usd_month)}
                           for p in found.points],
            })  # fmt: skip
        else:
            click.echo(f"{label}: {found.sentence()}")


def _draw(found: BreakEven, path: Path) -> None:
    from reports import billing

    write_figure(billing.break_even(found), path)


def write_figure(figure: AnyFigure, path: Path) -> None:
    """The figure as a file, in the format of its name."""
    from reports import figures

    if path.suffix not in (".svg", ".png"):
        raise ScenarioError(f"--figure {path}: expected a name that ends in .svg or .png")
    if path.suffix == ".png":
        path.write_bytes(figures.png(figure))
    else:
        path.write_text(figures.svg_file(figure), encoding="utf-8")
    say(str(path))


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def number(word: str, option: str) -> Decimal:
    """The number after an option; ScenarioError if it is none."""
    try:
        return Decimal(word)
    except InvalidOperation:
        raise ScenarioError(f"{option} {word}: expected a number") from None


def assumptions(words: Sequence[str], option: str = "--set", example: str = "retention_days=3") -> dict[str, Any]:
    """KEY=VALUE words of an option, values as YAML reads them. ScenarioError, with the option, for what is none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        try:
            found[key] = YAML(typ="safe").load(value)
        except YAMLError:
            equals = ""
        if not equals:
            raise ScenarioError(f"{option} {word}: expected KEY=VALUE, such as {example}")
    return found


@cli.group()
def prices() -> None:
    """The price catalogues: what they hold, what changed, what AWS says now."""


@prices.command("list")
@click.argument("word", default="")
@click.option("--region", help="Only this region, and what costs the same everywhere.")
@as_json
def prices_list(word: str, region: str | None, json_: bool) -> None:
    """Prices whose id holds WORD, with source, date and confidence."""
    from rich.table import Table

    from costmodel.prices import built_in
    from costmodel.refresh import listing

    rows = listing(built_in(), word, region)
    if json_:
        answer(rows)
        return
    if not rows:
        raise ScenarioError(f"no price whose id holds {word!r}" + (f" in {region}" if region else ""))
    table = Table()
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    wide_console().print(table)


@prices.command("diff")
@click.argument("old", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("new", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@as_json
def prices_diff(old: Path, new: Path | None, json_: bool) -> None:
    """Prices that differ between the catalogues in folders OLD and NEW (default: the built-in one)."""
    from costmodel.prices import built_in, load
    from costmodel.refresh import changes

    found = changes(load(old), load(new) if new else built_in())
    if json_:
        answer([{"id": c.id, "region": c.region, "before": _float(c.old), "after": _float(c.new)} for c in found])
        return
    for change in found:
        click.echo(f"{change.id} {change.region}: {change.old} -> {change.new}")
    say(f"{len(found)} prices differ")


@prices.command("refresh")
@click.option("--write", is_flag=True, help="Change the catalogue files; without it only the diff is printed.")
def prices_refresh(*, write: bool) -> None:
    """Ask AWS's Price List for every row that it has, and print what would change as a diff to review."""
    from costmodel.refresh import client, refresh

    diff = refresh(client(), write=write)
    click.echo(diff, nl=False)
    say("every price agrees" if not diff else "written" if write else "not written; give --write to change the files")
