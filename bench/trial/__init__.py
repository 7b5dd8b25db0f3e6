"""The life of one trial: topics, readers, load, warm-up, measure, settle, read back, verify, tear down.

run(trial, stage)      everything; a failure of Kafka or Flink is an outcome, not an exception

attempt    one load against fresh topics, and the `Run` it makes
search     many of them, at rates of its own choice, for the highest that is sustainable
loads      how the events come: on schedule, or all beforehand
readers    who reads them, as a face; `job` is the Flink job
notes      what is known so far; `stage` what trials share and give back
"""

from __future__ import annotations

from bench.scenario import Trial
from bench.trial.attempt import attempt, crashed, prime, refused
from bench.trial.search import search
from bench.trial.stage import Keep, Now, Recorded, Stage, Tell, forget, silence


def run(
    trial: Trial, stage: Stage, *, latency_slo_ms: float | None = None, tell: Tell = silence, keep: Keep = forget
) -> Recorded:
    """Run one trial, whatever its load; what was measured before a failure is kept, after each step by `keep`."""
    if trial.load.kind == "search":
        return search(trial, stage, latency_slo_ms=latency_slo_ms, tell=tell, keep=keep)
    return attempt(trial, stage, latency_slo_ms=latency_slo_ms, tell=tell, keep=keep)


__all__ = ["Keep", "Now", "Recorded", "Stage", "Tell", "crashed", "prime", "refused", "run", "silence"]
