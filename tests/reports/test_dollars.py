"""What the answer in dollars compares: settings under the same load, never one load with another."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from bench import study
from bench.cli import runcosts
from bench.cli.reporting import tell
from reports import dollars
from reports.evidence import bill_loads, gather
from reports.report import Number, Tone, Words

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


def test_a_load_without_a_price_is_neither_choice_nor_bill() -> None:
    """Prevents a first screen about runs with a fault, which no bill is made of, in place of the others."""
    none: list[dict[str, Any]] = [{"platform": "msk-standard", "usd_month": {}, "reason": "no CPU"}]
    bills = {"killed a": none, "killed b": none, "local": bill(100), "s3": bill(200)}
    stood = standing(bills, {"killed a": "recovery", "killed b": "recovery", "local": "grid", "s3": "grid"})
    assert "$100 a month with local" in told(dollars.costs(bills, stood.loads))
    assert told(dollars.choice(bills, stood)[0]).startswith("Under grid: Choose local")


def test_forms_that_run_at_rates_of_their_own_compete_where_one_stream_is_priced() -> None:
    """Prevents "nothing to choose between" for a scenario whose arms run at a share of what each can."""
    made = study.recall(ROOT / "studies" / "python-vs-java")
    evidence = gather(made.runs, made.cells, list(made.scenario.plans))
    name = "function java, mode process"  # of a drain too, which has no bill
    assert made.scenario.pricing.scale_to_mb_s is not None
    assert bill_loads(evidence, made.scenario.pricing.scale_to_mb_s)[name] == "equally-busy"
    apart = bill_loads(evidence, None)
    assert apart[name].startswith("equally-busy at 1")


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


def test_what_was_carried_beyond_its_measurement_is_told_of_every_arm() -> None:
    """Prevents: the arm that was measured at a tenth of the other's rate being priced under the other's sentence."""

    def document(times: float, eps: float, known: str = "never tested here.") -> dict[str, Any]:
        sentence = f"Priced at {times:g} times the measured rate ({eps:,.0f} events/s); {known}"
        usage = {"ingest.mb_s": {"value": 10, "basis": "assumed"}}
        about = {"sentence": sentence, "times": times, "measured_at_eps": eps}
        return {"options": bill(10), "usage": usage, "extrapolation": about}

    alike = document(4, 25_000)
    assert told(dollars.rests_on({"few": alike, "many": alike})).count("Priced at 4 times the measured rate") == 1
    both = told(dollars.rests_on({"few": alike, "many": document(40, 2_500)}))
    assert both.endswith("Priced at 4 to 40 times the measured rates (2,500 to 25,000 events/s); never tested here.")
    near = told(dollars.rests_on({"few": document(10.03, 49_900), "many": document(9.997, 50_000)}))
    assert "Priced at 10 times the measured rates" in near
    apart = told(dollars.rests_on({"few": alike, "many": {**alike, "extrapolation": None}}))
    assert apart.endswith(". few: Priced at 4 times the measured rate (25,000 events/s); never tested here.")
    two = told(dollars.rests_on({"few": alike, "many": document(2, 50_000, "tested.")}))
    assert "few: Priced at 4 times" in two and "many: Priced at 2 times" in two


def test_old_prices_are_told_once_for_all_arms() -> None:
    """Arms of different sizes use different prices: "5 of the 10" above "5 of the 11" is one warning twice."""
    bills = runcosts.reported(study.recall(ROOT / "studies" / "quickstart"), today=date(2030, 1, 1))
    text = repr(dollars.section(bills, dict.fromkeys(bills, "steady")))
    assert text.count("days old") == 1
    used = {line["price"]["id"] for bill in bills.values() for option in bill["options"] for line in option["lines"]}
    assert f"{len(used)} of the {len(used)} prices in use" in text


def test_a_tiered_topic_is_billed_for_what_left_the_brokers_disks() -> None:
    """What is left on the disks is a sixth of what is kept: billed as all of it, tiering cost nothing but a setting."""
    bills = runcosts.reported(study.recall(ROOT / "studies" / "tiered-storage"))
    tiered, local = bills["local retention s 5"], bills["local retention s none"]
    assert [option["platform"] for option in tiered["options"]] == [option["platform"] for option in local["options"]]
    for option, other in zip(tiered["options"], local["options"], strict=True):
        stored, kept = ({line["item"] for line in one["lines"]} for one in (option, other))
        assert any("tiered" in item for item in stored)
        assert not any("tiered" in item for item in kept)
        assert 0 < option["usd_month"]["p50"] < other["usd_month"]["p50"]
    assert tiered["usage"]["broker.disk_bytes_per_wire_byte"]["basis"] == "assumed"


def test_loads_in_which_nothing_is_told_apart_share_a_sentence() -> None:
    """Eight of them, each with every setting it has, hid the rest of the page."""
    bills = runcosts.reported(study.recall(ROOT / "studies" / "partition-factors"))
    loads = {arm: str(number // 5) for number, arm in enumerate(bills)}
    kept = dict.fromkeys(bills, True)
    (text,), tone = dollars.choice(bills, dollars.Standing(kept, frozenset(), loads))
    assert tone is not Tone.GOOD
    assert text.count("Not decided") == 1
    assert len(str(text)) < 300


def test_what_cpu_decides_is_said_once_and_not_for_each_arm_and_platform() -> None:
    """Four sentences that differ in a digit hide the one that is a warning."""
    made = study.recall(ROOT / "studies" / "quickstart")
    bills = runcosts.reported(made)
    notes = [note for bill in bills.values() for option in bill["options"] for note in option["notes"]]
    assert sum("bound by CPU" in note for note in notes) > 1
    text = repr(dollars.section(bills, dict.fromkeys(bills, "steady")))
    assert "bound by CPU" not in text
    assert text.count("CPU decides the size of") == 1


def test_a_setting_that_lost_events_is_never_the_one_to_choose() -> None:
    """The page on durability advised acks=1, for it is cheaper than what keeps the events."""
    bills = {"acks 1": bill(780), "acks all": bill(800), "acks 0": bill(700)}
    loads = dict.fromkeys(bills, "lagging")
    stood = replace(standing(bills, loads), lost=frozenset({"acks 0", "acks 1"}))
    (text,), tone = dollars.choice(bills, stood)
    assert str(text).startswith("Choose acks all on Amazon MSK Standard") and tone is Tone.GOOD
    assert str(text).endswith("Not in the choice, for events were lost: acks 1 and acks 0.")
    level = replace(stood, apart=frozenset(), lost=frozenset({"acks 1"}))
    (text,), _ = dollars.choice(bills, level)  # of two that are alike one is not hidden, nor what was lost beside them
    assert "Not decided" in str(text) and str(text).endswith("for events were lost: acks 1.")
    none = replace(stood, lost=frozenset(bills))
    (text,), tone = dollars.choice(bills, none)
    assert str(text).startswith("Nothing yet") and "acks all" in str(text) and tone is not Tone.GOOD


def test_what_runs_lost_reaches_the_advice() -> None:
    """The rule alone helps nobody if no run tells it what was lost; the recorded runs of acks=1 all lost events."""
    told, _ = tell(study.recall(ROOT / "studies" / "durability"), generated_utc="", today=date(2026, 11, 29))
    text = repr(told)
    assert "events were lost: acks 1, min insync 1 and acks 1, min insync 2." in text
    assert "Choose acks 1" not in text
