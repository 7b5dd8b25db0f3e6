"""The report of `cost`, and the figures of `cost --odds` and `simulate fleet`: numbers traced to their documents."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import fixtures
import pytest
from click.testing import CliRunner

import costmodel
from bench.cli import cli
from costmodel.breakeven import break_even
from costmodel.prices import built_in
from reports import costing, render
from reports.report import (
    Facts,
    Line,
    Number,
    Range,
    Report,
    Segment,
    Source,
    Stacks,
    Tornado,
    Tradeoff,
    figures,
    plain,
    tables,
    walk,
)

money = import_module("bench.cli.money")
import_module("bench.cli.forecasts")

EXAMPLES = Path(costmodel.__file__).parent / "examples"
PLATFORMS = ["self-ec2", "msk-standard", "kinesis-provisioned"]
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@dataclass(frozen=True)
class Made:
    """The report, and the documents it was made of."""

    bills: dict[str, Any]
    odds: dict[str, Any]
    report: Report


@pytest.fixture(scope="module")
def made() -> Made:
    usage, prices = costmodel.load(EXAMPLES / "flink-job.yaml"), built_in()
    assert isinstance(usage, costmodel.Usage)
    bills = {"job": costmodel.to_json(costmodel.price(usage, PLATFORMS), usage, today=NOW.date())}
    drawn = {"job": money.odds("job", usage, PLATFORMS, prices, 30)}
    flip = break_even(
        usage,
        "self-ec2",
        "msk-standard",
        axis="rate",
        low=Decimal(1),
        high=Decimal(100),
        prices=prices,
    )
    return Made(bills, drawn, costing.tell("job", bills, drawn, {"job": flip}, generated_utc=fixtures.UTC))


def value(made: Made, source: Source) -> float:
    """The number that a source names, from the documents."""
    return {"usage": value_used, "counted": value_counted, "bill": value_billed, "odds": value_drawn}[source.kind](
        made, source
    )


def value_used(made: Made, source: Source) -> float:
    path, part = source.path.split(" ")
    return float(made.bills[source.ref]["usage"][path][part])


def value_billed(made: Made, source: Source) -> float:
    label, _, platform = source.ref.partition("/")
    option = next(o for o in made.bills[label]["options"] if o["platform"] == platform)
    if source.path.startswith("kind "):
        kind = source.path.removeprefix("kind ")
        return float(sum(line["usd_month"] for line in option["lines"] if line["kind"] == kind))
    return follow(option, source.path)


def value_drawn(made: Made, source: Source) -> float:
    document = made.odds[source.ref]
    kind, _, rest = source.path.partition(".")
    if kind == "options":
        platform, _, path = rest.partition(".")
        return follow(next(o for o in document["options"] if o["platform"] == platform), path)
    if kind == "tornado":
        swing = next(s for s in document["tornado"]["swings"] if rest.startswith(s["name"]))
        return follow(swing, rest.removeprefix(swing["name"]).strip("."))
    return follow(document, source.path)


def value_counted(made: Made, source: Source) -> float:
    label = source.path.removesuffix(" assumed, not told")
    told = {"ingest.mb_s", "retention.days", "topics.replication_factor", "consumers.groups", "zones"}
    return float(sum(n["basis"] != "measured" and p not in told for p, n in made.bills[label]["usage"].items()))


def follow(node: Any, path: str) -> float:
    for name in path.split("."):
        node = node[int(name)] if isinstance(node, list) else node[name]
    return float(node)


def test_every_number_is_what_its_bill_or_its_draws_say(made: Made) -> None:
    """A page about money with one number that nobody can find again is worth as much as a guess."""
    numbers = [node for node in walk(made.report) if isinstance(node, Number)]
    assert len(numbers) > 100
    assert {number.source.kind for number in numbers} >= {"bill", "odds", "usage"}
    for number in numbers:
        assert number.value == pytest.approx(value(made, number.source)), number


def test_every_bar_is_what_its_document_says(made: Made) -> None:
    """A bar drawn from anything else than the bill would be believed before the table is read."""
    stacks = next(figure for figure in figures(made.report) if isinstance(figure, Stacks))
    assert [bar.arm for bar in stacks.bars] and not any(bar.group for bar in stacks.bars)  # one usage: nothing to group
    for segment in (node for node in walk(stacks) if isinstance(node, Segment)):
        assert segment.value == pytest.approx(value(made, segment.source))
    tornado = next(figure for figure in figures(made.report) if isinstance(figure, Tornado))
    for bar in (node for node in walk(tornado) if isinstance(node, Range)):
        path = f"{bar.source.path}.difference_usd_month"
        ends = [value(made, Source("odds", bar.source.ref, f"{path}.{end}")) for end in ("low", "high")]
        assert [bar.low, bar.high] == pytest.approx(ends)
    widths = [abs(bar.high - bar.low) for bar in tornado.bars]
    assert widths == sorted(widths, reverse=True)
    assert all(isinstance(node, Line) and node.values for node in walk(made.report) if isinstance(node, Line))


def test_the_four_questions_come_first_and_the_binding_constraint_is_told(made: Made) -> None:
    """Who has five minutes must not have to scroll for the answer, and wants to know what it hangs on."""
    facts = next(node for node in walk(made.report.sections[0]) if isinstance(node, Facts))
    told = {fact.name: plain(fact.words) for fact in facts.rows}
    assert list(told) == ["What to do", "How sure", "What it costs", "What it depends on"]
    first = max(made.odds["job"]["options"], key=lambda option: option["cheapest_in"])
    assert ("Choose" in told["What to do"]) == (first["cheapest_in"] >= costing.SURE)
    assert made.odds["job"]["tornado"]["measure_next"] in told["What it depends on"]
    sizes = next(section for section in made.report.sections if section.key == "sizes")
    rows = [[plain(cell) for cell in row] for row in next(tables(sizes)).rows]
    assert {row[0] for row in rows} == set(PLATFORMS)
    for option in made.bills["job"]["options"]:
        assert any(option["bound_by"]["constraint"] == row[3] for row in rows), option["platform"]
    assert "streamgauge" not in render.markdown(made.report).split("## What it costs")[0]


def test_a_choice_that_the_draws_do_not_carry_is_none() -> None:
    """The cheapest at central values, in two draws of three, would be bought as if it were certain."""

    def option(name: str, share: float) -> dict[str, Any]:
        return {
            "platform": name,
            "usd_month": {"p10": 1.0, "p50": 2.0, "p90": 3.0},
            "known_in": 1.0,
            "cheapest_in": share,
        }

    document = {
        "draws": 100,
        "seed": 7,
        "options": [option("self-ec2", 0.66), option("msk-standard", 0.34)],
        "cheaper": {"self-ec2": {"msk-standard": 0.66}, "msk-standard": {"self-ec2": 0.34}},
        "tornado": {"of": ["self-ec2", "msk-standard"], "measure_next": "Measure it.", "swings": []},
    }
    told = costing.tell("x", {"x": {"options": []}}, {"x": document}, {}, generated_utc=fixtures.UTC)
    text = render.markdown(told)
    assert "Not decided: self-managed on EC2 costs least in 66 %" in text and "Choose" not in text


def test_a_deployment_and_a_stream_that_nothing_carries_still_have_a_page() -> None:
    """The page is wanted most when nothing fits: it must come, and say why."""
    option = fixtures.infeasible("msk-serverless")
    told = costing.tell("x", {"x": {"options": [option]}}, {}, {}, generated_utc=fixtures.UTC)
    text = render.markdown(told)
    assert "Nothing to choose between" in text and str(option["reason"]) in text
    assert render.html(told)


def test_a_fleets_policies_are_drawn_where_their_dollars_and_their_lag_lie(tmp_path: Path) -> None:
    """A saving shown without its lag is what sells autoscaling; one that cannot keep up has no place in the picture."""
    picture = tmp_path / "front.svg"
    done = CliRunner().invoke(
        cli,
        ["simulate", "fleet", str(EXAMPLES / "flink-job.yaml"), "--frontier", "--figure", str(picture), "--json"],
        catch_exceptions=False,
    )
    document = json.loads(done.stdout)
    document["policies"][1] |= {"keeps_up": False, "usd_month": None}
    drawn = costing.tradeoff(document)
    assert isinstance(drawn, Tradeoff)
    kept = {p["policy"]: p for p in document["policies"] if p["keeps_up"]}
    assert len(drawn.ways) == len(kept)
    for way in drawn.ways:
        policy = kept[way.source.ref]
        assert (way.cost, way.lost) == (policy["usd_month"], policy["lag"]["over_limit"])
        assert way.best == (way.source.ref in document["frontier"])
    assert document["policies"][1]["policy"] in plain(drawn.note)
    assert "minutes over 60 s behind" in picture.read_text() and "USD a month" in picture.read_text()
