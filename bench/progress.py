"""What a person sees while trials run: a line that moves on a terminal, plain lines otherwise. Always on stderr."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench.campaign import Event, Listen
from bench.record import Outcome, Run
from bench.scenario import Trial
from bench.trial import Now

# A phase as a person would say it
SAID = {
    "cluster": "starting Kafka and Flink",
    "reach": "reaching Kafka and Flink",
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
PLAIN_EVERY_S = 30.0  # a log is read afterwards: how a long load went, not every second of it
Clock = Callable[[], float]


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


def going(now: Now) -> str:
    """How a load goes: its rate, what is queued and how long that takes, and the generator's own lateness."""
    said = [f"{now.rate_eps:,.0f} events/s"] if math.isfinite(now.rate_eps) else []
    if math.isfinite(now.backlog_events):
        behind = f" ({now.behind_s * 1000:,.0f} ms behind)" if math.isfinite(now.behind_s) else ""
        said.append(f"backlog {now.backlog_events:,.0f}{behind}")
    if now.late_ms >= 1:
        said.append(f"generator {now.late_ms:,.0f} ms late")
    return ", ".join(said)


@dataclass
class Pace:
    """How long what is left will take: as planned, slower by as much as the runs so far were slower than planned.

    Not their mean: the first run brings the start of a cluster along, and a drain is not a ladder's step.
    """

    planned_s: Sequence[float]  # of each run, in their order
    began_s: float
    ended: int = 0
    ran_s: float = 0.0  # planned, of those that ran
    took_s: float = 0.0

    def end(self, at_s: float, *, ran: bool = True) -> None:
        """One more run has ended; one that was refused says nothing about how fast this host is."""
        if ran:
            self.ran_s += self.planned_s[self.ended]
            self.took_s += at_s - self.began_s
        self.ended, self.began_s = self.ended + 1, at_s

    def left_s(self, at_s: float) -> float:
        """Seconds to go, with what is left of the run that is under way."""
        slower = self.took_s / self.ran_s if self.ran_s else 1.0
        return max(0.0, slower * sum(self.planned_s[self.ended :]) - (at_s - self.began_s))


def about(seconds: float) -> str:
    """`40 s`, `3 min`."""
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


@contextmanager
def follow(planned_s: Sequence[float]) -> Iterator[Listen]:
    """A listener for `campaign.run_all`, which runs trials that were planned to take these seconds, in this order."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield plain(planned_s)
        return
    yield from _moving(console, planned_s)


def plain(planned_s: Sequence[float], clock: Clock = time.monotonic) -> Listen:
    """Lines for a log: the slow steps, every run as it ends with what is left, and how a long load goes."""
    pace = Pace(planned_s, clock())
    last, said_s = "", clock()

    def listen(event: Event) -> None:
        nonlocal last, said_s
        if event.run is not None:
            pace.end(clock(), ran=event.run.outcome is not Outcome.REFUSED)
            _say(_done(event, pace.left_s(clock())))
            said_s = clock()
        elif event.phase in ("cluster", "reach", "prime") and last != event.phase:
            _say(f"{SAID[event.phase]} (about {event.seconds:.0f} s)")
            said_s = clock()
        elif event.phase not in SAID:  # a sentence: what a search tries, why a warm-up is extended
            _say(f"  {event.phase}")
        elif event.now is not None and clock() - said_s >= PLAIN_EVERY_S and (how := going(event.now)):
            _say(f"[{event.index}/{event.total}] {SAID.get(event.phase, event.phase)}: {how}")
            said_s = clock()
        last = event.phase

    return listen


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _moving(console: Console, planned_s: Sequence[float]) -> Iterator[Listen]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("about {task.fields[left]} left"),
    )
    began_s = time.monotonic()
    pace = Pace(planned_s, began_s)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=1.0, count="0", left=about(sum(planned_s)))

        def listen(event: Event) -> None:
            at_s = time.monotonic()
            if event.run is not None:
                pace.end(at_s, ran=event.run.outcome is not Outcome.REFUSED)
                console.print(_done(event, None), highlight=False)
            left_s = pace.left_s(at_s)
            share = (at_s - began_s) / max(1e-9, at_s - began_s + left_s)
            progress.update(task, completed=share, count=f"{event.index}/{event.total}", left=about(left_s))
            if event.run is None and event.trial is not None:
                progress.update(task, description=_under_way(event))

        yield listen


def _under_way(event: Event) -> str:
    assert event.trial is not None
    which = " ".join(filter(None, (event.trial.load_name, knobs(event.trial))))
    how = f", {going(event.now)}" if event.now is not None else ""
    return f"{which}: {SAID.get(event.phase, event.phase)}{how}"


def _done(event: Event, left_s: float | None) -> str:
    assert event.trial is not None
    assert event.run is not None
    which = f"{event.trial.load_name} {knobs(event.trial)} #{event.trial.repetition + 1}"
    left = f" (about {about(left_s)} left)" if left_s else ""
    return f"[{event.index}/{event.total}] {which}: {outcome(event.run)}{left}"
