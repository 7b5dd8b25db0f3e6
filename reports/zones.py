"""Bytes between zones, leg by leg: measured, and by the formula that bills rest on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.analysis.crossing import by_settings
from reports import wording
from reports.evidence import Arm, Evidence
from reports.report import Column, Number, Section, Source, Table, Words, said

_LEGS = (  # as the table names it, metric, the formula's share for a byte on the wire
    ("producers to leaders", "cross_zone_produce_bytes_per_event", "produce"),
    ("leaders to followers", "cross_zone_replication_bytes_per_event", "replicate"),
    ("brokers to consumers", "cross_zone_consume_bytes_per_event", "consume"),
    ("together", "cross_zone_bytes_per_event", "total"),
)
_FORMULA, _PLACES = "cross_zone_over_formula", "cross_zone_over_places"


def section(evidence: Evidence) -> Section | None:
    """A table a load; None where no run counted bytes between racks."""
    blocks: list[Any] = []
    for load in evidence.loads:
        rows = [row for arm in evidence.load_arms(load) for row in _rows(arm)]
        if rows:
            columns = (
                Column("arm"),
                Column("leg"),
                Column("measured", "bytes/event", numeric=True),
                Column("expected", "bytes/event", numeric=True),
                Column("measured / expected", numeric=True),
            )
            blocks.append(Table(f"zones-{load}", f"Load {load}: means of finished runs", columns, tuple(rows)))
    if not blocks:
        return None
    note = said(
        "Expected is the cost model's formula: leaders and clients spread evenly, bytes as on the producers' wire. "
        "The actual places are the racks where leaders, copies and clients were, partitions weighted by their events."
    )
    return Section("zones", "Between zones", (*blocks, note))


def _rows(arm: Arm) -> Iterator[tuple[Words, ...]]:
    wire, places = arm.number("wire_bytes_per_event"), arm.number(_PLACES)
    if wire is None or not arm.finished:
        return
    shares = by_settings(arm.finished[0].settings)
    for leg, metric, name in _LEGS:
        measured = arm.number(metric)
        if measured is None:
            continue
        share = float(getattr(shares, name))
        formula = _derived(wire.value * share, f"wire bytes x {share:.4g}", wire)
        over: Words = ("nothing expected",)
        if name == "total" and (ratio := arm.number(_FORMULA)) is not None:  # run by run, not of the means
            formula, over = _derived(measured.value / ratio.value, "measured / ratio", measured, ratio), (_bare(ratio),)
        elif share:
            over = (_derived(measured.value / formula.value, "measured / formula", measured, formula),)
        yield (arm.label,), (leg,), (_bare(measured),), (formula,), over
        if name == "total" and places is not None:
            there = _derived(measured.value / places.value, "measured / ratio", measured, places)
            yield (arm.label,), (f"{leg}, by the actual places",), (_bare(measured),), (there,), (_bare(places),)


def _derived(value: float, formula: str, *of: Number) -> Number:
    return wording.number(value, "", Source("derived", formula, of=tuple(one.source for one in of)))


def _bare(number: Number) -> Number:
    return wording.number(number.value, "", number.source)
