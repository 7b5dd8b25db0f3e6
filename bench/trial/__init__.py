"""The life of one trial: topics, readers, load, warm-up, measure, settle, read back, verify, tear down.

run(trial, stage)      everything; a failure of Kafka or Flink is an outcome, not an exception

attempt    one load against fresh topics, and the `Run` it makes
steadiness whether it was steady, and where it was not, once more after a longer warm-up
search     many of them, at rates of its own choice, for the highest that is sustainable
earlier    what a search that was killed had tried already
loads      how the events come: on schedule, or all beforehand
readers    who reads them, as a face; `job` is the Flink job
notes      what is known so far; `stage` what trials share and give back
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.scenario import Trial
from bench.trial.attempt import attempt, crashed, prime, refused
from bench.trial.search import search
from bench.trial.stage import Keep, Now, Recorded, Stage, Tell, forget, silence
from bench.trial.steadiness import steadily


def run(
    trial: Trial,
    stage: Stage,
    *,
    latency_slo_ms: float | None = None,
    tell: Tell = silence,
    keep: Keep = forget,
    earlier: Sequence[Path] = (),
) -> Recorded:
    """Run one trial, whatever its load; what was measured before a failure is kept, after each step by `keep`.

    `earlier`: bundles of this trial, oldest first, in which a search that was cut short may have left attempts.
    """
    if trial.load.kind == "search":
        return search(trial, stage, latency_slo_ms=latency_slo_ms, tell=tell, keep=keep, earlier=earlier)

    def once(one: Trial, keeping: Keep) -> Recorded:
        return attempt(one, stage, latency_slo_ms=latency_slo_ms, tell=tell, keep=keeping)

    return steadily(trial, once, tell=tell, keep=keep)


__all__ = ["Keep", "Now", "Recorded", "Stage", "Tell", "crashed", "prime", "refused", "run", "silence"]
