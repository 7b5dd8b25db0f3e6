"""How many partitions: held against brokers whose limits are known, and against what must hold of any answer."""

from __future__ import annotations

import functools
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import ScenarioError
from bench.record import Measurement, Outcome, Run
from costmodel import advised
from costmodel.advice import FURTHEST, Need, Standing, advise, bills, smallest, usage
from costmodel.batchcost import Spent, fit
from costmodel.extrapolation import beside
from costmodel.ladder import Ladder, Status, hot_share, too_many
from costmodel.option import size
from costmodel.prices import built_in
from costmodel.rungs import ladder, top_key_share
from tests.simulated.ladder import Broker, doubling, recorded, study

BROKER = Broker(partition_mb_s=5.05)  # a little over the 5 that its ladder can show: at the limit itself queues wander


@functools.cache
def known(broker: Broker = BROKER, most: int = 64, rates: tuple[float, ...] = (40.0,), repeats: int = 5) -> Ladder:
    return recorded(broker, doubling(most), rates, repeats=repeats)


def need(target_mb_s: float = 40.0, **changes: float) -> Need:
    return Need(**{"target_mb_s": target_mb_s, "record_bytes": 200.0, "peak": 1.0, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_true_smallest_number_lies_within_the_stated_interval(seed: int, noise: float) -> None:
    """An interval that misses the truth would send somebody to production with too few partitions."""
    broker = Broker(partition_mb_s=1.3 * 1.31 ** (seed % 9), reader_mb_s=(1e9, 7.0)[seed % 2], run_noise=noise)
    found = recorded(broker, [1, 2, 4, 6, 12, 24, 48, 96], (10.0, 40.0), seed=seed)
    for target in (3.0, 17.0, 40.0, 123.0):
        advice = advise(need(target), found)
        slow = Broker(broker.partition_mb_s * (1 - 0.84 * noise), broker.reader_mb_s * (1 - 0.84 * noise))
        truth = slow.true_smallest(target)
        assert advice.low is not None
        assert advice.partitions is not None
        assert advice.low <= truth <= advice.partitions, (broker, target, advice.partition)


@pytest.mark.parametrize("top_key", [0.05, 0.1])
def test_a_skewed_key_needs_more_partitions_as_the_broker_would(top_key: float) -> None:
    """Evenly spread, 40 MB/s need 8; with a tenth on one key that partition has 4 MB/s before any other key comes."""
    advice = advise(need(top_key=top_key), known(rates=(10.0, 40.0, 38.0)))
    assert advice.low is not None
    assert advice.partitions is not None
    assert advice.low <= BROKER.true_smallest(40.0, top_key) <= advice.partitions
    assert advice.partitions > (advise(need(), known(rates=(10.0, 40.0, 38.0))).partitions or 0)


@pytest.mark.parametrize("zipf", [0.8, 1.05])
def test_a_ladder_of_skewed_keys_speaks_of_even_ones(zipf: float) -> None:
    """What a run with a busy key shows is what its busiest partition carried, not what the mean one did."""
    broker = Broker(partition_mb_s=5.0, zipf=zipf)
    advice = advise(need(30.0), recorded(broker, [1, 2, 4, 6, 8, 12, 16, 24, 48, 96], (10.0, 14.0, 20.0, 30.0)))
    assert advice.low is not None
    assert advice.partitions is not None
    assert advice.low <= broker.true_smallest(30.0) <= advice.partitions
    assert advice.partitions <= 2 * advice.low


def test_a_key_too_busy_for_any_partition_has_no_number() -> None:
    """More partitions never split a key: a number would be a promise that nobody can keep."""
    advice = advise(need(top_key=0.5), known())
    assert (advice.partitions, advice.low) == (None, None)
    assert "busiest key alone brings 20 MB/s" in advised.headline(advice)
    assert advised.to_json(advice, {})["partitions"] is None


NEEDS = st.builds(
    Need,
    target_mb_s=st.floats(0.1, 12),  # 8 x after growth, 4 x when busiest: within ten times the 40 MB/s of the runs
    record_bytes=st.floats(25, 1900),
    consumers=st.integers(1, 60),
    growth=st.floats(1, 8),
    peak=st.floats(1, 4),
    top_key=st.floats(0, 0.02),
    consumer_mb_s=st.none() | st.floats(0.5, 50),
).filter(lambda asked: asked.design_mb_s * max(200 / asked.record_bytes, 1) < 399)  # and so in events


@settings(max_examples=200, deadline=None)
@given(asked=NEEDS, more=st.floats(1, 3))
def test_every_answer_is_monotone_and_above_its_lower_bounds(asked: Need, more: float) -> None:
    """A larger stream that needs fewer partitions, or an answer below t/p, t/c or the consumers, would be nonsense."""
    advice = advise(asked, known())
    if advice.partitions is None:
        assert None in advice.bounds.values()
        return
    assert advice.low is not None
    assert 1 <= advice.low <= advice.partitions
    assert advice.partitions == max(bound for bound in (asked.consumers, *advice.bounds.values()) if bound is not None)
    assert advice.partition.shown is not None
    hot = asked.design_mb_s * hot_share(advice.partitions, asked.top_key)
    assert hot <= advice.partition.shown * (1 + 1e-6)
    assert advice.standing(advice.partitions, asked.design_mb_s) is Standing.CARRIES
    assert advice.standing(advice.low, asked.design_mb_s) is not Standing.CANNOT
    if advice.low > asked.consumers:
        assert advice.standing(advice.low - 1, asked.design_mb_s) is Standing.CANNOT
    most = max(asked.target_mb_s, 399.0 * min(asked.record_bytes / 200, 1) / asked.peak / asked.growth)
    grown = advise(replace(asked, target_mb_s=min(asked.target_mb_s * more, most)), known())
    assert grown.partitions is None or grown.partitions >= advice.partitions
    assert grown.low is None or grown.low >= advice.low


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e3))
def test_without_skew_the_bound_is_the_classical_t_over_p(mb_s: float, capacity: float) -> None:
    """t/p, rounded up: anything else is not what readers know by that name."""
    count = smallest(mb_s, capacity)
    assert count is not None
    assert count * capacity >= mb_s * (1 - 1e-6)
    assert (count - 1) * capacity < mb_s


def test_a_number_that_failed_is_not_in_the_interval() -> None:
    """Four partitions failed at 40 MB/s: "between 4 and 8" would name the very run that speaks against it."""
    advice = advise(need(), known())
    assert [(cell.partitions, str(cell.status)) for cell in advice.cells][2] == (4, "fails")
    assert (advice.low, advice.partitions) == (5, 8)
    assert [advice.standing(count, 40.0) for count in (4, 5, 8)] == [Standing.CANNOT, Standing.OPEN, Standing.CARRIES]
    stated = advise(need(consumer_mb_s=4.0), known())  # what somebody states of a consumer, it reads
    assert (stated.low, stated.partitions) == (10, 10)
    assert stated.standing(10, 40.0) is Standing.CARRIES


def test_what_to_measure_next_was_not_measured_yet() -> None:
    """One partition failed at 40 MB/s and two did not: the same run again would narrow nothing."""
    assert "1 partition at 140,000 events/s" in advised.narrower(advise(need(70.0), known(Broker(partition_mb_s=25))))
    assert "6 partitions at 200,000 events/s" in advised.narrower(advise(need(), known()))
    whole = advised.narrower(advise(need(70.0), known(Broker(partition_mb_s=100))))  # one carried all there was
    assert "1 partition at 400,000 events/s" in whole


def test_the_classical_bounds_of_a_known_broker() -> None:
    """40 MB/s, 1.5 x that at the busiest, twice that after growth, 5 MB/s a partition: 12 and 24; 30 consumers: 30."""
    asked = need(peak=1.5, growth=2.0)
    advice = advise(asked, known())
    assert dict(advice.bounds) == {"throughput": 12, "consumers": 12, "growth": 24}
    assert advice.partitions == 24
    assert advise(need(peak=1.5, growth=2.0, consumers=30), known()).partitions == 30
    slow = advise(need(peak=1.5, consumer_mb_s=2.0), known())
    assert dict(slow.bounds) == {"throughput": 12, "consumers": 30, "growth": 30}


def test_a_drain_shows_what_a_consumer_reads_and_rules_nothing_out() -> None:
    """Nothing failed in a drain: taken for a ceiling, its best would call partitions too few that were never tried."""
    runs = study(BROKER, [16], (5.0,))
    first = runs[0]
    drains = [
        replace(
            first,
            trial_id=f"drain{rate:g}",
            bundle=None,
            settings={
                **first.settings,
                "load": {"drain": 1_000_000},
                "producer": {**first.settings["producer"], "compression": codec},
            },
            metrics={**first.metrics, "drain_eps": Measurement(rate * 16 * 1e6 / 200, "events/s")},
        )
        for rate, codec in ((2.0, "lz4"), (3.0, "lz4"), (0.5, "zstd"))
    ]
    found = ladder([*runs, *drains], "drained", where={}, pricing={})
    names = [f"{first.scenario}/drain2", f"{first.scenario}/drain3"]
    assert [run for run, _ in found.drains] == names  # another codec is another setting
    advice = advise(need(5.0), found)
    assert (advice.consumer.shown, advice.consumer.ruled_out) == (pytest.approx(2.0), None)
    assert advice.consumer.shown_by == tuple(names)
    assert set(names) <= set(advice.runs)
    assert advice.standing(1, 5.0) is Standing.OPEN  # 5 MB/s on one reader: not shown, and nothing speaks against it


def test_consumers_that_decide_could_be_a_share_group() -> None:
    """Paying for partitions only to feed consumers is what KIP-932 ends; where bytes decide it saves nothing."""
    consumers = advised.share_group(advise(need(consumers=40), known()))
    assert (consumers["instead"], consumers["partitions"]) == (True, 8)
    assert not advised.share_group(advise(need(), known()))["instead"]


def test_another_study_changes_the_answer() -> None:
    """An answer that is the same whatever was measured would be folklore again."""
    slow, fast = (advise(need(), known(Broker(partition_mb_s=p))) for p in (1.01, 20.2))
    assert slow.partitions == 64
    assert fast.partitions == 2


def test_beyond_the_measured_range_it_says_how_far_and_past_ten_times_nothing() -> None:
    """A ladder at 40 MB/s says little about 300 and nothing about 4,000."""
    near = advise(need(300.0), known())
    assert near.extrapolated_by == pytest.approx(7.5, rel=0.01)
    assert any("7.5 x beyond what was measured" in text for text in advised.warnings(near))
    assert advise(need(20.0), known()).extrapolated_by == 1.0
    busy = advise(need(40.0, peak=1.5, growth=2.0), known())  # 120 MB/s when it matters, and no run had them
    assert busy.extrapolated_by == pytest.approx(3.0, rel=0.01)
    with pytest.raises(ScenarioError, match=r"12 times the 40 MB/s .* expected a mean of at most 100 MB/s"):
        advise(need(120.0, peak=2.0, growth=2.0), known())
    with pytest.raises(ScenarioError, match=r"100 times the 40 MB/s .* expected a mean of at most 400 MB/s"):
        advise(need(4000.0), known())
    small = advise(need(60.0, record_bytes=50.0), known())  # 1.5 times the bytes, 6 times the events
    assert small.extrapolated_by == pytest.approx(6.0, rel=0.01)
    assert any("6 x beyond what was measured (the 200,0" in text for text in advised.warnings(small))
    with pytest.raises(ScenarioError, match=r"12 times the events/s of the 40 MB/s .* a mean of at most 100 MB/s"):
        advise(need(120.0, record_bytes=50.0), known())
    with pytest.raises(ScenarioError, match=r"records of 5,?000 bytes are 25 times away"):
        advise(need(record_bytes=5000.0), known())
    assert FURTHEST == 10


def test_smaller_records_are_taken_at_the_worst_by_their_number() -> None:
    """A partition that carried 25,000 events/s of 200 bytes was shown no more than that of 100 bytes."""
    small, same = advise(need(record_bytes=100.0), known()), advise(need(), known())
    assert (same.partitions, small.partitions) == (8, 16)
    assert small.low is not None
    assert same.low is not None
    assert small.low <= same.low  # at the best a partition carries as many bytes


def test_where_no_run_meets_the_limit_nothing_is_shown() -> None:
    """A number would then rest on nothing."""
    with pytest.raises(ScenarioError, match=r"none of 7 cells keeps p99 below 1 ms"):
        advise(need(slo_ms=1.0), known())


def test_a_host_at_its_limit_says_nothing_about_partitions() -> None:
    """80 MB/s fail on this host at every count: 5 MB/s a partition would be blamed for it."""
    found = recorded(Broker(partition_mb_s=5.05, host_mb_s=50.0), doubling(64), (40.0, 80.0))
    advice = advise(need(), found)
    assert advice.partition.shown == pytest.approx(5.0, rel=1e-3)
    assert advice.partition.ruled_out == pytest.approx(10.0, rel=1e-3)  # 4 partitions at 40 MB/s, not 16 at 80
    assert advice.range_mb_s == pytest.approx(40.0)


def test_too_many_partitions_are_seen_and_said() -> None:
    """Latency that partitions themselves add is no want of partitions."""
    found = recorded(Broker(partition_mb_s=5.05, per_partition_ms=1.0), doubling(512), (40.0,))
    advice = advise(need(), found)
    worst = too_many(advice.cells)
    assert worst is not None
    assert worst.partitions == 256
    assert any("256 partitions on 1 broker were too many" in text for text in advised.warnings(advice))
    assert advice.partition.ruled_out == pytest.approx(10.0, rel=1e-3)


def test_what_was_not_measured_is_no_pass() -> None:
    """A run without its tail, or without a count of what arrived, may have been behind all along."""
    for metric, said in (("e2e_latency_ms", "its p99"), ("lost_events", "whether events were lost")):
        runs = [
            replace(run, metrics={k: v for k, v in run.metrics.items() if k != metric})
            for run in study(BROKER, [16], (40.0,))
        ]
        cells = ladder(runs, "blind", where={}, pricing={}).cells(500.0)
        assert [(cell.status, cell.why) for cell in cells] == [(Status.FAILS, f"{said} is missing")]


def test_runs_that_are_no_evidence_are_left_out_aloud() -> None:
    """Who sees only what was kept believes that nothing went wrong."""
    runs = study(BROKER, [8, 16], (40.0,))
    broken = [replace(run, outcome=Outcome.INVALID, reason="late") for run in runs[:3]]
    advice = advise(need(), ladder([*broken, *runs[3:]], "some", where={}, pricing={}))
    assert {cell.partitions: len(cell.runs) for cell in advice.cells} == {8: 2, 16: 5}
    assert any(text.startswith("3 runs of some are no evidence") for text in advised.warnings(advice))


def test_bytes_are_read_at_the_rate_that_fills_a_batch() -> None:
    """Half the rate over half the partitions fills batches alike; that is what lets one ladder speak of other rates."""
    for target, count in ((40.0, 8), (20.0, 4), (40.0, 32), (10.0, 8)):
        found = advise(need(target), known()).read("wire", count)
        assert found is not None
        assert float(found.number.value) == pytest.approx(BROKER.wire_share(target / count), rel=1e-6)
        assert found.beyond == pytest.approx(1.0)
    between = advise(need(), known()).read("wire", 11)
    assert between is not None
    assert float(between.number.value) == pytest.approx(BROKER.wire_share(40.0 / 11), rel=0.05)
    outside = advise(need(), known()).read("wire", 640)
    assert outside is not None
    assert outside.beyond == pytest.approx(10.0)


def test_dollars_are_those_of_the_same_usage() -> None:
    """What `advise` says a month costs is what `cost` says of the same stream: one model, not two."""
    advice = advise(need(peak=1.5, growth=2.0), known())
    assert advice.partitions == 24
    found = bills(advice, [24, 240], ["msk-serverless", "self-ec2"], built_in())
    for count in (24, 240):
        for platform, options in found.items():
            again = size(usage(advice, count), platform, built_in())
            assert options[count].usd_month == again.usd_month
    dearer = {
        name: float(options[240].usd_month or 0) - float(options[24].usd_month or 0) for name, options in found.items()
    }
    partition_hours = (240 - 24) * 730 * 0.0015
    assert dearer["msk-serverless"] > partition_hours  # its price per partition, and worse batches on top
    assert dearer["self-ec2"] > 0


def test_the_busiest_key_of_zipfs_law() -> None:
    """Over ten keys with exponent 1 the first has 1 / 2.929; uniform ones have a tenth each."""
    assert top_key_share({"keys": {"distinct": 10, "zipf": 1.0}}) == pytest.approx(1 / 2.9289682)
    assert top_key_share({"keys": {"distinct": 10, "zipf": 0.0}}) == pytest.approx(0.1)
    assert hot_share(4, 0.2) == pytest.approx(0.4)


def test_runs_with_three_copies_show_what_one_takes() -> None:
    """Disks and CPU are summed over all brokers; a bill adds its own copies."""

    def copied(run: Run) -> Run:
        times = {"log_bytes_per_event": 3.0, "broker_cpu_s_per_million_events": 2.0}  # a follower: half of its leader
        metrics = {k: Measurement(v.value * times.get(k, 1.0), v.unit, v.percentiles) for k, v in run.metrics.items()}
        return replace(
            run, metrics=metrics, settings={**run.settings, "topic": {**run.settings["topic"], "replication_factor": 3}}
        )

    one = study(BROKER, doubling(8), (40.0,), repeats=2)
    alone, three = (
        ladder(runs, "simulated", where={}, pricing={}).rungs for runs in (one, [copied(run) for run in one])
    )
    assert [rung.disk for rung in three] == pytest.approx([rung.disk for rung in alone])
    assert [rung.cpu for rung in three] == pytest.approx([rung.cpu for rung in alone])


def test_a_usage_of_advice_says_at_what_rate_its_cpu_was_measured() -> None:
    """Without it a bill for ten times as many events would not say that it was carried there."""
    at_run = usage(advise(need(20.0), known()), 16)
    large = usage(advise(need(40.0, record_bytes=400.0), known()), 16)  # as many events, twice as large

    assert at_run.ingest.measured_at_eps == pytest.approx(Decimal(200_000), rel=Decimal("1e-3"))
    assert beside(at_run) is None
    assert large.ingest.measured_at_eps == pytest.approx(Decimal(200_000), rel=Decimal("1e-3"))
    assert float(large.ingest.measured_at_mb_s.value if large.ingest.measured_at_mb_s else 0) == pytest.approx(
        80, rel=1e-3
    )
    assert beside(large) is None
    more = beside(usage(advise(need(160.0), known()), 64))
    assert more is not None and more.times == pytest.approx(4, rel=1e-3)
    assert "4 times the measured rate (200," in more.sentence()


def test_every_number_names_its_runs() -> None:
    """A number without its run cannot be doubted."""
    advice = advise(need(peak=1.5, growth=2.0, consumers=12), known())
    document = advised.to_json(advice, bills(advice, advised.counts(advice), ["self-ec2"], built_in()))
    names = {rung.run for rung in known().rungs}
    assert set(document["runs"]) <= names
    assert document["runs"]
    for row in document["at"]:
        assert set(row["wire_bytes_per_event"]["runs"]) <= names
    for bound in document["because"]:
        assert set(bound["runs"]) <= names
    assert set(document["usd_month"]["self-ec2"]) >= {"p", "2p", "10p"}


def test_the_folk_start_is_held_against_the_same_evidence() -> None:
    """Six carry 30 MB/s here and not 60: the sentence about 6 must turn where the broker turns."""
    enough, short = (advised.six(advise(need(target), known())) for target in (28.0, 90.0))
    assert enough["today"] == "enough"
    assert short["today"] == "too few"
    assert enough["enough_until_mb_s"] == pytest.approx(30.0)


def test_cpu_is_that_of_events_and_batches_and_not_of_a_broker_being_up() -> None:
    """At 0.4 MB/s idling is most of a broker's CPU: taken by the event, it would be billed a hundredfold at 40 MB/s."""
    slow_and_fast = recorded(BROKER, [1, 6, 24, 96, 384, 2000], (0.4, 4.0, 40.0))
    for count in (16, 96, 900):
        found = advise(need(), slow_and_fast).read("cpu", count)
        assert found is not None
        assert float(found.number.value) == pytest.approx(BROKER.cpu_s(40.0 / count), rel=0.03)
    at_one_rate = advise(need(), known()).read("cpu", 16)  # cannot be told apart there: an upper bound
    assert at_one_rate is not None
    assert BROKER.cpu_s(2.5) <= float(at_one_rate.number.value) <= BROKER.cpu_s(2.5) + 0.05 * 1e6 / 200_000 + 0.01


@pytest.mark.parametrize("rates", [(40.0,), (4.0, 40.0)])
def test_an_interval_of_fitted_cpu_holds_what_is_true_about_as_often_as_it_says(rates: tuple[float, ...]) -> None:
    """A band that is drawn from the fit's error, whatever the number of runs, is no interval."""
    rng, held, trials = np.random.default_rng(5), 0, 300
    for _ in range(trials):
        runs = [
            Spent((1.0 + 30.0 / batch + 0.05 * 1e6 / (rate * 5000)) * rng.normal(1, 0.05), batch, rate * 5000)
            for rate in rates
            for batch in (2.0, 8.0, 32.0, 128.0)
            for _ in range(3)
        ]
        parts = fit(runs)
        assert parts is not None
        half = parts.half_width(20.0)
        assert half is not None
        up = 0.0 if len(rates) > 1 else 0.05 * 1e6 / (rates[0] * 5000)  # one rate cannot tell it from the events
        held += abs(parts.per_million(20.0) - (1.0 + 30.0 / 20 + up)) <= half
    assert 0.92 <= held / trials <= 0.985


def test_as_many_runs_as_parts_have_no_interval() -> None:
    runs = [Spent(16.0, 2.0, 1000.0), Spent(4.75, 8.0, 1000.0)]
    parts, alone = fit(runs), fit(runs[:1])
    assert parts is not None and alone is not None
    assert (parts.event, parts.batch) == (pytest.approx(1.0), pytest.approx(30.0))
    assert parts.half_width(4.0) is None and alone.half_width(4.0) is None
    alike = fit([Spent(one, 8.0, 1000.0) for one in (4.0, 5.0, 6.0)])
    assert alike is not None and alike.half_width(8.0) == pytest.approx(4.302653 / 3**0.5)  # t(0.975, 2)


def test_bytes_of_runs_that_fell_behind_are_no_evidence() -> None:
    """Behind a queue batches fill up: two partitions at 40 MB/s would look as if they compressed best of all."""
    found = advise(need(), known(rates=(4.0, 40.0))).read("wire", 2)  # 20 MB/s in a batch: no run kept that up
    assert found is not None
    assert found.beyond == pytest.approx(4.0)
    assert not {run for run in found.runs if "/p2-40" in run or "/p1-40" in run}
