"""What a run recorded over time, as lines: counters become rates, missing samples stay holes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis import occupancy
from bench.record import Run
from reports import wording
from reports.evidence import Evidence, is_drain, run_id
from reports.report import Line, Source, Sparks, TimePanel

F64 = npt.NDArray[np.float64]
Tables = Mapping[str, pd.DataFrame]
Reader = Callable[[Run, Tables], list[Line]]

COMPONENTS = ("broker", "flink", "consumer", "generator")
SPAN_S = 1.8  # a counter's rate is taken over at least this long

_COUNTER, _GAUGE = "counter", "gauge"
_RATE = (
    ("offered", "generator_offered", _GAUGE),
    ("acknowledged", "generator_acked", _GAUGE),
    ("read by the job", "source_events", _COUNTER),
    ("read by consumers", "consumed_events", _COUNTER),
)


def measured_window(run: Run) -> tuple[float, float] | None:
    """(from, to) of the measured window in seconds since the load began; None for a drain, whose window is its own."""
    phases = run.settings.get("phases")
    if not isinstance(phases, Mapping) or is_drain(run):
        return None
    warmup_s, measure_s = phases.get("warmup_s"), phases.get("measure_s")
    if not isinstance(warmup_s, int | float) or not isinstance(measure_s, int | float):
        return None
    cut_s = warmup_s if run.warmup_s is None else run.warmup_s
    return float(cut_s), float(cut_s + measure_s)


def sparks(evidence: Evidence, run: Run) -> Sparks | None:
    """Everything a run recorded once a second, as small panels."""
    tables = evidence.series(run)
    readers: tuple[tuple[str, str, Reader], ...] = (
        ("throughput", "events/s", throughput),
        ("backlog", "events", backlog),
        ("latency and lateness", "ms", _latency),
        ("busy and backpressured", "share", _busy),
        ("CPU cores in use", "cores", _cpu),
        ("memory", "bytes", _memory),
        ("checkpoint duration", "ms", checkpoints),
    )
    panels = []
    for quantity, unit, reader in readers:
        lines = reader(run, tables)
        if lines:
            panels.append(TimePanel(quantity, quantity, unit, tuple(lines), measured_window(run)))
    return Sparks(f"run-{run_id(run).replace('/', '-')}", tuple(panels)) if panels else None


def throughput(run: Run, tables: Tables) -> list[Line]:
    """Events per second along the chain: offered, acknowledged, read by the job."""
    return _lines(run, tables, _RATE)


def backlog(run: Run, tables: Tables) -> list[Line]:
    """Events between the log's end and the job's read position."""
    return _lines(run, tables, [("backlog", "backlog_events", _GAUGE)])


def _latency(run: Run, tables: Tables) -> list[Line]:
    """Percentiles a second, as far as they were recorded, and how late the generator itself was."""
    found = sorted(name for name in tables if name.startswith(("e2e_latency", "consumer_latency", "produce_latency")))
    wanted = [(wording.metric_name(name), name, _GAUGE) for name in found]
    return _lines(run, tables, [*wanted, ("schedule lateness p99", "generator_lateness_p99_ms", _GAUGE)])


def _busy(run: Run, tables: Tables) -> list[Line]:
    """Shares of each task's time, by Flink's own clock."""
    found = []
    for task in occupancy.tasks(tables):
        account = occupancy.spent(tables, task)
        if not account:
            continue
        t_s = account["t_s"]
        whole = _rate(t_s, account["whole_ms"])
        for word, state in (("busy", "busy_ms"), ("waiting", "backpressured_ms")):
            rate = _rate(t_s, account[state])
            shares = np.divide(rate, whole, out=np.full(len(t_s), math.nan), where=whole > 0)
            if np.isfinite(shares).any():
                source = Source("series", run_id(run), f"{state}:{task}")
                found.append(Line(f"{word} task {task}", tuple(t_s.tolist()), tuple(shares.tolist()), source))
    return found


def _cpu(run: Run, tables: Tables) -> list[Line]:
    counted = [(component, f"{component}_cpu_s", _COUNTER) for component in ("broker", "flink", "consumer")]
    return _lines(
        run, tables, [*counted, ("generator", "generator_cpu_s", _GAUGE)]
    )  # the generator notes it by the second


def _memory(run: Run, tables: Tables) -> list[Line]:
    return _lines(run, tables, [(component, f"{component}_rss_bytes", _GAUGE) for component in COMPONENTS])


def checkpoints(run: Run, tables: Tables) -> list[Line]:
    """How long each checkpoint took, at the time it was triggered."""
    return _lines(run, tables, [("checkpoint", "checkpoint_duration_ms", _GAUGE)])


def _lines(run: Run, tables: Tables, wanted: Iterable[tuple[str, str, str]]) -> list[Line]:
    found = []
    for name, series, kind in wanted:
        if series not in tables or len(tables[series]) == 0:
            continue
        t_s, values = _read(tables[series], kind)
        if np.isfinite(values).any():
            source = Source("series", run_id(run), series)
            found.append(Line(name, tuple(t_s.tolist()), tuple(values.tolist()), source))
    return found


def _read(table: pd.DataFrame, kind: str) -> tuple[F64, F64]:
    """(t_s, values), of a counter its rate."""
    t_s, values = table["t_s"].to_numpy(dtype=float), table["value"].to_numpy(dtype=float)
    return t_s, values if kind == _GAUGE else _rate(t_s, values)


def _rate(t_s: F64, values: F64) -> F64:
    """A counter's growth per second over the two seconds before each sample.

    Two, because Flink refreshes its counters once a second: over one, every late sample would be a stall and a spike.
    """
    rates = np.full(len(t_s), math.nan)
    known = np.flatnonzero(np.isfinite(values))
    at, counts = t_s[known], values[known]
    before = np.searchsorted(at, at - SPAN_S, side="right") - 1
    usable = before >= 0
    span = at[usable] - at[before[usable]]
    growth = (counts[usable] - counts[before[usable]]) / span
    rates[known[usable]] = np.where(span <= 2 * SPAN_S, growth, math.nan)  # a longer hole is a hole
    return rates
