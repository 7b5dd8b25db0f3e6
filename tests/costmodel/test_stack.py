"""The advisor names nothing that does not do the work, nothing that another undercuts, and says what flips it."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bench.cli.advising  # noqa: F401 -- registers `advise`
import costmodel
from bench.cli import cli
from bench.errors import ScenarioError
from costmodel import paired, stack
from costmodel.option import price
from costmodel.stack import Kind, Need, advise, candidates, usage_of
from costmodel.usage import Number, Usage

JOB = Path(costmodel.__file__).parent / "examples" / "flink-job.yaml"


def job() -> Usage:
    found = costmodel.load(JOB)
    assert isinstance(found, Usage)
    return found


needs = st.builds(
    Need,
    rate_eps=st.sampled_from([10, 1000, 30_000, 300_000, 3_000_000]),
    record_bytes=st.sampled_from([100, 1000, 20_000]),
    copies=st.sampled_from([1, 3]),
    retention_days=st.sampled_from([1, 7, 60]),
    readers=st.sampled_from([1, 3, 20]),
    windows=st.booleans(),
    patterns=st.booleans(),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(needs)
def test_no_platform_of_any_kind_that_meets_the_need_undercuts_the_answer(need: Need) -> None:
    """The finding that would refute an advisor: a need for which it names an option that another one undercuts."""
    found = advise(job(), need, draws=1, flips=False)
    totals: dict[Kind, Decimal] = {}
    for kind in Kind:
        names = candidates(need, kind, job())
        options = price(usage_of(job(), need, kind), names, draws=0)
        known = [one.usd_month for one in options if one.usd_month is not None and one.bill and not one.bill.at_least]
        if known:
            totals[kind] = min(known)
    assert found.kind is not None
    assert found.choices[found.kind].central_usd_month == float(min(totals.values()))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(needs)
def test_windows_and_patterns_are_never_left_to_consumer_groups(need: Need) -> None:
    found = advise(job(), replace(need, windows=True), draws=1, flips=False)
    kafka = found.choices[Kind.KAFKA]

    assert found.kind is not Kind.KAFKA and kafka.option is None
    assert "windows" in kafka.reason and any(text.startswith("Not Kafka only") for text in found.sentences())
    for choice in found.choices.values():
        assert not choice.platform or "+flink-" in choice.platform


def test_flink_is_never_the_cheapest_where_nobody_needs_it() -> None:
    """Fan-out is what consumer groups do for nothing; a job on top of them is one more bill and one more reader."""
    found = advise(job(), Need(100_000, readers=5), draws=50)
    kafka, flink = found.choices[Kind.KAFKA], found.choices[Kind.FLINK]

    assert kafka.central_usd_month is not None and flink.central_usd_month is not None
    assert kafka.central_usd_month < flink.central_usd_month and flink.cheapest_in == 0
    assert usage_of(job(), found.need, Kind.FLINK).consumers.groups.value == 6


def test_what_flips_an_answer_does_and_what_does_not_is_not_named() -> None:
    """The change that is named must change the answer when it is made: here a rate, found to 5 %."""
    need = Need(100_000)
    found = advise(job(), need, draws=20)
    by_change = {flip.change.partition(":")[0]: flip for flip in found.flips}

    assert found.kind is Kind.KAFKA and by_change["windows"].kind is Kind.FLINK
    fewer = by_change["fewer events"]
    rate = float(fewer.change.split("about ")[1].split(" ")[0])
    assert (
        advise(job(), replace(need, rate_eps=rate * 0.98), draws=1, flips=False).kind is fewer.kind is Kind.SERVERLESS
    )
    assert advise(job(), replace(need, rate_eps=rate * 1.07), draws=1, flips=False).kind is Kind.KAFKA
    assert not any(flip.kind is found.kind for flip in found.flips)


def test_every_stack_reads_what_its_flink_can() -> None:
    for kind in (Kind.FLINK, Kind.SERVERLESS):
        for name in candidates(Need(1, windows=True), kind, job()):
            carrier, _, flink = name.partition("+")
            assert (flink == "flink-confluent") <= carrier.startswith("confluent-")
            assert carrier not in ("pubsub", "event-hubs")


def test_what_keeps_fewer_copies_than_are_needed_is_left_out_aloud() -> None:
    """Five copies, and somebody answers with a service that keeps three whatever it is asked: the rest may be lost."""
    found = advise(job(), Need(1000, copies=5), draws=20, flips=False)
    three = advise(job(), Need(1000, copies=3), draws=20, flips=False)

    assert found.choices[Kind.SERVERLESS].reason == "none keeps 5 copies"
    assert found.too_few["kinesis-on-demand"] == 3 and three.too_few == {"pubsub": 2}
    assert any("fewer than 5 copies: " in text and "msk-serverless (3)" in text for text in found.sentences())
    assert found.choices[Kind.KAFKA].near and not set(found.choices[Kind.KAFKA].near) & set(found.too_few)
    assert not advise(job(), Need(1000, copies=1), draws=1, flips=False).too_few


def test_a_kind_is_as_cheap_as_its_cheapest_platform_in_each_draw() -> None:
    """Two platforms of a kind that take turns at being its cheapest would each look beaten, and the kind with them."""
    need = Need(30_000, windows=True)
    found = advise(job(), need, draws=60, flips=False)
    flink, serverless = found.choices[Kind.FLINK], found.choices[Kind.SERVERLESS]
    least = {
        one.kind: np.min(
            list(paired.compare(usage_of(job(), need, one.kind), one.near, draws=60).totals.values()), axis=0
        )
        for one in (flink, serverless)
    }

    assert len(flink.near) > 1 and flink.near[0] == flink.platform
    assert 0 < flink.cheapest_in < 1
    assert flink.cheapest_in == pytest.approx(float((least[Kind.FLINK] <= least[Kind.SERVERLESS]).mean()))
    assert serverless.cheapest_in == pytest.approx(1 - flink.cheapest_in)


def test_what_an_hour_is_worth_is_said_and_can_be_another() -> None:
    told = [advise(job(), Need(100_000), draws=1, flips=False, usd_hour=usd).sentences()[1] for usd in (100, 50)]
    hours = [float(text.split("it saves ")[1].split(" ")[0].replace(",", "")) for text in told]

    assert hours[1] == pytest.approx(2 * hours[0], rel=0.01)
    assert "at 50 USD (assumed)" in told[1]


def test_a_usage_without_a_job_advises_where_none_is_needed() -> None:
    plain = job().model_copy(update={"processing": None})
    found = advise(plain, Need(1000), draws=1)

    assert found.choices[Kind.FLINK].reason == "no job's CPU is known" and found.kind is not None
    with pytest.raises(ScenarioError, match="usage has no `processing` section"):
        advise(plain, Need(1000, patterns=True), draws=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rate_eps": 0}, "rate_eps: expected more than 0"),
        ({"copies": 0}, "1 to 5 copies"),
        ({"readers": 0}, "1 reader"),
    ],
)
def test_a_need_that_cannot_be_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        Need(**({"rate_eps": 1} | change))


def test_the_command_says_what_is_measured_and_what_would_flip_it() -> None:
    words = ["advise", "stack", "--rate", "100000", "--windows", "--from", str(JOB), "--draws", "20"]
    told = CliRunner().invoke(cli, words, catch_exceptions=False).stdout
    document = json.loads(CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False).stdout)

    assert document["answer"] == "Kafka + Flink" and document["need"]["mb_s"] == 100
    assert {one["claim"] for one in document["measured"]} == {"when-kafka-when-flink", "ingest-1m", "windowing"}
    assert {flip["answer"] for flip in document["flips"]} >= {"Kafka only", "serverless"}
    assert "What would flip it:" in told and "Not weighed: latency" in told
    row = next(one for one in document["choices"] if one["kind"] == "Kafka + Flink")
    assert row["usd_month"]["p10"] <= row["usd_month"]["p50"] <= row["usd_month"]["p90"]
    measured = job().model_copy(
        update={"ingest": job().ingest.model_copy(update={"measured_at_mb_s": Number(value=Decimal(10))})}
    )
    known = Number(value=Decimal(10), low=Decimal(9), high=Decimal(11), basis="measured", n=3)
    measured = measured.model_copy(
        update={"broker": measured.broker.model_copy(update={"cpu_s_per_million_events": known})}
    )
    assert any("Priced at 10 times the measured rate" in text for text in stack.rests_on(measured, Need(100_000)))
    small = Need(10_000, record_bytes=200)  # as many events as were measured, of a fifth of the bytes
    assert not any("times the measured rate" in text for text in stack.rests_on(measured, small))
    more = stack.rests_on(measured, replace(small, rate_eps=20_000))
    assert any("Priced at 2 times the measured rate (10,000 events/s)" in text for text in more)
