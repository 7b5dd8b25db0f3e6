"""Comparisons under the same draws: overlapping bands are no tie, and what moves the answer is measured next."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import bench.cli.money  # noqa: F401 -- registers `cost`
import costmodel
from bench.cli import cli
from costmodel import paired, uncertainty
from costmodel.option import size
from costmodel.paired import Paired
from costmodel.prices import built_in
from costmodel.usage import Usage

EXAMPLES = Path(costmodel.__file__).parent / "examples"


def usage(mb_s: Any = 50, **changes: Any) -> Usage:
    data: dict[str, Any] = {
        "schema": 1,
        "region": "us-east-1",
        "ingest": {"mb_s": mb_s, "record_bytes": 1000},
        "consumers": {"groups": 2},
        "topics": {"partitions": 100},
        "retention": {"days": 7},
    }
    return Usage.model_validate({**data, **changes})


def test_two_options_whose_bands_overlap_may_still_never_change_places() -> None:
    """Most of what is uncertain they share; who compares their bands would call it a tie and choose by taste."""
    wide = usage({"value": 50, "low": 20, "high": 90})
    found = paired.compare(wide, ["msk-tiered", "self-ec2-tiered"], draws=200)
    msk, own = (found.quantiles(name) for name in ("msk-tiered", "self-ec2-tiered"))

    assert msk is not None and own is not None and own[0] < msk[2]
    assert found.cheaper("msk-tiered", "self-ec2-tiered") == 1
    assert found.cheapest() == {"msk-tiered": 1, "self-ec2-tiered": 0}


def test_a_draw_is_the_bill_of_what_was_drawn_whatever_number_type_it_ends_in() -> None:
    """A second way of sizing, faster and slightly different, would decide claims that no bill bears out."""
    wide = usage({"value": 50, "low": 20, "high": 90})
    names = ["self-ec2", "kinesis-provisioned", "confluent-enterprise"]
    found = paired.compare(wide, names, draws=20, seed=3)
    for draw, (drawn, catalog) in enumerate(uncertainty.draws(wide, built_in(), 20, 3)):
        for name in names:
            usd = size(drawn, name, catalog).usd_month
            assert usd is not None
            assert found.totals[name][draw] == pytest.approx(float(usd), rel=1e-9)
    again = paired.compare(wide, names, draws=20, seed=3)
    assert all((found.totals[name] == again.totals[name]).all() for name in names)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.one_of(st.just(float("nan")), st.integers(0, 5).map(float))] * 3), min_size=1))
def test_shares_of_draws_are_shares_and_what_has_no_total_wins_nothing(rows: list[tuple[float, float, float]]) -> None:
    table = np.array(rows).T
    found = Paired(dict(zip("abc", table, strict=True)))

    assert found.cheaper("a", "b") + found.cheaper("b", "a") <= 1
    assert found.cheaper("a", "b", by=0.5) <= found.cheaper("a", "b")
    some = float(np.isfinite(table).any(axis=0).mean())
    assert sum(found.cheapest().values()) == pytest.approx(some)
    for name in "abc":
        assert found.cheapest()[name] <= found.known(name)
        assert found.cheaper(name, "a") <= found.known(name)


def test_an_option_that_cannot_be_had_is_never_cheaper() -> None:
    found = paired.compare(usage(500), ["msk-serverless", "self-ec2"], draws=20)

    assert found.quantiles("msk-serverless") is None
    assert (found.cheaper("msk-serverless", "self-ec2"), found.cheaper("self-ec2", "msk-serverless")) == (0, 1)


def test_a_swing_is_the_difference_of_bills_at_the_ends_of_one_band() -> None:
    """A tornado whose bars are not bills sends people to measure what does not matter."""
    banded = usage({"value": 50, "low": 20, "high": 90}, consumers={"groups": {"value": 2, "low": 1, "high": 3}})
    first = paired.tornado(banded, "pubsub", "self-ec2")[0]
    ends = [banded.at({first.name: end}) for end in paired.ENDS]
    usd = {name: [float(size(at, name, built_in()).usd_month or 0) for at in ends] for name in ("pubsub", "self-ec2")}
    less = [a - b for a, b in zip(usd["pubsub"], usd["self-ec2"], strict=True)]

    assert first.name in ("ingest.mb_s", "consumers.groups")
    assert (first.low, first.high) == tuple(dict(at.numbers())[first.name].value for at in ends)
    assert first.difference == pytest.approx(tuple(less))
    widths = [swing.width for swing in paired.tornado(banded, "pubsub", "self-ec2")]
    assert widths == sorted(widths, reverse=True) and min(widths) > 0


def test_what_turns_the_answer_is_to_be_measured_before_what_only_moves_it() -> None:
    """Between the break-evens of a wide rate the choice turns; a price that moves the bill by more does not turn it."""
    small = usage({"value": 1, "low": 0.2, "high": 8})
    swings = paired.tornado(small, "kinesis-on-demand", "msk-standard")
    certain = usage(100)

    assert [swing.name for swing in swings if swing.flips] == ["ingest.mb_s"]
    assert paired.measure_next(swings, "kinesis-on-demand", "msk-standard").startswith(
        "Measure ingest.mb_s next (given, "
    )
    assert paired.measure_next(swings, "kinesis-on-demand", "msk-standard").endswith("which turns the answer.")
    asked = paired.measure_next(paired.tornado(certain, "confluent-enterprise"), "confluent-enterprise")
    assert asked.startswith("Ask the vendor for confluent.enterprise.gb next (price, 0.023 to 0.047)")
    assert paired.measure_next(paired.tornado(certain, "pubsub"), "pubsub").startswith("Nothing uncertain moves pubsub")


def test_the_odds_are_on_the_command_line_with_every_pair() -> None:
    words = ["cost", str(EXAMPLES / "startup.yaml"), "--odds", "--draws", "40"]
    names = ["kinesis-on-demand", "self-ec2", "msk-standard"]
    words += [word for name in names for word in ("--platform", name)]
    document = json.loads(CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False).stdout)
    told = CliRunner().invoke(cli, words, catch_exceptions=False).stdout

    assert document["draws"] == 40
    assert {a: set(others) for a, others in document["cheaper"].items()} == {a: set(names) - {a} for a in names}
    assert document["tornado"]["of"] == [option["platform"] for option in document["options"]][:2]
    assert document["tornado"]["measure_next"].split(":")[0] in " ".join(told.split())
    assert sum(option["cheapest_in"] for option in document["options"]) == pytest.approx(1)


def test_odds_of_a_deployment_are_refused_for_nothing_in_it_is_uncertain() -> None:
    file = Path(__file__).parent / "golden" / "cfu.yaml"
    refused = CliRunner().invoke(cli, ["cost", str(file), "--odds"])

    assert "nothing in it is uncertain" in str(refused.exception)


def test_a_band_is_shown_at_the_ends_that_were_priced() -> None:
    swings = paired.tornado(usage(5), "redpanda-serverless")
    found = {swing.name: (swing.low, swing.high) for swing in swings}

    assert found["redpanda.serverless.gb_in"] == (Decimal("0.045"), Decimal("0.089"))
