"""Runs, cells, verdicts and bills -> one `Report`, in the order in which a reader decides. Rounds and draws nothing.

Verdict first, then the dollars, the figures, the numbers, how and on what it was measured, what went wrong, every run,
what to run next, and where everything lies. Half-finished data makes a shorter report that says what is missing.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.analysis.cells import Cell
from bench.analysis.decide import Answer
from bench.analysis.intervals import Estimate
from bench.analysis.thresholds import meets
from bench.record import Outcome, Run
from bench.scenario import BACKEND, Scenario
from bench.verdict import Verdict as Judged
from reports import (
    backends,
    billing,
    climbing,
    details,
    dollars,
    foretelling,
    partitioning,
    plots,
    searches,
    storing,
    trust,
    wording,
    zones,
)
from reports import verdicts as verdict_blocks
from reports.evidence import Arm, Evidence, bill_loads, gather, machine, run_id, run_name
from reports.report import (
    Case,
    Fact,
    Facts,
    Listing,
    Number,
    Paragraph,
    Report,
    Result,
    Section,
    Source,
    Tone,
    Words,
    said,
)
from reports.wording import arm_label

__all__ = ["arm_label", "tell"]


def tell(
    scenario: Scenario,
    runs: Sequence[Run],
    cells: Sequence[Cell],
    verdicts: Sequence[Judged],
    bills: dollars.Bills,
    *,
    generated_utc: str,
    unreadable: Sequence[str] = (),
    asked_for: int = 0,
) -> Report:
    """The report of one scenario. `bills`: a name of `wording.bill_labels` -> the document of `cost --json`.

    `asked_for`: trials, run or not; 0 where nobody knows. `unreadable`: sentences about bundles that could not be
    loaded. Never raises for what is missing, never fills a gap.
    """
    evidence = gather(runs, cells, list(scenario.plans))
    evidence.unreadable.extend(unreadable)
    order = {name: index for index, arm in reversed(list(enumerate(evidence.arms))) for name in _bill_names(arm)}
    bills = dict(sorted(bills.items(), key=lambda bill: order.get(bill[0], len(order))))
    asked = [
        (arm, text, slo) for arm in evidence.arms for text, slo in zip(scenario.thresholds, scenario.slos, strict=True)
    ]
    sections = [
        _verdicts(scenario, evidence, verdicts, asked, bills, asked_for),
        dollars.section(bills, bill_loads(evidence, scenario.pricing.scale_to_mb_s)),
        backends.section(evidence),
        partitioning.section(evidence),
        storing.section(evidence),
        _figures(evidence, bills),
        details.numbers(evidence),
        zones.section(evidence),
        details.capacity(evidence),
        foretelling.section(evidence),
        details.clocks(evidence),
        details.method(evidence),
        details.environment(evidence),
        details.transfers(evidence),
        trust.checks(evidence),
        trust.failures(evidence),
        *billing.details(bills),
        details.each_run(evidence),
        _next(scenario, evidence, verdicts, asked_for),
        _paths(evidence),
    ]
    return Report(
        scenario=scenario.name,
        title=scenario.name.replace("-", " ").capitalize(),
        question=scenario.question,
        generated_utc=generated_utc,
        machine=machine(evidence.runs),
        sections=tuple(section for section in sections if section is not None),
        cases=tuple(_cases(evidence, verdicts, asked)),
    )


# ---- verdicts and thresholds


def _verdicts(  # noqa: PLR0917 -- everything that the story is made of meets in its first section
    scenario: Scenario,
    evidence: Evidence,
    verdicts: Sequence[Judged],
    asked: Sequence[Any],
    bills: dollars.Bills,
    asked_for: int,
) -> Section:
    blocks: list[Any] = [verdict_blocks.block(judged) for judged in verdicts if judged.primary]
    missing = [claim for claim in scenario.all_claims if claim not in {judged.claim for judged in verdicts}]
    if missing:
        blocks.append(said(f"Not judged: {wording.listed(missing)}.", Tone.UNSURE))
    blocks += [answer for arm in evidence.arms for answer in searches.answers(arm)]
    blocks += foretelling.answers(evidence)
    if not blocks:
        blocks.append(said("This scenario makes no claim: it measures."))
    blocks.append(_in_short(scenario, evidence, verdicts, asked, bills))
    blocks += [Paragraph(words, tone) for words, tone in _limits(asked)]
    blocks.append(_counted(evidence, asked_for))
    others = [judged for judged in verdicts if not judged.primary]
    if others:
        inner = tuple(verdict_blocks.block(one) for one in others)
        blocks.append(Section("exploratory", "What else the claims could mean", inner, folded=True))
    return Section("verdicts", "Verdict", tuple(blocks))


def _in_short(
    scenario: Scenario, evidence: Evidence, verdicts: Sequence[Judged], asked: Sequence[Any], bills: dollars.Bills
) -> Facts:
    """The four questions that a reader came with."""
    standing = _standing(evidence, scenario, asked)
    do, tone = dollars.choice(bills, standing)
    return Facts(
        "in-short",
        (
            Fact("What to do", do, tone),
            Fact("How sure", (*_sure(verdicts), *trust.in_short(evidence))),
            Fact("What it costs", dollars.costs(bills, standing.loads)),
            Fact("What it depends on", dollars.rests_on(bills)),
        ),
    )


def _sure(verdicts: Sequence[Judged]) -> Words:
    """The first verdict's interval, and what would decide it if it is open."""
    first = next((judged for judged in verdicts if judged.primary), None)
    found = verdict_blocks.evidence(first) if first is not None else ()
    if first is None or not found:
        return ("No verdict rests on these runs. ",)
    name = f"{first.claim}/{first.hypothesis}"
    found = (str(found[0]).capitalize(), *found[1:])
    if first.needs_repeats is None:
        return (*found, ". ")
    repeats = wording.number(first.needs_repeats, "", Source("verdict", name, "needs_repeats"))
    return (*found, "; ", repeats, " repeats in all would decide. ")


def _limits(asked: Sequence[tuple[Arm, str, Any]]) -> Iterator[tuple[Words, Tone]]:
    """One sentence for each threshold: in which arms it holds; for all together that the same arms leave open."""
    open_: dict[str, list[str]] = {}  # arms -> the thresholds that cannot be judged there
    for text in dict.fromkeys(text for _, text, _ in asked):
        answers = {arm.key: _held(arm, slo) for arm, t, slo in asked if t == text and _applies(arm, slo)}
        broken = [key for key, (kept, known, _) in answers.items() if kept < known]
        unknown = [key for key, (_, known, runs) in answers.items() if known < runs or not runs]
        if not answers:
            yield (f"Threshold {text}: no run it applies to.",), Tone.UNSURE
        elif broken:
            words: list[str | Number] = [f"Threshold {text} fails: "]
            for key in broken:
                kept, known, _ = answers[key]
                words += [
                    f"{key} keeps it in ",
                    wording.number(kept, "", Source("threshold", key, f"{text} kept")),
                    " of ",
                    wording.number(known, "", Source("threshold", key, f"{text} known")),
                    " runs; ",
                ]
            yield (*words[:-1], " runs."), Tone.BAD
        elif unknown:
            open_.setdefault(wording.listed(unknown), []).append(text)
        else:
            yield (f"Threshold {text}: kept in every finished run.",), Tone.GOOD
    for where, texts in open_.items():
        which = f"Threshold{'s' if len(texts) > 1 else ''} {wording.listed(texts)}"
        yield (f"{which}: cannot be judged in every run of {where}; missing is no pass.",), Tone.UNSURE


def _held(arm: Arm, slo: Any) -> tuple[int, int, int]:
    """(runs that keep it, runs where it can be judged, finished runs)."""
    answers = [meets(run, slo) for run in arm.finished]
    known = [answer for answer in answers if answer is not None]
    return sum(known), len(known), len(answers)


def _standing(evidence: Evidence, scenario: Scenario, asked: Sequence[tuple[Arm, str, Any]]) -> dollars.Standing:
    return dollars.Standing(
        _keeps(evidence, asked),
        _apart(evidence),
        bill_loads(evidence, scenario.pricing.scale_to_mb_s),
        frozenset(name for arm in evidence.arms if _lost(arm) for name in _bill_names(arm)),
    )


def _lost(arm: Arm) -> bool:
    """Whether any of its finished runs lost events."""
    found = [run.metrics["lost_events"].value for run in arm.finished if "lost_events" in run.metrics]
    return any(value > 0 for value in found)


def _bill_names(arm: Arm) -> tuple[str, str]:
    """The names under which this arm may have been priced."""
    return arm.label, wording.under(arm.label, arm.load)


def _keeps(evidence: Evidence, asked: Sequence[tuple[Arm, str, Any]]) -> dict[str, bool | None]:
    """Bill -> whether all finished runs it stands for (by its knobs alone: under every load) keep every threshold;
    None: not known.
    """
    found: dict[str, bool | None] = {}
    for arm in evidence.arms:
        answers = [_held(a, slo) for a, _, slo in asked if a is arm and _applies(a, slo)]
        broken = any(kept < known for kept, known, _ in answers)
        whole = all(known == runs > 0 for _, known, runs in answers) and bool(arm.finished)
        for name in _bill_names(arm):
            if broken:
                found[name] = False
            elif found.get(name, True) is not False:
                found[name] = True if whole and found.get(name, True) else None
    return found


COST_BEARING = (
    "disk_bytes_per_event",
    "wire_bytes_per_event",
    "cross_zone_bytes_per_event",
    "broker_cpu_s_per_million_events",
    "flink_cpu_s_per_million_events",
)


def _apart(evidence: Evidence) -> frozenset[frozenset[str]]:
    """Pairs of bills of one load that some cost-bearing metric tells apart: their intervals do not meet."""
    found = set()
    for a, b in itertools.combinations(evidence.arms, 2):
        if a.load == b.load and any(_do_not_meet(a.estimate(name), b.estimate(name)) for name in COST_BEARING):
            found |= {frozenset(pair) for pair in zip(_bill_names(a), _bill_names(b), strict=True)}
    return frozenset(found)


def _do_not_meet(a: Estimate | None, b: Estimate | None) -> bool:
    if a is None or b is None or a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.high < b.low or b.high < a.low


def _applies(arm: Arm, slo: Any) -> bool:
    """A drain has no latency and no backlog to keep: a threshold on what none of its runs has is not about it."""
    return not arm.is_drain or any(slo.metric in run.metrics for run in arm.runs)


def _counted(evidence: Evidence, asked_for: int) -> Paragraph:
    runs = evidence.runs
    if not runs:
        return said("No run was found: there is nothing to judge yet.", Tone.UNSURE)
    words: list[str | Number] = ["Evidence: ", wording.count(len(runs), "run", Source("counted", "runs", "all"))]
    for outcome in Outcome:
        many = sum(run.outcome is outcome for run in runs)
        if many:
            words += [", ", wording.number(many, "", Source("counted", "runs", str(outcome))), f" {outcome}"]
    bad = any(run.outcome is not Outcome.FINISHED for run in runs)
    left = asked_for - len(runs)
    if left > 0:
        words += [", ", wording.number(left, "", Source("counted", "runs", "not run")), " still to run"]
    return Paragraph((*words, f", on {machine(runs)}."), Tone.WARNING if bad or left > 0 else Tone.PLAIN)


# ---- the rest


def _figures(evidence: Evidence, bills: dollars.Bills) -> Section:
    found: list[Any] = [*climbing.figures(evidence), *plots.key_figures(evidence)]
    bill = billing.figure(bills)
    if bill is not None:
        found.append(bill)
    if not found:
        found = [said("No finished run has anything to draw yet.", Tone.UNSURE)]
    return Section("figures", "What was seen", tuple(found))


def _next(scenario: Scenario, evidence: Evidence, verdicts: Sequence[Judged], asked_for: int) -> Section:
    file = _as_typed(scenario.file) + _where(evidence.runs)
    blocks: list[Any] = []
    repeats = max((judged.needs_repeats for judged in verdicts if judged.needs_repeats), default=None)
    if repeats is not None:
        who = max((judged for judged in verdicts if judged.needs_repeats), key=lambda judged: judged.needs_repeats or 0)
        name = f"{who.claim}/{who.hypothesis}"
        words: Words = (
            "More repeats would decide what is open: ",
            wording.number(repeats, "", Source("verdict", name, "needs_repeats")),
            " in all. Runs that are done are kept.",
        )
        blocks += [Paragraph(words), Listing((f"streamgauge run {file} --repeats {repeats}",), "sh")]
    undone = [run for run in evidence.runs if run.outcome is not Outcome.FINISHED]
    if undone or len(evidence.runs) < max(1, asked_for):
        blocks += [
            said("Run what is missing; finished trials are found and kept."),
            Listing((f"streamgauge run {file}",), "sh"),
        ]
    paths = [path for path in dict.fromkeys(path for run in evidence.runs for path in run.knobs) if path != BACKEND]
    if paths:
        blocks.append(said(f"Ask the same of another setting of {paths[0]}, or look at one run:"))
    else:
        blocks.append(said("Look at it again, and at what else could be asked:"))
    commands = [f"streamgauge run {file} --set {paths[0]}=VALUE"] if paths else [f"streamgauge plan {file}"]
    bundle = next((run.bundle for run in evidence.runs if run.bundle is not None), None)
    if bundle is not None:
        commands.append(f"streamgauge show {_as_typed(bundle)}")
    blocks.append(Listing(tuple(commands), "sh"))
    return Section("next", "What to run next", tuple(blocks))


def _where(runs: Sequence[Run]) -> str:
    """The options that run on the same backends again."""
    found = tuple(dict.fromkeys(run.backend for run in runs))
    told = "" if found in ((), ("local",)) else "".join(f" --backend {one}" for one in found)
    remote = next((str(said) for run in runs if (said := run.environment.get("remote"))), "")
    return f"{told} --bootstrap {remote}" if remote else told


def _as_typed(path: Path) -> str:
    """Relative to where the reader stands, unless it lies elsewhere."""
    near = os.path.relpath(path)
    return str(path.absolute()) if near.startswith("..") else near


def _paths(evidence: Evidence) -> Section:
    if not evidence.runs:
        return Section("paths", "Where it lies", (said("There is no bundle yet.", Tone.UNSURE),))
    lines = tuple(f"{run_id(run)}/  {run_name(run)}, {run.outcome}" for run in evidence.runs)
    about = said("Each run's bundle, beside this report: run.json, series.parquet, latency.parquet, logs.")
    return Section("paths", "Where it lies", (about, Section("bundles", "Bundles", (Listing(lines),), folded=True)))


def _cases(evidence: Evidence, verdicts: Sequence[Judged], asked: Sequence[tuple[Arm, str, Any]]) -> Iterator[Case]:
    results = {Outcome.FINISHED: Result.PASSED, Outcome.REFUSED: Result.SKIPPED}
    for run in evidence.runs:
        result = results.get(run.outcome, Result.ERROR)
        yield Case("runs", run_name(run), result, run.reason, run.duration_s)
    for run in evidence.runs:
        for check in run.checks:
            said = "" if check.ok else f"{check.says().removeprefix(check.name + ': ')}. {check.detail}".strip()
            yield Case("checks", f"{run_name(run)}: {check.name}", Result.PASSED if check.ok else Result.FAILED, said)
    for arm, text, slo in asked:
        if not _applies(arm, slo):
            continue
        kept, known, runs = _held(arm, slo)
        name = f"{arm.load}, {arm.label}: {text}"
        if kept < known:
            yield Case("thresholds", name, Result.FAILED, f"kept in {kept} of {known} runs")
        elif known < runs or not runs:
            yield Case(
                "thresholds",
                name,
                Result.SKIPPED,
                f"can be judged in {known} of {runs} finished runs: missing is no pass",
            )
        else:
            yield Case("thresholds", name, Result.PASSED, f"kept in {kept} of {known} runs")
    for judged in verdicts:
        decided = judged.verdict in (Answer.SUPPORTED, Answer.REFUTED)
        result = (
            Result.PASSED if decided else Result.SKIPPED
        )  # whether a refuted claim fails a build is the caller's to say
        yield Case("claims", f"{judged.claim}: {judged.hypothesis}", result, judged.sentence)
