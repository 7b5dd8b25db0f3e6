"""How often a sentence about two bills is true, over draws of everything uncertain: the evidence of cost claims.

`odds.yaml` names each sentence: a usage, what is changed in it, which option is said to be cheaper than which.
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
from costmodel import documents
from costmodel.option import Option, size
from costmodel.paired import compare
from costmodel.prices import Catalog, built_in
from costmodel.usage import AsBuilt, Usage, load

FILE = Path(__file__).parent / "odds.yaml"
DRAWS = 200  # a share of 0.95 is known to about 0.03


class Sentence(BaseModel):
    """`cheaper` costs less a month than `than`, for `usage` with `change` (dotted path -> value).

    `by`: at least this share less. `kind`: the lines of this kind alone, such as storage; none: the whole bill.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    usage: str = Field(description="a usage.yaml, relative to this file")
    change: Mapping[str, Decimal] = Field(default_factory=dict)
    cheaper: str
    than: str
    by: Decimal = Field(default=Decimal(0), ge=0, lt=1)
    kind: str | None = None


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


def estimates(names: Iterable[str] | None = None, *, file: Path = FILE, draws: int = DRAWS) -> dict[str, Estimate]:
    """Name -> the probability that the sentence is true, `kind` "probability", n = draws. None: every sentence.

    An infeasible option, or one whose total is incomplete, is never the cheaper one.
    """
    return {name: _estimate(name, one, file.parent, draws) for name, one in _sentences(names, file).items()}


def compared(names: Iterable[str] | None = None, *, file: Path = FILE) -> dict[str, Compared]:
    """Name -> both options of the sentence, sized and billed at central values. None: every sentence."""
    found = {}
    for name, one in _sentences(names, file).items():
        usage = _usage(one, file.parent)
        sides = [size(usage, platform, built_in()) for platform in (one.cheaper, one.than)]
        found[name] = Compared(one, usage, *sides)
    return found


def _sentences(names: Iterable[str] | None, file: Path) -> dict[str, Sentence]:
    known = documents.read(file, _File).odds
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


def _estimate(name: str, sentence: Sentence, folder: Path, draws: int) -> Estimate:
    usage = _usage(sentence, folder)
    share = probability(usage, sentence.cheaper, sentence.than, by=sentence.by, kind=sentence.kind, draws=draws)
    return Estimate(metric=name, value=share, low=None, high=None, n=draws, kind="probability")


def _usage(sentence: Sentence, folder: Path) -> Usage:
    usage = load(folder / sentence.usage)
    if isinstance(usage, AsBuilt):
        raise ScenarioError(f"{sentence.usage}: odds need a usage, not a deployment: nothing in it is uncertain")
    for path, value in sentence.change.items():
        usage = usage.with_value(path, value)
    return usage
