"""The price of leaving: what it takes once is what its parts come to, and what never pays is not said to."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import bench.cli.forecasts  # noqa: F401 -- registers `simulate`
import costmodel
from bench.cli import cli
from bench.errors import ScenarioError
from costmodel import leaving, price
from costmodel.leaving import Case, leave
from costmodel.usage import Usage

STARTUP = leaving.EXAMPLE.parent / "startup.yaml"
CASE: dict[str, Any] = {
    "schema": 1,
    "applications": 4,
    "days_same_protocol": 1,
    "days_other_protocol": 10,
    "usd_day": 800,
    "both_run_days": 30,
    "copied_share": 1,
}


def startup(mb_s: float = 0.1) -> Usage:
    found = costmodel.load(STARTUP)
    assert isinstance(found, Usage)
    return found.with_value("ingest.mb_s", Decimal(str(mb_s)))


def case(**changes: Any) -> Case:
    return Case.model_validate(CASE | changes)


def usd(usage: Usage, platform: str) -> float:
    (option,) = price(usage, [platform], draws=0)
    return float(option.usd_month or 0)


def test_what_it_takes_once_is_the_sum_of_its_parts_by_hand() -> None:
    found = leave(startup(), "kinesis-on-demand", "msk-standard", case(), draws=20).central
    readers = startup().with_value("consumers.groups", Decimal(3))

    assert found.once.rewrite_usd == 4 * 10 * 800
    assert found.once.both_run_usd == pytest.approx(usd(startup(), "msk-standard") * 30 / (730 / 24))
    mirror = usd(readers, "kinesis-on-demand") - usd(startup(), "kinesis-on-demand")
    assert found.once.mirror_usd == pytest.approx(mirror * 30 / (730 / 24))
    # 0.05 MB/s compressed, kept 3 days, two thirds of it to another zone, at 2 cents a GB; the mirror is on both bills
    assert found.once.crossing_usd == pytest.approx(0.05 * 86_400 * 3 / 1000 * 2 / 3 * 0.02)
    assert found.once.usd == pytest.approx(sum(
        (found.once.rewrite_usd, found.once.both_run_usd, found.once.mirror_usd, found.once.crossing_usd or 0)
    ))  # fmt: skip


def test_who_speaks_the_same_protocol_rewrites_less() -> None:
    """A tenth of the work: what is called lock-in is mostly this."""
    own = leave(startup(), "kinesis-on-demand", "msk-standard", case(), draws=20)
    kafka = leave(startup(), "msk-serverless", "msk-standard", case(), draws=20)

    assert (own.rewrite, kafka.rewrite) == ("from Kinesis to Kafka's protocol", "both speak Kafka's protocol")
    assert own.central.once.rewrite_usd == 10 * kafka.central.once.rewrite_usd


def test_leaving_for_something_dearer_never_pays() -> None:
    """An infinite time, and not a negative one that sorts before all others."""
    away = leave(startup(), "kinesis-on-demand", "msk-standard", case(), draws=50)
    back = leave(startup(), "msk-standard", "kinesis-on-demand", case(), draws=50)

    assert away.central.months == math.inf and away.months == (math.inf,) * 3
    assert set(away.within.values()) == {0.0} and "it never pays" in away.sentences()[0]
    assert back.central.months is not None
    assert back.central.months == pytest.approx(back.central.once.usd / back.central.saved_usd_month)


def test_after_growth_leaving_a_serverless_stream_pays_within_two_years() -> None:
    """The claim's second half: at ten megabytes a second Kinesis on demand is dearer by more than the rewrite."""
    found = leave(startup(10), "kinesis-on-demand", "msk-standard", case(), draws=20)
    (only,) = found.pays_from

    assert found.central.months is not None and found.central.months < 24
    assert 1 < only[0] < 10 and only[1] == pytest.approx(1000)


def test_what_crosses_between_clouds_without_a_price_is_at_least_the_rest() -> None:
    """No price for leaving Google's network is not a free one."""
    found = leave(startup(50), "pubsub", "msk-tiered", case(), draws=20)

    assert found.central.once.at_least and found.central.once.crossing_usd is None
    assert found.central.months is None and found.known_in == 0 and found.pays_from == ()
    assert "at least" in found.sentences()[0] and "has no price here" in found.sentences()[1]
    out = leave(startup(), "msk-standard", "pubsub", case(), draws=20).central.once.crossing_usd
    assert out == pytest.approx(0.05 * 86_400 * 33 / 1000 * 0.09)  # from AWS to the internet, the first tier


def test_a_mirror_to_another_cloud_leaves_it_and_crosses_no_zone() -> None:
    """Both, and the same bytes are paid twice."""
    once = leave(startup(), "msk-standard", "pubsub", case(), draws=20).central.once
    (alone,) = price(startup(), ["msk-standard"], draws=0)
    (read,) = price(startup().with_value("consumers.groups", Decimal(3)), ["msk-standard"], draws=0)
    assert alone.bill is not None and read.bill is not None

    crossed = float(read.bill.of("cross-zone") - alone.bill.of("cross-zone"))
    assert crossed > 0
    more = float(read.bill.usd_month - alone.bill.usd_month)
    assert once.mirror_usd == pytest.approx((more - crossed) * 30 / (730 / 24), abs=1e-6)


def test_sinks_and_people_are_not_there_twice_while_both_run() -> None:
    """What results fill, and who looks after it, is one more of neither."""
    more = startup().model_dump(by_alias=True) | {
        "sinks": {"s3_gb_month": 1000, "clickhouse_gb_month": 100}, "operations": {"hours_month": 100, "usd_hour": 100},
    }  # fmt: skip
    plain = leave(startup(), "msk-serverless", "msk-standard", case(), draws=20).central
    found = leave(Usage.model_validate(more), "msk-serverless", "msk-standard", case(), draws=20).central

    assert found.new_usd_month > plain.new_usd_month + 10_000
    assert found.once == plain.once
    assert found.saved_usd_month == pytest.approx(plain.saved_usd_month)


@settings(max_examples=6, deadline=None)
@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 90), st.floats(0, 1), st.floats(1.1, 3))
def test_more_of_anything_is_never_cheaper(apps: float, days: float, both: float, copied: float, times: float) -> None:
    base = {"applications": apps + 1, "days_other_protocol": days, "both_run_days": both, "copied_share": copied}

    def once(**changes: Any) -> float:
        one = case(**base | changes)
        return leave(startup(), "kinesis-on-demand", "msk-standard", one, draws=1).central.once.usd

    start = once()
    assert once(applications=(apps + 1) * times) >= start and once(days_other_protocol=days * times) >= start
    assert once(both_run_days=both * times) >= start and once(copied_share=min(1, copied * times)) >= start


def test_the_same_seed_gives_the_same_answer() -> None:
    assumed = leaving.read(leaving.EXAMPLE)
    first, again = (leave(startup(), "msk-serverless", "msk-standard", assumed, draws=60) for _ in range(2))
    other = leave(startup(), "msk-serverless", "msk-standard", assumed, draws=60, seed=8)

    assert first == again != other
    assert first.once_usd is not None and first.once_usd[0] < first.once_usd[1] < first.once_usd[2]


def test_the_command_prints_what_it_assumes(tmp_path: Path) -> None:
    words = ["simulate", "leaving", str(STARTUP), "--from", "msk-serverless", "--to", "msk-standard", "--draws", "20"]
    told = CliRunner().invoke(cli, words, catch_exceptions=False).stdout
    document = json.loads(CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False).stdout)

    assert "Assumed: applications 4 (2 to 10)" in told.replace("\n", " ") and "once, in all" in told
    assert document["assumed"]["usd_day"] == {"value": 800, "low": 500, "high": 1200}
    assert document["once"]["usd"] > 0 and set(document["paid_within"]) == {"6", "12", "24", "36"}


@pytest.mark.parametrize(
    ("old", "new", "changes", "error"),
    [
        ("msk-standrad", "pubsub", {}, "did you mean msk-standard?"),
        ("pubsub", "pubsub", {}, "expected another platform to leave it for"),
        ("msk-standard", "flink-ec2", {}, "expected two that carry a stream"),
        ("msk-standard", "pubsub", {"copied_share": 2}, "expected at least 0 and at most 1"),
        ("msk-standard", "pubsub", {"both_run_days": -1}, "expected at least 0"),
    ],
)
def test_wrong_words_are_refused(tmp_path: Path, old: str, new: str, changes: dict[str, Any], error: str) -> None:
    file = tmp_path / "leaving.yaml"
    file.write_text(json.dumps(CASE | changes))
    words = ["simulate", "leaving", str(STARTUP), "--from", old, "--to", new, "--case", str(file)]
    refused = CliRunner().invoke(cli, words)

    assert isinstance(refused.exception, ScenarioError) and error in str(refused.exception)


def test_what_cannot_be_had_is_not_left_for() -> None:
    with pytest.raises(ScenarioError, match="over the quota of"):
        leave(startup(500), "msk-standard", "msk-serverless", case(), draws=1)
