"""What Prometheus' operator scrapes and alerts on: the same ports and rules as everywhere else here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from bench.backends.containers.plan import REPORTER
from bench.manifests.brokers import CLUSTER
from bench.manifests.kustomize import Resource

API = "monitoring.coreos.com/v1"
ALERTS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "alerts.yml"
REPORTER_PORT = "metrics"
EVERY = "2s"  # the shortest range of the rules is ten seconds


def resources(*, with_job: bool) -> list[Resource]:
    """Monitors of brokers and, where there is one, of the job; the alert rules as they stand."""
    rules: dict[str, Any] = YAML(typ="safe").load(ALERTS)
    found = [_monitor("kafka", {"strimzi.io/cluster": CLUSTER, "strimzi.io/kind": "Kafka"}, "tcp-prometheus")]
    if with_job:
        found.append(_monitor("job", {"app": "streamgauge-job"}, REPORTER_PORT))
    else:
        rules["groups"] = [group for group in rules["groups"] if group["name"] != "flink"]
    alerts = {"apiVersion": API, "kind": "PrometheusRule", "metadata": {"name": "streamgauge"}, "spec": rules}
    return [*found, alerts]


def _monitor(name: str, labels: dict[str, str], port: str) -> Resource:
    return {
        "apiVersion": API,
        "kind": "PodMonitor",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "podMetricsEndpoints": [{"port": port, "path": "/metrics", "interval": EVERY}],
        },
    }


def reporter_port() -> dict[str, Any]:
    """The port of Flink's reporter, as a container names it."""
    return {"name": REPORTER_PORT, "containerPort": REPORTER}
