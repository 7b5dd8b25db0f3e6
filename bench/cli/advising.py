"""advise: how many partitions a topic needs, and whether it takes Flink or a serverless stream, with dollars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import Span, answer, as_json, cli, say, share, wide_console
from bench.cli.money import assumptions, write_figure
from bench.errors import ScenarioError

if TYPE_CHECKING:
    from costmodel.advice import Advice, Need
    from costmodel.ladder import Ladder
    from costmodel.option import Option

STUDIES = Path(__file__).resolve().parents[2] / "studies"
STACK_EVIDENCE = "quickstart"  # what events take where nobody says
MOST_NAMED = 12  # runs in the text
EVIDENCE = ("partition-sizing", "quickstart")  # recorded studies that are asked if none is named, the best first


@cli.group()
def advise() -> None:
    """Answers from recorded runs and bills: how many partitions, and whether Kafka alone will do."""


@advise.command()
@click.option("--target-mbps", "target_mb_s", type=Span(0, min_open=True), required=True, metavar="MB/S",
              help="Mean MB/s of uncompressed records that the topic has to carry.")  # fmt: skip
@click.option("--record-bytes", type=Span(0, min_open=True), help="Bytes of one record; else the runs'.")
@click.option("--consumers", type=click.IntRange(1), help="Consumers in the largest group; else 1.")
@click.option("--consumer-mbps", "consumer_mb_s", type=Span(0, min_open=True), metavar="MB/S",
              help="What one of your consumers reads; else what one of the runs' did.")  # fmt: skip
@click.option("--growth", type=Span(1), help="How many times today's rate it has to carry later; else 1.")
@click.option("--slo-ms", type=Span(0, min_open=True), help="Limit on the 99th percentile; else 500.")
@click.option("--peak-to-mean", "peak", type=Span(1),
              help="Busiest minutes over the mean, as in a usage.yaml; else 1.5.")  # fmt: skip
@click.option("--skew", help="The busiest key's share of the traffic, such as 5%; else none stands out.")
@click.option("--results", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="The runs to answer from: results/SCENARIO or studies/SCENARIO.")  # fmt: skip
@click.option("--where", "where", multiple=True, metavar="KEY=VALUE",
              help="Only runs with this setting, such as producer.routing=sticky.")  # fmt: skip
@click.option("--set", "pricing", multiple=True, metavar="KEY=VALUE", help="Another pricing assumption of the results.")
@click.option("--platform", "platforms", multiple=True, help="Price only this one; else every Kafka that fits.")
@click.option("--usage", "usage_file", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the answer as a usage.yaml for `cost`.")  # fmt: skip
@click.option("--figure", type=click.Path(dir_okay=False, path_type=Path), help="Draw it (SVG or PNG).")
@as_json
def partitions(**how: Any) -> None:
    """The fewest partitions that carry a rate within a limit on latency, and the dollars of P, 2P and 10P."""
    from costmodel import advised
    from costmodel.advice import advise as answered
    from costmodel.advice import bills, usage
    from costmodel.prices import built_in

    ladder = evidence(how["results"], how["where"], how["pricing"])
    advice = answered(_need(how, ladder), ladder)
    priced = bills(advice, advised.counts(advice), list(how["platforms"]) or None, built_in())
    document = advised.to_json(advice, priced)
    if how["usage_file"]:
        if advice.partitions is None:
            raise ScenarioError(f"--usage {how['usage_file']}: no number of partitions was shown to carry it")
        how["usage_file"].write_text(usage(advice, advice.partitions).to_yaml(), encoding="utf-8")
        say(str(how["usage_file"]))
    if how["figure"]:
        _draw(advice, how)
    if how["json_"]:
        answer(document)
    else:
        _tell(document, priced)
    for text in stale(priced):
        say(text)


def _draw(advice: Advice, how: Mapping[str, Any]) -> None:
    from costmodel.prices import built_in
    from reports.advising import sizing

    if advice.partitions is None:
        raise ScenarioError(f"--figure {how['figure']}: no number of partitions was shown to carry it: nothing to draw")
    write_figure(sizing(advice, list(how["platforms"]) or None, built_in()), how["figure"])


def stale(priced: Mapping[str, Mapping[int, Option]]) -> list[str]:
    """A sentence if prices in use are old."""
    from datetime import UTC, datetime

    from costmodel.formats import warnings

    return warnings([option for options in priced.values() for option in options.values()], datetime.now(UTC).date())


def evidence(results: Path | None, where: Sequence[str], pricing: Sequence[str]) -> Ladder:
    """The ladder in a folder of results; without one in the best recorded study there is."""
    from bench import study
    from costmodel.advice import PRICED_BY
    from costmodel.documents import nearest
    from costmodel.rungs import ladder

    if results is None:
        results = next((STUDIES / name for name in EVIDENCE if (STUDIES / name).is_dir()), None)
        if results is None:
            raise ScenarioError(
                "no recorded study of partition counts; expected --results results/SCENARIO, which "
                "`streamgauge run partition-sizing` makes"
            )
        if results.name != EVIDENCE[0]:
            say(f"no {EVIDENCE[0]} study is recorded: {results.parent.name}/{results.name} answers instead")
    set_to = assumptions(pricing)
    for word in set_to:
        if word not in PRICED_BY:
            raise ScenarioError(f"--set {word}: not a pricing assumption of this answer; {nearest(word, PRICED_BY)}")
    found = study.recall(results, judged=False)
    for text in found.unreadable:
        say(text)
    told = "/".join(results.resolve().parts[-2:])
    known = {**found.scenario.pricing.model_dump(), **set_to}
    setting = assumptions(where, "--where", "producer.routing=sticky")
    return ladder(found.runs, told, where=setting, pricing=known)


def _need(how: Mapping[str, Any], ladder: Ladder) -> Need:
    from costmodel.advice import Need

    names = ("record_bytes", "consumers", "growth", "slo_ms", "peak")
    given: dict[str, Any] = {name: how[name] for name in names if how[name] is not None}
    if how["skew"] is not None:
        given["top_key"] = share(how["skew"], "--skew")
    left = frozenset({*names, "top_key"} - set(given))
    given.setdefault("record_bytes", ladder.record_bytes)
    return Need(target_mb_s=how["target_mb_s"], consumer_mb_s=how["consumer_mb_s"], assumed=left, **given)


def _tell(document: Mapping[str, Any], priced: Mapping[str, Mapping[int, Option]]) -> None:
    console = wide_console()

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    line(f"{document['sentence']}.")
    for text in document["warnings"]:
        line(f"  ! {text}")
    line("")
    for bound in document["because"]:
        count = "none" if bound["partitions"] is None else f"{bound['partitions']:,}"
        line(f"{bound['bound']:<11} {count:>6}  {bound['sentence']}")
    line("")
    line(f"What 6 would do: {document['six']['sentence']}.")
    if document["scale"]:
        line(f"When to scale: {document['scale']['sentence']}.")
    line(f"Share group: {document['share_group']['sentence']}.")
    if document["next"]:
        line(f"Measure next, {document['next']}.")
    console.print(_bytes(document))
    console.print(_dollars(priced))
    for platform, usd in document["usd_month"].items():
        for text in (*(f"{n} partitions: {why}" for n, why in usd["infeasible"].items()), *usd["notes"]):
            line(f"{platform}: {text}")
    line(f"Assumed: {'; '.join(document['assumed'])}.")
    trials = [run.split("/")[1] for run in document["runs"]]
    more = f" and {len(trials) - MOST_NAMED} more" if len(trials) > MOST_NAMED else ""
    named = ", ".join(trials[:MOST_NAMED]) + more
    line(f"From {document['evidence']['source']}, {len(trials)} runs (all of them with --json): {named}.")
    for text in document["evidence"]["others"]:
        line(f"Not used (--where): {text}")


def _bytes(document: Mapping[str, Any]) -> Any:
    from rich.table import Table

    from costmodel.numbers import times

    table = Table(title="By number of partitions, at today's mean", title_justify="left")
    grows = document["need"]["growth"] > 1
    words = ("today", *(["after growth"] if grows else []))
    table.add_column("partitions", justify="right")
    for name in words:
        table.add_column(name)
    table.add_column("enough up to, MB/s", justify="right")
    table.add_column("p99 of the runs nearest in load")
    for name in ("wire B/event", "disk B/event", "broker CPU-s/1M", "beyond the runs"):
        table.add_column(name, justify="right")
    quantities = ("wire_bytes_per_event", "disk_bytes_per_event", "broker_cpu_s_per_million_events")
    for row in document["at"]:
        known = [row[name] for name in quantities]
        most = max((one["beyond"] for one in known if one), default=1.0)
        beyond = times(most) if most > 1.005 else ""
        found = [row["today"], *([row["after_growth"]] if grows else [])]
        table.add_row(f"{row['partitions']:,}", *found, f"{row['enough_until_mb_s']:,.3g}",
                      _tail(row["nearest"]), *map(_quantity, known), beyond)  # fmt: skip
    return table


def _quantity(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "missing"
    half = 0.0 if found["low"] is None else (found["high"] - found["low"]) / 2
    return f"{found['value']:.3g}" + (f" ±{half:.2g}" if half > found["value"] / 1e4 else "")


def _tail(cell: Mapping[str, Any]) -> str:
    p99 = cell["p99_ms"]
    told = f"{min(p99):,.0f} to {max(p99):,.0f} ms" if p99 else "missing"
    return f"{told} ({cell['partitions']:,} at {cell['mb_s']:.3g} MB/s)"


def _dollars(priced: Mapping[str, Mapping[int, Option]]) -> Any:
    from rich.table import Table

    table = Table(title="USD a month today, by number of partitions", title_justify="left")
    table.add_column("platform")
    counts = list(dict.fromkeys(count for options in priced.values() for count in options))
    for count in counts:
        table.add_column(f"{count:,}", justify="right")
    for platform, options in sorted(priced.items(), key=_cheapest_first):
        table.add_row(platform, *(_month(options[count]) for count in counts))
    return table


def _cheapest_first(row: tuple[str, Mapping[int, Option]]) -> tuple[bool, float]:
    bills = [option.bill.usd_month for option in row[1].values() if option.bill and not option.bill.at_least]
    return not bills, float(min(bills, default=0))


def _month(option: Option) -> str:
    if option.bill is None:
        return "infeasible"
    least = "at least " if option.bill.at_least else ""
    flag = " *" if option.bill.unverified or option.unverified_quotas else ""
    return f"{least}{option.bill.usd_month:,.0f}{flag}"


@advise.command()
@click.option("--rate", "rate_eps", type=Span(0, min_open=True), required=True, metavar="EVENTS/S",
              help="Events a second, in the mean.")  # fmt: skip
@click.option("--record-bytes", type=Span(0, min_open=True), default=1000, show_default=True,
              help="Bytes of one record.")  # fmt: skip
@click.option("--copies", type=click.IntRange(1, 5), default=3, show_default=True,
              help="Durability: copies of each record; all but one may be lost at once.")  # fmt: skip
@click.option("--retention-days", type=Span(0, min_open=True), default=7, show_default=True,
              help="How long records are kept.")  # fmt: skip
@click.option("--fan-out", "readers", type=click.IntRange(1), default=1, show_default=True,
              help="Consumer groups that each read everything.")  # fmt: skip
@click.option("--windows", is_flag=True, help="Aggregates over windows of event time are needed.")
@click.option("--patterns", is_flag=True, help="Patterns over several events (CEP) are needed.")
@click.option("--from", "source", type=click.Path(path_type=Path),
              help="What events take: results/SCENARIO or a usage.yaml. [default: studies/quickstart]")  # fmt: skip
@click.option("--draws", type=click.IntRange(20, 100_000), default=400, show_default=True, help="Draws of all bands.")
@click.option("--usd-hour", type=Span(0, min_open=True), default=100, show_default=True, metavar="USD",
              help="Of people's time, to say what a difference is worth (assumed).")  # fmt: skip
@as_json
def stack(source: Path | None, draws: int, usd_hour: float, *, json_: bool, **need: Any) -> None:
    """Kafka only, Kafka + Flink, or serverless: what meets a need for the least money, and what would flip that."""
    from bench.cli.money import only_usage
    from costmodel import stack as stacks

    usage = only_usage(source or STUDIES / STACK_EVIDENCE)
    found = stacks.advise(usage, stacks.Need(**need), draws=draws, usd_hour=usd_hour)
    shown = {**stacks.to_json(found), "measured": _measured(found.need), "rests_on": stacks.rests_on(usage, found.need)}
    if json_:
        answer(shown)
        return
    _tell_stack(shown)


def _measured(need: Any) -> list[dict[str, str]]:
    """What the recorded studies say of what is needed: the claims about it, each with its verdict or that none ran."""
    from bench import book
    from bench.verdict import load_claims

    about = {"when-kafka-when-flink": True, "ingest-1m": need.rate_eps >= 100_000, "windowing": need.windows,
             "fraud-detection": need.patterns, "overkill-fan-out": need.readers > 1 and not need.processes}  # fmt: skip
    studies, _ = book.read((), STUDIES)
    entries = book.open_book(load_claims([name for name, asked in about.items() if asked]), studies, {})
    return [
        {"claim": one.claim.claim, "says": one.claim.primary.says, "state": str(one.state),
         "sentence": one.primary.sentence} for one in entries
    ]  # fmt: skip


def _tell_stack(shown: Mapping[str, Any]) -> None:
    from rich.table import Table

    console = wide_console()

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    for text in shown["sentences"]:
        line(text)
    table = Table(title_justify="left")
    for name in ("", "cheapest of its kind", "USD a month", "P10 to P90", "cheapest in", "bound by"):
        table.add_column(name, justify="right" if name in ("USD a month", "P10 to P90", "cheapest in") else "left")
    for row in shown["choices"]:
        usd = row["usd_month"]
        if usd is None:
            table.add_row(row["kind"], "-", "-", "-", "-", row["reason"])
        else:
            band, often = f"{usd['p10']:,.0f} - {usd['p90']:,.0f}", f"{row['cheapest_in']:.0%}"
            table.add_row(row["kind"], row["platform"], f"{usd['central']:,.0f}", band, often, row["bound_by"] or "")
    console.print(table)
    line("What would flip it:" if shown["flips"] else "Nothing that was tried would flip it.")
    for flip in shown["flips"]:
        line(f"  {flip['change']}: {flip['answer'] or 'nothing would meet that'}")
    line("Measured here:")
    for one in shown["measured"]:
        line(f"  {one['claim']}, {one['state']}: {one['says']}")
    for text in shown["rests_on"]:
        line(text)
    line("Not weighed: latency (who keeps records in an object store answers later), free tiers, people who are there "
         "already. A job is taken to read everything once and to write little.")  # fmt: skip
