"""What the operator's deployment runs, on a real Kafka and a real Flink: the order of the manifest, in its topics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import topics
from bench.backends import ClusterSpec
from bench.backends.local import ROOT, open_local
from bench.campaign import cluster_spec
from bench.loadgen import prefill
from bench.manifests import job
from tests.manifests.scene import settings

pytestmark = [pytest.mark.platform, pytest.mark.timeout(300)]

EVENTS = 5_000


def test_the_order_of_a_manifest_runs_and_writes_a_row_for_each_event(tmp_path: Path) -> None:
    """In a cluster its first failure would be a pod that starts again and again."""
    one = settings()
    made = job.resources(one, cluster_spec(one), {})
    order = json.loads(next(part for part in made if part["kind"] == "ConfigMap")["data"]["job.json"])
    program = next(part for part in made if part["kind"] == "FlinkDeployment")["spec"]["job"]["args"][1]
    spec = ClusterSpec(broker_heap_mb=512, task_managers=1, slots=2, task_heap_mb=768)
    with open_local(spec, run_dir=tmp_path / "run", log_dir=tmp_path / "logs") as cluster:
        for topic in job.topics(one):
            asked = topic["spec"]
            name = topic["metadata"]["name"]
            topics.create(cluster.bootstrap, name, partitions=asked["partitions"], config=asked["config"])
        order["params"]["bootstrap"] = cluster.bootstrap_inside
        file = tmp_path / "job.json"
        file.write_text(json.dumps(order))
        # as an application's JobManager does it: PythonDriver, and all else from the configuration
        told = cluster.client_environment()
        environment = {**os.environ, **told, "PYTHONPATH": str(ROOT), "PYFLINK_CLIENT_EXECUTABLE": sys.executable}
        program = str(ROOT / program.removeprefix("/opt/streamgauge/src/"))
        words = [f"{told['FLINK_HOME']}/bin/flink", "run", "--detached", "-py", program, str(file)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        prefill(
            one, EVENTS, bootstrap=cluster.bootstrap, topic=job.topic_name("in"), partitions=one.topic.partitions,
            run_dir=tmp_path, seed=7, t0_ns=time.time_ns(),
        )  # fmt: skip
        end = time.monotonic() + 60
        while (rows := topics.written(cluster.bootstrap, [job.topic_name("clean")])) < EVENTS:
            assert time.monotonic() < end, f"{rows} of {EVENTS} rows"
            time.sleep(0.5)
        assert rows == EVENTS
