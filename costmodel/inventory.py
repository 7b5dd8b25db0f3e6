"""The topics somebody has: `Topic`, read from a YAML or CSV file. What a live cluster has comes from `costmodel.watch`.

schema: 1                                          # topics.yaml
topics:
  - {topic: orders, partitions: 24, mb_s: 12, record_bytes: 400, consumers: 12}

topic,partitions,mb_s,record_bytes,consumers       # topics.csv
orders,24,12,400,12
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import ScenarioError
from costmodel import documents


@dataclass(frozen=True)
class Topic:
    """One topic as it stands. None: not known. MB are 10^6 bytes of uncompressed records, a mean; `rate_eps` likewise.

    `wire_mb_s` is what a cluster was seen to store of one copy (of a file: not known). `consumers`: members of its
    largest group; `growing_lag_eps`: events a second that this group falls behind. `top_key`: the busiest key's share.
    """

    name: str
    partitions: int
    mb_s: float | None
    rate_eps: float | None
    record_bytes: float | None
    consumers: int | None = None
    groups: int | None = None
    keyed: bool = True
    top_key: float | None = None
    peak: float | None = None
    growth: float | None = None
    consumer_mb_s: float | None = None
    replication_factor: int | None = None
    retention_days: float | None = None
    wire_mb_s: float | None = None
    growing_lag_eps: float | None = None
    notes: tuple[str, ...] = ()


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str = Field(min_length=1, description="the topic's name")
    partitions: int = Field(ge=1, le=1_000_000, description="how many partitions it has")
    mb_s: float = Field(ge=0, allow_inf_nan=False, description="MB a second of uncompressed records, a mean")
    record_bytes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    consumers: int | None = Field(default=None, ge=0)
    groups: int | None = Field(default=None, ge=0)
    keyed: bool = True
    skew: float | None = Field(default=None, ge=0, lt=1)
    peak_to_mean: float | None = Field(default=None, ge=1, allow_inf_nan=False)
    growth: float | None = Field(default=None, ge=1, allow_inf_nan=False)
    consumer_mb_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    replication_factor: int | None = Field(default=None, ge=1, le=100)
    retention_days: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def made(self) -> Topic:
        events = None if self.record_bytes is None else self.mb_s * 1e6 / self.record_bytes
        return Topic(
            self.topic, self.partitions, self.mb_s, events, self.record_bytes, self.consumers, self.groups, self.keyed,
            self.skew, self.peak_to_mean, self.growth, self.consumer_mb_s, self.replication_factor, self.retention_days,
        )  # fmt: skip


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = Field(alias="schema", description="schema: 1")
    topics: tuple[_Row, ...] = Field(min_length=1, description="a list of topics")


def read(path: Path) -> tuple[Topic, ...]:
    """The topics in a .yaml or .csv file. Raises ScenarioError with file, line, what was expected, the nearest word."""
    if path.suffix in (".yaml", ".yml"):
        rows: Sequence[_Row] = documents.read(path, _File).topics
    elif path.suffix == ".csv":
        rows = _csv(path)
    else:
        raise ScenarioError(f"{path}: expected a topics file that ends in .yaml or .csv")
    names = [row.topic for row in rows]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ScenarioError(f"{path}: the topic {twice!r} stands twice; expected each once")
    return tuple(row.made() for row in rows)


def _csv(path: Path) -> list[_Row]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from None
    table = csv.DictReader(lines, strict=True, skipinitialspace=True)
    findings: list[str] = []
    rows: list[_Row] = []
    try:
        header = table.fieldnames or ()
        unknown = [name for name in header if name not in _Row.model_fields]
        findings += [
            f"{path}:1: {name}: unknown column; {documents.nearest(name, _Row.model_fields)}" for name in unknown
        ]
        for cells in table:
            where = f"{path}:{table.line_num}"
            if None in cells or None in cells.values():
                findings.append(f"{where}: expected {len(header)} columns, as in the first line")
                continue
            filled = {name: cell.strip() for name, cell in cells.items() if cell.strip() and name in _Row.model_fields}
            try:
                rows.append(_Row.model_validate(filled))
            except ValidationError as error:
                findings += [f"{where}: {_said(item)}" for item in error.errors()]
    except csv.Error as error:
        raise ScenarioError(f"{path}:{table.line_num}: not valid CSV: {error}") from None
    if findings:
        raise ScenarioError("\n".join(findings))
    if not rows:
        raise ScenarioError(f"{path}:1: expected a header and a line a topic, such as topic,partitions,mb_s")
    return rows


def _said(item: Any) -> str:
    field = str(item["loc"][0])
    if item["type"] == "missing":
        return f"{field}: missing; expected {_Row.model_fields[field].description}"
    return f"{field}: {item['msg']}, got {item.get('input')!r}"
