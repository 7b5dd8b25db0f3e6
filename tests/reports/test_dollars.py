"""What the answer in dollars compares: settings under the same load, never one load with another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import study
from bench.cli import runcosts
from reports import dollars
from reports.report import Number, Words

ROOT = Path(__file__).resolve().parents[2]


def told(words: Words) -> str:
    return "".join(word.text if isinstance(word, Number) else word for word in words)


def bill(usd: float) -> list[dict[str, Any]]:
    return [{"platform": "msk-standard", "usd_month": {"p10": usd - 1, "p50": usd, "p90": usd + 1}}]


def standing(bills: dollars.Bills, loads: dict[str, str]) -> dollars.Standing:
    pairs = frozenset(frozenset((a, b)) for a in bills for b in bills if a != b)
    return dollars.Standing(dict.fromkeys(bills, True), pairs, loads)


def test_a_smaller_load_is_no_saving() -> None:
    """Prevents: "-89 % a month" for a run that simply had a twentieth of the events."""
    bills = {"million": bill(29_460), "replicated": bill(3_254)}
    stood = standing(bills, {"million": "million", "replicated": "replicated"})
    cost = told(dollars.costs(bills, stood.loads))
    assert "$29,460 a month with million." in cost
    assert "%" not in cost
    assert "3,254" not in cost
    assert told(dollars.choice(bills, stood)[0]) == "Nothing to choose between: each load has one setting with a price."


def test_settings_compete_under_the_same_load_only() -> None:
    """Prevents: the lowest step of a ladder of rates being recommended because it costs least."""
    bills = {"1 lz4": bill(100), "1 none": bill(200), "2 lz4": bill(190), "2 none": bill(380), "alone": bill(5)}
    loads = {name: f"ladder at {name[0]}" for name in bills} | {"alone": "alone"}
    stood = standing(bills, loads)
    choice = told(dollars.choice(bills, stood)[0])
    assert "Under ladder at 1: Choose 1 lz4" in choice
    assert "Under ladder at 2: Choose 2 lz4" in choice
    assert "alone" not in choice
    assert "+100 %" in told(dollars.costs(bills, stood.loads))


def test_the_table_tells_a_change_within_a_load() -> None:
    """Prevents: "+$45,810" beside a step of a ladder, as if its setting cost more than the load before it."""
    bills = {"small": bill(100), "large lz4": bill(1_000), "large none": bill(1_500)}
    loads = {"small": "small", "large lz4": "large", "large none": "large"}
    table = dollars.section(bills, loads).blocks[0]
    at = [column.name for column in table.columns].index("change")
    assert [told(row[at]) for row in table.rows] == ["base", "base", "+$500"]


def test_a_job_whose_cpu_is_not_known_has_no_price_rather_than_no_flink() -> None:
    """Priced as Kafka alone under the stack's name, an arm whose probe failed would be the cheapest."""
    made = study.recall(ROOT / "studies" / "overkill-fan-out")
    usd = {
        arm: [option["usd_month"]["p50"] for option in bill["options"]] for arm, bill in runcosts.reported(made).items()
    }
    assert all(b > a for a, b in zip(usd["job none"], usd["job fan-out"], strict=True))
    names = {option["platform"] for bill in runcosts.reported(made).values() for option in bill["options"]}
    assert names == set(runcosts.REPORTED.values())
    lost = "flink_cpu_s_per_million_events"
    runs = [replace(run, metrics={k: v for k, v in run.metrics.items() if k != lost}) for run in made.runs]
    blind = runcosts.reported(replace(made, runs=tuple(runs)))
    assert [option["feasible"] for option in blind["job fan-out"]["options"]] == [False, False]
    assert "was not measured" in blind["job fan-out"]["options"][0]["reason"]
    assert [option["usd_month"]["p50"] for option in blind["job none"]["options"]] == usd["job none"]
