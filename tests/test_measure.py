"""From samples to metrics, on simulated runs whose answers are known: what is missing stays missing, never 0."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import measure
from bench.analysis.histogram import LogLinearHistogram
from bench.backends.accounting import FileUse, topic_bytes
from bench.jobs import Output
from bench.loadgen import Schedule, Sent
from bench.loadgen.handover import HandOver
from bench.measure import Findings, Window
from bench.metrics import METRICS
from bench.probes import Samples
from bench.probes.flink import Checkpoints
from bench.trial import tiers

T0_NS = 1_790_000_000_000_000_000
T0_MS = T0_NS // 1_000_000
WINDOW = Window(5.0, 20.0)
NEVER = float(-(2**63))  # Flink's watermark before the first event


def sampled(**series: Any) -> Samples:
    """Samples at 0.5 s, 1.5 s, … of functions of time; a function may answer NaN."""
    samples = Samples(T0_NS)
    for t_s in np.arange(0.5, 25.0):
        samples.add(t_s, {name.replace("__", ":"): function(t_s) for name, function in series.items()})
    return samples


def sent(**changes: Any) -> Sent:
    """1,000 events/s for 20 s, the first 5 s warm-up: 200 bytes each, 80 of them on the wire, in batches of 50."""
    seconds = pd.DataFrame(
        {
            "target": 1000.0, "offered": 1000.0, "acked": 1000.0, "offered_bytes": 200_000.0, "tx_bytes": 80_000.0,
            "batches": 20.0, "batch_records": 1000.0, "batch_bytes": 70_000.0, "cpu_s": 0.012, "blocked_s": 0.0,
        },
        index=np.arange(1.0, 21.0),
    )  # fmt: skip
    one = Sent(
        schedule=Schedule.constant(T0_NS, 1000, 20), mode="paced", started_ns=T0_NS, workers=1, warmup_s=5,
        duration_s=20, offered_by_worker=(20_000,), acknowledged_events=20_000, failed={}, errors={}, without_report=0,
        flushed_s=20.1,
        seconds=seconds, lateness_ms=LogLinearHistogram("ms").add(np.full(15_000, 0.5)),
        lateness_blocked_ms=LogLinearHistogram("ms"),
        produce_latency_ms=LogLinearHistogram("ms").add(np.full(500, 7.0)), cpu_s=0.3, rss_peak_bytes=90_000_000,
        clock_step_ms=0.0, versions={},
    )  # fmt: skip
    return replace(one, **changes)


def values(found: Findings) -> dict[str, float]:
    assert all(m.unit == METRICS[name].unit and math.isfinite(m.value) for name, m in found.metrics.items())
    return {name: m.value for name, m in found.metrics.items()}


# ---- what is missing


def test_nothing_sampled_gives_no_number_at_all() -> None:
    """Missing lag read as 0 is how others call an overloaded system sustainable; a dead probe is no free broker."""
    found, samples = Findings(), Samples(T0_NS)
    measure.component_metrics(found, samples, WINDOW, {"broker": 15_000.0, "flink": math.nan}, 2)
    measure.job_metrics(found, samples, WINDOW)
    measure.watermark_lag(found, samples, WINDOW, T0_NS, 60.0)
    assert found.metrics == {}
    assert {"backlog_events", "backlog_slope_eps", "busy_share", "restarts", "broker_cpu_s_per_million_events"} <= set(
        found.missing
    )


@pytest.mark.parametrize(
    ("series", "missing"),
    [
        ({"backlog_events": lambda t: math.nan}, {"backlog_events", "backlog_slope_eps"}),
        ({"backlog_events": lambda t: 10.0 if t < 19 else math.nan}, {"backlog_events"}),  # the last one decides
        ({"backlog_events": lambda t: 10.0 if t < 16 else math.nan}, {"backlog_events", "backlog_slope_eps"}),
    ],
)
def test_a_backlog_that_was_not_seen_is_not_empty(series: dict[str, Any], missing: set[str]) -> None:
    """A backlog last seen seconds before the end may be anything by then."""
    found = Findings()
    measure.job_metrics(found, sampled(**series), WINDOW)
    assert missing <= set(found.missing)
    assert missing.isdisjoint(found.metrics)


def test_a_counter_that_began_or_ended_inside_the_window_has_no_difference() -> None:
    """Half of the window's CPU taken for all of it makes the broker look twice as cheap."""
    late, early = Samples(T0_NS), Samples(T0_NS)
    for t_s in range(8, 25):
        late.add(t_s, {"broker_cpu_s": t_s})
    for t_s in range(15):
        early.add(t_s, {"broker_cpu_s": t_s})
    for samples in (late, early):
        assert math.isnan(samples.delta("broker_cpu_s", WINDOW.from_s, WINDOW.to_s))


NOTHING = topic_bytes([], "t")
ONE_SEGMENT = {"log": (30_000, 60), "index": (10_485_760, 0), "timeindex": (10_485_756, 7)}  # bytes, blocks of 512


def test_bytes_that_the_client_never_told_are_not_zero() -> None:
    """A run shorter than the client's statistics would be one whose network is free: the bill loses a line."""
    silent = sent().seconds.assign(tx_bytes=math.nan, batches=math.nan, batch_records=math.nan, batch_bytes=math.nan)
    found = Findings()
    measure.generator_metrics(found, sent(seconds=silent), WINDOW)
    assert {"wire_bytes_per_event", "batch_records"}.isdisjoint(found.metrics)
    assert "wire_bytes_per_event" in found.missing
    found = Findings()
    silent = sent().seconds.assign(offered_bytes=math.nan)
    measure.storage_metrics(found, {**NOTHING, "partitions": 1, "allocated": 100, "log": 100}, sent(seconds=silent))
    assert {"payload_bytes_per_event", "compression_ratio"} <= set(found.missing)


def test_a_drain_that_was_not_over_has_no_rates() -> None:
    """Its window is empty: a division by it must be a missing number, neither infinite nor the end of the study."""
    found = Findings()
    samples = sampled(
        broker_cpu_s=lambda t: t,
        host_busy_s=lambda t: t,
        broker_rss_bytes=lambda t: 9,
        busy_ms__0=lambda t: t,
        backpressured_ms__0=lambda t: 0.0,
        idle_ms__0=lambda t: t,
    )
    measure.component_metrics(found, samples, Window(0.0, 0.0), {"broker": math.nan}, 2)
    measure.job_metrics(found, samples, Window(0.0, 0.0))
    assert {"broker_cpu_s_per_million_events", "host_busy_share", "busy_share"} <= set(found.missing)
    assert found.metrics == {}


# ---- known answers


def test_the_generators_own_numbers() -> None:
    """These are priced and printed: per event acknowledged, over the window or the whole run as each is defined."""
    found = Findings()
    failed = sent(failed={"MSG_SIZE_TOO_LARGE": 3})
    warmup = failed.seconds.copy()
    warmup.loc[:5.0, ["acked", "cpu_s"]] = [900.0, 9.0]  # must not leak into the window
    measure.generator_metrics(found, replace(failed, seconds=warmup), WINDOW)
    assert values(found) == pytest.approx({
        "target_eps": 1000, "offered_eps": 1000, "acknowledged_eps": 1000, "acknowledged_events": 20_000,
        "generator_cpu_s_per_million_events": 12, "generator_rss_bytes": 90_000_000, "wire_bytes_per_event": 80,
        "batch_records": 50, "batch_bytes": 3500, "delivery_errors": 3, "schedule_lateness_ms": 0.5,
        "produce_latency_ms": 7.0,
    }, rel=0.01)  # fmt: skip
    percentiles = found.metrics["produce_latency_ms"].percentiles
    assert percentiles is not None
    assert "p90" in percentiles
    assert "p99" not in percentiles  # 500 samples do not reach that far


def test_cpu_per_million_is_the_windows_cpu_over_the_windows_events() -> None:
    """Start-up CPU counted, or events of the warm-up, would move every cost by the length of the run."""
    found = Findings()
    samples = sampled(
        broker_cpu_s=lambda t: 100 + 0.3 * t, flink_cpu_s=lambda t: 500 + 0.9 * t if t > 5 else 500 + 5 * t,
        broker_rss_bytes=lambda t: 1e9 if t > 21 else 2e8 + t,
        host_busy_s=lambda t: 1.6 * t, host_steal_s=lambda t: 0.02 * t,
    )  # fmt: skip
    measure.component_metrics(found, samples, WINDOW, {"broker": 15_000.0, "flink": 0.0}, 2)
    assert values(found) == pytest.approx({
        "broker_cpu_s_per_million_events": 300, "broker_rss_bytes": 2e8 + 19.5, "host_busy_share": 0.8,
        "host_steal_share": 0.01,
    })  # fmt: skip
    assert "flink_cpu_s_per_million_events" in found.missing  # CPU for no event at all has no price per event


def test_the_probes_share_is_of_what_is_watched_and_no_store_makes_it_smaller() -> None:
    """The store stands for a service elsewhere: with its CPU below the line probes would look cheaper on S3."""
    seconds = {"harness_cpu_s": lambda t: 0.01 * t, "broker_cpu_s": lambda t: 0.2 * t, "store_cpu_s": lambda t: 0.5 * t}
    found, handled = Findings(), {"broker": 15_000.0, "store": 15_000.0}
    measure.component_metrics(found, sampled(**seconds), WINDOW, handled, 2)
    assert found.metrics["probes_cpu_share"].value == pytest.approx(0.01 / 0.21)
    assert found.metrics["store_cpu_s_per_million_events"].value > 0


def test_busy_is_the_busiest_tasks_share_of_its_own_time() -> None:
    """Averaged over tasks, a saturated window behind an idle source would look half empty."""
    found = Findings()
    samples = sampled(
        busy_ms__0=lambda t: 300 * t, backpressured_ms__0=lambda t: 900 * t, idle_ms__0=lambda t: 800 * t,
        busy_ms__1=lambda t: 1_500 * t, backpressured_ms__1=lambda t: 0.0, idle_ms__1=lambda t: 500 * t,
        busy_ms__2=lambda t: math.nan, restarts=lambda t: float(t > 15),
    )  # fmt: skip
    measure.job_metrics(found, samples, WINDOW)
    assert values(found) == pytest.approx({"busy_share": 0.75, "backpressured_share": 0.45, "restarts": 1})


def test_a_growing_backlog_grows_at_its_rate_and_a_steady_one_does_not() -> None:
    """The slope's upper bound decides what is sustainable."""
    found = Findings()
    noise = np.random.default_rng(5).normal(0, 20, 100)
    measure.job_metrics(found, sampled(backlog_events=lambda t: 1_000 + 250 * t + noise[int(t)]), WINDOW)
    slope = found.metrics["backlog_slope_eps"]
    assert slope.percentiles is not None
    assert slope.percentiles["lower"] <= slope.value <= slope.percentiles["upper"]
    assert slope.value == pytest.approx(250, rel=0.05)
    found = Findings()
    measure.job_metrics(found, sampled(backlog_events=lambda t: 500.0), WINDOW)
    assert values(found) == {"backlog_events": 500.0, "backlog_slope_eps": 0.0}


def test_a_watermark_before_the_first_event_is_no_lag() -> None:
    """Long.MIN would read as 292 million years behind."""
    found = Findings()
    samples = sampled(watermark_ms=lambda t: NEVER if t < 12 else T0_MS + 60 * 1000 * t - 2_500)
    measure.watermark_lag(found, samples, WINDOW, T0_NS, 60.0)
    assert values(found) == pytest.approx({"watermark_lag_ms": 2_500})
    found = Findings()
    measure.watermark_lag(found, sampled(watermark_ms=lambda t: NEVER), WINDOW, T0_NS, 60.0)
    assert found.metrics == {}


def test_only_checkpoints_of_the_window_count() -> None:
    """The first one, of empty state, and those after the load would make checkpointing look cheap."""
    at_s = [1.0, 5.0, 12.0, 19.9, 20.0]
    done = pd.DataFrame({
        "trigger_ms": [T0_MS + s * 1000 for s in at_s], "duration_ms": [1.0, 40, 50, 90, 9999],
        "size_bytes": [0.0, 1e6, 2e6, 3e6, 9e9], "written_bytes": [0.0, 1, 2, 3, 4],
    })  # fmt: skip
    found = Findings()
    failed = tuple(T0_MS + s * 1000 for s in (0.1, 6.0, 30.0))
    measure.checkpoint_metrics(found, Checkpoints(done, failed), WINDOW, T0_NS)
    assert values(found) == {
        "checkpoints_completed": 3, "checkpoints_failed": 1, "checkpoint_duration_ms": 50, "checkpoint_size_bytes": 2e6,
        "checkpoint_written_bytes": 2,
    }  # fmt: skip
    found = Findings()
    measure.checkpoint_metrics(found, Checkpoints(done[:0], ()), WINDOW, T0_NS)
    assert values(found) == {"checkpoints_completed": 0, "checkpoints_failed": 0}  # none took no time at all


def test_latency_counts_from_the_due_time_of_events_of_the_window() -> None:
    """From the actual send, a generator or broker that stalls hides its stall; warm-up would hide it in the median."""
    due_s = np.arange(0, 20, 0.001)
    wait_ms = np.where((due_s >= 10) & (due_s < 11), 5_000.0 - 1000 * (due_s - 10), 20.0)  # a stall of five seconds
    wait_ms[due_s < 5] = 60_000
    due_ns = T0_NS + np.rint(due_s * 1e9).astype(np.int64)
    rows = pd.DataFrame({"seq": np.arange(len(due_ns)), "due_ns": due_ns})
    found = Findings()
    append_ms = (due_ns // 1_000_000 + wait_ms).astype(np.int64)
    measure.latency_metrics(found, Output(rows, append_ms), sent(), WINDOW)
    latency = found.metrics["e2e_latency_ms"]
    assert latency.n == 15_000
    assert latency.value == pytest.approx(20, rel=0.01)
    assert latency.percentiles is not None
    assert latency.percentiles["p99"] == pytest.approx(4_850, rel=0.02)
    assert found.histograms["e2e_latency_ms"].max == pytest.approx(5_000, abs=1)


def test_delay_and_service_stand_beside_the_response_of_the_same_events() -> None:
    """A generator that stalls for half a second and a system that takes it are different news, and both must show."""
    due_s = np.arange(0, 20, 0.001)
    due_ns = T0_NS + np.rint(due_s * 1e9).astype(np.int64)
    handed_ns = np.where((due_s >= 10) & (due_s < 10.5), T0_NS + int(10.5e9), due_ns)  # held up, then caught up
    one, two = (HandOver(due_ns[k::2], handed_ns[k::2]) for k in (0, 1))
    rows = pd.DataFrame({"seq": np.arange(len(due_ns)), "due_ns": due_ns})
    found = Findings()
    load = sent(workers=2, handed=(one, two))
    measure.latency_metrics(found, Output(rows, handed_ns // 1_000_000 + 20), load, WINDOW)
    response, service = (found.histograms[f"e2e_{clock}_ms"] for clock in ("latency", "service"))
    assert response.n == service.n == 15_000
    assert response.max == pytest.approx(520, abs=1)
    assert service.max == pytest.approx(20, abs=1)
    silent = Findings()
    measure.latency_metrics(silent, Output(rows, handed_ns // 1_000_000 + 20), sent(), WINDOW)
    assert "e2e_service_ms" in silent.missing  # a worker that died told nothing: not a service of 0 ms


def test_a_clock_that_ran_backwards_is_counted_not_dropped() -> None:
    """Non-positive latencies left out make the rest look honest."""
    due_ns = T0_NS + np.arange(6_000, 16_000, dtype=np.int64) * 1_000_000
    found = Findings()
    rows = pd.DataFrame({"seq": np.arange(len(due_ns)), "due_ns": due_ns})
    measure.latency_metrics(found, Output(rows, due_ns // 1_000_000 - 3), sent(), WINDOW)
    assert found.histograms["e2e_latency_ms"].n_nonpositive == 10_000


@pytest.mark.parametrize("countries", [1, 10])
def test_a_windows_latency_has_as_many_samples_as_windows(countries: int) -> None:
    """Ten countries emitted at one instant are one observation: as ten, the interval is three times too narrow."""
    speed, ends_s = 60.0, np.arange(6.0, 20.0)  # a window a second, in real time
    end_ms = np.repeat(T0_MS + ends_s * speed * 1000, countries)
    append_ms = np.repeat(T0_MS + ends_s * 1000 + 35, countries).astype(np.int64)
    append_ms[1::2] += countries - 1  # rows of a window trickle out; the first one is its emission
    found = Findings()
    rows = pd.DataFrame({"window_end_ms": end_ms.astype(np.int64)})
    measure.window_latency(found, Output(rows, append_ms), T0_NS, speed, WINDOW)
    latency = found.metrics["window_latency_ms"]
    assert latency.value == pytest.approx(35, rel=0.01)
    assert latency.n == 14
    few = Findings()
    measure.window_latency(few, Output(rows[: 7 * countries], append_ms[: 7 * countries]), T0_NS, speed, WINDOW)
    assert few.metrics == {}  # a median of seven is an anecdote


def test_protocol_overhead_is_what_the_wire_carries_beside_one_copy_of_the_log() -> None:
    """Three replicas on disk would make the overhead negative, a missing count would make it the whole wire."""
    found = Findings()
    found.put("wire_bytes_per_event", 130.0)
    measure.protocol_metric(found, 3)
    assert "protocol_bytes_per_event" not in found.metrics
    found.put("log_bytes_per_event", 300.0)
    measure.protocol_metric(found, 3)
    assert found.metrics["protocol_bytes_per_event"].value == 30.0


def test_what_cannot_be_seen_of_a_broker_is_missing() -> None:
    """A broker in a container shows no heap: 0 would be the best of all."""
    found = Findings()
    measure.footprint_metrics(found, {"open_files": 300, "memory_maps": 900})
    assert values(found) == {"broker_open_files": 300, "broker_memory_maps": 900}
    assert found.missing == ["broker_live_heap_bytes"]


def test_storage_counts_what_is_allocated_over_all_replicas() -> None:
    """Index files claim 10 MB each and take none: apparent bytes would make 96 partitions cost a fortune."""
    found = Findings()
    disk = topic_bytes(
        [FileUse(f"t-{n}", "", 0, 0) for n in range(6)]
        + [FileUse(f"t-{n}", f"0.{kind}", *use) for n in range(6) for kind, use in ONE_SEGMENT.items()], "t"
    )  # fmt: skip
    measure.storage_metrics(found, disk, sent())
    assert values(found) == {
        "disk_bytes_per_event": 6 * 512 * 67 / 20_000, "log_bytes_per_event": 6 * 30_000 / 20_000,
        "payload_bytes_per_event": 200, "compression_ratio": pytest.approx(200 * 20_000 / 180_000),
        "topic_segments": 6, "topic_bytes_per_partition": 512 * 67 - 30_000,
        "topic_log_bytes": 180_000, "topic_log_allocated_bytes": 6 * 512 * 60,
        "topic_index_bytes": 6 * 10_485_760, "topic_index_allocated_bytes": 0,
        "topic_time_index_bytes": 6 * 10_485_756, "topic_time_index_allocated_bytes": 6 * 512 * 7,
    }  # fmt: skip
    found = Findings()
    measure.storage_metrics(found, dict.fromkeys(disk, 0), sent())  # the topic was not found: no bytes, not 0 bytes
    assert found.metrics == {}


def test_what_somebody_elses_brokers_do_not_tell_of_their_disks_is_missing() -> None:
    """They tell a replica's records and nothing else, or nothing at all: neither is a disk that holds nothing."""
    found = Findings()
    measure.storage_metrics(found, {"log": 180_000, "partitions": 6}, sent())
    assert values(found) == {
        "log_bytes_per_event": 9.0, "payload_bytes_per_event": 200, "topic_log_bytes": 180_000,
        "compression_ratio": pytest.approx(200 * 20_000 / 180_000),
    }  # fmt: skip
    assert {"disk_bytes_per_event", "topic_segments", "topic_bytes_per_partition", "topic_index_bytes"} <= set(
        found.missing
    )
    found = Findings()
    measure.storage_metrics(found, {}, sent())
    assert found.metrics == {}
    assert found.missing == ["disk_bytes_per_event", "log_bytes_per_event"]


@pytest.mark.parametrize(
    ("read", "window"),
    [
        (lambda t: 5_000 * min(t, 20.0), Window(2.0, 18.0)),
        # Flink refreshes slower than we sample: a staircase, seen where it rises
        (lambda t: 5_000 * min(2 * (t // 2) + 0.5, 20.0), Window(2.0, 18.0)),
        (lambda t: math.nan if 7 < t < 9 else 5_000 * min(t, 20.0), Window(2.0, 18.0)),
        (lambda t: 5_000 * min(t, 17.0), None),  # not over
        (lambda t: math.nan, None),
        (lambda t: 100_000.0, None),  # over before anybody looked
    ],
)
def test_a_drain_is_timed_between_a_tenth_and_nine_tenths(read: Any, window: Window | None) -> None:
    """The first reads and the last are not the job's pace; and a drain nobody saw has none."""
    found = measure.drain_window(sampled(source_events=read), 100_000, "source_events")
    assert (found is None) == (window is None)
    if found and window:
        assert found.from_s == pytest.approx(window.from_s, abs=0.3)
        assert found.to_s == pytest.approx(window.to_s, abs=0.3)


def test_the_phases_of_a_recovery_add_up_to_it() -> None:
    """Detect, restart, restore and catch up are what people tune one by one: a gap between them is nobody's."""
    found = Findings()
    measure.recovery_phases(found, 10.0, 12.5, 19.0, 19.75)
    assert "catch_up_s" in found.missing  # the backlog never came back: when it did is not known
    found = Findings()
    found.put("recovery_s", 15.0)
    measure.recovery_phases(found, 10.0, 12.5, 19.0, 19.75)
    values = {name: found.metrics[name].value for name in ("detect_s", "restart_s", "restore_s", "catch_up_s")}
    assert values == {"detect_s": 2.5, "restart_s": 6.5, "restore_s": 0.75, "catch_up_s": 5.25}
    assert sum(values.values()) == found.metrics["recovery_s"].value


def test_recovery_counts_from_the_fault_until_the_backlog_is_what_it_was() -> None:
    """Counted from the fault's end, or to the first dip, an outage would be told shorter than people waited."""
    faults = pd.DataFrame({"t_s": [20.0, 25.0], "value": [1.0, 0.0]})
    t_s = np.arange(0.0, 40.0)
    backlog = pd.DataFrame({"t_s": t_s, "value": np.where((t_s > 20) & (t_s < 28), 5_000.0, 100.0 + t_s % 3)})
    found = Findings()
    measure.recovery_metric(found, backlog, faults)
    assert found.metrics["recovery_s"].value == 8.0
    never = Findings()
    measure.recovery_metric(never, backlog[backlog.t_s < 28], faults)
    assert never.missing == ["recovery_s"], "a backlog that was not seen to come back has no recovery, and not 0 s"


def test_how_far_behind_a_remote_store_is() -> None:
    """A lag read off the wrong axis is bytes, or the age of the run."""
    seconds = np.arange(0.0, 11.0)
    written = pd.DataFrame({"t_s": seconds, "value": 100.0 * seconds})
    uploaded = pd.DataFrame({"t_s": seconds, "value": np.maximum(0.0, 100.0 * (seconds - 3.0))})
    lags = tiers.upload_lags_s(written, uploaded)
    assert lags.t_s.tolist() == seconds[4:].tolist()  # nothing is there before
    assert lags.value.to_numpy() == pytest.approx(3.0)
    assert tiers.upload_lags_s(written, uploaded.assign(value=0.0)).empty


def test_what_goes_within_the_window_is_seen_and_what_went_before_is_not() -> None:
    """A task that is gone for a second is a finding; one that ended in the warm-up would be one of every run."""
    found = Findings()
    samples = sampled(
        tasks_running=lambda t: 1.0 if 10 < t < 12 else 3.0,
        slots_used=lambda t: 2.0 if t > 4 else 0.0,
        task_managers=lambda t: math.nan if 8 < t < 10 else 2.0,  # Flink did not answer: nothing is gone
        flink_cpu_s=lambda t: 0.25 * t,
        flink_rss_bytes=lambda t: 1000.0 - 20.0 * t,
    )
    measure.capacity_metrics(found, samples, WINDOW)
    values = {name: one.value for name, one in found.metrics.items()}
    assert values["tasks_lost"] == 2
    assert values["slots_freed"] == values["task_managers_lost"] == 0
    assert values["flink_cores"] == pytest.approx(0.25)
    assert values["flink_rss_ratio"] == pytest.approx(610 / 890)
    gaps = Findings()  # "nothing went" by the few answers of a window would be a pass for what nobody saw
    one = sampled(
        tasks_running=lambda t: 2.0 if t < 12 else math.nan, slots_used=lambda t: 2.0 if t != 15 else math.nan
    )
    one.add(15.5, {"slots_used": 1.0})
    measure.capacity_metrics(gaps, one, WINDOW)
    assert "tasks_lost" in gaps.missing
    assert gaps.metrics["slots_freed"].value == 1
    silent = Findings()
    measure.capacity_metrics(silent, Samples(T0_NS), WINDOW)
    assert silent.metrics == {}
    assert {"tasks_lost", "slots_freed", "task_managers_lost", "flink_cores", "flink_rss_ratio"} == set(silent.missing)


def test_sources_tell_who_is_idle_and_who_is_busiest() -> None:
    """Nine subtasks on six even partitions: three idle, and the others have half as much again as the mean."""

    def told(*sources: list[float]) -> tuple[dict[str, float], set[str]]:
        found = Findings()
        measure.source_metrics(found, sources)
        return {name: one.value for name, one in found.metrics.items()}, set(found.missing)

    both = {"source_idle_subtasks", "source_skew"}
    assert told([100.0] * 6 + [0.0] * 3) == ({"source_idle_subtasks": 3, "source_skew": 1.5}, set())
    assert told([300.0, 300.0]) == ({"source_idle_subtasks": 0, "source_skew": 1}, set())
    # two readers of one topic: what is worst of either
    assert told([400.0, 100.0, 100.0], [100.0, 100.0, 0.0]) == ({"source_idle_subtasks": 1, "source_skew": 2}, set())
    # nobody has read: all are idle, and nothing is uneven
    assert told([0.0, 0.0]) == ({"source_idle_subtasks": 2}, {"source_skew"})
    # who does not answer is no idle subtask, and a job that could not be asked is not an even one
    assert told([100.0, math.nan]) == ({}, both)
    assert told([100.0, 100.0], [math.nan]) == ({}, both)
    assert told() == told([]) == ({}, both)


def test_windows_are_counted_by_their_ends() -> None:
    """No window at all is a finding, and no gap."""

    def output(**columns: Any) -> Output:
        rows = pd.DataFrame(columns)
        return Output(rows, np.zeros(len(rows), dtype=np.int64))

    def closed(**outputs: Output) -> float:
        found = Findings()
        measure.windows_closed(found, outputs)
        return found.metrics["windows_closed"].value

    assert closed(clean=output(seq=[1]), revenue=output(window_end_ms=[5, 5, 9], country=["a", "b", "a"])) == 2
    assert closed(clean=output(seq=[1]), revenue=output()) == 0
