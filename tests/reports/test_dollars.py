"""What the answer in dollars compares: settings under the same load, never one load with another."""

from __future__ import annotations

from typing import Any

from reports import dollars
from reports.report import Number, Words


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
