"""`advise partitions` as it is typed: what is printed, what a script reads, what bad input gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from syrupy.assertion import SnapshotAssertion

import bench.cli.advising  # noqa: F401 -- registers `advise`
from bench.cli import cli
from bench.errors import ScenarioError

ROOT = Path(__file__).parent.parent
QUICKSTART = str(ROOT / "studies" / "quickstart")
ASKED = ["advise", "partitions", "--target-mbps", "40", "--record-bytes", "200", "--consumers", "12", "--growth", "2"]


def said(*words: str) -> str:
    found = CliRunner().invoke(cli, [*ASKED, *words], catch_exceptions=False)
    assert found.exit_code == 0
    return found.stdout


def test_the_answer_as_it_is_printed(snapshot: SnapshotAssertion) -> None:
    """The verdict first, bounds with their runs, what 6 would do, dollars, what is assumed, the runs last."""
    assert said("--results", QUICKSTART, "--platform", "self-ec2", "--platform", "msk-serverless") == snapshot


def test_the_machine_readable_answer_has_its_stable_names() -> None:
    """Scripts read these; all numbers that rest on runs name runs that exist."""
    document = json.loads(said("--results", QUICKSTART, "--json", "--platform", "msk-serverless"))
    assert {"partitions", "low", "high", "extrapolated_by", "bounds", "usd_month", "because", "runs"} <= set(document)
    assert set(document["bounds"]) == {"throughput", "consumers", "growth"}
    assert set(document["usd_month"]["msk-serverless"]) >= {"p", "2p", "10p", "six"}
    for run in document["runs"]:
        assert (ROOT / "studies" / run / "run.json").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--results", QUICKSTART, "--target-mbps", "4000"], r"399 times the 10 MB/s that met the limit"),
        (["--results", QUICKSTART, "--where", "producer.ruting=keyed"], r"did you mean producer.routing\?"),
        (["--results", QUICKSTART, "--where", "producer.routing=sticky"], r"streamgauge run partition-sizing"),
        (["--results", QUICKSTART, "--skew", "2"], r"--skew 2: expected a share between 0 and 1"),
        (["--results", QUICKSTART, "--slo-ms", "1"], r"none of 2 cells keeps p99 below 1 ms"),
        (["--results", QUICKSTART, "--platform", "msk-standart"], r"did you mean msk-standard\?"),
        (["--results", QUICKSTART, "--set", "region=us-west-99"], r"unknown region"),
    ],
)
def test_bad_input_gets_a_sentence_with_what_was_expected(words: list[str], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        CliRunner().invoke(cli, [*ASKED, *words], catch_exceptions=False)
