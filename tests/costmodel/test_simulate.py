"""Fleets by the minute: savings that cannot be, lags that are hidden, and loads that nobody sent."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bench.cli.forecasts  # noqa: F401 -- registers `simulate`
from bench.cli import cli
from bench.errors import ScenarioError
from costmodel import arrivals, frontier, simulate
from costmodel.arrivals import Load, Shape
from costmodel.outcomes import Outcome
from costmodel.simulate import Plan
from costmodel.usage import Usage

CALM = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DAY = 24 * 60
USAGE: dict[str, Any] = {
    "schema": 1,
    "region": "us-east-1",
    "ingest": {"mb_s": 100, "record_bytes": 1000},
    "retention": {"days": 1},
    "processing": {"cpu_s_per_million_events": 20, "restart_s": 45},
}  # 100,000 events/s: 2 cores of Flink, a TaskManager of two carries as much; at 70 % full two of them


def usage(**job: Any) -> Usage:
    return Usage.model_validate({**USAGE, "processing": {**USAGE["processing"], **job}})


def plan(policies: dict[str, Any], **changes: Any) -> Plan:
    return Plan.model_validate({"schema": 1, "policies": policies, **changes})


def outcomes(
    policies: dict[str, Any], load: Load, *, platform: str = "flink-ec2", job: dict[str, Any] | None = None, **how: Any
) -> dict[str, Outcome]:
    found = simulate.compare(plan(policies, **how), usage(**(job or {})), platform, load)
    return {outcome.policy: outcome for outcome in found}


def constant(eps: float, minutes: int = 3 * DAY) -> Load:
    return Load(np.full(minutes, eps * 60))


FIXED, AUTO = {"kind": "fixed"}, {"kind": "autoscaled"}
AT_ONCE = {"decide_s": 0, "stabilise_s": 0, "delay_s": 0}


@st.composite
def shapes(draw: st.DrawFn) -> Load:
    shape = Shape.model_validate({
        "daily_peak_to_mean": draw(st.floats(1, 2)),
        "weekend": draw(st.sampled_from([0.2, 1])),
        "idle_hours": draw(st.sampled_from([0, 0, 6, 12])),
        "noise": draw(st.sampled_from([0, 0.2])),
        "spikes": {"a_month": draw(st.sampled_from([0, 60])), "factor": 4, "minutes": 10},
    })  # fmt: skip
    return arrivals.drawn(shape, draw(st.sampled_from([3e4, 5e5, 4e6])), 2 * DAY, draw(st.integers(0, 99)))


# ---- what cannot be


@CALM
@given(shapes(), st.sampled_from([60, 600]), st.sampled_from([0, 300]), st.sampled_from([0, 45]))
def test_no_policy_saves_more_than_what_never_works(load: Load, decide: int, stable: int, restart: int) -> None:
    """A saving beyond 1 - mean / provisioned would be work that nobody did."""
    scaling = {"decide_s": decide, "stabilise_s": stable, "delay_s": 90}
    policies = {"fixed": FIXED, "auto": AUTO, "hot": {**AUTO, "target": 0.95}, "idle": {"kind": "idle-timeout"}}
    found = outcomes(policies, load, job={"restart_s": restart}, scaling=scaling)

    for outcome in found.values():
        assert outcome.usd_month is None or outcome.usd_month > 0
        if outcome.saving is not None:
            assert outcome.saving.share <= outcome.saving.most + 1e-9, outcome.policy


@CALM
@given(st.floats(1e3, 1e7), st.sampled_from(["flink-ec2", "flink-managed-aws"]))
def test_a_constant_load_saves_nothing(eps: float, platform: str) -> None:
    """Who promises a third off for autoscaling has not looked at the load."""
    idle = {"kind": "idle-timeout", "after_s": 60}
    found = outcomes({"fixed": FIXED, "auto": AUTO, "idle": idle}, constant(eps, DAY), platform=platform)

    for name in ("auto", "idle"):
        saving = found[name].saving
        assert saving is not None and saving.usd_month == 0
        assert found[name].lag.max_s == 0


@CALM
@given(st.floats(1e4, 1e6), st.sampled_from([60, 600, 3600]))
def test_an_idle_half_of_the_day_saves_at_most_half_and_not_for_nothing(eps: float, after: int) -> None:
    half = arrivals.drawn(Shape(daily_peak_to_mean=1, idle_hours=12), eps, 4 * DAY, 1)
    found = outcomes({"fixed": FIXED, "idle": {"kind": "idle-timeout", "after_s": after}}, half)
    saving = found["idle"].saving

    assert saving is not None and 0 < saving.share <= 0.5
    assert found["idle"].lag.max_s > 90  # whoever comes first waits for the machines
    assert found["fixed"].lag.max_s == 0


@CALM
@given(shapes())
def test_infinite_speed_of_scaling_leaves_no_lag(load: Load) -> None:
    found = outcomes({"auto": AUTO, "use": {"kind": "serverless"}}, load, job={"restart_s": 0}, scaling=AT_ONCE)

    assert (found["auto"].lag.max_s, found["use"].lag.max_s) == (0, 0)


@CALM
@given(shapes())
def test_what_came_was_served_or_waits(load: Load) -> None:
    """A simulated event that gets lost is work that costs nothing."""
    decides = simulate.policies.follow(
        1e5, simulate.Autoscaled(kind="autoscaled"), 0.7, catch_up_s=600, stabilise_min=5
    )
    trace = simulate.walk(load, 1e5, decides, scaling=simulate.Scaling(), restart_s=45, stops=lambda _m, _r: 0)
    working = trace.paid * 1e5 * 60

    served = load.events + np.concatenate([[0.0], trace.backlog[:-1]]) - trace.backlog
    assert (served >= -1e-6 * load.mean_eps).all() and (served <= working * (1 + 1e-9) + 1e-6 * load.mean_eps).all()
    assert (trace.lag_s >= 0).all()
    assert ((trace.backlog == 0) | (trace.lag_s > 0)).all()


# ---- answers known by hand


def test_the_lag_after_a_standstill_is_its_length_and_goes_as_the_spare_capacity_allows() -> None:
    """100 events/s at 50 % of capacity, the job away for 3 min: 180 s behind, and 3 min more until it has caught up."""
    load, ups = constant(100, 60), iter([2, 2, *[2] * 9, 3, *[3] * 99])
    trace = simulate.walk(load, 100, lambda *_: next(ups), scaling=simulate.Scaling(decide_s=60, delay_s=0),
                          restart_s=180, stops=lambda _m, _r: 0)  # fmt: skip

    assert trace.lag_s[:10].max() == 0
    assert trace.lag_s[10:16] == pytest.approx([60, 120, 180, 60, 0, 0])  # three units then work off two minutes' worth
    assert trace.restarts == 1


def test_a_fleet_that_is_too_small_has_no_price() -> None:
    """The cheapest fleet is one that does not do the work; it must not head the list."""
    found = outcomes({"fixed": FIXED, "small": {**AUTO, "most": 1}}, constant(150_000))

    assert found["small"].usd_month is None and found["small"].saving is None
    assert "cannot catch up: over 60 s of lag for the last 72 h" in found["small"].reason
    assert found["fixed"].usd_month is not None


def test_a_started_application_is_billed_for_ten_minutes_at_least() -> None:
    """Managed Flink bills 10 minutes a start: an hourly burst of a minute does not cost a sixtieth."""
    events = np.zeros(DAY)
    events[::60] = 50_000 * 60
    job = {"restart_s": 0}
    how: dict[str, Any] = {"job": job, "scaling": {"delay_s": 0}, "platform": "flink-managed-aws"}
    found = outcomes({"fixed": FIXED, "idle": {"kind": "idle-timeout", "after_s": 60}}, Load(events), **how)
    fixed, idle = found["fixed"].usd_month, found["idle"].usd_month

    assert fixed is not None and idle is not None
    kpu = (Decimal("0.11") + Decimal("0.1") * 50 / 730) * found["fixed"].units[2]
    one_application = Decimal("0.11")
    ran = (found["idle"].units[1] * DAY) / found["fixed"].units[2]  # minutes a day
    billed = 24 * 10 * kpu + Decimal(ran) * one_application
    assert float(idle) == pytest.approx(float(billed / 60 * 730 / 24), rel=1e-6)
    assert float(fixed) == pytest.approx(float((kpu + one_application) * 730), rel=1e-6)


def test_a_commitment_pays_where_it_is_used_for_more_than_one_less_its_discount() -> None:
    """The rule of thumb of every FinOps team, for a unit that is needed in 60 % of the minutes."""
    events = np.where(np.arange(1500) % 100 < 60, 100_000 * 60 * 0.69, 1.0)
    held: dict[str, Any] = {**AUTO, "least": 1}
    how: dict[str, Any] = {"scaling": AT_ONCE, "job": {"restart_s": 0}}

    def usd(discount: float | None, units: int) -> Decimal:
        commit = {} if discount is None else {"commit": {"units": units, "discount": discount}}
        found = outcomes({"auto": {**held, **commit}}, Load(events * 2), **how)["auto"]
        assert found.usd_month is not None and found.units[0] == 1 and found.units[2] == 2
        return found.usd_month

    assert usd(0.41, 2) < usd(0.41, 1) < usd(None, 0)  # the second unit works 60 % of the time: 1 - 0.41 < 0.60
    assert usd(0.39, 2) > usd(0.39, 1)


def test_spot_is_cheaper_and_its_interruptions_stand_in_the_lag() -> None:
    spot = {**FIXED, "spot": {"discount": 0.6, "interruptions_per_unit_month": 40}}
    found = outcomes({"fixed": FIXED, "spot": spot}, constant(500_000, 10 * DAY))
    saving = found["spot"].saving

    assert saving is not None and saving.share > 0.5
    assert found["spot"].restarts_month > 40
    assert found["spot"].lag.max_s >= 135 > found["fixed"].lag.max_s


@pytest.mark.parametrize(
    ("kind", "said"), [("commit", "no savings plan covers a KPU"), ("spot", "is not sold as spot")]
)
def test_what_aws_does_not_discount_is_not_discounted(kind: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        outcomes({"fixed": {**FIXED, kind: {"discount": 0.3}}}, constant(1e5), platform="flink-managed-aws")


@pytest.mark.parametrize(
    ("platform", "left"), [("flink-ec2", []), ("flink-managed-aws", ["committed"]), ("flink-confluent", ["committed"])]
)
def test_the_example_runs_on_every_flink_without_what_nobody_sells_there(platform: str, left: list[str]) -> None:
    """The documented way to another vendor's units ended in an error about a policy that its reader never wrote."""
    example = simulate.read(simulate.EXAMPLE)
    kept, told = simulate.sold(example, usage(), platform)

    assert set(example.policies) - set(kept.policies) == set(left) and len(told) == len(left)
    assert {each.policy for each in simulate.compare(kept, usage(), platform, constant(1e5, DAY))} == set(kept.policies)


def test_fourteen_thousand_dollars_are_a_hundred_idle_machines() -> None:
    """The claim's own sum: 100 m5.xlarge or 164 KPU with their storage, at list price, that never work."""
    machines = frontier.idle_units(usage(task_manager="m5.xlarge"), ["flink-ec2"], Decimal(14_000))
    kpus = frontier.idle_units(usage(), ["flink-managed-aws"], Decimal(14_000))

    assert machines == ["100 TaskManager m5.xlarge that never work (140.16 USD a month each)"]
    assert kpus == ["164 KPU that never work (85.30 USD a month each)"]


def test_the_stream_that_saves_a_sum_is_the_smallest_that_does() -> None:
    load = arrivals.drawn(Shape(daily_peak_to_mean=1.8), 1e5, 2 * DAY, 1)
    asked = plan({"fixed": FIXED, "auto": AUTO, "same": FIXED})
    auto, same = frontier.inverse(asked, usage(), "flink-ec2", load, Decimal(5_000))
    factor = auto.mean_eps / load.mean_eps

    def saved(times: float) -> Decimal:
        saving = simulate.compare(asked, usage(), "flink-ec2", load.scaled(times))[1].saving
        assert saving is not None
        return saving.usd_month

    assert saved(factor) >= 5_000 > saved(factor * 0.97)
    assert auto.mb_s == pytest.approx(auto.mean_eps * 1000 / 1e6)
    assert same.saving is None and "at no size" in same.sentence("fixed", 5_000, 60)
    assert "of the minutes" in auto.sentence("fixed", 5_000, 60)


def test_nothing_on_the_frontier_is_beaten() -> None:
    load = arrivals.drawn(Shape(noise=0.2), 1e6, 2 * DAY, 3)
    points = frontier.frontier(plan({"fixed": FIXED, "auto": AUTO}), usage(), "flink-ec2", load)
    best = [point.outcome for point in points if point.best]

    ways = sorted({(outcome.usd_month or Decimal(0), outcome.lag.over_limit) for outcome in best})
    lags = [over for _, over in ways]
    assert lags == sorted(set(lags), reverse=True)  # dearer means less lag, or why pay
    for point in points:
        usd, over = point.outcome.usd_month or Decimal(0), point.outcome.lag.over_limit
        assert point.best or any(best_usd <= usd and best_over <= over for best_usd, best_over in ways)


# ---- loads


def test_a_drawn_load_is_what_was_asked_for_and_the_same_again() -> None:
    shape = Shape.model_validate({"daily_peak_to_mean": 1.6, "weekend": 0.5, "idle_hours": 6, "noise": 0.1})
    load = arrivals.drawn(shape, 1234, 14 * DAY, 5)
    days = load.events.reshape(14, 24, 60).sum(axis=2)

    assert load.mean_eps == pytest.approx(1234)
    assert (load.events == arrivals.drawn(shape, 1234, 14 * DAY, 5).events).all()
    assert days[:, [0, 1, 2, 3]].sum() == 0  # three hours either side of the lowest, at 2:00
    assert days[5:7].sum() / days[0:2].sum() == pytest.approx(0.5, rel=0.02)
    assert days[0].argmax() in (13, 14)
    with pytest.raises(ScenarioError, match="nothing ever arrives"):
        arrivals.drawn(Shape(idle_hours=23.9), 1, 60, 1)


def test_a_csv_by_minute_and_by_time_is_the_same_load(tmp_path: Path) -> None:
    rates = [(10 * step, 100 + step) for step in range(12)]
    by_minute, by_time = tmp_path / "minute.csv", tmp_path / "time.csv"
    by_minute.write_text("minute,rate_eps\n" + "".join(f"{minute},{rate}\n" for minute, rate in rates))
    by_time.write_text("time,rate_eps\n" + "".join(f"2026-11-23T0{m // 60}:{m % 60:02}:00Z,{r}\n" for m, r in rates))
    load = arrivals.read(by_minute)

    assert load.minutes == 120 and load.events[9] == 6000 and load.events[10] == 6060
    assert (load.events == arrivals.read(by_time).events).all()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("0,1\n1,2\n3,4\n", "load.csv:4: a step of 2 min, expected 1 as in the first lines: a gap?"),
        ("0,1\n1,-2\n", "load.csv:3: rate_eps -2: expected at least 0"),
        ("0,1\n2,1\n1,1\n", "load.csv:4: minute does not rise, expected later than the line before"),
        ("0,1\n1,nan\n", "load.csv:3: rate_eps 'nan': expected a number"),
        ("0,1\n0.5,1\n", "load.csv:3: minute '0.5': expected a whole number"),
        ("1,1\n2,1\n", "load.csv:2: expected the first minute to be 0, got 1"),
        ("0,1\n1\n", "load.csv:3: 1 values, expected 2"),
        ("0,1\n1,1\n", "load.csv: 2 minutes, expected at least 60"),
        ("0,0\n60,0\n", "nothing ever arrives"),
    ],
)
def test_a_csv_with_gaps_or_nonsense_is_refused_with_its_line(tmp_path: Path, rows: str, said: str) -> None:
    """A gap that is closed in silence is an hour without load, and a saving that never was."""
    file = tmp_path / "load.csv"
    file.write_text("minute,rate_eps\n" + rows)
    with pytest.raises(ScenarioError) as refused:
        arrivals.read(file)
    assert said in str(refused.value)
    file.write_text("minutes,eps\n" + rows)
    with pytest.raises(ScenarioError, match="expected the header minute,rate_eps"):
        arrivals.read(file)


# ---- the command


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "usage.yaml").write_text(json.dumps(USAGE))
    (tmp_path / "load.csv").write_text(
        "minute,rate_eps\n" + "".join(f"{minute},{1.5e5 if minute < 1200 else 0}\n" for minute in range(0, DAY, 10))
    )
    policies = {"fixed": FIXED, "auto": AUTO, "idle": {"kind": "idle-timeout"}, "small": {**AUTO, "most": 1}}
    (tmp_path / "plan.yaml").write_text(json.dumps({"schema": 1, "load": {"csv": "load.csv"}, "policies": policies}))
    return tmp_path


def said(*words: str) -> str:
    return CliRunner().invoke(cli, ["simulate", "fleet", *words], catch_exceptions=False).stdout


@pytest.mark.parametrize("more", [[], ["--frontier"], ["--saving", "14000"]])
def test_a_saving_is_never_printed_without_its_lag(files: Path, more: list[str]) -> None:
    """Half the bill for results that are an hour late is no saving; the one number without the other is an advert."""
    words = [str(files / "usage.yaml"), "--plan", str(files / "plan.yaml"), *more]
    savings: list[dict[str, Any]] = []

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            savings.extend([node["saving"]] if node.get("saving") else [])
            node = list(node.values())
        if isinstance(node, list):
            for inner in node:
                collect(inner)

    collect(json.loads(said(*words, "--json")))
    assert savings and all({"over_limit", "max_s"} <= saving["lag"].keys() for saving in savings)
    for line in said(*words).splitlines():
        if " saves " in line and "at no size" not in line and "│" not in line and "┃" not in line:
            assert "behind in" in line, line


def test_a_policy_that_cannot_keep_up_is_told_and_not_priced(files: Path) -> None:
    told = said(str(files / "usage.yaml"), "--plan", str(files / "plan.yaml"))
    document = json.loads(said(str(files / "usage.yaml"), "--plan", str(files / "plan.yaml"), "--json"))
    rows = {row["policy"]: row for row in document["policies"]}

    assert rows["idle"]["keeps_up"] and not rows["small"]["keeps_up"] and rows["small"]["usd_month"] is None
    assert "small: cannot catch up" in told and "A change of size lets the job stand still for 45 s (given)" in told


@pytest.mark.parametrize(
    ("old", "new", "words", "error"),
    [
        ('"kind": "autoscaled"', '"kind": "autoscale"', [], "autoscale"),
        ('"load.csv"', '"lod.csv"', [], "lod.csv: cannot be read"),
        ('"schema"', '"shema"', [], "shema: unknown key; did you mean schema?"),
        ("", "", ["--platform", "msk-standard"], "holds data and does not follow its load"),
        ("", "", ["--saving", "-1"], "--saving -1: expected more than 0"),
        ("", "", ["--saving", "lots"], "--saving lots: expected a number"),
    ],
)
def test_wrong_words_are_refused(files: Path, old: str, new: str, words: list[str], error: str) -> None:
    file = files / "plan.yaml"
    file.write_text(file.read_text().replace(old, new, 1) if old else file.read_text())
    refused = CliRunner().invoke(cli, ["simulate", "fleet", str(files / "usage.yaml"), "--plan", str(file), *words])

    assert isinstance(refused.exception, ScenarioError)
    assert error in str(refused.exception)
