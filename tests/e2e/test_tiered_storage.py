"""Tiered storage on a real broker: bytes leave its disk, and everything can be read from its beginning all the same."""

from __future__ import annotations

from pathlib import Path

import command
import pytest

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

SCENARIO = """\
schema: 1
name: tiers
workload: {name: clicks, event_bytes: 500, keys: {distinct: 1000}}
producer: {compression: none}
topic: {partitions: 2, segment_mb: 1}
cluster: {broker_heap_mb: 512, prime_s: 2, tiered: true}
consumers: [{group: tail}]
load: {rate_eps: 3000}
axes: {topic.local_retention_s: [null, 2]}
phases: {warmup_s: 2, measure_s: 16, settle_s: 20}
repeats: 1
thresholds: [e2e_latency_ms p99 < 60000]   # a generator may be late by a tenth of it: CI machines are busy
"""


def test_bytes_leave_the_disk_and_none_is_lost(tmp_path: Path) -> None:
    """A saving that is booked for bytes which never left, or which cannot be read any more, is none."""
    (tmp_path / "tiers.yaml").write_text(SCENARIO)
    done = command.run("run", str(tmp_path / "tiers.yaml"), "--json", out=tmp_path / "results")
    runs = {run["knobs"]["topic.local_retention_s"]: run for run in done.document["runs"]}
    for run in runs.values():
        checks = {check["name"]: check["ok"] for check in run["checks"]}
        assert checks.get("everything could be read from its beginning"), (run["outcome"], run["reason"])
    local, tiered = ({n: m["value"] for n, m in runs[key]["metrics"].items()} for key in (None, 2.0))
    assert tiered["disk_bytes_per_event"] < 0.7 * local["disk_bytes_per_event"]
    assert tiered["history_eps"] > 0
    assert "local_share" not in local
    assert "compression_ratio" not in tiered  # of what is left on the disk it would be nonsense


def test_a_local_retention_without_a_remote_store_is_refused(tmp_path: Path) -> None:
    """A topic that Kafka silently keeps whole would be reported as tiered."""
    (tmp_path / "tiers.yaml").write_text(SCENARIO.replace(", tiered: true", ""))
    done = command.run("run", str(tmp_path / "tiers.yaml"), out=tmp_path / "results")
    assert done.process.returncode == 2
    assert "topic.local_retention_s" in done.stderr
    assert "expected cluster.tiered: true" in done.stderr
