"""simulate: what a fleet, a growing stream, faster results and a change of platform would cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import answer, as_json, bills, cli, say
from bench.cli.money import number, only_usage, write_figure
from bench.errors import ScenarioError

if TYPE_CHECKING:
    from bench.analysis.intervals import Estimate
    from costmodel.arrivals import Load
    from costmodel.outcomes import Outcome
    from costmodel.promptness import Promptness, Row
    from costmodel.simulate import Plan
    from costmodel.usage import Usage


@cli.group()
def simulate() -> None:
    """What would be: fleets that follow their load, growth, the value of latency, the price of leaving.

    A simulation illustrates with measured and assumed numbers; it decides nothing about a real cluster.
    """


@simulate.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Load, speed of scaling and policies; without it costmodel/examples/plan.yaml.",
)
@click.option(
    "--platform",
    default="flink-ec2",
    show_default=True,
    help="Whose units follow the load: flink-ec2, flink-managed-aws or flink-confluent.",
)
@click.option("--frontier", is_flag=True, help="Also autoscaling at every target: the least lag for the money.")
@click.option("--figure", type=click.Path(dir_okay=False, path_type=Path),
              help="Draw dollars against lag of every policy (SVG or PNG).")  # fmt: skip
@click.option("--saving", metavar="USD", help="How large a stream would save USD a month?")
@as_json
def fleet(
    source: Path,
    plan_file: Path | None,
    platform: str,
    figure: Path | None,
    saving: str | None,
    *,
    frontier: bool,
    json_: bool,
) -> None:
    """Policies for the Flink fleet of SOURCE (usage.yaml or results/SCENARIO), by the minute: dollars and lag."""
    from costmodel import simulate as simulation
    from costmodel.frontier import frontier as every_target
    from costmodel.outcomes import to_json

    usage = only_usage(source)
    file = plan_file or simulation.EXAMPLE
    plan = simulation.read(file)
    if plan_file is None:  # the example's policies are nobody's own: what is not sold here is left out
        plan, left = simulation.sold(plan, usage, platform)
        for text in left:
            say(text)
    load = simulation.load_of(plan, usage, file.parent)
    if saving is not None:
        _needed(plan, usage, platform, load, number(saving, "--saving"), json_=json_)
        return
    points = every_target(plan, usage, platform, load) if frontier else []
    outcomes = [point.outcome for point in points] or simulation.compare(plan, usage, platform, load)
    document = {
        "schema": 1,
        "load": {"minutes": load.minutes, "mean_eps": load.mean_eps, "peak_eps": load.peak_eps},
        "lag_limit_s": plan.lag_limit_s,
        "assumptions": simulation.assumptions(plan, usage),
        "policies": to_json(outcomes),
    } | ({"frontier": [point.outcome.policy for point in points if point.best]} if frontier else {})
    if figure is not None:
        from reports import costing

        write_figure(costing.tradeoff(document), figure)
    if json_:
        answer(document)
        return
    _tell(plan, outcomes, document)


def _tell(plan: Plan, outcomes: Sequence[Outcome], document: dict[str, Any]) -> None:
    from costmodel.outcomes import sentence

    bills.tell_policies(document)
    if "frontier" in document:
        click.echo(f"Nothing costs less at no more lag than: {', '.join(document['frontier'])}.")
    else:
        for outcome in outcomes:
            click.echo(sentence(outcome, outcomes[0], plan.lag_limit_s))
    for text in dict.fromkeys(f"{each.platform}: {note}" for each in outcomes for note in each.notes):
        click.echo(text)
    for text in document["assumptions"]:
        click.echo(text)


def _needed(plan: Plan, usage: Usage, platform: str, load: Load, usd: Decimal, *, json_: bool) -> None:
    from costmodel.frontier import idle_units, inverse
    from costmodel.outcomes import saving_json

    if usd <= 0:
        raise ScenarioError(f"--saving {usd}: expected more than 0")
    found = inverse(plan, usage, platform, load, usd)
    idle = idle_units(usage, [platform], usd)
    if json_:
        rows = [
            {"policy": each.policy, "mean_eps": each.mean_eps, "mb_s": each.mb_s, "units": each.units,
             "usd_month": float(each.usd_month), "saving": saving_json(each.saving)}
            for each in found
        ]  # fmt: skip
        answer({"schema": 1, "saving_usd_month": float(usd), "idle": idle, "policies": rows})
        return
    click.echo(f"{float(usd):,.0f} USD a month are " + ", or ".join(idle) + ".")
    for each in found:
        click.echo(each.sentence(next(iter(plan.policies)), float(usd), plan.lag_limit_s))


@simulate.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--case",
    "case_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The loss, how fast it grows and the cadences; without it costmodel/examples/promptness.yaml.",
)
@click.option("--platform", default="flink-ec2", show_default=True, help="What computes it: a Flink.")
@click.option("--detector", "runs", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Recall, precision and lateness as measured, cell by cell: results/fraud-detection.")  # fmt: skip
@as_json
def promptness(source: Path, case_file: Path | None, platform: str, runs: Path | None, *, json_: bool) -> None:
    """What it is worth to act sooner: losses by delay against the bill of daily, hourly, 5-minute and streaming."""
    from costmodel import promptness as prompt

    asked, usage = prompt.read(case_file or prompt.EXAMPLE), only_usage(source)
    if runs is None:
        rows = prompt.compare(asked, usage, platform)
        if json_:
            answer(prompt.to_json(rows))
        else:
            _tell_prompt(asked, rows, "assumed")
        return
    found = {
        label: (one, told, [] if one is None else prompt.compare(one, usage, platform))
        for label, one, told in _detectors(asked, runs)
    }
    if json_:
        detectors = {label: {**prompt.to_json(rows), "measured": told} for label, (_, told, rows) in found.items()}
        answer({"schema": 1, "detectors": detectors})
        return
    for label, (one, told, rows) in found.items():
        click.echo(f"\n{label}: {told}")
        if one is not None:
            _tell_prompt(one, rows, "measured")


def _detectors(asked: Promptness, folder: Path) -> Iterator[tuple[str, Promptness | None, str]]:
    """(cell, the case with its detector, what was measured) of every cell that knows how well it detects.

    Without a case where recall or precision is 0: what false alarms cost, by their number for each case found, has no
    answer then.
    """
    from bench import study
    from costmodel import promptness as prompt
    from reports.wording import arm_label

    none = True
    for cell in study.recall(folder, judged=False).cells:
        recall, precision = cell.metrics.get("recall"), cell.metrics.get("precision")
        if recall is None or not math.isfinite(recall.value):
            continue
        if recall.value == 0 or (precision is not None and precision.value <= 0):
            none, how = False, "found nothing, all is lost at any cadence"
            if recall.value > 0:
                how = "of its alarms so many are false that no precision says what they cost"
            yield arm_label(cell.knobs), None, f"{_interval('recall', recall)}: {how}"
            continue
        if precision is None or not math.isfinite(precision.value):
            continue
        late = cell.metrics.get("alert_latency_ms p50") or cell.metrics.get("alert_latency_ms")
        told = ", ".join(_interval(name, each) for name, each in (("recall", recall), ("precision", precision)))
        told += ", an alert's lateness not measured" if late is None else f", alerts {late.value / 1000:.3g} s late"
        none, late_s = False, None if late is None else late.value / 1000
        yield arm_label(cell.knobs), prompt.measured(asked, recall.value, precision.value, late_s), told
    if none:
        raise ScenarioError(f"{folder}: no finished run has recall and precision, expected results/fraud-detection")


def _interval(name: str, each: Estimate) -> str:
    band = "" if each.low is None else f" ({each.low:.3f} to {each.high:.3f})"
    return f"{name} {each.value:.3f}{band}, n = {each.n}"


def _tell_prompt(asked: Promptness, rows: list[Row], how: str) -> None:
    from costmodel import promptness as prompt

    bills.tell_promptness([vars(row) for row in rows])
    for text in prompt.sentences(rows):
        click.echo(text)
    click.echo(
        f"Assumed: {asked.loss.usd_month:,.0f} USD a month are lost under {asked.loss.under}; {how}: recall "
        f"{asked.detector.recall:.3g}, precision {asked.detector.precision:.3g}; false alarms "
        f"{asked.detector.false_alarms_usd_month:,.0f} USD a month at every cadence. Batches without storage."
    )


@simulate.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--platform", "--stack", "platforms", multiple=True,
              help="A platform, or a stack KAFKA+FLINK; repeatable. All that fit.")  # fmt: skip
@click.option("--from-mb-s", "low", metavar="MB/S", default="1", show_default=True, help="The smallest stream.")
@click.option("--to-mb-s", "high", metavar="MB/S", default="1000", show_default=True, help="The largest.")
@click.option("--partition-mb-s", "partition", metavar="MB/S", default="10", show_default=True,
              help="What one partition carries at peak before there are more (assumed).")  # fmt: skip
@click.option("--figure", type=click.Path(dir_okay=False, path_type=Path), help="Draw USD per GB by size (SVG or PNG).")
@as_json
def growth(  # noqa: PLR0917 -- one parameter an option
    source: Path, platforms: tuple[str, ...], low: str, high: str, partition: str, figure: Path | None, *, json_: bool
) -> None:
    """The stream of SOURCE from small to large: what binds each platform, dollars, where measured support ends."""
    from costmodel import extrapolation
    from costmodel import growth as growing

    usage = only_usage(source)
    reach = extrapolation.support(usage, extrapolation.recorded())
    found = growing.grow(
        usage, platforms, low=number(low, "--from-mb-s"), high=number(high, "--to-mb-s"),
        partition_mb_s=number(partition, "--partition-mb-s"), reach=reach,
    )  # fmt: skip
    document = growing.to_json(found)
    if figure is not None:
        from reports import costing

        write_figure(costing.growth(document), figure)
    if json_:
        answer(document)
        return
    bills.tell_growth(document)


@simulate.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--from", "old", required=True, metavar="PLATFORM", help="What is left.")
@click.option("--to", "new", required=True, metavar="PLATFORM", help="What it is left for.")
@click.option("--case", "case_file", type=click.Path(dir_okay=False, path_type=Path),
              help="People, time side by side, data to copy; without it costmodel/examples/leaving.yaml.")  # fmt: skip
@click.option("--within", "horizon", type=click.IntRange(1, 120), default=24, show_default=True,
              help="Months in which leaving has to pay, for the sizes at which it does.")  # fmt: skip
@click.option("--draws", type=click.IntRange(20, 100_000), default=1000, show_default=True, help="Draws of all bands.")
@as_json
def leaving(  # noqa: PLR0917 -- one parameter an option
    source: Path, old: str, new: str, case_file: Path | None, horizon: int, draws: int, *, json_: bool
) -> None:
    """What it takes to leave a platform (rewriting, running both, moving data), and when the other bill has paid it."""
    from costmodel import leaving as exits

    case = exits.read(case_file or exits.EXAMPLE)
    document = exits.to_json(exits.leave(only_usage(source), old, new, case, draws=draws, horizon=horizon), case)
    if json_:
        answer(document)
        return
    bills.tell_leaving(document)
