"""Kafka as Strimzi's operator takes it: KRaft node pools in zones, a door with a password, one without for Flink.

What brokers are told comes from the function that configures them on every other backend, less what the operator
decides itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.backends import ClusterSpec, kafka
from bench.manifests.kustomize import Resource
from bench.manifests.sizing import REPLICAS
from bench.scenario import Settings

API = "kafka.strimzi.io/v1"
CLUSTER = "kafka"
PODS = {"strimzi.io/cluster": CLUSTER}
USER = "load"
PLAIN, TLS = 9092, 9093
METRICS = "kafka-metrics"
CONTROLLER_HEAP_MB, CONTROLLER_MB = 1024, 2048
ZONE = "topology.kubernetes.io/zone"
# Strimzi's own: where a broker is found, who it is, where it writes (KafkaClusterSpec.FORBIDDEN_PREFIXES)
OPERATORS = ("node.id", "process.roles", "log.dirs", "broker.rack")


def bootstrap(port: int) -> str:
    """Where a client in the same namespace finds the cluster."""
    return f"{CLUSTER}-kafka-bootstrap:{port}"


def config(brokers: int) -> dict[str, str]:
    """The settings that every broker here has, wherever it runs."""
    lines = kafka.told(0, "", "", brokers, {}).splitlines()
    told = dict(line.split("=", 1) for line in lines)
    return {key: value for key, value in told.items() if key not in OPERATORS}


def same(cpus: int, memory_mb: int) -> dict[str, Any]:
    """Requests that are the limits: a pod that may borrow would be measured on what it borrowed."""
    size = {"cpu": str(cpus), "memory": f"{memory_mb}Mi"}
    return {"requests": size, "limits": dict(size)}


def apart(*labels: dict[str, str]) -> dict[str, Any]:
    """An affinity to nodes without such pods, where there are any."""
    terms = [
        {
            "weight": 100,
            "podAffinityTerm": {"labelSelector": {"matchLabels": one}, "topologyKey": "kubernetes.io/hostname"},
        }
        for one in labels
    ]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}


def resources(settings: Settings, spec: ClusterSpec, topics: Sequence[Resource], size: dict[str, Any],
              disk_gb: int) -> list[Resource]:  # fmt: skip
    """Everything of Kafka's. size: a broker's requests and limits; disk_gb: of each broker."""
    controllers = REPLICAS if spec.brokers >= REPLICAS else 1
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": METRICS},
            "data": {"jmx.yaml": kafka.JMX_RULES},
        },
        _pool("controller", controllers, CONTROLLER_HEAP_MB, same(1, CONTROLLER_MB), 10),
        _pool("broker", spec.brokers, spec.broker_heap_mb, size, disk_gb),
        _kafka(settings, spec),
        *topics,
        {
            "apiVersion": API,
            "kind": "KafkaUser",
            "metadata": {"name": USER, "labels": PODS},
            "spec": {"authentication": {"type": "scram-sha-512"}},
        },
    ]


def _pool(role: str, replicas: int, heap_mb: int, size: dict[str, Any], disk_gb: int) -> Resource:
    return {
        "apiVersion": API,
        "kind": "KafkaNodePool",
        "metadata": {"name": f"{role}s", "labels": PODS},
        "spec": {
            "replicas": replicas,
            "roles": [role],
            "resources": size,
            "jvmOptions": {"-Xms": f"{heap_mb}m", "-Xmx": f"{heap_mb}m"},
            "storage": {
                "type": "jbod",
                "volumes": [
                    {
                        "id": 0,
                        "type": "persistent-claim",
                        "size": f"{disk_gb}Gi",
                        "deleteClaim": True,
                        "kraftMetadata": "shared",
                    }
                ],
            },
        },
    }


def _kafka(settings: Settings, spec: ClusterSpec) -> Resource:
    confined = {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "apiVersion": API,
        "kind": "Kafka",
        "metadata": {"name": CLUSTER},
        "spec": {
            "kafka": {
                "listeners": [
                    # without TLS, as everything was measured; for the job alone
                    _listener("plain", PLAIN, {"app": "streamgauge-job"}, tls=False),
                    {
                        **_listener("tls", TLS, {"app": "streamgauge-load"}, tls=True),
                        "authentication": {"type": "scram-sha-512"},
                    },
                ],
                "config": {**config(spec.brokers), "min.insync.replicas": settings.topic.min_insync},
                **({"rack": {"topologyKey": ZONE}} if len(spec.racks) > 1 else {}),
                "metricsConfig": {
                    "type": "jmxPrometheusExporter",
                    "valueFrom": {"configMapKeyRef": {"name": METRICS, "key": "jmx.yaml"}},
                },
                "template": {
                    "pod": {"securityContext": confined},
                    "podDisruptionBudget": {"maxUnavailable": 1},
                },
            },
            "entityOperator": {"topicOperator": {}, "userOperator": {}},
        },
    }


def _listener(name: str, port: int, peers: dict[str, str], *, tls: bool) -> dict[str, Any]:
    return {
        "name": name,
        "port": port,
        "type": "internal",
        "tls": tls,
        "networkPolicyPeers": [{"podSelector": {"matchLabels": peers}}],
    }


def topic(name: str, partitions: int, replicas: int, config: dict[str, Any]) -> Resource:
    """A topic; what clients call it is its resource's name."""
    return {
        "apiVersion": API,
        "kind": "KafkaTopic",
        "metadata": {"name": name, "labels": PODS},
        "spec": {"partitions": partitions, "replicas": replicas, "config": config},
    }
