"""How often a sentence about two bills is true, over draws of everything uncertain: the evidence of cost claims.

`odds.yaml` names each sentence: a usage, what is changed in it, and which option is said to be cheaper than which, to
cost at least a sum, to pay by acting sooner, to be the cheapest kind of stack for a need, or to be
too dear to leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.analysis.intervals import Estimate
from bench.errors import ScenarioError
from costmodel import documents, leaving, promptness, stack, uncertainty
from costmodel.option import Option, size
from costmodel.paired import compare
from costmodel.prices import Catalog, built_in
from costmodel.usage import AsBuilt, Usage, load

FILE = Path(__file__).parent / "odds.yaml"
DRAWS = 200  # a share of 0.95 is known to about 0.03


class _About(BaseModel):
    """A `usage` with `change` (dotted path -> value)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usage: str = Field(description="a usage.yaml, relative to this file")
    change: Mapping[str, Decimal] = Field(default_factory=dict)


class Sentence(_About):
    """`cheaper` costs less a month than `than`.

    `by`: at least this share less. `kind`: the lines of this kind alone, such as storage; none: the whole bill.
    """

    cheaper: str
    than: str
    by: Decimal = Field(default=Decimal(0), ge=0, lt=1)
    kind: str | None = None


class Sum(_About):
    """`platform` costs at least `usd_month`; `kind`: in lines of this kind alone, such as idle."""

    platform: str
    usd_month: Decimal = Field(gt=0)
    kind: str | None = None


class Sooner(_About):
    """Acting at `cadence` costs less than at `than`, losses and bill together, where losses grow with `tau`."""

    case: str = Field(description="a promptness.yaml, relative to this file")
    platform: str
    tau: str
    cadence: str
    than: str


class Advised(_About):
    """`answer` is the kind of stack that meets `need` for the least money."""

    need: Mapping[str, float | bool] = Field(description="a mapping, as `stack.Need`")
    answer: stack.Kind


class Held(_About):
    """Leaving `old` for `new` has not paid within `months`, if it ever does."""

    case: str = Field(description="a leaving.yaml, relative to this file")
    old: str
    new: str
    months: Literal[6, 12, 24, 36]


@dataclass(frozen=True)
class Compared:
    """A sentence with both of its bills at central values: what stands behind a probability."""

    sentence: Sentence
    usage: Usage
    cheaper: Option
    than: Option


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = Field(alias="schema")
    odds: Mapping[str, Sentence]
    sums: Mapping[str, Sum] = Field(default_factory=dict)
    sooner: Mapping[str, Sooner] = Field(default_factory=dict)
    advised: Mapping[str, Advised] = Field(default_factory=dict)
    held: Mapping[str, Held] = Field(default_factory=dict)


_Any = Sentence | Sum | Sooner | Advised | Held


def estimates(names: Iterable[str] | None = None, *, file: Path = FILE, draws: int = DRAWS) -> dict[str, Estimate]:
    """Name -> the probability that the sentence is true, `kind` "probability", n = draws. None: every sentence.

    An infeasible option, or one whose total is incomplete, is never the cheaper one.
    """
    return {name: _estimate(name, one, file.parent, draws) for name, one in _sentences(names, file).items()}


def compared(names: Iterable[str] | None = None, *, file: Path = FILE) -> dict[str, Compared]:
    """Name -> both options of the sentence, sized and billed at central values, where it compares two. None: all."""
    found = {}
    for name, one in _sentences(names, file).items():
        if not isinstance(one, Sentence):
            continue
        usage = _usage(one, file.parent)
        sides = [size(usage, platform, built_in()) for platform in (one.cheaper, one.than)]
        found[name] = Compared(one, usage, *sides)
    return found


def _sentences(names: Iterable[str] | None, file: Path) -> dict[str, _Any]:
    read = documents.read(file, _File)
    known: dict[str, _Any] = {**read.odds, **read.sums, **read.sooner, **read.advised, **read.held}
    wanted = list(known) if names is None else list(names)
    for name in wanted:
        if name not in known:
            raise ScenarioError(f"{file}: no odds named {name!r}; {documents.nearest(name, known)}")
    return {name: known[name] for name in wanted}


def probability(
    usage: Usage,
    cheaper: str,
    than: str,
    *,
    by: Decimal = Decimal(0),
    kind: str | None = None,
    prices: Catalog | None = None,
    draws: int = DRAWS,
) -> float:
    """The share of draws in which `cheaper` costs less a month than `than`; both see the same draw.

    `by`: at least this share less. `kind`: the lines of this kind alone; None: the whole bill.
    """
    paired = compare(usage, [cheaper, than], prices=prices, draws=draws, kind=kind)
    return paired.cheaper(cheaper, than, by=float(by))


def reaches(usage: Usage, platform: str, usd_month: Decimal, *, kind: str | None = None, draws: int = DRAWS) -> float:
    """The share of draws in which `platform` (or its lines of `kind`) costs at least `usd_month`."""
    totals = compare(usage, [platform], draws=draws, kind=kind).totals[platform]
    return float((totals >= float(usd_month)).mean())  # what has no total reaches nothing


def sooner_pays(usage: Usage, asked: promptness.Promptness, one: Sooner, *, draws: int = DRAWS) -> float:
    """The share of draws in which the sooner cadence costs less, losses and bill together."""
    true = 0
    for drawn, catalog in uncertainty.draws(usage, built_in(), draws):
        rows = promptness.compare(asked, drawn, one.platform, prices=catalog)
        usd = {row.cadence: row.total_usd_month for row in rows if row.tau == one.tau}
        true += usd[one.cadence] < usd[one.than]
    return true / draws


def answered(usage: Usage, one: Advised, *, draws: int = DRAWS) -> float:
    """The share of draws in which the kind costs least of those that meet the need; 0 where it does not meet it."""
    try:
        need = stack.Need(**one.need)  # type: ignore[arg-type]
    except TypeError as error:
        raise ScenarioError(f"need: {error}") from None
    return stack.advise(usage, need, draws=draws, flips=False).choices[one.answer].cheapest_in


def _estimate(name: str, one: _Any, folder: Path, draws: int) -> Estimate:
    usage = _usage(one, folder)
    if isinstance(one, Sentence):
        share = probability(usage, one.cheaper, one.than, by=one.by, kind=one.kind, draws=draws)
    elif isinstance(one, Sum):
        share = reaches(usage, one.platform, one.usd_month, kind=one.kind, draws=draws)
    elif isinstance(one, Advised):
        share = answered(usage, one, draws=draws)
    elif isinstance(one, Held):
        left = leaving.leave(usage, one.old, one.new, leaving.read(folder / one.case), draws=draws)
        share = (
            left.known_in - left.within[one.months]
        )  # where a price is missing nothing is known, and nothing claimed
    else:
        asked = promptness.read(folder / one.case)
        for word, among in ((one.tau, asked.tau_s), (one.cadence, asked.cadences), (one.than, asked.cadences)):
            if word not in among:
                raise ScenarioError(f"{name}: {one.case} has no {word!r}; {documents.nearest(word, among)}")
        share = sooner_pays(usage, asked, one, draws=draws)
    return Estimate(metric=name, value=share, low=None, high=None, n=draws, kind="probability")


def _usage(sentence: _About, folder: Path) -> Usage:
    usage = load(folder / sentence.usage)
    if isinstance(usage, AsBuilt):
        raise ScenarioError(f"{sentence.usage}: odds need a usage, not a deployment: nothing in it is uncertain")
    for path, value in sentence.change.items():
        usage = usage.with_value(path, value)
    return usage
