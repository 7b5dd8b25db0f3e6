"""Alert rules and dashboards against a real Prometheus on a real run: silent while it is well, loud when it is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from ruamel.yaml import YAML

from bench.backends.containers import compose, engine, images
from bench.backends.local import free_ports

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus"
DASHBOARD: Any = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "streamgauge.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
# There is nothing to see of these until a trial has ended
AFTERWARDS = [expression for expression in EXPRESSIONS if "streamgauge_result" in expression]
# What a rule reads must be there, or it never fires: a metric, with its labels
SELECTORS = sorted(
    {
        selector
        for group in YAML(typ="safe").load(RULES / "alerts.yml")["groups"]
        for rule in group["rules"]
        for selector in re.findall(r"(?:flink|kafka)_\w+(?:\{[^}]*\})?", rule["expr"])
    }
)
PATIENCE_S = 120.0


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (Debian: apt-get install prometheus)")
    return found


def test_the_rules_do_what_their_own_tests_say() -> None:
    """A rule that fires at night for nothing is switched off, and then it is silent when it matters."""
    promtool = need("promtool")
    for words in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run([promtool, *words], cwd=RULES, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


class Prometheus:
    """Its HTTP interface."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, path: str, **words: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/{path}?{urllib.parse.urlencode(words)}", timeout=10) as answer:
            document = json.load(answer)
        assert document["status"] == "success", document
        return document["data"]

    def query(self, expression: str) -> list[Any]:
        return list(self.ask("query", query=expression)["result"])

    def firing(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"}

    def fired(self) -> set[str]:
        """Also what has stopped since."""
        return {row["metric"]["alertname"] for row in self.query('last_over_time(ALERTS{alertstate="firing"}[15m])')}


def configure(folder: Path, job: str, target_port: int) -> None:
    """The committed configuration, but for the one target: what stands on its port here may be somebody else's."""
    told = YAML(typ="safe").load(RULES / "prometheus.yml")
    told["scrape_configs"] = [one for one in told["scrape_configs"] if one["job_name"] == job]
    told["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{target_port}"]}]
    YAML().dump(told, folder / "prometheus.yml")
    shutil.copy(RULES / "alerts.yml", folder)


@contextmanager
def prometheus(page_port: int, folder: Path) -> Iterator[Prometheus]:
    """One on this host that scrapes a study's page."""
    (port,) = free_ports(1)
    configure(folder, "streamgauge", page_port)
    argv = [
        need("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        try:
            yield Prometheus(port)
        finally:
            process.terminate()


def scenario(path: Path) -> Path:
    """The quickstart in small: a trial that is well for longer than rules wait, then one with time for an incident."""
    document: Any = YAML(typ="safe").load(ROOT / "scenarios" / "quickstart.yaml")
    document |= {"name": "watched", "repeats": 1, "phases": {"warmup_s": 3, "measure_s": 65, "settle_s": 10}}
    document |= {"claims": [], "thresholds": ["lost_events value == 0"]}
    document["workload"]["keys"] = {"distinct": 1_000, "zipf": 1.05}
    document["topic"]["partitions"] = 2
    document["cluster"] |= {"broker_heap_mb": 512, "prime_s": 5}
    document["pipeline"]["checkpoint"]["interval_s"] = 1.5
    document["pipeline"]["flink"] = {  # checkpoints fail soon, and the job survives it
        "execution.checkpointing.timeout": "5 s",
        "execution.checkpointing.tolerable-failed-checkpoints": 1000,
    }
    document["loads"] = {"well": {"rate_eps": 2_000}, "ill": {"rate_eps": 2_000, "phases": {"measure_s": 200}}}
    YAML().dump(document, path)
    return path


@contextmanager
def study(page_port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = ["run", scenario(folder / "watched.yaml"), "--metrics", page_port, "--out", folder / "results"]
    argv = [sys.executable, "-m", "bench.cli", *map(str, words)]
    with (folder / "run.log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def no_outputs(folder: Path) -> Iterator[None]:
    """The topics that the job writes to are gone meanwhile: its sinks wait for them, and all before them for the sinks.

    (A min.insync.replicas above the number of copies refuses nothing: Kafka 4 caps it.)
    """
    (told,) = folder.glob("results/.run-*/broker-1/server.properties")
    found = re.search(r"^advertised\.listeners=PLAINTEXT://(\S+)$", told.read_text(), re.MULTILINE)
    assert found
    admin = AdminClient({"bootstrap.servers": found[1], "log_level": 0})
    topics = admin.list_topics(timeout=10).topics
    outputs = [NewTopic(name, len(topics[name].partitions), 1) for name in topics if re.match(r"sg-.*(?<!-in)$", name)]
    assert outputs
    for change in admin.delete_topics([one.topic for one in outputs]).values():
        change.result(30)
    yield
    for change in admin.create_topics(outputs).values():
        change.result(30)


@pytest.mark.platform
@pytest.mark.timeout(600)
def test_alerts_and_dashboards_on_a_real_run(tmp_path: Path) -> None:
    """A query with a misspelt metric is an empty panel, and a rule with one an alert that never comes."""
    need("prometheus")
    (page_port,) = free_ports(1)
    with study(page_port, tmp_path) as run, prometheus(page_port, tmp_path) as watching:

        def until(condition: Callable[[], Any], what: str) -> None:
            end = time.monotonic() + PATIENCE_S
            while not condition():
                assert run.poll() is None, f"{what}: {(tmp_path / 'run.log').read_text()}"
                assert time.monotonic() < end, f"{what}: not within {PATIENCE_S:.0f} s; firing: {watching.firing()}"
                time.sleep(0.5)

        until(lambda: answers(watching, 'streamgauge_trial{load="well",phase="load"}'), "the load")
        # well: every panel shows something, every rule has what it reads, and nothing fires, from the start to the end
        for expression in [*EXPRESSIONS, *SELECTORS]:
            if expression not in AFTERWARDS:
                until(lambda expression=expression: answers(watching, expression), expression)
        until(lambda: answers(watching, 'streamgauge_trial{load="ill",phase="load"}'), "the second load")
        assert watching.fired() == set()
        for expression in AFTERWARDS:
            assert answers(watching, expression), expression
        # not well: the job stalls, and its checkpoints time out
        with no_outputs(tmp_path):
            until(lambda: {"JobStalled", "CheckpointsFail"} <= watching.firing(), "the alerts")
        # well again: nothing goes on firing but what looks back by minutes
        until(lambda: "JobStalled" not in watching.firing(), "the stall's end")
        phases, alerts = (watching.query(annotation["expr"]) for annotation in DASHBOARD["annotations"]["list"])
        assert phases and alerts


@pytest.mark.platform
@pytest.mark.timeout(300)
def test_the_prometheus_of_compose_scrapes_the_broker_beside_it(
    containers: None, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    """A profile that was never started is a promise: wrong mount, wrong user, wrong network, and the page is empty."""
    env_file = ROOT / "deploy" / "docker" / "debian.env"
    (image,) = re.findall(r"^STREAMGAUGE_PROMETHEUS_IMAGE=(\S+)$", env_file.read_text(), re.MULTILINE)
    if not docker_client.images.list(name=image):
        pytest.skip(f"{image} is not here: make images BASE=debian")
    cluster = f"streamgauge-watched-{os.getpid()}"
    kafka_port, jmx_port, port = free_ports(3)
    tmp_path.chmod(0o755)
    configure(tmp_path, "kafka", jmx_port)
    told = {
        "CLUSTER": cluster, "OWNER": engine.owner(), "PROMETHEUS_CONF": tmp_path, "PROMETHEUS_PORT": port,
        "KAFKA_1_PORT": kafka_port, "KAFKA_1_JMX_PORT": jmx_port, "KAFKA_IMAGE": images.name("kafka"),
    }  # fmt: skip
    argv = [*compose.command(), "--env-file", env_file, "--project-name", cluster, "--profile", "prometheus"]
    try:
        done = subprocess.run(
            [*argv, "up", "--detach", "--no-build", "--no-deps", "kafka-1", "prometheus"],
            env={**os.environ, **{f"STREAMGAUGE_{name}": str(value) for name, value in told.items()}},
            capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        watching = Prometheus(port)
        end = time.monotonic() + PATIENCE_S
        # the exporter answers as soon as the JVM is up, the broker registers its metrics seconds later
        while not answers(watching, 'kafka_server_ReplicaManager_Value{name="UnderReplicatedPartitions"} == 0'):
            assert time.monotonic() < end, watching.query("up")
            time.sleep(0.5)
        (broker,) = watching.query('up{job="kafka"}')
        assert float(broker["value"][1]) == 1
        rules = {rule["name"] for group in watching.ask("rules")["groups"] for rule in group["rules"]}
        assert {"JobStalled", "CheckpointsFail", "UnderReplicated"} <= rules
    finally:
        engine.remove(docker_client, cluster)


def answers(watching: Prometheus, expression: str) -> bool:
    """Whether a query has a result. Prometheus may still be starting."""
    try:
        return bool(watching.query(expression))
    except OSError:
        return False
