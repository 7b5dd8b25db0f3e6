"""What stands behind the answer: numbers, method, machine, checks, what went wrong, and every run by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from bench.metrics import METRICS
from bench.record import Outcome, Run
from reports import plots, searches, series, wording
from reports.evidence import Arm, Evidence, run_id, run_name, run_number
from reports.report import Column, Number, Paragraph, Section, Source, Table, Tone, Words, said

HEADLINE = (
    ("acknowledged_eps", "value"),
    ("e2e_latency_ms", "p50"),
    ("e2e_latency_ms", "p99"),
    ("window_latency_ms", "p50"),
    ("alert_latency_ms", "p50"),
    ("alert_latency_ms", "p99"),
    ("precision", "value"),
    ("recall", "value"),
    ("f1_score", "value"),
    ("f1_over_threshold_rule", "value"),
    ("false_alarms_per_hour", "value"),
    ("disk_bytes_per_event", "value"),
    ("wire_bytes_per_event", "value"),
    ("batch_records", "value"),
    ("compression_ratio", "value"),
    ("broker_cpu_s_per_million_events", "value"),
    ("flink_cpu_s_per_million_events", "value"),
    ("generator_cpu_s_per_million_events", "value"),
    ("consumed_eps", "value"),
    ("consumer_cpu_s_per_million_events", "value"),
    ("backlog_slope_eps", "value"),
    ("busy_share", "value"),
    ("backpressured_share", "value"),
    ("checkpoint_duration_ms", "value"),
    ("checkpoint_size_bytes", "value"),
    ("drain_eps", "value"),
    ("sustainable_rate_eps", "value"),
    ("recovery_s", "value"),
    ("detect_s", "value"),
    ("restart_s", "value"),
    ("restore_s", "value"),
    ("catch_up_s", "value"),
    ("broker_ready_s", "value"),
    ("broker_stop_s", "value"),
    ("rebalance_join_s", "value"),
    ("rebalance_leave_s", "value"),
    ("lost_events", "value"),
    ("duplicated_events", "value"),
    ("late_events", "value"),
)
_TAILS = ("p95", "p99")
_STATS = ("value", "p50", "p90", "p95", "p99", "p99.9", "p99.99", "max", "lower", "upper")


def numbers(evidence: Evidence) -> Section:
    """The cells: one table a load, the metrics that questions are about first, the rest folded."""
    blocks: list[Any] = []
    for load in evidence.loads:
        arms = evidence.load_arms(load)
        first = [(metric, stat) for metric, stat in HEADLINE if any(arm.estimate(metric, stat) for arm in arms)]
        others = [pair for pair in _known(arms) if pair not in first and (pair[0], "value") not in _MEDIANS]
        if not first and not others:
            blocks.append(said(f"Load {load}: no run finished, so there is no number to show.", Tone.UNSURE))
            continue
        cells = _cells(f"cells-{load}", _caption(load), arms, first)
        blocks.append(replace(cells, rows=(*cells.rows, *_together(evidence, arms))))
        if others:
            table = _cells(f"more-{load}", f"Load {load}: everything else that was measured", arms, others)
            blocks.append(Section(f"more-{load}", f"More metrics, load {load}", (table,), folded=True))
    return Section("numbers", "The numbers", tuple(blocks) or (said("There is no run yet.", Tone.UNSURE),))


def _caption(load: str) -> str:
    return f"Load {load}: means of finished runs; from three runs on with 95 % t-intervals"


_MEDIANS = {
    (name, "value") for name, _ in HEADLINE if (name, "p50") in HEADLINE
}  # their value is the p50 already shown


def _known(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    names = {name for arm in arms if arm.cell for name in arm.cell.metrics}
    pairs = [(name.partition(" ")[0], name.partition(" ")[2] or "value") for name in names]
    order = {name: index for index, name in enumerate(METRICS)}
    rank = {stat: index for index, stat in enumerate(_STATS)}
    known = sorted(pairs, key=lambda p: (order.get(p[0], len(order)), p[0], rank.get(p[1], len(rank)), p[1]))
    medians = {metric for metric, stat in known if stat == "p50"}
    return [(metric, stat) for metric, stat in known if not (stat == "value" and metric in medians)]


def _cells(key: str, caption: str, arms: Sequence[Arm], wanted: Sequence[tuple[str, str]]) -> Table:
    rows = []
    for metric, stat in wanted:
        means = [found.value for arm in arms if (found := arm.number(metric, "value", stat)) is not None]
        factor, unit = scale(wording.metric_unit(metric), max(map(abs, means), default=0.0))
        for arm in arms:
            value, n = arm.number(metric, "value", stat), arm.number(metric, "n", stat)
            rows.append(
                (
                    (wording.metric_name(metric, stat),),
                    (arm.label,),
                    (bare(value, factor),) if value else (),
                    tuple(bare(p, factor) if isinstance(p, Number) else p for p in arm.spread(metric, stat)),
                    (n,) if n else (),
                    (unit,),
                )
            )
    columns = (
        Column("metric"),
        Column("arm"),
        Column("mean", numeric=True),
        Column("95 % interval", numeric=True),
        Column("n", "runs", numeric=True),
        Column("unit"),
    )
    return Table(key, caption, columns, tuple(rows))


def _together(evidence: Evidence, arms: Sequence[Arm]) -> Iterator[tuple[Words, ...]]:
    """Percentiles of what is too rare for one run to have them: from the samples of all runs, without an interval."""
    for metric in METRICS:
        for arm in arms:
            if arm.estimate(metric, "p50") is None or arm.estimate(metric, "p99") is not None:
                continue
            found = evidence.histogram(arm, metric)
            if found is None or found[1] < 2:
                continue
            histogram, runs = found
            for stat, value in histogram.percentiles().items():
                if stat not in _TAILS or arm.estimate(metric, stat) is not None:
                    continue
                shown, samples, many = (Source("histogram", arm.key, f"{metric} {p}") for p in (stat, "n", "runs"))
                yield (
                    (f"{wording.metric_name(metric)} {stat}, all runs together",),
                    (arm.label,),
                    (bare(wording.number(value, histogram.unit, shown), 1.0),),
                    ("of ", wording.count(histogram.n, "sample", samples)),
                    (wording.number(runs, "", many),),
                    (histogram.unit,),
                )


def scale(unit: str, largest: float) -> tuple[float, str]:
    """(factor, unit) for a row that names its unit apart: bytes as KiB, MiB… by the largest, shares as percent."""
    if unit == "bytes":
        power = min(4, int(math.log2(largest) // 10)) if largest >= 1 else 0
        return 1024.0**-power, ("bytes", "KiB", "MiB", "GiB", "TiB")[power]
    return (100.0, "%") if unit == "share" else (1.0, unit)


def bare(number: Number, factor: float) -> Number:
    """The number without its unit, times what the row's unit asks for."""
    return replace(number, text=wording.scaled(number.value, factor, number.step))


def capacity(evidence: Evidence) -> Section | None:
    """What the job can carry at most, from drains and searches; None where neither was asked for."""
    found: list[Any] = [Paragraph(*said) for arm in evidence.arms for said in _capacity(arm)]
    for arm in evidence.arms:
        found += searches.told(arm)
    if not found:
        return None
    note = said(
        "A maximum here is this host's limit with generator, broker and Flink all on it; CPU-seconds per event is what "
        "transfers."
    )
    return Section("capacity", "How much it can carry", (*found, note))


def _capacity(arm: Arm) -> Iterator[tuple[Words, Tone]]:
    name = f"{arm.label[:1].upper()}{arm.label[1:]}"
    rate = arm.number("drain_eps")
    if rate is not None:
        words: Words = (f"{name}: read flat out, the job takes ", rate, *plots.interval(arm, "drain_eps"))
        cpu = arm.number("flink_cpu_s_per_million_events")
        if cpu is not None:
            words = (*words, " and uses ", cpu, *plots.interval(arm, "flink_cpu_s_per_million_events"))
        yield (*words, "."), Tone.PLAIN
    elif arm.is_drain:
        yield (f"{name}: no drain finished, so its capacity is not known.",), Tone.UNSURE


_CLOCKS = (("delay", "schedule_lateness_ms"), ("service", "{}_service_ms"), ("response", "{}_latency_ms"))
_PATHS = {"produce": "to the broker's acknowledgement", "e2e": "to the end of the pipeline"}


def clocks(evidence: Evidence) -> Section | None:
    """Delay, service and response side by side; None where no run has a response time."""
    rows = [row for arm in evidence.arms for path in _PATHS for row in _three(arm, path)]
    if not rows:
        return None
    columns = (Column("load"), Column("arm"), Column("path"), Column("clock"),
               *(Column(stat, "ms", numeric=True) for stat in ("p50", "p99", "max")))  # fmt: skip
    note = (
        "Delay: how late the generator handed an event over. Service: from there to the end of the path. Response: "
        "from the due time; that is what a user waits, and the headline. Event by event delay and service add up to "
        "the response, their percentiles do not. A generator that waits for its answers would print the service alone."
    )
    table = Table("clocks", "Three clocks on the same events: means over finished runs", columns, tuple(rows), note)
    return Section("clocks", "Delay, service and response", (table,))


def _three(arm: Arm, path: str) -> Iterator[tuple[Words, ...]]:
    if arm.estimate(f"{path}_latency_ms", "p50") is None:
        return
    for clock, metric in _CLOCKS:
        found = [arm.number(metric.format(path), "value", stat) for stat in ("p50", "p99", "max")]
        cells = ((bare(number, 1.0),) if number else () for number in found)
        yield ((arm.load,), (arm.label,), (_PATHS[path],), (clock,), *cells)


def method(evidence: Evidence) -> Section:
    """How it was measured, in sentences, and every setting below."""
    blocks: list[Any] = [
        said(
            "The run is the unit: one number a run, means with t-intervals over runs. Arms alternate in "
            "time and each run has a topic of its own. Latency counts from the time an event was due, so a stall shows "
            "in full; percentiles are given as far as ten samples lie beyond them. Only finished runs are evidence: "
            "one whose generator fell behind, or whose output disagreed with the oracle, is invalid."
        )
    ]
    for load in evidence.loads:
        arms = evidence.load_arms(load)
        blocks.append(Paragraph(_load_sentence(load, arms)))
    rows = tuple(_settings(evidence))
    if rows:
        columns = (Column("setting"), Column("load"), Column("value"))
        table = Table("settings", "Every setting that the runs had; axes list all their values", columns, rows)
        blocks.append(Section("settings", "Every setting", (table,), folded=True))
    return Section("method", "How it was measured", tuple(blocks))


def _load_sentence(load: str, arms: Sequence[Arm]) -> Words:
    runs = [run for arm in arms for run in arm.runs]
    ref = f"{load}/settings"
    settings, words = runs[0].settings, [f"Load {load}: "]  # type: Mapping[str, Any], list[str | Number]
    asked = settings.get("load") or {}
    phases = settings.get("phases") or {}
    if asked.get("drain") is not None:
        events = wording.number(float(asked["drain"]), "events", Source("setting", ref, "load.drain"))
        words += [events, " are written first and then read flat out; "]
    elif isinstance(asked.get("rate_eps"), int | float):
        source = Source("setting", ref, "load.rate_eps")
        rates = [float(run.settings["load"]["rate_eps"]) for run in runs]
        words += [wording.number(min(rates), "events/s", source)]
        if max(rates) > min(rates):
            words += [" to ", wording.number(max(rates), "events/s", source), ", each arm at a rate of its own,"]
        words += [" open loop, "]
        for key, name in (("warmup_s", "s warm-up cut, "), ("measure_s", "s measured; ")):
            if isinstance(phases.get(key), int | float):
                words += [wording.number(float(phases[key]), "", Source("setting", ref, f"phases.{key}")), f" {name}"]
    elif asked:
        words.append(f"{next((str(asked[k]) for k in ('rate_eps', 'shape') if asked.get(k)), 'as configured')}; ")
    counts = wording.count(len(runs), "run", Source("counted", load, "runs"))
    finished = wording.number(sum(len(arm.finished) for arm in arms), "", Source("counted", load, "finished runs"))
    return (*words, counts, f" over {wording.listed([arm.label for arm in arms])}, ", finished, " finished.")


def _settings(evidence: Evidence) -> Iterator[tuple[Words, ...]]:
    for load in evidence.loads:
        runs = [run for arm in evidence.load_arms(load) for run in arm.runs]
        flat = [dict(_flat(run.settings)) for run in runs]
        for path in dict.fromkeys(path for one in flat for path in one):
            values = dict.fromkeys(one.get(path, "not set") for one in flat)
            yield ((path,), (load,), (" | ".join(values),))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        yield path, ", ".join(str(item) for item in value) or "none"
    else:
        yield (
            path,
            "none" if value is None or value == {} else str(value).lower() if isinstance(value, bool) else str(value),
        )


def environment(evidence: Evidence) -> Section:
    """On what machine; where runs differ, all their values."""
    flat = [dict(_flat(run.environment)) for run in evidence.runs]
    skip = {"clock"}  # a reference for one run's times: says nothing about the machine
    rows = []
    for path in dict.fromkeys(path for one in flat for path in one if path not in skip):
        values = list(dict.fromkeys(one.get(path, "not recorded") for one in flat))
        shown = " | ".join(values[:3]) + (f" and {len(values) - 3} more" if len(values) > 3 else "")
        rows.append(((path.replace("_", " "),), (shown or "none",)))
    if not rows:
        return Section("machine", "On what machine", (said("No run recorded its machine.", Tone.UNSURE),))
    columns = (Column("what"), Column("value"))
    table = Table(
        "environment",
        "The machine and the versions of the runs; several values where they differ",
        columns,
        tuple(rows),
    )
    return Section("machine", "On what machine", (table,))


def transfers(evidence: Evidence) -> Section:
    """What of this holds elsewhere."""
    seen = {name for run in evidence.runs for name in run.metrics}
    yes = [wording.metric_name(name) for name, metric in METRICS.items() if name in seen and metric.transfers]
    no = [wording.metric_name(name) for name, metric in METRICS.items() if name in seen and not metric.transfers]
    blocks = []
    if yes:
        blocks.append(
            Paragraph(
                (f"Transfers to other hosts, at least as a ratio between arms: {wording.listed(yes)}.",), Tone.GOOD
            )
        )
    if no:
        blocks.append(said(f"Describes this host only: {wording.listed(no)}.", Tone.WARNING))
    if not blocks:
        blocks.append(said("Nothing was measured, so nothing transfers.", Tone.UNSURE))
    return Section("transfers", "What transfers from this host, and what does not", tuple(blocks))


def each_run(evidence: Evidence) -> Section | None:
    """Every run by itself, folded: series, numbers, checks, warnings."""
    inner = tuple(_one_run(evidence, run) for arm in evidence.arms for run in arm.runs)
    return Section("runs", "Every run by itself", inner, bulky=True) if inner else None


def _one_run(evidence: Evidence, run: Run) -> Section:
    place = f"position {run.order + 1} in the order of all runs, seed {run.seed}"
    began = f"{str(run.outcome).capitalize()}, began {run.started_utc}, {place}"
    took = wording.number(run.duration_s, "s", Source("run", run_id(run), "duration_s"))
    blocks: list[Any] = [Paragraph((f"{began}, took ", took, "."))]
    blocks += [said(text, Tone.WARNING) for text in run.warnings]
    if (small := series.sparks(evidence, run)) is not None:
        blocks.append(small)
    if run.metrics:
        blocks.append(_run_table(run))
    key = f"run-{run_id(run).replace('/', '-')}"
    mark = "" if run.outcome is Outcome.FINISHED else f" ({run.outcome})"
    return Section(key, f"{run_name(run)}{mark}", tuple(blocks), folded=True)


def _run_table(run: Run) -> Table:
    order = {name: index for index, name in enumerate(METRICS)}
    rows = []
    for name in islice(sorted(run.metrics, key=lambda name: (order.get(name, len(order)), name)), 200):
        measured = run.metrics[name]
        value = run_number(run, name)
        factor, unit = scale(measured.unit, abs(measured.value))
        tail: Words = tuple(
            part
            for stat in measured.percentiles or {}
            if (found := run_number(run, name, stat)) is not None
            for part in (f"{stat} ", bare(found, factor), "  ")
        )[:-1]
        rows.append(((wording.metric_name(name),), (bare(value, factor),) if value else (), (unit,), tail or ("",)))
    columns = (Column("metric"), Column("value", numeric=True), Column("unit"), Column("percentiles or bounds"))
    return Table(f"metrics-{run_id(run).replace('/', '-')}", "What this run measured", columns, tuple(rows))
