"""What a scenario would take, what its repeats can decide, and how many repeats a precision asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analysis import power
from bench.errors import ScenarioError
from bench.metrics import full_name
from bench.noise import Noise, noise
from bench.record import Run
from bench.scenario import LoadPlan, Scenario, Trial, estimate_s
from bench.verdict import Comparison, load_claims

SCHEMA = 1
QUICK_S = 20 * 60  # what may call itself quick


@dataclass(frozen=True)
class Precision:
    """Repeats that bring the 95 % interval of `metric` within ±`share`: the metric that needs the most of them."""

    share: float
    repeats: int
    metric: str
    noise: Noise


def precise(scenario: Scenario, share: float, known: Mapping[str, Run], out: Path) -> Precision:
    """How many repeats this scenario takes for a precision, by the host's own variation.

    What has to be that precise is the ratio of each claim's primary comparison; of a load without one, CPU per event,
    or the rate of a drain. ScenarioError when no number of repeats up to 1,000 would do, or there is nothing to repeat.
    """
    found = []
    for metric, stat, pairs in _headlines(scenario):
        spread = noise(metric, stat, known.values(), out)
        repeats = power.repeats_for_precision(spread.cv, share, pairs=pairs)
        name = full_name(metric, stat)
        if repeats is None:
            raise ScenarioError(
                f"{scenario.name}: {name} varies by {spread.cv:.1%} from run to run ({spread.source}), so that no "
                f"number of repeats up to {power.MOST_REPEATS:,} makes it precise to {share:.1%}"
            )
        found.append(Precision(share, repeats, name, spread))
    if not found:
        raise ScenarioError(f"{scenario.name}: --precision has nothing to repeat, a search confirms itself")
    return max(found, key=lambda one: one.repeats)


def _headlines(scenario: Scenario) -> Iterator[tuple[str, str, bool]]:
    """(metric, stat, whether pairs are compared) of what a precision is about."""
    claims = load_claims(scenario.all_claims)
    primary = [one for claim in claims for one in claim.hypotheses if one.primary and isinstance(one, Comparison)]
    told = set()
    for one in primary:
        if loads := _loads_of(one, scenario):
            told |= loads
            yield one.metric, one.stat, True
    for name, plan in scenario.plans.items():
        if name in told or plan.load.kind == "search":
            continue
        pairs = len(scenario.cells(plan)) > 1
        if plan.load.kind == "drain":
            yield "drain_eps", "value", pairs
        else:
            yield "broker_cpu_s_per_million_events", "value", pairs
            if scenario.pipeline is not None:
                yield "flink_cpu_s_per_million_events", "value", pairs


def plan(
    scenario: Scenario,
    trials: Sequence[Trial],
    known: Mapping[str, Run],
    *,
    quick: bool,
    out: Path | None = None,
    precision: Precision | None = None,
) -> dict[str, Any]:
    """What would run, for how long, and the true effect that its comparisons would find at 80 % power."""
    todo = [trial for trial in trials if trial.id not in known]
    todo_s = estimate_s(todo)
    if quick and todo_s > QUICK_S:
        raise ScenarioError(
            f"{scenario.name}: --quick would take {todo_s / 60:.0f} min, expected at most {QUICK_S // 60}; "
            "shorten its quick section"
        )
    asked = [
        (claim.claim, one) for claim in load_claims(scenario.all_claims) for one in claim.hypotheses
        if isinstance(one, Comparison) and not one.needs
    ]  # fmt: skip
    decides = [
        _decides(claim, one, scenario, noise(one.metric, one.stat, known.values(), out))
        for claim, one in asked if _pairs(one, scenario) > 1
    ]  # fmt: skip
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "scenario": scenario.name,
        "question": scenario.question,
        "loads": {name: _load(scenario, one) for name, one in scenario.plans.items()},
        "trials": [
            {"id": t.id, "load": t.load_name, "knobs": dict(t.knobs), "repetition": t.repetition, "done": t.id in known}
            for t in trials
        ],
        "todo": len(todo),
        "todo_s": todo_s,
        "decides": decides,
        "single": [f"{claim}/{one.name}" for claim, one in asked if _pairs(one, scenario) == 1],
    }
    if precision is not None:
        spread = precision.noise
        document["precision"] = {
            "share": precision.share, "repeats": precision.repeats, "metric": precision.metric,
            "variation": spread.cv, "variation_from": spread.source,
        }  # fmt: skip
    return document


def _load(scenario: Scenario, plan: LoadPlan) -> dict[str, int]:
    return {"cells": len(scenario.cells(plan)), "repeats": plan.repeats}


def _decides(claim: str, one: Comparison, scenario: Scenario, spread: Noise) -> dict[str, Any]:
    """The true change, as a share, that the planned pairs find to be beyond the claimed one with 80 % power."""
    pairs, d = _pairs(one, scenario), one.effect.relative
    if one.direction == "stays":  # what is truly smaller than this is found to be within the claimed one
        effect = max(0.0, (1 + d) / (1 + power.decidable_effect(spread.cv, pairs, 0.0, stat=one.stat)) - 1)
    elif one.direction == "increases":
        effect = power.decidable_effect(spread.cv, pairs, d, stat=one.stat)
    else:  # on a log scale the margin is the same on the other side
        effect = 1 - (1 - d) / (1 + power.decidable_effect(spread.cv, pairs, 0.0, stat=one.stat))
    return {
        "claim": claim, "hypothesis": one.name, "metric": one.metric, "stat": one.stat, "direction": one.direction,
        "minimum_effect": d, "pairs": pairs, "true_effect_decided": effect, "variation": spread.cv,
        "variation_from": spread.source,
    }  # fmt: skip


def _loads_of(one: Comparison, scenario: Scenario) -> set[str]:
    """Loads whose cells hold both arms of a comparison."""
    found = set()
    for name, plan in scenario.plans.items():
        knobs = [dict(cell_knobs) for cell_knobs, _ in scenario.cells(plan)]
        there = all(any(arm.items() <= cell.items() for cell in knobs) for arm in (one.base, one.changed))
        if there and (not one.loads or name in one.loads):
            found.add(name)
    return found


def _pairs(one: Comparison, scenario: Scenario) -> int:
    """Pairs of runs that a comparison would get, 0 when one of its arms is not among the cells."""
    loads = _loads_of(one, scenario)
    return next((plan.repeats for name, plan in scenario.plans.items() if name in loads), 0)


def _told(one: Mapping[str, Any], name: str) -> str:
    hypothesis, d, true = f"{one['claim']}/{one['hypothesis']}", one["minimum_effect"], one["true_effect_decided"]
    if one["direction"] != "stays":
        how = f"{one['direction']} by {d:.0%} or more"
        return f"decides {hypothesis} ({how}) if {name} truly {one['direction']} by {true:.0%}"
    if not true:
        return f"does not decide {hypothesis} (stays within {d:.0%}): {name} varies too much for so few pairs"
    return f"decides {hypothesis} (stays within {d:.0%}) if {name} truly changes by less than {true:.1%}"


def plan_lines(document: Mapping[str, Any]) -> list[str]:
    """A plan as a person reads it."""
    loads = ", ".join(f"{name}: {one['cells']} cells x {one['repeats']}" for name, one in document["loads"].items())
    done = len(document["trials"]) - document["todo"]
    lines = [f"{document['scenario']}: {document['question']}"]
    if "precision" in document:
        one = document["precision"]
        lines.append(f"±{one['share']:.1%} takes {one['repeats']} repeats: {one['metric']} varies by "
                     f"{one['variation']:.1%} from run to run by {one['variation_from']}")  # fmt: skip
    lines.append(f"{len(document['trials'])} runs ({loads})")
    lines.append(f"{done} are there, {document['todo']} to run, about {document['todo_s'] / 60:.0f} min" if done
                 else f"about {document['todo_s'] / 60:.0f} min on two cores")  # fmt: skip
    named = [(one, full_name(one["metric"], one["stat"])) for one in document["decides"]]
    lines += [_told(one, name) for one, name in named]
    if document["single"]:
        lines.append(f"one run of each side, so told but not decided: {', '.join(document['single'])}")
    for spread in dict.fromkeys(one["variation_from"] for one in document["decides"]):
        varies = {name: one["variation"] for one, name in named if one["variation_from"] == spread}
        lines.append("variation from run to run: " + ", ".join(f"{metric} {cv:.1%}" for metric, cv in varies.items())
                     + f" by {spread}")  # fmt: skip
    return lines
