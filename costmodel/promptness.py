"""What it is worth to act sooner: the loss that goes on until somebody acts, against the bill of each cadence.

L(d) = L_inf (1 - E[exp(-d / tau)]): of what a fraud (an outage, a stale price) could cost at most, the share that is
beyond saving after a delay d; tau is how fast it becomes so. A batch every T that is done after p acts between p and
p + T after the event, evenly. `L_inf` is set so that one cadence loses what its owner says it loses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import exp, expm1
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.errors import ScenarioError
from costmodel import documents
from costmodel.option import size
from costmodel.prices import Catalog, built_in
from costmodel.simulate import unit_of
from costmodel.sizing import flow
from costmodel.usage import Usage

EXAMPLE = Path(__file__).parent / "examples" / "promptness.yaml"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cadence(_Section):
    """A batch every `every_s` that takes `takes_s`; or, without `every_s`, a stream that is `takes_s` behind."""

    every_s: Annotated[float, Field(ge=0)] = 0
    takes_s: Annotated[float, Field(ge=0)] = 0

    @property
    def streams(self) -> bool:
        """Whether it runs all the time."""
        return self.every_s == 0


class Loss(_Section):
    """What is said to be lost a month, and under which cadence."""

    usd_month: Annotated[float, Field(gt=0)]
    under: str


class Detector(_Section):
    """What acts. Whom it misses is lost whatever the delay; whom it accuses wrongly costs `usd_per_false_alarm`."""

    recall: Annotated[float, Field(gt=0, le=1)] = 1.0
    precision: Annotated[float, Field(gt=0, le=1)] = 1.0
    cases_month: Annotated[float, Field(ge=0)] = 0
    usd_per_false_alarm: Annotated[float, Field(ge=0)] = 0

    @property
    def false_alarms_usd_month(self) -> float:
        """The same at every cadence."""
        return self.cases_month * self.recall * (1 / self.precision - 1) * self.usd_per_false_alarm


class Promptness(_Section):
    """promptness.yaml: the loss, how fast it grows (tau, in seconds, by name), the detector, cadences to compare."""

    version: Annotated[Literal[1], Field(alias="schema")]
    loss: Loss
    tau_s: Annotated[Mapping[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]
    detector: Detector = Detector()
    today: Detector | None = Field(default=None, description="whom the loss was said of; none: the detector")
    cadences: Annotated[Mapping[str, Cadence], Field(min_length=1)]

    @model_validator(mode="after")
    def _known(self) -> Promptness:
        if self.loss.under not in self.cadences:
            near = documents.nearest(self.loss.under, self.cadences)
            raise ValueError(f"loss.under: no cadence {self.loss.under!r}; {near}")
        if lost_share(self.cadences[self.loss.under], min(self.tau_s.values())) <= 0:
            raise ValueError(f"loss.under: {self.loss.under} acts at once and loses nothing; expected one with a delay")
        return self


def lost_share(cadence: Cadence, tau_s: float) -> float:
    """1 - E[exp(-d / tau)]: 0 without a delay, rising with it towards 1."""
    begins = exp(-cadence.takes_s / tau_s)
    if cadence.streams:
        return -expm1(-cadence.takes_s / tau_s)
    x = cadence.every_s / tau_s
    return 1 - begins * -expm1(-x) / x


@dataclass(frozen=True)
class Row:
    """One cadence under one tau: USD a month lost, the bill of computing it, and both with false alarms."""

    tau: str
    cadence: str
    lost_usd_month: float
    bill_usd_month: float
    total_usd_month: float


def measured(asked: Promptness, recall: float, precision: float, alert_s: float | None) -> Promptness:
    """The case with a detector as runs measured it, and a stream as late as its alerts were.

    The owner's loss stays what it is under today's detector, the case's own: a better one does not make it larger.
    """
    found = asked.detector.model_copy(update={"recall": recall, "precision": precision})
    late = {} if alert_s is None else {"takes_s": alert_s}
    cadences = {name: c.model_copy(update=late) if c.streams else c for name, c in asked.cadences.items()}
    today = asked.today or asked.detector
    return asked.model_copy(update={"detector": found, "today": today, "cadences": cadences})


def compare(asked: Promptness, usage: Usage, platform: str, *, prices: Catalog | None = None) -> list[Row]:
    """Every cadence under every tau, in the file's order."""
    catalog = prices or built_in()
    catalog.require_region(usage.region)
    bills = {name: float(bill(cadence, usage, platform, catalog)) for name, cadence in asked.cadences.items()}
    return [_row(asked, tau, name, usd) for tau in asked.tau_s for name, usd in bills.items()]


def bill(cadence: Cadence, usage: Usage, platform: str, prices: Catalog) -> Decimal:
    """A stream is the platform's bill; a batch is the same CPU-seconds on its units, each run started anew.

    A run is billed for the units that finish it in `takes_s` at the usage's cpu_fill, for at least the least paid time.
    """
    if cadence.streams:
        option = size(usage, platform, prices)
        if option.bill is None or option.bill.at_least:
            why = option.infeasible.reason if option.infeasible else "a price is missing"
            raise ScenarioError(f"{platform} has no total to compare with: {why}")
        return option.bill.usd_month
    unit, unit_eps = unit_of(usage, platform, prices)
    f = flow(usage)
    if not cadence.takes_s:
        raise ScenarioError("a batch takes time: expected takes_s above 0")
    events = float(f.rate_eps) * cadence.every_s
    work_s = events / (unit_eps * float(usage.sizing.cpu_fill.value))
    units = max(1, -int(-work_s // cadence.takes_s))
    paid_h = Decimal(str(max(cadence.takes_s, unit.least_paid_min * 60))) / 3600
    runs = f.month_s / Decimal(str(cadence.every_s))
    return runs * paid_h * (units * unit.usd_hour + unit.running_usd_hour + unit.always_usd_hour)


def _row(asked: Promptness, tau: str, name: str, usd: float) -> Row:
    at_most = asked.loss.usd_month / _lost(asked, asked.today or asked.detector, asked.loss.under, tau)
    lost = at_most * _lost(asked, asked.detector, name, tau)
    return Row(tau, name, lost, usd, lost + usd + asked.detector.false_alarms_usd_month)


def _lost(asked: Promptness, detector: Detector, cadence: str, tau: str) -> float:
    """The share of all that could be lost: what the detector misses, and what it sees too late."""
    return 1 - detector.recall * (1 - lost_share(asked.cadences[cadence], asked.tau_s[tau]))


def read(path: Path) -> Promptness:
    """A promptness.yaml. Raises ScenarioError with line, field and expectation."""
    return documents.read(path, Promptness)


def sentences(rows: list[Row]) -> list[str]:
    """For every tau: the cadence with the lowest total, and what it is better by than the next."""
    found = []
    for tau in dict.fromkeys(row.tau for row in rows):
        ranked = sorted((row for row in rows if row.tau == tau), key=lambda row: row.total_usd_month)
        best, rest = ranked[0], ranked[1:]
        than = f", {rest[0].total_usd_month - best.total_usd_month:,.0f} less than {rest[0].cadence}" if rest else ""
        found.append(
            f"tau {tau}: {best.cadence} costs least, {best.total_usd_month:,.0f} USD a month in losses and bill{than}."
        )
    return found


def to_json(rows: list[Row]) -> dict[str, Any]:
    """The document of `simulate promptness --json`."""
    return {"schema": 1, "rows": [vars(row) for row in rows], "sentences": sentences(rows)}
