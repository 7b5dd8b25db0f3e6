"""The claim book: every claim on one page, its verdict first, what it rests on and costs, what would change it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.analysis.decide import Answer
from bench.book import Entry, State, state
from bench.record import Run
from bench.study import scenario_files
from bench.verdict import Cost, Planned
from bench.verdict import Verdict as Judged
from costmodel.odds import Compared
from reports import grounds, verdicts, wording
from reports.evidence import machine
from reports.grounds import StudyBills
from reports.report import (
    Badge,
    Case,
    Column,
    Fact,
    Facts,
    Link,
    Paragraph,
    Report,
    Result,
    Section,
    Source,
    Table,
    Tone,
    Verdict,
    Words,
    said,
)

ORDER = (State.REFUTED, State.SUPPORTED, State.INCONCLUSIVE, State.NOT_TESTABLE_HERE, State.NOT_YET_RUN)
_SCENARIOS = frozenset(file.stem for file in scenario_files())
FEW = 3  # claims that a terminal shows whole
_TONES = {State.SUPPORTED: Tone.GOOD, State.REFUTED: Tone.BAD}
_TITLES = {
    State.REFUTED: "Refuted",
    State.SUPPORTED: "Supported",
    State.INCONCLUSIVE: "Inconclusive",
    State.NOT_TESTABLE_HERE: "Not testable here",
    State.NOT_YET_RUN: "Not yet run",
}


def tell(
    entries: Sequence[Entry],
    bills: StudyBills,
    odds: Mapping[str, Compared],
    *,
    generated_utc: str,
    unreadable: Sequence[str] = (),
) -> Report:
    """The book. `odds`: what stands behind each probability that a claim names. What is missing is said."""
    groups = [(word, [entry for entry in entries if entry.state is word]) for word in ORDER]
    few = len(entries) <= FEW
    sections = [_overview(entries, bills, odds, unreadable)]
    cards = {word: tuple(_card(entry, bills, odds) for entry in these) for word, these in groups if these}
    if few:
        sections.append(Section("claims", "One by one", tuple(itertools.chain.from_iterable(cards.values()))))
    else:
        sections += [Section(f"book-{word.replace(' ', '-')}", _TITLES[word], these) for word, these in cards.items()]
    runs = [run for entry in entries if entry.ran is not None for run in entry.ran.study.runs]
    return Report(
        scenario="claims",
        title="The claim book",
        question="Which guidance on Kafka and Flink holds on this class of machine, and what does it cost?",
        generated_utc=generated_utc,
        machine=machine(runs) if runs else "no runs, bills only",
        sections=tuple(sections),
        cases=tuple(_cases(entries)),
    )


def _overview(
    entries: Sequence[Entry], bills: StudyBills, odds: Mapping[str, Compared], unreadable: Sequence[str]
) -> Section:
    counted = [(word, sum(entry.state is word for entry in entries)) for word in ORDER]
    words: list[Any] = [wording.count(len(entries), "claim", Source("counted", "claims", "all")), ": "]
    for word, many in counted:
        if many:
            number = wording.number(many, "", Source("counted", "claims", str(word)))
            words += [number, f" {word}", ", "]
    blocks: list[Any] = [Paragraph((*words[:-1], ".") if entries else ("No claim was asked about.",))]
    spoke = {entry.ran.name: entry.ran.study.runs for entry in entries if entry.ran is not None}
    told = [f"{name} ({_when(runs)})" for name, runs in sorted(spoke.items())]
    rests = f"Runs: {'; '.join(told)}. " if told else "No recorded run speaks on any of them. "
    blocks.append(said(f"{rests}Bills: draws from the bands of everything uncertain, at list prices."))
    if unreadable:
        blocks.append(said(f"Could not be read, and is missing here: {'; '.join(unreadable)}", Tone.WARNING))
    order = {word: at for at, word in enumerate(ORDER)}
    rows = tuple(_row(entry, bills, odds) for entry in sorted(entries, key=lambda entry: order[entry.state]))
    columns = (Column("verdict"), Column("claim"), Column("what was found"), Column("dollars a month"))
    blocks.append(Table("claims", "Every claim, in the order of its verdict", columns, rows))
    return Section("verdicts", "All claims", tuple(blocks))


def _row(entry: Entry, bills: StudyBills, odds: Mapping[str, Compared]) -> tuple[Words, ...]:
    return (
        (_badge(entry.state),),
        (Link(entry.claim.sentence, entry.claim.claim),),
        (verdicts.sentence(entry.primary), *_half(entry)),
        grounds.monthly(entry, bills, odds, short=True) or ("",),
    )


def _half(entry: Entry) -> Words:
    decided = _decided_so_far(entry) if entry.state is State.NOT_YET_RUN else ()
    return (" Decided so far: ", *decided, ".") if decided else ()


def _badge(word: State) -> Badge:
    return Badge(str(word), _TONES.get(word, Tone.PLAIN if word is State.NOT_YET_RUN else Tone.UNSURE))


# ---- one claim


def _card(entry: Entry, bills: StudyBills, odds: Mapping[str, Compared]) -> Section:
    claim = entry.claim
    blocks: list[Any] = [_verdict(entry), Facts(f"facts-{claim.claim}", tuple(_facts(entry, bills, odds)))]
    if len(entry.verdicts) > 1:
        blocks.append(_other_meanings(entry))
    return Section(claim.claim, f"“{claim.sentence}”", tuple(blocks))


def _verdict(entry: Entry) -> Verdict:
    told = verdicts.block(entry.primary)
    word = told.verdict if entry.state is not State.NOT_YET_RUN else str(State.NOT_YET_RUN)
    return replace(told, verdict=word, tone=_badge(entry.state).tone, said="", evidence=())


def _facts(entry: Entry, bills: StudyBills, odds: Mapping[str, Compared]) -> Iterator[Fact]:
    claim, primary = entry.claim, entry.claim.primary
    if not verdicts.sentence(entry.primary).startswith(primary.says.rstrip(".")):
        yield Fact("Tested as", (primary.says,))
    yield Fact("It means", (claim.meaning,))
    if isinstance(primary, Planned):
        yield Fact("Would be refuted by", (_sentence(primary.contradicted_by),))
    told: tuple[tuple[str, Words], ...] = (
        *_grounds(entry, odds),
        ("Dollars", grounds.monthly(entry, bills, odds)),
        ("Known before", (claim.expect,) if claim.expect else ()),
        ("Would change it", (" ".join(claim.would_change),) if claim.would_change else ()),
        ("Not decided here", (" ".join(claim.cannot_decide),) if claim.cannot_decide else ()),
        ("To decide it", _to_decide(entry)),
    )
    yield from (Fact(name, words) for name, words in told if words)


def _grounds(entry: Entry, odds: Mapping[str, Compared]) -> tuple[tuple[str, Words], ...]:
    """What a verdict rests on; of a claim that is not yet run, what its other meanings do."""
    if entry.state is not State.NOT_YET_RUN:
        return ("Conditions", grounds.conditions(entry, odds)), ("Evidence", _evidence(entry))
    decided = _decided_so_far(entry)
    return (("Decided so far", (*decided, " (", *_evidence(entry)[:-1], ").")),) if decided else ()


def _decided_so_far(entry: Entry) -> Words:
    """Of a claim that is not yet run: which of its other meanings the runs that are there have decided."""
    says = {one.name: one.says.rstrip(".") for one in entry.claim.hypotheses}
    done = [one for one in entry.verdicts[1:] if one.verdict in (Answer.SUPPORTED, Answer.REFUTED)]
    return ("; ".join(f"{says[one.hypothesis]}: {one.verdict}" for one in done),) if done else ()


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _evidence(entry: Entry) -> Words:
    judged = entry.primary
    words: Words = verdicts.evidence(judged, _ref(judged))
    if entry.source is not None:
        words = (*words, " in " if words else "", f"{entry.source.name}, {_when(entry.source.study.runs)}")
    elif isinstance(entry.claim.primary, Cost) and words:
        words = (*words, " over the bands of everything uncertain, prices included")
    for other, verdict in entry.others:
        told = verdicts.evidence(verdict, f"{_ref(verdict)} in {other.name}")
        words = (*words, f"; {other.name} says {verdict.verdict}", *((" (", *told, ")") if told else ()))
    return (*words, ".") if words else ("None.",)


def _ref(judged: Judged) -> str:
    return f"{judged.claim}/{judged.hypothesis}"


def _when(runs: Sequence[Run]) -> str:
    days = sorted({run.started_utc[:10] for run in runs})
    return f"{machine(runs)}, {' to '.join(dict.fromkeys((days[0], days[-1])))}" if days else "no runs"


def _to_decide(entry: Entry) -> Words:
    """What to run or build next; () where it is decided, or nothing here can."""
    primary = entry.claim.primary
    if entry.state not in (State.NOT_YET_RUN, State.INCONCLUSIVE):
        return ()
    if primary.waits_for:
        return (_sentence(f"it waits for {primary.waits_for}"),)
    repeats = entry.primary.needs_repeats
    if entry.source is not None and repeats is not None:
        return (f"streamgauge run {entry.source.study.scenario.name} --repeats {repeats}",)
    if isinstance(primary, Cost):
        return ("Narrower bands: measure what the bills assume, and give it as a usage.",)
    name = next((name for name in entry.claim.decided_by if name in _SCENARIOS), None)
    return (f"streamgauge run {name}" if name else f"It waits for the scenario {entry.claim.decided_by[0]}.",)


def _other_meanings(entry: Entry) -> Section:
    says = {one.name: one for one in entry.claim.hypotheses}
    rows = []
    for judged in entry.verdicts[1:]:
        one = says[judged.hypothesis]
        word = state(judged, ran=entry.ran is not None)
        rows.append(((_badge(word),), (one.says,), (verdicts.sentence(judged),)))
    columns = (Column("verdict"), Column("hypothesis"), Column("what was found"))
    note = f"Runs: {entry.beside.name}, {_when(entry.beside.study.runs)}." if entry.beside is not None else ""
    table = Table(f"others-{entry.claim.claim}", "Its other meanings", columns, tuple(rows), note)
    decided = sum(row[0][0].text in (State.SUPPORTED, State.REFUTED) for row in rows)
    title = f"What else it could mean: {decided or 'none'} of {len(rows)} decided"
    return Section(f"others-{entry.claim.claim}", title, (table,), folded=True)


def _cases(entries: Sequence[Entry]) -> Iterator[Case]:
    for entry in entries:
        decided = entry.state in (State.SUPPORTED, State.REFUTED)
        message = f"{entry.state}. {verdicts.sentence(entry.primary)}"
        yield Case("claims", entry.claim.claim, Result.PASSED if decided else Result.SKIPPED, message)
