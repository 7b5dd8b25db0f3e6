"""A job's outputs, read back and held against the workload's own truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bench import topics
from bench.jobs import ASIDE, Job, Output, Terms, Verified, aside, watermark_delay_ms
from bench.loadgen import Sent
from bench.scenario import Settings, Trial
from bench.workloads import Workload, open_workload
from bench.workloads.draws import murmur2, partition_of

RATE_BIN_S = 0.5


@dataclass(frozen=True)
class Compared:
    """The outputs as they were read, and what the oracle said."""

    outputs: Mapping[str, Output]
    verified: Verified
    none_due: bool = False  # a partition without an event held the watermark back


def compare(
    trial: Trial,
    job: Job,
    sent: Sent,
    bootstrap: str,
    *,
    output_topics: Mapping[str, str],
    watermark_seen_ms: float,  # Flink's own last word; needed only where the routing does not say which event is where
    failed: bool = False,  # the job was brought down on the way
    stamps_ahead_ms: float = 0.0,  # by how much the brokers' clocks are
) -> Compared:
    """Read every output topic to its end and let the job's oracle judge. BrokerError when a topic cannot be read."""
    settings = trial.settings
    committed = settings.pipeline is not None and settings.pipeline.guarantee == "exactly-once"
    read = {name: topics.read_topic(bootstrap, topic, committed=committed) for name, topic in output_topics.items()}
    unreadable = read.pop(ASIDE, None)
    outputs = {
        name: Output(topics.json_rows(back.values), back.timestamp_ms - round(stamps_ahead_ms))
        for name, back in read.items()
    }
    workload = open_workload(settings.workload, trial.seed, sent.t0_ns, sent.schedule)
    seq = sent.seqs()
    truth = workload.columns(seq, sent.schedule.due_ns(seq))
    due_ms = final_watermark_ms(truth, workload, settings, watermark_seen_ms)
    goes_on = _goes_on(settings)
    if goes_on:  # with every source idle at the end, the watermark may be anywhere up to the newest event
        outputs = {name: until(output, due_ms) for name, output in outputs.items()}
    terms = Terms(
        due_ms,
        exactly_once=committed,
        failed=failed,
        may_drop=goes_on or watermark_delay_ms(settings) < round(settings.workload.disorder_s * 1000),
        none_due=due_ms < 0 and settings.producer.routing == "keyed",
    )
    verified = job.verify(truth, outputs, terms)
    if unreadable is not None:
        check, count = aside.verify(truth, unreadable.values, settings.workload.format)
        verified = replace(
            verified, checks=(*verified.checks, check), counts={**verified.counts, "malformed_events": count}
        )
    return Compared(outputs, verified, terms.none_due)


def final_watermark_ms(truth: pd.DataFrame, workload: Workload, settings: Settings, seen_ms: float) -> int:
    """Where the job's watermark must have come to: the slowest partition's newest event minus the disorder bound.

    Keyed routing says exactly which event is where. Sticky routing doesn't: there, what Flink reported is used. -1: a
    partition without any event holds the watermark back for ever, and no window is due, unless it counts as idle.
    """
    if settings.producer.routing != "keyed":
        return int(seen_ms) if np.isfinite(seen_ms) else -1
    truth = truth[~truth["malformed"]]  # what Flink cannot read has no event time
    keys = truth[workload.key_field.name].cat
    text = np.array(keys.categories, dtype="S8").view(np.uint8).reshape(-1, 8)  # every workload's keys are eight bytes
    partition = partition_of(murmur2(text), settings.topic.partitions).take(keys.codes)
    newest = truth["ts"].groupby(partition).max()
    if len(newest) < settings.topic.partitions and not (_goes_on(settings) and len(newest)):
        return -1
    return int(newest.min()) - watermark_delay_ms(settings)


def _goes_on(settings: Settings) -> bool:
    """Whether the watermark goes on without a partition that is silent for long enough."""
    return settings.pipeline is not None and settings.pipeline.idle_timeout_s > 0


def until(output: Output, watermark_ms: int) -> Output:
    """The output without windows that only a later watermark closed: nobody knows which of them were due."""
    if "window_end_ms" not in output.rows:
        return output
    known = (output.rows["window_end_ms"] - 1 <= watermark_ms).to_numpy()
    return Output(output.rows[known].reset_index(drop=True), output.append_ms[known])


def append_rate(output: Output, t0_ns: int) -> pd.DataFrame:
    """Rows appended to an output per second, in bins of half a second; DataFrame(t_s, value)."""
    since_s = (output.append_ms - t0_ns / 1e6) / 1e3
    edges = np.arange(0.0, float(since_s.max()) + RATE_BIN_S, RATE_BIN_S)
    counts, _ = np.histogram(since_s, edges)
    return pd.DataFrame({"t_s": edges[1:], "value": counts / RATE_BIN_S})
