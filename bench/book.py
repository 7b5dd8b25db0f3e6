"""The claim book: every claim against every study there is. Which study may speak on which, and what is not yet run.

Choosing is by rule, never by what comes out: the claim names its scenarios, the best evidence first, and of two studies
of one scenario the one named first speaks. What the others say is kept beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bench.analysis.decide import Answer, Reason
from bench.analysis.intervals import Estimate
from bench.errors import ScenarioError
from bench.study import INDEX, Study, recall
from bench.verdict import Claim, Cost, Evidence, Verdict, judge

RECORDED = Path(__file__).resolve().parents[1] / "studies"  # recorded results that are part of the repository


class State(StrEnum):
    """What the book says of a claim: the judge's four words, and the one for which nothing could be judged."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTABLE_HERE = "not testable here"
    NOT_YET_RUN = "not yet run"


@dataclass(frozen=True)
class Recorded:
    """A study, and what a reader calls the folder it lies in."""

    name: str
    study: Study


@dataclass(frozen=True)
class Entry:
    """One claim. `source`: the study whose runs spoke on the primary hypothesis, None for bills and where nothing ran.

    `verdicts`: one a hypothesis, the primary first. `others`: the primary hypothesis by the studies that did not speak.
    `beside`: where bills decide, the study whose runs spoke on the hypotheses that rest on runs.
    """

    claim: Claim
    verdicts: tuple[Verdict, ...]
    source: Recorded | None
    others: tuple[tuple[Recorded, Verdict], ...]
    beside: Recorded | None = None

    @property
    def ran(self) -> Recorded | None:
        """The study whose runs spoke on any hypothesis."""
        return self.source or self.beside

    @property
    def primary(self) -> Verdict:
        """The hypothesis that decides."""
        return self.verdicts[0]

    @property
    def state(self) -> State:
        """The word that the book prints."""
        return state(self.primary, ran=self.source is not None)


def state(verdict: Verdict, *, ran: bool) -> State:
    """The verdict's word; "not yet run" where what decides it is not built, or no study of it is there (`ran`)."""
    undecided = verdict.verdict is Answer.INCONCLUSIVE
    if undecided and (verdict.reason is Reason.NOT_BUILT or (verdict.reason is Reason.MISSING and not ran)):
        return State.NOT_YET_RUN
    return State(str(verdict.verdict))


def read(folders: Iterable[Path], recorded: Path | None = RECORDED) -> tuple[list[Recorded], list[str]]:
    """(studies in `folders` and then in `recorded`, sentences about what could not be read).

    A folder is a study or holds studies. One that `streamgauge run` did not make is listed, not an error; one that was
    named and holds none at all is.
    """
    found: list[Recorded] = []
    unreadable: list[str] = []
    for folder in folders:
        inside = studies_in(folder)
        if not inside:
            raise ScenarioError(f"{folder}: no study in it, expected results/SCENARIO or a folder of such folders")
        _recall(inside, found, unreadable)
    if recorded is not None:
        _recall(studies_in(recorded), found, unreadable)
    return found, unreadable


def studies_in(folder: Path) -> list[Path]:
    """The folder itself if it is a study, else the studies directly within it, by name."""
    if (folder / INDEX).exists() or (folder / "scenario.yaml").exists():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{INDEX}"))


def _recall(folders: Iterable[Path], found: list[Recorded], unreadable: list[str]) -> None:
    for folder in folders:
        try:
            study = recall(folder, judged=False)
        except ScenarioError as error:
            unreadable.append(str(error))
            continue
        unreadable += study.unreadable
        found.append(Recorded(_called(folder), study))


def _called(folder: Path) -> str:
    """The last two parts of its path: results/quickstart, studies/quickstart."""
    return "/".join(folder.resolve().parts[-2:])


def open_book(claims: Iterable[Claim], studies: Sequence[Recorded], estimates: Mapping[str, Estimate]) -> list[Entry]:
    """An entry for each claim, in the order given. Never raises on what is missing."""
    return [_entry(claim, _speakers(claim, studies), estimates) for claim in claims]


def _speakers(claim: Claim, studies: Sequence[Recorded]) -> list[Recorded]:
    """The studies that may speak, best first: of scenarios that the claim names, then of those that name the claim."""
    rank = {name: at for at, name in enumerate(claim.decided_by)}
    may = [
        one for one in studies
        if one.study.finished and (one.study.scenario.name in rank or claim.claim in one.study.scenario.all_claims)
    ]  # fmt: skip
    return sorted(may, key=lambda one: rank.get(one.study.scenario.name, len(rank)))


def _entry(claim: Claim, speakers: Sequence[Recorded], estimates: Mapping[str, Estimate]) -> Entry:
    best = speakers[0] if speakers else None
    source, beside = (None, best) if isinstance(claim.primary, Cost) else (best, None)
    verdicts = tuple(judge([claim], Evidence(best.study.runs if best else (), estimates)))
    others = tuple((one, judge([claim], Evidence(one.study.runs, estimates))[0]) for one in speakers[1:] if source)
    return Entry(claim, verdicts, source, others, beside)
