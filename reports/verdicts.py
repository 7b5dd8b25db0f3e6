"""A verdict as a block of a report: the word, the sentence, and what it rests on."""

from __future__ import annotations

from bench.analysis.decide import Answer, Reason
from bench.verdict import Verdict as Judged
from reports import wording
from reports.report import Number, Source, Tone, Verdict, Words

TONES = {
    Answer.SUPPORTED: Tone.GOOD,
    Answer.REFUTED: Tone.BAD,
    Answer.INCONCLUSIVE: Tone.UNSURE,
    Answer.NOT_TESTABLE_HERE: Tone.UNSURE,
}
# the sentence says these better
_SAID = (Reason.NONE, Reason.TOO_FEW, Reason.MISSING, Reason.ELSEWHERE, Reason.UNLIKELY)


def block(judged: Judged) -> Verdict:
    """The verdict on one hypothesis."""
    return Verdict(
        claim=judged.claim if judged.primary else f"{judged.claim}/{judged.hypothesis}",
        verdict=word(judged),
        tone=TONES[judged.verdict],
        said=judged.quoted if judged.primary else "",
        sentence=(sentence(judged),),
        evidence=evidence(judged),
    )


def word(judged: Judged) -> str:
    """refuted: no difference; not yet run."""
    if judged.reason is Reason.NOT_BUILT:
        return str(judged.reason)
    return str(judged.verdict) if judged.reason in _SAID else f"{judged.verdict}: {judged.reason}"


def sentence(judged: Judged) -> str:
    """What was found, without the word before it."""
    text = judged.sentence
    for start in (str(judged.verdict), str(judged.reason)):
        if start:
            text = text.removeprefix(f"{start.capitalize()}: ")
    is_name = "_" in text.partition(" ")[0]  # of a metric: it is written as it is
    return text if is_name else f"{text[:1].upper()}{text[1:]}"


def evidence(judged: Judged, ref: str = "") -> Words:
    """Estimate, interval and n; () where there is nothing. `ref`: what sources call it, else claim/hypothesis."""
    if judged.estimate is None:
        return ()
    name = ref or f"{judged.claim}/{judged.hypothesis}"
    step = wording.step_of(judged.estimate, judged.low, judged.high)
    step = max(step, 0.01) if step else step  # a ratio is told to the percent
    unit = "" if judged.kind == "ratio" else "share"
    parts = {part: getattr(judged, part) for part in ("estimate", "low", "high")}
    told = {
        part: wording.number(value, unit, Source("verdict", name, part), step)
        for part, value in parts.items() if value is not None
    }  # fmt: skip
    words: list[str | Number] = [f"{_KINDS.get(judged.kind, judged.kind)} ", told["estimate"]]
    if "low" in told and "high" in told:
        words += [", 95 % interval ", told["low"], " to ", told["high"]]
    one, many = _COUNTED.get(judged.kind, ("run", "runs"))
    n = Number(judged.n, f"{judged.n:,}", "", Source("verdict", name, "n"))
    return (*words, ", n = ", n, f" {one if judged.n == 1 else many}")


_KINDS = {"share of runs": "held in", "probability": "true in"}
_COUNTED = {"ratio": ("pair of runs", "pairs of runs"), "probability": ("draw", "draws")}
