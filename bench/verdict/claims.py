"""What a claim file may say, and reading it: the sentence, what it can mean, and hypotheses a run can contradict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from bench.analysis.decide import Direction
from bench.errors import ScenarioError
from bench.metrics import METRICS, Effect, Metric
from bench.scenario.sections import Count, Section, Share, Word
from bench.scenario.source import read
from bench.scenario.words import nearest, parse_threshold, shown

ROOT = Path(__file__).resolve().parents[2]

Scalar = str | int | float | bool | None


def _metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"unknown metric '{name}'{nearest(name, METRICS) or ', see docs/metrics.md'}")
    return name


def _condition(text: str) -> str:
    threshold = parse_threshold(text, METRICS)
    if not METRICS[threshold.metric].has(threshold.stat):
        raise ValueError(f"{threshold.metric} has no {threshold.stat}")
    return text


MetricName = Annotated[str, AfterValidator(_metric)]
Condition = Annotated[str, AfterValidator(_condition)]  # METRIC STAT OP VALUE, of one run


class Range(Section):
    """A setting within bounds, both included."""

    min: float | None = None
    max: float | None = None


Where = Mapping[str, Scalar | Range]  # setting path -> value or range
Arm = Annotated[Mapping[str, Scalar], Field(min_length=1)]


class _Hypothesis(Section):
    """What every hypothesis has.

    `needs`: what a host must have to test it at all; `instead`: what would decide it where that is missing.
    `waits_for`: what has to be built before anybody can run it; said as long as no run speaks, and ignored after.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    says: Word  # one sentence that a run can contradict
    primary: bool = False
    loads: tuple[Word, ...] = ()  # names of loads; none given: any
    where: Where = Field(default_factory=dict)
    needs: tuple[Word, ...] = ()
    instead: str = ""
    waits_for: str = ""

    @model_validator(mode="after")
    def _says_what_would_decide(self) -> _Hypothesis:
        if self.needs and not self.instead:
            raise ValueError("has needs, expected instead: what would decide it where they are missing")
        return self


class Comparison(_Hypothesis):
    """Going from `base` to `changed` moves `metric` in `direction` by `at_least` (a share; none: the metric's own)."""

    kind: Literal["comparison"]
    metric: MetricName
    stat: Word = "value"
    base: Arm
    changed: Arm
    direction: Direction
    at_least: Share | None = None

    @property
    def effect(self) -> Effect:
        """The least effect the hypothesis is about."""
        if self.at_least is not None:
            return Effect(self.at_least)
        return METRICS[self.metric].min_effect[self.stat]

    @model_validator(mode="after")
    def _is_a_comparison(self) -> Comparison:
        if self.base.keys() != self.changed.keys() or self.base == self.changed:
            raise ValueError("base and changed must name the same settings with different values")
        metric: Metric = METRICS[self.metric]
        if not metric.has(self.stat):
            raise ValueError(f"{self.metric} has no {self.stat}")
        if self.at_least is None and self.stat not in metric.min_effect:
            raise ValueError(f"{self.metric} {self.stat} has no smallest effect of its own, expected at_least")
        return self


class Threshold(_Hypothesis):
    """`k` of `n` valid runs meet every condition of `holds`."""

    kind: Literal["threshold"]
    holds: Annotated[tuple[Condition, ...], Field(min_length=1)]
    k: Count = 4
    n: Count = 5


class Universal(_Hypothesis):
    """Every run meets `holds`: one reproduced counter-example refutes it, `fewest` runs support it so far."""

    kind: Literal["universal"]
    holds: Annotated[tuple[Condition, ...], Field(min_length=1)]
    fewest: Count = 5


class Cost(_Hypothesis):
    """True in a share of a cost simulation's draws: the estimate called `probability`."""

    kind: Literal["cost"]
    probability: Word


class Planned(_Hypothesis):
    """Nothing here can run it yet, or measure what it is about: it is never judged, only shown as not yet run.

    `measures`: metrics of the registry that it will rest on; `contradicted_by`: the finding that would refute it.
    """

    kind: Literal["planned"]
    measures: tuple[MetricName, ...] = ()
    contradicted_by: Word
    waits_for: Word


Hypothesis = Annotated[Comparison | Threshold | Universal | Cost | Planned, Field(discriminator="kind")]


class Claim(Section):
    """Folk guidance as data. One hypothesis is primary: its verdict is the claim's. The others are Holm-corrected."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    claim: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    sentence: Word  # verbatim
    meaning: Word
    expect: str = ""  # what is known so far; never read by the judge
    decided_by: Annotated[tuple[Word, ...], Field(min_length=1)]  # scenarios, the best evidence first
    hypotheses: Annotated[tuple[Hypothesis, ...], Field(min_length=1)]
    cannot_decide: tuple[Word, ...] = ()  # what one host of this kind cannot say
    would_change: tuple[Word, ...] = ()  # what would turn the verdict

    @property
    def primary(self) -> Hypothesis:
        """The hypothesis that decides the claim."""
        return next(h for h in self.hypotheses if h.primary)

    @model_validator(mode="after")
    def _has_one_primary(self) -> Claim:
        primary = [h.name for h in self.hypotheses if h.primary]
        if len(primary) != 1:
            raise ValueError(f"hypotheses: {len(primary)} are primary, expected exactly one")
        if len({h.name for h in self.hypotheses}) < len(self.hypotheses):
            raise ValueError("hypotheses: two have the same name")
        return self


def load_claims(names: Iterable[str] | Path | None = None, *, root: Path = ROOT) -> list[Claim]:
    """Claims by name, of a folder, or all of them. ScenarioError lists everything that is wrong, a finding a line."""
    folder = names if isinstance(names, Path) else root / "scenarios" / "claims"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    wanted = known if names is None or isinstance(names, Path) else list(names)
    some = ", ".join(known) or "(none exist)"
    wrong = [f"no claim '{name}', expected one of {some}{nearest(name, known)}" for name in wanted if name not in known]
    found = []
    for name in set(wanted) & set(known):
        try:
            found.append(_read(folder / f"{name}.yaml"))
        except ScenarioError as error:
            wrong.append(str(error))
    if wrong:
        raise ScenarioError("\n".join(wrong))
    return sorted(found, key=lambda claim: wanted.index(claim.claim))


def _read(file: Path) -> Claim:
    source = read(file)
    try:
        claim = Claim.model_validate(source.data)
    except ValidationError as error:
        for detail in error.errors():
            path = _written(detail["loc"])
            source.blame(path, _explain(detail))
        source.stop_if_wrong()
        raise
    source.stop_if_wrong()
    if claim.claim != file.stem:
        source.blame(("claim",), f"was {claim.claim}, expected the file's name, {file.stem}")
        source.stop_if_wrong()
    return claim


def _written(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Pydantic's path without the words it adds for the kind of hypothesis and the branch of a union."""
    return tuple(word for at, word in enumerate(loc) if not (at == 2 and loc[0] == "hypotheses" and word in _BY_KIND))


_BY_KIND: Mapping[str, type[_Hypothesis]] = {
    "comparison": Comparison,
    "threshold": Threshold,
    "universal": Universal,
    "cost": Cost,
    "planned": Planned,
}


def _explain(detail: ErrorDetails) -> str:
    kind, loc = detail["type"], detail["loc"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        model: type[Section] = _BY_KIND.get(str(loc[2]), Claim) if len(loc) > 3 else Claim
        known = [info.alias or name for name, info in model.model_fields.items()]
        return f"unknown key, expected one of {', '.join(known)}{nearest(str(loc[-1]), known)}"
    if kind == "missing":
        return "is missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return f"kind was {shown(context.get('tag'))}, expected one of {', '.join(_BY_KIND)}"
    return f"was {shown(detail['input'])}: {detail['msg'][0].lower()}{detail['msg'][1:]}"
