"""Advice as data and sentences: the document of `advise partitions --json`, and what its text says. Adds no facts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from costmodel.advice import START, Advice, Standing
from costmodel.formats import notes
from costmodel.ladder import SAME_RATE, Capacity, Cell, Read, hot_share, partition_capacity, too_many
from costmodel.numbers import digits, times
from costmodel.option import Option

SCHEMA = 1
ENOUGH_RUNS, ENOUGH_COUNTS = 5, 4  # of a cell; of a ladder: fewer are thin evidence
MULTIPLES = {"p": 1, "2p": 2, "10p": 10}

Bills = Mapping[str, Mapping[int, Option]]


def counts(advice: Advice) -> list[int]:
    """The numbers of partitions that are looked at: 6, P, 2P, 10P."""
    base = advice.partitions
    return [START] if base is None else sorted({START, *(base * times for times in MULTIPLES.values())})


def to_json(advice: Advice, bills: Bills) -> dict[str, Any]:
    """The document of `advise partitions --json`; its names are stable."""
    need = advice.need
    return {
        "schema": SCHEMA,
        "partitions": advice.partitions,
        "low": advice.low,
        "high": advice.partitions,
        "extrapolated_by": advice.extrapolated_by,
        "sentence": headline(advice),
        "warnings": warnings(advice),
        "need": {
            "target_mb_s": need.target_mb_s, "record_bytes": need.record_bytes, "consumers": need.consumers,
            "growth": need.growth, "slo_ms": need.slo_ms, "peak_to_mean": need.peak, "top_key_share": need.top_key,
            "consumer_mb_s": need.consumer_mb_s, "assumed": sorted(need.assumed),
        },
        "bounds": dict(advice.bounds),
        "partition_mb_s": _capacity(advice.partition),
        "consumer_mb_s": _capacity(advice.consumer),
        "usd_month": {platform: _usd(advice, options) for platform, options in bills.items()},
        "at": [_at(advice, count) for count in counts(advice)],
        "six": six(advice),
        "scale": scale(advice),
        "share_group": share_group(advice),
        "next": narrower(advice),
        "because": because(advice),
        "assumed": assumed(advice),
        "evidence": {
            "source": advice.ladder.source, "setting": dict(advice.ladder.setting),
            "others": list(advice.ladder.others),
            "cells": [_cell(cell) for cell in advice.cells],
        },
        "runs": list(advice.runs),
    }  # fmt: skip


def headline(advice: Advice) -> str:
    """The verdict, in one sentence."""
    need = advice.need
    asked = (
        f"{digits(need.target_mb_s)} MB/s of {need.record_bytes:,.4g}-byte records, {times(need.peak)} that in the "
        f"busiest minutes{f', after growing {digits(need.growth)} x' if need.growth != 1 else ''}"
    )
    limit = f"p99 below {digits(need.slo_ms)} ms"
    if advice.partitions is None:
        alone = need.design_mb_s * need.top_key
        return (
            f"No number of partitions was shown to carry {asked} with {limit}: the busiest key alone brings "
            f"{digits(alone)} MB/s to its partition, and {_limit(advice)}"
        )
    span = f" (between {advice.low:,} and {advice.partitions:,})" if advice.low != advice.partitions else ""
    return f"{advice.partitions:,} partitions{span} carry {asked}, with {limit}"


def _limit(advice: Advice) -> str:
    least = min(one.shown for one in (advice.partition, advice.consumer) if one.shown is not None)
    return f"one was shown to carry {digits(least)}"


def warnings(advice: Advice) -> list[str]:
    """What makes the answer weaker than it looks."""
    found, need, ladder = [], advice.need, advice.ladder
    if advice.extrapolated_by > 1.0:
        size = need.record_bytes / ladder.record_bytes
        what = f"the {digits(advice.range_mb_s)} MB/s that met the limit"
        if size < 1:  # more events in as many bytes
            what = f"the {digits(advice.range_mb_s * 1e6 / ladder.record_bytes)} events/s that met the limit"
        if max(size, 1 / size) >= advice.extrapolated_by * (1 - 1e-9):
            what = f"its records of {digits(ladder.record_bytes)} bytes"
        found.append(
            f"{times(advice.extrapolated_by)} beyond what was measured ({what} in {ladder.source}): what one "
            "partition carries is taken to be the same where more of them share the brokers"
        )
    if advice.partitions is not None and advice.partitions > ladder.partitions[-1]:
        found.append(
            f"{digits(advice.partitions / ladder.partitions[-1])} x as many partitions as were measured at most "
            f"({ladder.partitions[-1]:,})"
        )
    worse = too_many(advice.cells)
    if worse is not None:
        brokers = ladder.setting.get("cluster.brokers", 1)
        found.append(
            f"{worse.partitions:,} partitions on {brokers} broker{'s' * (brokers != 1)} were too many at "
            f"{digits(worse.mb_s)} MB/s: {worse.why} ({_named(worse.runs)})"
        )
    found += [f"thin evidence: {reason}" for reason in _thin(advice)]
    if ladder.left_out:
        found.append(f"{ladder.left_out} runs of {ladder.source} are no evidence (invalid, crashed or unfinished)")
    return found


def _thin(advice: Advice) -> list[str]:
    reasons, ladder = [], advice.ladder
    if len(ladder.partitions) < ENOUGH_COUNTS:
        told = ", ".join(f"{count:,}" for count in ladder.partitions)
        many = len(ladder.partitions) > 1
        reasons.append(
            f"only {len(ladder.partitions)} partition count{'s' * many} ({told}) {'were' if many else 'was'} run"
        )
    fewest = min(len(cell.runs) for cell in advice.cells)
    if fewest < ENOUGH_RUNS:
        reasons.append(f"{fewest} run{'s' * (fewest != 1)} a cell, where 4 of 5 would show it")
    if advice.partition.ruled_out is None:
        reasons.append("no run failed for want of partitions, so that one may carry more than was asked of it")
    return reasons


def because(advice: Advice) -> list[dict[str, Any]]:
    """Each lower bound with the numbers it is made of and their runs."""
    need, partition, consumer = advice.need, advice.partition, advice.consumer
    skew = f", the busiest key having {need.top_key:.3g} of it" if need.top_key else ""
    shown = f"{digits(partition.shown or 0)} MB/s that one partition was shown to carry ({_named(partition.shown_by)})"
    above = (
        f"; {digits(partition.ruled_out)} MB/s were too much for one ({_named(partition.ruled_out_by)})"
        if partition.ruled_out is not None
        else ""
    )
    busiest = f"{digits(need.peak_mb_s)} MB/s in the busiest minutes{skew}, over the {shown}{above}"
    found = [
        _bound(advice, "throughput", busiest, (*partition.shown_by, *partition.ruled_out_by)),
        _bound(advice, "consumers", _readers(advice), consumer.shown_by),
    ]
    if need.growth != 1:
        told = f"both again at {digits(need.design_mb_s)} MB/s, {digits(need.growth)} x as much"
        found.append(_bound(advice, "growth", told, (*partition.shown_by, *consumer.shown_by)))
    return found


def _bound(advice: Advice, name: str, sentence: str, runs: Sequence[str]) -> dict[str, Any]:
    return {"bound": name, "partitions": advice.bounds[name], "sentence": sentence, "runs": list(dict.fromkeys(runs))}


def _readers(advice: Advice) -> str:
    need, consumer = advice.need, advice.consumer
    each = "s, each" if need.consumers != 1 else ","
    told = f"{need.consumers:,} consumer{each} with a partition of its own"
    if consumer.shown is None:
        return f"{told}; what one of them reads was not measured (say it with --consumer-mbps)"
    told += f"; one was shown to read {digits(consumer.shown)} MB/s ({_named(consumer.shown_by)})"
    if advice.partitions is None:
        return told
    now, later = (advice.members(advice.partitions, rate) for rate in (need.peak_mb_s, need.design_mb_s))
    grown = f", and {later:,} after growth" if need.growth != 1 else ""
    short_of = f": more than the {need.consumers:,} you have" if max(now or 0, later or 0) > need.consumers else ""
    return f"{told}, at which {now:,} keep{'s' * (now == 1)} up now{grown}{short_of}"


_SAID = {
    Standing.CARRIES: f"{START} carry it",
    Standing.OPEN: f"{START} were not shown to carry it, and not ruled out",
    Standing.CANNOT: f"{START} do not carry it",
}


def six(advice: Advice) -> dict[str, Any]:
    """What the folk start would do here."""
    need = advice.need
    now, later = (advice.standing(START, rate) for rate in (need.peak_mb_s, need.design_mb_s))
    idle = max(need.consumers - START, 0)
    until = advice.enough_until_mb_s(START)
    hot = need.peak_mb_s * hot_share(START, need.top_key)
    told = f"today {_SAID[now]}, with {digits(hot)} MB/s on the busiest partition in the busiest minutes"
    told += f"; after growth {_SAID[later]}" if need.growth != 1 and later is not now else ""
    told += f"; {START} were shown to be enough up to a mean of {digits(until)} MB/s"
    told += f"; {idle:,} of {need.consumers:,} consumers would idle" if idle else ""
    return {"partitions": START, "today": str(now), "after_growth": str(later), "idle_consumers": idle,
            "enough_until_mb_s": until, "sentence": told}  # fmt: skip


def scale(advice: Advice) -> dict[str, Any] | None:
    """When the advised number stops being enough."""
    if advice.partitions is None:
        return None
    until = advice.enough_until_mb_s(advice.partitions)
    hot = min(one.shown for one in (advice.partition, advice.consumer) if one.shown is not None)
    told = (
        f"add partitions when the mean passes {digits(until)} MB/s ({times(until / advice.need.target_mb_s)} "
        f"today's), or the busiest partition {digits(hot)} MB/s, or when lag does not go back after a peak; keys then "
        "move to other partitions, so that their order breaks once"
    )
    return {"mean_mb_s": until, "busiest_partition_mb_s": hot, "sentence": told}


def share_group(advice: Advice) -> dict[str, Any]:
    """Whether a share group would do with fewer partitions: its members may outnumber them (KIP-932)."""
    fewer = advice.by_bytes
    needed = advice.partitions
    if fewer is None or (needed is not None and fewer >= needed):
        told = "a share group (KIP-932) would not save partitions here: the bytes need them, not the consumers"
        return {"instead": False, "partitions": None, "sentence": told}
    told = (
        f"a share group (KIP-932) would do with {fewer:,} partition{'s' * (fewer != 1)} and as many consumers as you "
        f"like, where the order within a key does not matter: bytes need {fewer:,}, consumers the rest (what its "
        "acknowledgements cost was not measured in these runs)"
    )
    return {"instead": True, "partitions": fewer, "sentence": told}


def narrower(advice: Advice) -> str:
    """The run that would say most about the open part of the interval."""
    if advice.partitions is None or advice.low == advice.partitions:
        return ""
    partition, rate = partition_capacity(advice.cells), advice.range_mb_s  # of the runs' records, not of the need's
    shown, ruled = partition.shown or 1.0, partition.ruled_out
    middle = math.sqrt(shown * ruled) if ruled else shown * 2
    count = max(1, round(rate / middle))
    eps = max((cell for cell in advice.cells if cell.mb_s == rate), key=lambda cell: cell.partitions).nominal_eps
    if any(cell.partitions == count and abs(cell.nominal_eps / eps - 1) < SAME_RATE for cell in advice.cells):
        eps = float(f"{eps * middle * count / rate:.2g}")  # that was run: what lies between is another rate
    return (
        f"to narrow it: {count:,} partition{'s' * (count != 1)} at {eps:,.0f} events/s "
        f"(--set topic.partitions={count} --set load.rate_eps={eps:.0f})"
    )


def assumed(advice: Advice) -> list[str]:
    """What no run says: defaults of the question, and the study's pricing section."""
    need, pricing = advice.need, advice.ladder.pricing
    words = {
        "peak": f"the busiest minutes have {digits(need.peak)} x the mean (--peak-to-mean)",
        "top_key": "no key stands out (--skew)",
        "growth": "no growth (--growth)",
        "slo_ms": f"the limit on p99 is {digits(need.slo_ms)} ms (--slo-ms)",
        "consumers": "one consumer (--consumers)",
        "record_bytes": f"records of {digits(need.record_bytes)} bytes, as in the runs (--record-bytes)",
    }
    found = [words[name] for name in words if name in need.assumed]
    told = {
        "region": "in {}", "retention_days": "kept {:g} days", "replication_factor": "{} copies", "zones": "{} zones",
        "groups": "{} consumer groups",
    }  # fmt: skip
    parts = [text.format(pricing[key]) for key, text in told.items() if pricing.get(key) is not None]
    if parts:
        found.append(f"bills: {', '.join(parts)} (--set)")
    setting = advice.ladder.setting
    how = [f"linger {setting['producer.linger_ms']:g} ms"] if setting.get("producer.linger_ms") is not None else []
    how += [f"compression {setting['producer.compression']}"] if setting.get("producer.compression") else []
    producers = ", ".join(["producers as in the runs", *how])
    found.append(f"{producers}, and as many of them: each has a batch open for every partition that it writes to")
    return found


def _at(advice: Advice, count: int) -> dict[str, Any]:
    need = advice.need
    record = need.record_bytes
    wire, disk, cpu = (advice.read(quantity, count) for quantity in ("wire", "disk", "cpu"))
    return {
        "partitions": count,
        "today": str(advice.standing(count, need.peak_mb_s)),
        "after_growth": str(advice.standing(count, need.design_mb_s)),
        "enough_until_mb_s": advice.enough_until_mb_s(count),
        "nearest": _cell(advice.nearest(count)),
        "wire_bytes_per_event": _number(wire, record),
        "disk_bytes_per_event": _number(disk, record),
        "broker_cpu_s_per_million_events": _number(cpu, 1.0),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "partitions": cell.partitions, "mb_s": cell.mb_s, "busiest_partition_mb_s": cell.hot_mb_s,
        "status": str(cell.status), "passed": cell.passed, "n": len(cell.runs), "p99_ms": list(cell.p99_ms),
        "why": cell.why, "runs": list(cell.runs),
    }  # fmt: skip


def _number(found: Read | None, times: float) -> dict[str, Any] | None:
    if found is None:
        return None
    value = found.number
    ends = {key: None if (end := getattr(value, key)) is None else float(end) * times for key in ("low", "high")}
    return {"value": float(value.value) * times, **ends, "n": value.n, "beyond": found.beyond, "runs": list(found.runs)}


def _usd(advice: Advice, options: Mapping[int, Option]) -> dict[str, Any]:
    base = advice.partitions
    found: dict[str, Any] = {
        name: None if base is None else _month(options.get(base * times)) for name, times in MULTIPLES.items()
    }
    found["six"] = _month(options.get(START))
    broken = {f"{count:,}": one.infeasible.reason for count, one in options.items() if one.infeasible}
    said = dict.fromkeys(text for one in options.values() for text in notes(one))
    return found | {"infeasible": broken, "notes": list(said)}


def _month(option: Option | None) -> float | None:
    """None where the platform cannot have so many, or a line has no price."""
    return None if option is None or option.bill is None or option.bill.at_least else float(option.bill.usd_month)


def _capacity(found: Capacity) -> dict[str, Any]:
    return {"shown": found.shown, "shown_by": list(found.shown_by), "ruled_out": found.ruled_out,
            "ruled_out_by": list(found.ruled_out_by)}  # fmt: skip


def _named(runs: Sequence[str]) -> str:
    """The first run by name, the others by number: all of them stand in `runs`."""
    if not runs:
        return "nobody measured it"
    if runs[0].startswith("--"):
        return f"given by {runs[0]}"
    name = "/".join(runs[0].split("/")[:2])
    return f"run {name}" + (f" and {len(runs) - 1} more" if len(runs) > 1 else "")
