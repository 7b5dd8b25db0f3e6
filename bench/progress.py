"""What a person sees while trials run: a bar on a terminal, one plain line a step otherwise. Always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.campaign import Event, Listen
from bench.record import Outcome, Run
from bench.scenario import Trial

# A phase as a person would say it
SAID = {
    "cluster": "starting Kafka and Flink",
    "prime": "warming up the JVMs, once",
    "topics": "making topics",
    "submit": "submitting the job",
    "load": "sending on schedule and measuring",
    "settle": "letting readers catch up",
    "prefill": "filling the topic",
    "drain": "reading it flat out",
    "count": "counting what the topic holds",
    "verify": "comparing the output with the oracle",
}


def knobs(trial: Trial) -> str:
    """`topic.partitions 6` and the like."""
    return ", ".join(f"{path.rpartition('.')[2]} {value}" for path, value in trial.knobs.items())


def outcome(run: Run) -> str:
    """One line about a run that ended."""
    if run.outcome is not Outcome.FINISHED:
        return f"{run.outcome}: {run.reason.splitlines()[0] if run.reason else ''}"
    said = []
    for name, form in (("acknowledged_eps", "{:,.0f} events/s"), ("drain_eps", "drained {:,.0f} events/s")):
        if name in run.metrics:
            said.append(form.format(run.metrics[name].value))
    latency = run.metrics.get("e2e_latency_ms")
    if latency is not None and latency.percentiles:
        said.append(
            ", ".join(f"{p} {latency.percentiles[p]:,.0f} ms" for p in ("p50", "p99") if p in latency.percentiles)
        )
    return "; ".join(said) or "finished"


@contextmanager
def follow(total: int, expected_s: float) -> Iterator[Listen]:
    """A listener for `campaign.run_all`."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=expected_s, count=f"0/{total}")
        began = time.monotonic()

        def listen(event: Event) -> None:
            progress.update(
                task, completed=min(time.monotonic() - began, expected_s * 0.99), count=f"{event.index}/{event.total}"
            )
            if event.run is not None and event.trial is not None:
                console.print(_done(event))
            elif event.trial is not None:
                progress.update(
                    task,
                    description=f"{event.trial.load_name} {knobs(event.trial)}: {SAID.get(event.phase, event.phase)}",
                )

        yield listen


def _done(event: Event) -> str:
    assert event.trial is not None
    assert event.run is not None
    which = f"{event.trial.load_name} {knobs(event.trial)} #{event.trial.repetition + 1}"
    return f"[{event.index}/{event.total}] {which}: {outcome(event.run)}"


def _lines() -> Listen:
    last: list[str] = []

    def listen(event: Event) -> None:
        if event.run is not None:
            print(_done(event), file=sys.stderr, flush=True)
        elif event.phase in ("cluster", "prime") and last[-1:] != [event.phase]:
            print(f"{SAID[event.phase]} (about {event.seconds:.0f} s)", file=sys.stderr, flush=True)
        elif event.phase.startswith("attempt"):
            print(f"  {event.phase}", file=sys.stderr, flush=True)
        last[:] = [event.phase]

    return listen
