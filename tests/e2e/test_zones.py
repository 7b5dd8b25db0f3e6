"""Bytes between racks on three real brokers in three racks: each leg, against the formula that bills rest on."""

from __future__ import annotations

import command
import pytest

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

SCENARIO = """\
schema: 1
name: racks
workload: {name: clicks, event_bytes: 400, keys: {distinct: 50_000, zipf: 0}}
producer: {linger_ms: 100, idempotent: false, racks: [a]}
topic: {partitions: 3, replication_factor: 3, min_insync: 2}
cluster: {brokers: 3, racks: [a, b, c], broker_heap_mb: 400, prime_s: 2}
consumers: [{group: g, members: 1, racks: [b]}]
load: {rate_eps: 5_000}
axes: {consumers.0.fetch_from_follower: [false, true]}
phases: {warmup_s: 2, measure_s: 8, settle_s: 20}
repeats: 1
thresholds: [e2e_latency_ms p99 < 60000]   # a generator may be late by a tenth of it: CI machines are busy
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, dict[str, float]]:
    """Fetches from followers or not -> metric -> value."""
    folder = tmp_path_factory.mktemp("zones")
    (folder / "racks.yaml").write_text(SCENARIO)
    done = command.run("run", str(folder / "racks.yaml"), "--json", out=folder / "results")
    runs = done.document["runs"]
    assert len(runs) == 2
    for run in runs:
        command.assert_ran(run)
    return {
        run["knobs"]["consumers.0.fetch_from_follower"]: {n: m["value"] for n, m in run["metrics"].items()}
        for run in runs
    }


def test_what_crosses_is_what_the_bill_says(runs: dict[bool, dict[str, float]]) -> None:
    """The largest line of most bills rests on a formula that nobody would have held against a broker."""
    for metrics in runs.values():
        assert metrics["cross_zone_over_places"] == pytest.approx(1, abs=0.03)
        assert metrics["cross_zone_over_formula"] == pytest.approx(1, abs=0.03)


def test_each_leg_is_its_own(runs: dict[bool, dict[str, float]]) -> None:
    """Legs that are wrong in opposite directions would cancel out in the sum."""
    apart, nearby = runs[False], runs[True]
    wire = apart["wire_bytes_per_event"]
    assert apart["cross_zone_produce_bytes_per_event"] == pytest.approx(2 / 3 * wire, rel=0.05)
    assert apart["cross_zone_replication_bytes_per_event"] == pytest.approx(2 * wire, rel=0.05)
    assert apart["cross_zone_consume_bytes_per_event"] == pytest.approx(2 / 3 * wire, rel=0.06)
    assert nearby["cross_zone_consume_bytes_per_event"] < 0.05 * wire
    assert nearby["cross_zone_replication_bytes_per_event"] == pytest.approx(2 * wire, rel=0.05)
    assert 0 < apart["cross_zone_return_bytes_per_event"] < 0.2 * wire
