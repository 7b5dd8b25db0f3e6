"""Published bills, reproduced by `streamgauge cost` from committed files: no test computes a price itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

import bench.cli.money  # noqa: F401 -- registers `cost`
import costmodel
from bench.cli import cli

GOLDEN = Path(__file__).parent / "golden"
EXPECTED: list[dict[str, Any]] = YAML(typ="safe").load(GOLDEN / "expected.yaml")


def bill(file: str, platform: str) -> dict[str, Any]:
    """The one option, as a reader of `cost --json` gets it."""
    words = ["cost", str(GOLDEN / f"{file}.yaml"), "--platform", platform, "--json"]
    said = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    (option,) = json.loads(said.stdout)["options"]
    assert option["feasible"], option["reason"]
    return dict(option)


def reported(case: dict[str, Any]) -> float:
    option = bill(case["file"], case["platform"])
    lines = [line for line in option["lines"] if line["kind"] in case.get("kinds", [line["kind"]])]
    usd = option["usd_month"]["p50"] if "kinds" not in case else sum(line["usd_month"] for line in lines)
    usage = costmodel.load(GOLDEN / f"{case['file']}.yaml")
    hours = float(usage.units.month_hours)
    quantity = sum(line["quantity"] for line in lines)
    derived = {
        "usd_month": usd,
        "usd_day": usd / hours * 24,
        "usd_year": usd / hours * 24 * 365,
        "mb_s": quantity * 1000 / (hours * 3600),
    }
    if case.get("of") == "retained_tb":  # the provisioned disk is the retained bytes over the fill
        assert isinstance(usage, costmodel.Usage)
        return float(quantity) * float(usage.sizing.disk_fill.value) / 1000
    return float(derived[case.get("of", "usd_month")])


@pytest.mark.parametrize(
    "case", EXPECTED, ids=lambda case: f"{case['file']}-{case['platform']}-{case.get('of', 'usd')}"
)
def test_a_published_bill_is_reproduced_so_that_no_formula_of_ours_stands_alone(
    case: dict[str, Any],
) -> None:
    found = reported(case)

    assert found == pytest.approx(case["ours"], abs=0.005, rel=0)
    if "published" in case:
        assert abs(found - case["published"]) <= case.get("rounding", 0.005)


def test_the_vendors_own_wrong_example_is_not_reproduced() -> None:
    """AWS's page says $1,684.03 for 20 KPU: it forgets the orchestration KPU that its own text counts."""
    option = bill("managed-flink-20", "flink-managed-aws")
    orchestration = [line for line in option["lines"] if line["item"] == "orchestration KPU"]

    assert option["usd_month"]["p50"] == pytest.approx(1763.22, abs=0.005)
    assert option["usd_month"]["p50"] - orchestration[0]["usd_month"] == pytest.approx(1684.03, abs=0.01)


def test_what_a_published_total_leaves_out_is_on_our_bill() -> None:
    """The comparison's MSK total has no traffic between zones; who trusted it would be surprised by the bill."""
    option = bill("small-stream", "msk-standard")

    assert option["usd_month"]["p50"] > 477
    assert {line["kind"] for line in option["lines"]} == {"compute", "idle", "storage", "cross-zone"}
