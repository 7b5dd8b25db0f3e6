"""Cost claims: every probability they name exists, and is a share of draws in which both bills saw the same world."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from pathlib import Path

import pytest

import costmodel
from bench.errors import ScenarioError
from bench.verdict import Answer, Cost, Evidence, judge, load_claims
from costmodel import odds
from costmodel.prices import built_in
from costmodel.usage import Usage

CLAIMS = ["managed-flink", "serverless-startups", "upstash", "idle-saves-14k", "daily-reports-50k"]


def test_every_cost_hypothesis_names_odds_that_exist_or_says_why_nothing_can_decide_it() -> None:
    known = set(odds.estimates(draws=1))
    for claim in load_claims(CLAIMS):
        for hypothesis in claim.hypotheses:
            assert isinstance(hypothesis, Cost)
            assert hypothesis.probability in known or hypothesis.needs, hypothesis.name


def test_the_claims_come_to_the_verdicts_that_their_bills_support() -> None:
    verdicts = judge(
        load_claims([*CLAIMS, "when-kafka-when-flink", "tiered-75"]), Evidence([], estimates=odds.estimates(draws=100))
    )
    answers = {f"{verdict.claim} {verdict.hypothesis}": verdict.verdict for verdict in verdicts}

    assert answers["managed-flink cheaper-at-10-mbps"] is Answer.REFUTED
    assert answers["serverless-startups kinesis-for-a-startup"] is Answer.SUPPORTED
    assert answers["serverless-startups kinesis-after-growth"] is Answer.REFUTED
    assert answers["serverless-startups lock-in-for-a-startup"] is Answer.SUPPORTED
    assert answers["serverless-startups lock-in-after-growth"] is Answer.INCONCLUSIVE  # a coin's toss, and said so
    assert answers["serverless-startups lock-in-after-more-growth"] is Answer.REFUTED
    assert answers["serverless-startups msk-serverless-for-a-startup"] is Answer.REFUTED
    assert answers["upstash upstash-itself"] is Answer.NOT_TESTABLE_HERE
    assert answers["idle-saves-14k idle-at-1000-mbps"] is Answer.REFUTED
    assert answers["when-kafka-when-flink kafka-alone-at-100k"] is Answer.SUPPORTED
    assert answers["when-kafka-when-flink kafka-alone-at-1k"] is Answer.REFUTED
    assert answers["when-kafka-when-flink flink-for-fan-out"] is Answer.REFUTED
    assert answers["tiered-75 total-at-30-days"] is Answer.REFUTED
    assert answers["daily-reports-50k the-loss-itself"] is Answer.NOT_TESTABLE_HERE  # a loss assumed proves no loss
    assert answers["daily-reports-50k stream-against-hourly-at-minutes"] is Answer.SUPPORTED


def usage() -> Usage:
    found = costmodel.load(odds.FILE.parent / "examples" / "startup.yaml")
    assert isinstance(found, Usage)
    return found


def test_both_options_see_the_same_draw_so_that_an_overlap_of_bands_is_not_taken_for_a_tie() -> None:
    """Fetching from the follower only ever removes traffic: it is cheaper in every draw, however wide the bands."""
    crossing = usage().with_value("topics.replication_factor", Decimal(3))

    assert odds.probability(crossing, "self-ec2-fff", "self-ec2", draws=50) == 1
    assert odds.probability(crossing, "self-ec2", "self-ec2-fff", draws=50) == 0


def test_what_is_unpriced_or_infeasible_is_never_the_cheaper_one() -> None:
    holes = {key: price for key, price in built_in().prices.items() if key[0] != "kinesis.ondemand.in"}
    unpriced = dataclasses.replace(built_in(), prices=holes)
    huge = usage().with_value("ingest.mb_s", Decimal(500))

    assert odds.probability(usage(), "kinesis-on-demand", "msk-standard", prices=unpriced, draws=20) == 0
    assert odds.probability(huge, "msk-serverless", "msk-standard", draws=20) == 0


def test_a_mistyped_need_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "odds.yaml"
    about = {"usage": str(odds.FILE.parent / "examples" / "flink-job.yaml"), "answer": "Kafka only"}
    wrong = {"rate_eps": 1000, "windowed": True}
    file.write_text(json.dumps({"schema": 1, "odds": {}, "advised": {"wrong": {**about, "need": wrong}}}))
    with pytest.raises(ScenarioError, match="windowed"):
        odds.estimates(file=file, draws=1)


def test_a_sentence_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ScenarioError, match="no odds named"):
        odds.estimates(["managed-flink-is-nice"], file=Path(odds.FILE))
