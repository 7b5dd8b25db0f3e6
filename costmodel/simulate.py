"""A fleet that follows its load, minute by minute: what it costs, and how far its results lag behind.

    plan = simulate.read(Path("plan.yaml"))
    outcomes = simulate.compare(plan, usage, "flink-ec2")        # the first policy is what the others save against

Dollars are of the fleet alone (its units and what runs beside them): brokers, disks and requests are the same under
every policy. A saving has no meaning without the lag it costs, so that one value holds both. It illustrates: a policy
that cannot keep up has no price, and a simulation decides no claim about a real cluster.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from bench.errors import ScenarioError
from costmodel import arrivals, documents, policies
from costmodel import platforms as registry
from costmodel.arrivals import Load, PerMinute, Shape
from costmodel.outcomes import Lag, Outcome, Saving
from costmodel.policies import Autoscaled, Decides, Fixed, IdleTimeout, Policy, Serverless, units_for
from costmodel.prices import Catalog, built_in
from costmodel.sizing import ScalingUnit, flow, processing
from costmodel.usage import Usage

HOUR = 60
DAY = 24 * HOUR
Stops = Callable[[int, int], int]  # (minute, units that run) -> interruptions
EMPTY = 1e-6  # of a minute's mean arrivals: less than that waits only in rounding


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scaling(_Section):
    """How fast a size can change. How long the job stands still for it is the usage's `processing.restart_s`."""

    decide_s: Annotated[float, Field(ge=0)] = 60  # how often, and over what time arrivals are averaged; 0: clairvoyant
    stabilise_s: Annotated[float, Field(ge=0)] = 300  # down only after wanting less for so long
    delay_s: Annotated[float, Field(ge=0)] = 90  # until a new machine is there
    catch_up_s: Annotated[float, Field(gt=0)] = 600  # a backlog is to be worked off within


class Plan(_Section):
    """plan.yaml: a load, how fast fleets can change, and the policies to compare; the first is the one to beat."""

    version: Annotated[Literal[1], Field(alias="schema")]
    months: Annotated[float, Field(gt=0, le=12)] = 1
    seed: int = 7
    lag_limit_s: Annotated[float, Field(gt=0)] = 60
    load: Shape = Shape()
    scaling: Scaling = Scaling()
    policies: Annotated[Mapping[str, Policy], Field(min_length=1, description="a mapping of names to policies")]


@dataclass(frozen=True)
class Trace:
    """What happened in each minute. `paid` units are billed, from when they are asked for.

    `lag_s` is the longest that an event had waited at its end, or when the job began to work again within it; `backlog`
    waits at its end.
    """

    paid: npt.NDArray[np.int64]
    lag_s: npt.NDArray[np.float64]
    backlog: npt.NDArray[np.float64]
    restarts: int


EXAMPLE = Path(__file__).parent / "examples" / "plan.yaml"


def read(path: Path) -> Plan:
    """A plan.yaml. Raises ScenarioError with line, field and expectation."""
    return documents.read(path, Plan)


def sold(plan: Plan, usage: Usage, platform: str, *, prices: Catalog | None = None) -> tuple[Plan, list[str]]:
    """(the plan with the policies that are sold for their platform, sentences about the others): an example's, say,
    whose commitments nobody sells for a KPU. A plan of somebody's own is refused instead.
    """
    kept, left = dict(plan.policies), []
    for name, policy in plan.policies.items():
        unit, _ = unit_of(usage, policy.platform or platform, prices or built_in())
        if (policy.commit or policy.spot) and not unit.committable:
            del kept[name]
            left.append(f"{name} is left out: no savings plan or spot market covers a {unit.what}.")
    return plan.model_copy(update={"policies": kept}), left


def load_of(plan: Plan, usage: Usage, folder: Path) -> Load:
    """The plan's load: its CSV in `folder`, or its shape with the mean of `usage`."""
    if plan.load.csv is not None:
        return arrivals.read(folder / plan.load.csv)
    f = flow(usage)
    return arrivals.drawn(plan.load, float(f.rate_eps), round(float(f.month_hours) * HOUR * plan.months), plan.seed)


def compare(plan: Plan, usage: Usage, platform: str, load: Load, *, prices: Catalog | None = None) -> list[Outcome]:
    """Every policy of the plan under the same load, in its order. Raises ScenarioError for what cannot be simulated."""
    catalog = prices or built_in()
    catalog.require_region(usage.region)
    found: list[Outcome] = []
    for name, policy in plan.policies.items():
        outcome = _outcome(_Case(plan, usage, load, catalog), name, policy, policy.platform or platform)
        found.append(_saving(outcome, found[0], load) if found else outcome)
    return found


def assumptions(plan: Plan, usage: Usage) -> list[str]:
    """How fast sizes change and what a unit carries, with what each rests on: to stand under every answer."""
    job, scaling = processing(usage, "a simulation"), plan.scaling
    restart = job.restart_s
    band = f", {restart.low:.3g} to {restart.high:.3g}" if restart.uncertain else ""
    cpu = job.cpu_s_per_million_events
    speed = (
        f"A change of size lets the job stand still for {restart.value:.3g} s ({restart.basis}{band}); a new machine "
        f"takes {scaling.delay_s:g} s, decisions every {scaling.decide_s:g} s, down after {scaling.stabilise_s:g} s, a "
        f"backlog to be worked off within {scaling.catch_up_s:g} s: assumed."
    )
    carries = (
        f"Flink takes {cpu.value:.4g} CPU-seconds per million events ({cpu.basis}), times a speed factor of "
        f"{job.speed_factor.value:.3g} ({job.speed_factor.basis}). Dollars are of the fleet alone."
    )
    return [speed, carries]


def unit_of(usage: Usage, platform: str, prices: Catalog) -> tuple[ScalingUnit, float]:
    """(what the platform scales by, events a second that one carries at full use)."""
    row = registry.named(platform)
    if row.unit is None:
        able = [each.id for each in registry.found().values() if each.unit is not None]
        raise ScenarioError(f"{platform} holds data and does not follow its load; expected one of {', '.join(able)}")
    job = processing(usage, platform)
    unit = row.unit(usage, prices)
    return unit, float(unit.cores * job.speed_factor.value / job.cpu_s_per_million_events.value * 1_000_000)


# ---- the fleet's life


def walk(load: Load, unit_eps: float, decides: Decides, *, scaling: Scaling, restart_s: float, stops: Stops) -> Trace:
    """Units asked for are paid at once and work after the delay; while they are on their way nothing else is decided.

    Every change of a running fleet lets the job stand still for `restart_s`; an interruption in `stops`, for the delay
    besides.
    """
    events, lately = load.events.tolist(), _lately(load, scaling.decide_s)
    decide_at, delay = max(1, round(scaling.decide_s / 60)), math.ceil(scaling.delay_s / 60)
    empty = EMPTY * 60 * load.mean_eps
    running, coming, there_at = decides(0, 0, lately[0], 0.0), 0, -1
    still_s, backlog, restarts = 0.0, 0.0, 0
    paid, still = [0] * load.minutes, [0.0] * load.minutes
    waiting, done = [0.0] * load.minutes, [0.0] * load.minutes
    for minute, arrived in enumerate(events):
        before = running
        if there_at < 0 and minute % decide_at == 0:
            want = decides(minute, running, lately[minute], backlog)
            if want > running:
                coming, there_at = want, minute + delay
            else:
                running = want
        if there_at == minute:
            running, there_at = coming, -1
        if running and running != before:
            still_s, restarts = still_s + restart_s, restarts + (restart_s > 0)
        lost = stops(minute, running)
        if lost:
            still_s, restarts = still_s + lost * (scaling.delay_s + restart_s), restarts + lost
        still[minute] = min(still_s, 60.0) if backlog or arrived else 0.0
        working_s, still_s = max(60.0 - still_s, 0.0), max(still_s - 60.0, 0.0)
        served = min(running * unit_eps * working_s, backlog + arrived)
        backlog += arrived - served
        if backlog < empty:
            served, backlog = served + backlog, 0.0
        paid[minute] = coming if there_at >= 0 else running
        waiting[minute], done[minute] = backlog, served
    lag_s, stood = _lag_s(load, np.array(done)), np.array(still)
    begins_again = np.where(stood > 0, np.concatenate([[0.0], lag_s[:-1]]) + stood, 0.0)
    return Trace(np.array(paid), np.maximum(lag_s, begins_again), np.array(waiting), restarts)


def _lately(load: Load, decide_s: float) -> list[float]:
    """Events a second over the minutes before each one; of the minute itself for a clairvoyant, and for the first."""
    if decide_s == 0:
        return list((load.events / 60).tolist())
    window = max(1, round(decide_s / 60))
    sums = np.concatenate([[0.0], np.cumsum(load.events)])
    at = np.arange(load.minutes)
    start = np.maximum(at - window, 0)
    means = (sums[at] - sums[start]) / np.maximum(at - start, 1) / 60
    means[0] = load.events[0] / 60
    return list(means.tolist())


def _lag_s(load: Load, served: PerMinute) -> PerMinute:
    """First come, first served: how long the oldest event that waits at each minute's end has waited."""
    came = np.concatenate([[0.0], np.cumsum(load.events)])
    gone = np.minimum(np.cumsum(served), came[1:])
    ends = np.arange(1, load.minutes + 1)
    first = np.searchsorted(came, gone * (1 + 1e-12), side="right")  # the minute end by which the next one had come
    waits = first <= ends
    at = np.where(waits, first, 1)
    share = (gone - came[at - 1]) / np.maximum(came[at] - came[at - 1], EMPTY)
    lag = np.where(waits, ends - (at - 1 + np.clip(share, 0, 1)), 0.0) * 60
    empty = came[1:] - gone <= EMPTY * 60 * load.mean_eps
    return np.where(empty, 0.0, lag)


# ---- from a policy to its outcome


@dataclass(frozen=True)
class _Case:
    plan: Plan
    usage: Usage
    load: Load
    prices: Catalog


def _outcome(case: _Case, name: str, policy: Policy, platform: str) -> Outcome:
    asked: set[str] = set()
    unit, unit_eps = unit_of(case.usage, platform, replace(case.prices, asked=asked))
    restart = processing(case.usage, platform).restart_s
    trace = _lived(case, name, policy, unit_eps, float(restart.value))
    slow = float(restart.high or restart.value) if trace.restarts else float(restart.value)
    slower = _lived(case, name, policy, unit_eps, slow) if slow > restart.value else trace
    late = _late_since(trace.lag_s, case.plan.lag_limit_s)
    keeps_up = late <= min(DAY, case.load.minutes // 2)
    to_month = float(case.usage.units.month_hours) * HOUR / case.load.minutes
    return Outcome(
        policy=name,
        kind=policy.kind,
        platform=platform,
        unit=unit,
        unit_eps=unit_eps,
        usd_month=_usd(case, policy, unit, unit_eps, trace) if keeps_up else None,
        saving=None,
        lag=_lag(trace.lag_s, case.plan.lag_limit_s),
        slow_restart_s=slow,
        slow_lag=_lag(slower.lag_s, case.plan.lag_limit_s),
        units=(int(trace.paid.min()), float(trace.paid.mean()), int(trace.paid.max())),
        restarts_month=trace.restarts * to_month,
        reason="" if keeps_up else _behind(late, trace, case.plan.lag_limit_s),
        notes=_notes(case.prices, case.usage.region, unit, asked),
    )


def _lived(case: _Case, name: str, policy: Policy, unit_eps: float, restart_s: float) -> Trace:
    decides, scaling = _behaviour(case, policy, unit_eps)
    still_s = 0.0 if isinstance(policy, Serverless) else restart_s
    stops = _stops(case, policy, name)
    return walk(case.load, unit_eps, decides, scaling=scaling, restart_s=still_s, stops=stops)


def _behaviour(case: _Case, policy: Policy, unit_eps: float) -> tuple[Decides, Scaling]:
    """What decides, and how fast it changes."""
    fill, scaling = float(case.usage.sizing.cpu_fill.value), case.plan.scaling
    peak = units_for(case.load.peak_eps, unit_eps * fill)
    if isinstance(policy, Fixed):
        return policies.hold(policy.units or peak), scaling
    if isinstance(policy, IdleTimeout):
        at_once = scaling.model_copy(update={"decide_s": 60.0})
        return policies.release_when_idle(policy.units or peak, math.ceil(policy.after_s / 60)), at_once
    if isinstance(policy, Autoscaled):
        stable = math.ceil(scaling.stabilise_s / 60)
        target = policy.target or fill
        follow = policies.follow(unit_eps, policy, target, catch_up_s=scaling.catch_up_s, stabilise_min=stable)
        return follow, scaling
    held = Autoscaled(kind="autoscaled", least=max(policy.least, 1))
    by_use = policies.follow(unit_eps, held, 1.0, catch_up_s=60, stabilise_min=0)
    return by_use, Scaling(decide_s=0, stabilise_s=0, delay_s=0, catch_up_s=60)


def _stops(case: _Case, policy: Policy, name: str) -> Stops:
    if policy.spot is None or not policy.spot.interruptions_per_unit_month:
        return lambda _minute, _running: 0
    a_minute = policy.spot.interruptions_per_unit_month / (float(case.usage.units.month_hours) * HOUR)
    chance = np.random.default_rng([case.plan.seed, zlib.crc32(name.encode())]).random(case.load.minutes).tolist()
    return lambda minute, running: int(chance[minute] < running * a_minute)


def _usd(case: _Case, policy: Policy, unit: ScalingUnit, unit_eps: float, trace: Trace) -> Decimal:
    """USD a month of the fleet, exact in unit-minutes."""
    paid, minutes = trace.paid, case.load.minutes
    committed, commit_share, off = 0, Decimal(1), Decimal(0)
    if policy.commit is not None:
        if not unit.committable:
            raise ScenarioError(f"commit: no savings plan covers a {unit.what}; expected flink-ec2")
        committed, commit_share = _committed(case, policy.commit, unit_eps), 1 - Decimal(str(policy.commit.discount))
    if policy.spot is not None:
        if not unit.committable:
            raise ScenarioError(f"spot: a {unit.what} is not sold as spot; expected flink-ec2")
        off = Decimal(str(policy.spot.discount))
    beyond = int(np.maximum(paid - committed, 0).sum()) + _least_paid(paid, unit.least_paid_min)
    unit_minutes = committed * minutes * commit_share + beyond * (1 - off)
    running = int((paid > 0).sum())
    usd = (unit_minutes * unit.usd_hour + running * unit.running_usd_hour + minutes * unit.always_usd_hour) / HOUR
    return usd * case.usage.units.month_hours * HOUR / minutes


def _committed(case: _Case, commit: policies.Commit, unit_eps: float) -> int:
    if isinstance(commit.units, int):
        return commit.units
    fill = float(case.usage.sizing.cpu_fill.value)
    low = float(np.quantile(case.load.events / 60, float(commit.units[1:]) / 100))
    return units_for(low, unit_eps * fill)


def _least_paid(paid: npt.NDArray[np.int64], least_min: int) -> int:
    """Unit-minutes billed beyond those that ran, for starts that ended sooner than the least that is billed."""
    up = np.flatnonzero(np.diff(np.concatenate([[0], (paid > 0).astype(np.int64), [0]])))
    return sum(max(0, least_min - int(end - start)) * int(paid[start]) for start, end in up.reshape(-1, 2))


def _late_since(lag_s: PerMinute, limit_s: float) -> int:
    """Minutes since the lag was last within the limit, at the end."""
    within = np.flatnonzero(lag_s <= limit_s)
    return len(lag_s) - 1 - int(within[-1]) if within.size else len(lag_s)


def _lag(lag_s: PerMinute, limit_s: float) -> Lag:
    middle, high = np.quantile(lag_s, [0.5, 0.99])
    return Lag(float((lag_s > limit_s).mean()), float(middle), float(high), float(lag_s.max()))


def _behind(late: int, trace: Trace, limit_s: float) -> str:
    return (
        f"cannot catch up: over {limit_s:g} s of lag for the last {late / HOUR:,.0f} h, at the end "
        f"{trace.lag_s[-1] / 3600:,.1f} h behind with {trace.backlog[-1]:,.0f} events waiting"
    )


def _notes(prices: Catalog, region: str, unit: ScalingUnit, quotas: set[str]) -> tuple[str, ...]:
    shaky = [name for name in unit.prices if getattr(prices.price(name, region), "confidence", "") == "unverified"]
    shaky += sorted(name for name in quotas if prices.quotas[name].confidence == "unverified")
    return (f"rests on unverified {', '.join(shaky)}",) if shaky else ()


def _saving(outcome: Outcome, first: Outcome, load: Load) -> Outcome:
    if outcome.usd_month is None or first.usd_month is None:
        return outcome
    usd = first.usd_month - outcome.usd_month
    most = 1 - load.mean_eps / (first.units[1] * first.unit_eps)
    return replace(outcome, saving=Saving(usd, float(usd / first.usd_month), outcome.lag, most))
