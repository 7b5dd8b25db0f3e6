"""validate: topics that exist, a live cluster's or a file's, against what runs have shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import Span, answer, as_json, cli, leave, say, wide_console
from bench.cli.advising import evidence, stale
from bench.cli.live import command_config
from bench.errors import ScenarioError

if TYPE_CHECKING:
    from costmodel.inventory import Topic
    from costmodel.review import Judged
    from costmodel.topicbills import Costs

DEFAULT_PLATFORM = "self-ec2"


@cli.group()
def validate() -> None:
    """What you already run, held against recorded runs."""


@validate.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--bootstrap", metavar="HOST:PORT", help="A live cluster instead of FILE; it is only read.")
@click.option("--window", "window_s", type=Span(3), default=60.0, show_default=True,
              help="Seconds to watch the cluster.")  # fmt: skip
@click.option("--record-bytes", type=Span(0, min_open=True),
              help="Of one record, where the cluster does not show log directories.")  # fmt: skip
@click.option("--compression-ratio", type=Span(0, min_open=True), default=1.0, show_default=True,
              help="Raw over stored bytes, which a cluster cannot know.")  # fmt: skip
@click.option("--growth", type=Span(1), default=2.0, show_default=True,
              help="What topics may grow to before partitions have to be added.")  # fmt: skip
@click.option("--slo-ms", type=Span(0, min_open=True), default=500.0, show_default=True,
              help="Limit on the 99th percentile.")  # fmt: skip
@click.option("--peak-to-mean", "peak", type=Span(1), default=1.5, show_default=True,
              help="Busiest minutes over the mean, of a topic that does not say.")  # fmt: skip
@click.option("--results", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="The runs to judge by: results/SCENARIO or studies/SCENARIO.")  # fmt: skip
@click.option("--where", "where", multiple=True, metavar="KEY=VALUE", help="Only runs with this setting.")
@click.option("--set", "pricing", multiple=True, metavar="KEY=VALUE", help="Another pricing assumption of the results.")
@click.option("--platform", "platforms", multiple=True, help=f"What to price them on; {DEFAULT_PLATFORM} else.")
@click.option("--fail-on", "fail_on", multiple=True, type=click.Choice(["under", "over", "not-shown"]),
              help="Exit with 1 if a topic is so.")  # fmt: skip
@command_config
@as_json
def partitions(file: Path | None, bootstrap: str | None, **how: Any) -> None:
    """Topic by topic: under-, well- or over-partitioned, why, and what it costs a month.

    FILE is a topics.yaml or .csv: topic, partitions, mb_s, and if known record_bytes, consumers, groups, keyed, skew,
    peak_to_mean, growth, consumer_mb_s, replication_factor, retention_days.
    """
    from costmodel.platforms import named
    from costmodel.prices import built_in
    from costmodel.review import Rules, review
    from costmodel.reviewed import to_json
    from costmodel.topicbills import prices_of

    platforms = list(how["platforms"]) or [DEFAULT_PLATFORM]
    for name in platforms:
        named(name)  # a wrong word is answered before a cluster is watched for a minute
    ladder = evidence(how["results"], how["where"], how["pricing"])
    topics, unseen = _topics(file, bootstrap, how)
    rules = Rules(how["slo_ms"], how["growth"], how["peak"])
    judged = review(topics, ladder, rules)
    costs = prices_of(judged, ladder, platforms, built_in(), rules)
    document = to_json(judged, costs, ladder, rules, unseen)
    if how["json_"]:
        answer(document)
    else:
        _tell(document, judged, costs)
    for text in stale({platform: {0: option} for platform, option in costs.now.items()}):
        say(text)
    if any(document["counts"][kind.replace("-", " ")] for kind in how["fail_on"]):
        leave(1)


def _topics(file: Path | None, bootstrap: str | None, how: Mapping[str, Any]) -> tuple[Sequence[Topic], Sequence[str]]:
    """What is to be judged, and what of it could not be seen."""
    if (file is None) == (bootstrap is None):
        raise ScenarioError("validate partitions: expected a topics file, or --bootstrap HOST:PORT")
    if file is not None:
        from costmodel.inventory import read

        return read(file), ()
    assert bootstrap is not None
    from costmodel.watch import watch

    say(f"watching {bootstrap} for {how['window_s']:.0f} s")
    ratio, record = how["compression_ratio"], how["record_bytes"]
    found = watch(
        bootstrap, window_s=how["window_s"], compression_ratio=ratio, record_bytes=record, config=how["config"]
    )
    return found.topics, found.unseen


def _tell(document: Mapping[str, Any], judged: Sequence[Judged], costs: Costs) -> None:
    from rich.table import Table

    from costmodel.reviewed import far_fills

    console = wide_console()

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    line(f"{document['sentence']}.")
    for text in document["unseen"]:
        line(f"  ! {text}")
    platforms = list(costs.now)
    table = Table()
    for name in ("topic", "is", "partitions", "needs", "after growth", "why", *(f"USD on {p}" for p in platforms)):
        table.add_column(name, justify="left" if name in ("topic", "is", "why") else "right", overflow="fold")
    for one in judged:
        usd = costs.by_topic.get(one.topic.name, {})
        table.add_row(
            one.topic.name, str(one.kind), f"{one.topic.partitions:,}", _span(one.low, one.needs), _count(one.later),
            one.why, *(_money(usd[platform]) if platform in usd else "" for platform in platforms),
        )  # fmt: skip
    console.print(table)
    line(
        "needs: the fewest partitions not ruled out to the fewest shown to do; USD: a month as it is, less as advised."
    )
    for platform, month in document["usd_month"].items():
        now, then = (_money(month[key]) for key in ("now", "as_advised"))
        broken = costs.now[platform].infeasible
        why = f"; infeasible: {broken.reason}" if broken else ""
        line(f"{platform}: {now} USD a month now, {then} as advised{why}.")
    if far := far_fills(costs):
        line(f"{far}.")
    if document["unpriced"]:
        line(f"Not priced, for their bytes are not known: {', '.join(document['unpriced'])}.")
    rules = document["rules"]
    line(
        f"Judged by {document['evidence']}: p99 below {rules['slo_ms']:g} ms; of topics that do not say, assumed: "
        f"{rules['peak_to_mean']:g} x the mean in the busiest minutes, growing {rules['growth']:g} x, kept "
        f"{rules['retention_days']:g} days in {rules['replication_factor']:g} copies and read by {rules['groups']:g} "
        "groups, keys that are evenly busy; over is more than twice what is needed after growth, and more than 6."
    )


def _count(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _span(low: int | None, high: int | None) -> str:
    return _count(high) if low == high else f"{_count(low)} to {_count(high)}"


def _money(usd: float | None) -> str:
    return "no total" if usd is None else f"{usd:,.2f}"
