"""One scenario on several backends: what the others change against the first, metric by metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.analysis.compare import NotComparableError, compare
from bench.record import Run
from bench.scenario import BACKEND
from reports import comparison, wording
from reports.evidence import Evidence
from reports.report import Listing, Section, Tone, said

# What a backend may cost: waiting, work, capacity, bytes
TOLD = (
    "e2e_latency_ms", "produce_latency_ms", "broker_cpu_s_per_million_events", "flink_cpu_s_per_million_events",
    "system_cpu_s_per_million_events", "generator_cpu_s_per_million_events", "drain_eps", "acknowledged_eps",
    "wire_bytes_per_event", "disk_bytes_per_event",
)  # fmt: skip


def section(evidence: Evidence) -> Section | None:
    """The ratios to the first backend; None where there is only one."""
    names = list(dict.fromkeys(str(run.knobs[BACKEND]) for run in evidence.runs if BACKEND in run.knobs))
    if len(names) < 2:
        return None
    base, *others = names
    about = (
        f"The runs of a repetition are neighbours in time: each pair gives one ratio to {base}, and the pairs an "
        f"interval. Claims are judged on the runs of {base} alone."
    )
    blocks: list[Any] = [said(about)]
    for other in others:
        try:
            found = compare(_of(evidence.runs, base), _of(evidence.runs, other), allow=("environment",), metrics=TOLD)
        except NotComparableError as error:
            blocks.append(said(f"{other}: {str(error).splitlines()[0]}.", Tone.UNSURE))
            continue
        blocks.append(comparison.table(found, f"{base}-{other}", f"{other} against {base}", (base, other)))
    folder = f"results/{evidence.runs[0].scenario}"
    commands = [
        f"streamgauge compare {folder}:{BACKEND}={base} {folder}:{BACKEND}={one} --across-environments"
        for one in others
    ]
    blocks += [said("The same with every metric, as a gate:"), Listing(tuple(commands), "sh")]
    return Section("backends", f"What {wording.listed(others)} changes against {base}", tuple(blocks))


def _of(runs: Sequence[Run], backend: str) -> list[Run]:
    return [
        replace(run, knobs={path: value for path, value in run.knobs.items() if path != BACKEND})
        for run in runs
        if run.knobs.get(BACKEND) == backend
    ]
