"""What a platform must carry: `Usage`, and `AsBuilt`, a deployment whose parts are priced as they stand.

Every quantity is a `Number`: its value, its interval if it has one, and whether it was measured, given by hand, or
assumed. A key left out of usage.yaml becomes an *assumed* number with the default below, and is printed as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from costmodel import documents
from costmodel.bands import between

Basis = Literal["measured", "given", "assumed"]


class Section(BaseModel):
    """What is read from a file: frozen, without unknown keys, its quantities `Number`s."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Number(Section):
    """One quantity: a value, `{value, low, high}`, or `{assumed: value}` in YAML.

    `low`..`high` is the 95 % t-interval over `n` runs where basis is measured, a band someone stands for otherwise.
    """

    value: Decimal
    low: Decimal | None = None
    high: Decimal | None = None
    basis: Basis = "given"
    n: int | None = None
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, data: Any) -> Any:
        if isinstance(data, Number):
            return data
        if not isinstance(data, Mapping):
            return {"value": _decimal(data)}
        fields = dict(data)
        if "assumed" in fields:
            fields["value"] = fields.pop("assumed")
            fields["basis"] = "assumed"
        for key in ("value", "low", "high"):
            if fields.get(key) is not None:
                fields[key] = _decimal(fields[key])
        return fields

    @model_validator(mode="after")
    def _ordered(self) -> Number:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval needs both low and high")
        if self.low is not None and self.high is not None and not self.low <= self.value <= self.high:
            raise ValueError(f"expected low <= value <= high, got {self.low} <= {self.value} <= {self.high}")
        return self

    @property
    def uncertain(self) -> bool:
        return self.low is not None and self.low != self.high

    def at(self, quantile: Decimal) -> Decimal:
        """The value at `quantile` in 0..1 of the interval, half of the chance on either side of `value`."""
        if self.low is None or self.high is None:
            return self.value
        return between(self.low, self.value, self.high, quantile)


def _decimal(given: Any) -> Decimal:
    if isinstance(given, bool) or not isinstance(given, int | float | str | Decimal):
        message = f"expected a number, {{value, low, high}} or {{assumed: value}}, got {given!r}"
        raise ValueError(message)  # noqa: TRY004 - pydantic makes a finding of a ValueError only
    try:
        value = Decimal(str(given))
    except InvalidOperation:
        raise ValueError(f"expected a number, got {given!r}") from None
    if not value.is_finite():
        raise ValueError(f"expected a finite number, got {given!r}")
    return value


def assumed(value: str, low: str | None = None, high: str | None = None, note: str = "") -> Number:
    """A default nobody measured."""
    bounds = [None if bound is None else Decimal(bound) for bound in (low, high)]
    return Number(value=Decimal(value), low=bounds[0], high=bounds[1], basis="assumed", note=note)


def _range(minimum: str, *, above: bool = False, maximum: str | None = None, whole: bool = False) -> AfterValidator:
    floor, ceiling = Decimal(minimum), Decimal(maximum) if maximum is not None else None

    def check(number: Number) -> Number:
        for value in (number.value, number.low, number.high):
            if value is None:
                continue
            too_low = value <= floor if above else value < floor
            if too_low or (ceiling is not None and value > ceiling):
                limit = f"{'more than' if above else 'at least'} {floor}"
                raise ValueError(
                    f"expected {limit}{f' and at most {ceiling}' if ceiling is not None else ''}, got {value}"
                )
            if whole and value != value.to_integral_value():
                raise ValueError(f"expected a whole number, got {value}")
        return number

    return AfterValidator(check)


Positive = Annotated[Number, _range("0", above=True)]
NotNegative = Annotated[Number, _range("0")]
AtLeastOne = Annotated[Number, _range("1")]
Count = Annotated[Number, _range("1", whole=True)]
CountOrNone = Annotated[Number, _range("0", whole=True)]
Share = Annotated[Number, _range("0", above=True, maximum="1")]
ShareOrNone = Annotated[Number, _range("0", maximum="1")]


class Sized(Section):
    """A file's whole: it knows its quantities by their dotted paths."""

    def numbers(self) -> Iterator[tuple[str, Number]]:
        """(dotted path, Number) of every quantity, in the file's order."""
        yield from _numbers(self, "")

    def at(self, quantiles: Mapping[str, Decimal]) -> Self:
        """The same with each named number at its quantile (0..1) and no interval left."""
        drawn: Self = _at(self, "", quantiles)
        return drawn


class Units(Section):
    """Why published totals differ with nobody wrong: hours in a month, what a GB is, when cents are rounded."""

    month_hours: Decimal = Field(default=Decimal(730), gt=0, le=744)
    gb: Literal["decimal", "binary"] = "decimal"  # binary: MB means MiB and GB means GiB throughout
    round_lines: Literal["no", "up"] = "no"  # up: each line to the next cent, as AWS's worked examples do

    @field_validator("round_lines", mode="before")
    @classmethod
    def _no_is_a_word(cls, given: Any) -> Any:
        return "no" if given is False else given  # YAML 1.1 readers turn a bare `no` into false


class Ingest(Section):
    """What comes in."""

    mb_s: Positive = Field(description="MB a second of raw (uncompressed) records, a mean over the month")
    record_bytes: Positive = Field(description="raw bytes of one record")
    peak_to_mean: AtLeastOne = assumed("1.5")
    compression_ratio: Positive = assumed("1.0", note="raw bytes / bytes on the wire")
    measured_at_mb_s: Positive | None = Field(
        default=None, description="the rate of the runs that CPU per event comes from, as MB/s of record_bytes"
    )

    @property
    def measured_at_eps(self) -> Decimal | None:
        """Events a second of those runs (binary units aside, which leave the ratio to what is priced as it is)."""
        at = self.measured_at_mb_s
        return None if at is None else at.value * 1_000_000 / self.record_bytes.value


class Broker(Section):
    """What a broker did for it, measured on some host."""

    cpu_s_per_million_events: NotNegative = assumed("1.1", "0.5", "2.2", "not measured")
    follower_cpu_share: Share = assumed("0.5", "0.2", "1.0", "CPU of keeping a copy / of leading it; not measured")
    disk_bytes_per_wire_byte: Positive = assumed("1.0")
    speed_factor: Positive = assumed(
        "1.0", "0.6", "1.6", "speed of a cloud vCPU / of the measured core, not calibrated"
    )


class Consumers(Section):
    """Consumer groups, each reading everything; a Flink job is one of them.

    `fetch_from_follower`: they read from a replica in their own zone, where brokers can be told to let them.
    """

    groups: CountOrNone = assumed("1")
    fetch_from_follower: bool = False


class Producers(Section):
    """`zone_aware`: they write to partitions led in their own zone."""

    zone_aware: bool = False


class Topics(Section):
    """`partitions` are per topic."""

    count: Count = assumed("1")
    partitions: Count = assumed("6")
    replication_factor: Count = assumed("3")


class Retention(Section):
    """How long records are kept, and how long on local disk where there is a second tier."""

    days: Positive = Field(description="a number of days, more than 0")
    tiered_local_days: Positive = assumed("1")


class Storage(Section):
    """The kind of disk under self-managed brokers."""

    disk: Literal["gp3", "st1"] = "gp3"


class Processing(Section):
    """The Flink job."""

    cpu_s_per_million_events: Positive = Field(description="CPU-seconds of Flink per million input events")
    task_manager: str = ""  # the instance type of your own TaskManagers; empty: chosen by price
    state_gb: NotNegative = assumed("0")
    checkpoint_interval_s: Positive = assumed("60")
    checkpoint_gb: NotNegative = assumed("0")
    checkpoint_files: NotNegative = assumed("128", note="objects written per checkpoint, all TaskManagers together")
    speed_factor: Positive = assumed(
        "1.0", "0.6", "1.6", "speed of a cloud vCPU / of the measured core, not calibrated"
    )
    catch_up_factor: AtLeastOne = assumed("1.0", note="spare capacity to work off a backlog, beyond the CPU fill")
    restart_s: NotNegative = assumed("45", "20", "120", "the job stands still when its size changes; not measured")


class Sinks(Section):
    """GB (compressed) that results occupy."""

    clickhouse_gb_month: NotNegative = assumed("0")
    s3_gb_month: NotNegative = assumed("0")


class Sizing(Section):
    """One rule for every option: physical baselines are filled this far at peak, a vendor's quota is used whole."""

    disk_fill: Share = assumed("0.6")
    cpu_fill: Share = assumed("0.7")
    network_fill: Share = assumed("0.6")
    ec2_types: tuple[str, ...] = ()  # self-managed brokers are chosen among these; empty: all catalogued


class Operations(Section):
    """People. Always assumed, and the same on every option: break-even hours say how many fewer an option must need."""

    hours_month: NotNegative
    usd_hour: NotNegative


class Usage(Sized):
    """A workload and the rules of sizing for it. Knows no platform."""

    version: Literal[1] = Field(alias="schema", description="schema: 1")
    region: str = Field(description="a region of the catalogues, like us-east-1")
    currency: Literal["USD"] = "USD"
    units: Units = Units()
    ingest: Ingest = Field(description="a section with mb_s and record_bytes")
    broker: Broker = Broker()
    consumers: Consumers = Consumers()
    producers: Producers = Producers()
    topics: Topics = Topics()
    retention: Retention = Field(description="a section with days: how long records are kept")
    storage: Storage = Storage()
    zones: Count = assumed("3")
    processing: Processing | None = None
    sinks: Sinks = Sinks()
    sizing: Sizing = Sizing()
    discount: Annotated[Number, _range("0", maximum="0.99")] = assumed("0")
    operations: Operations | None = None
    environments: AtLeastOne = assumed("1")

    def with_value(self, path: str, value: Decimal) -> Usage:
        """This usage with one number, by its dotted path, set to `value` and checked like one read from a file."""
        section, _, name = path.rpartition(".")
        inner = getattr(self, section)
        moved = type(inner).model_validate({**dict(inner), name: value})
        return self.model_copy(update={section: moved})

    def to_yaml(self) -> str:
        """As a usage.yaml, each number with its basis; it reads back equal to 15 digits."""
        return _dump(self)


class StandingPart(Section):
    """One part of a deployment: how much of what. Which measure a part takes, its platform says."""

    what: str
    type: str = ""
    count: Decimal = Field(default=Decimal(1), gt=0)
    hours: Decimal | None = Field(default=None, ge=0)
    minutes: Decimal | None = Field(default=None, ge=0)
    gb: Decimal | None = Field(default=None, ge=0)
    gb_month: Decimal | None = Field(default=None, ge=0)
    gib: Decimal | None = Field(default=None, ge=0)
    tib: Decimal | None = Field(default=None, ge=0)
    millions: Decimal | None = Field(default=None, ge=0)

    @field_validator("count", "hours", "minutes", "gb", "gb_month", "gib", "tib", "millions", mode="before")
    @classmethod
    def _exact(cls, given: Any) -> Any:
        return given if given is None else _decimal(given)


class AsBuilt(Section):
    """deployment.yaml: parts priced as they stand. It carries no load, so it has no $/GB and no idle share."""

    version: Literal[1] = Field(alias="schema", description="schema: 1")
    platform: str = Field(description="a platform id, like msk-standard")
    region: str = Field(description="a region of the catalogues, like us-east-1")
    currency: Literal["USD"] = "USD"
    units: Units = Units()
    parts: tuple[StandingPart, ...] = Field(min_length=1, description="a list of parts")


def load(path: str | Path) -> Usage | AsBuilt:
    """usage.yaml or deployment.yaml (it has `parts`). Raises ScenarioError with file, line, field and expectation."""
    file = Path(path)
    data = documents.mapping(file)
    model: type[Usage | AsBuilt] = AsBuilt if "parts" in data or "platform" in data else Usage
    return documents.validate(data, model, file)


def _numbers(section: BaseModel, prefix: str) -> Iterator[tuple[str, Number]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Number):
            yield prefix + name, value
        elif isinstance(value, BaseModel):
            yield from _numbers(value, f"{prefix}{name}.")


def _at(section: Any, prefix: str, quantiles: Mapping[str, Decimal]) -> Any:
    changed: dict[str, Any] = {}
    for name in type(section).model_fields:
        value, path = getattr(section, name), prefix + name
        if isinstance(value, Number):
            if path in quantiles and value.uncertain:
                changed[name] = Number.model_construct(value=value.at(quantiles[path]), basis=value.basis)
        elif isinstance(value, BaseModel) and any(key.startswith(f"{path}.") for key in quantiles):
            changed[name] = _at(value, f"{path}.", quantiles)
    return section.model_copy(update=changed)


def _dump(usage: Usage) -> str:
    import io

    from ruamel.yaml import YAML

    buffer = io.StringIO()
    YAML(typ="safe").dump(_plain(usage), buffer)
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, Number):
        fields = {key: _plain(item) for key, item in value if item not in (None, "")}
        return fields["value"] if fields == {"value": fields["value"], "basis": "given"} else fields
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, BaseModel):
        names = type(value).model_fields
        return {names[key].alias or key: _plain(item) for key, item in value if item is not None}
    return list(value) if isinstance(value, tuple) else value
