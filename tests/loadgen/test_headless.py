"""A load from one file, by workers that nobody here started: what the Jobs of deploy/k8s run."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.loadgen.mock import MockCluster

ROOT = Path(__file__).parents[2]


def test_a_master_and_two_workers_that_come_from_elsewhere(tmp_path: Path) -> None:
    """In a cluster nobody sees them but through these two commands, an exit code and what is printed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with MockCluster({"t": 6}) as cluster:
        order = {
            "settings": {
                "workload": {"name": "clicks", "event_bytes": 200, "keys": {"distinct": 9, "zipf": 1}},
                "load": {"rate_eps": 4_000.0, "workers": 2},
                "producer": {"linger_ms": 5, "compression": "lz4"},
            },
            "bootstrap": cluster.bootstrap, "topic": "t", "partitions": 6, "duration_s": 4.0, "warmup_s": 1.0,
            "seed": 7, "bind_host": "127.0.0.1", "port": port, "ready_s": 60,
        }  # fmt: skip
        file = tmp_path / "load.json"
        file.write_text(json.dumps(order))
        master = subprocess.Popen(
            [sys.executable, "-m", "bench.loadgen.headless", str(file)], cwd=ROOT, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        worker = [sys.executable, "-m", "bench.loadgen.worker", "--master", f"127.0.0.1:{port}"]
        workers = [subprocess.Popen(worker, cwd=ROOT, stderr=subprocess.DEVNULL) for _ in range(2)]
        try:
            out, chatter = master.communicate(timeout=90)
            codes = [one.wait(30) for one in workers]
        finally:
            for one in [master, *workers]:
                one.kill()
    said = json.loads(out)
    assert (said["offered_events"], said["acknowledged_events"], said["workers"]) == (16_000, 16_000, 2)
    assert said["problems"] or said["acknowledged_eps"] == pytest.approx(4_000, rel=0.05)
    assert 0 < said["acknowledged_eps"] < 8_000
    assert said["generator_cpu_s_per_million_events"] > 0
    assert master.returncode == (1 if said["problems"] else 0)  # a busy machine may make it late, and then it says so
    assert codes == [0, 0]
    assert "acknowledged" in chatter
