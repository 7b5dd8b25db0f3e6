"""The load as two Jobs: Locust's master, which has the schedule, and its workers, which send.

The user's password comes from the Secret that Strimzi made for it, as an environment variable; no manifest holds it.
Locust's port has no password, so that only the workers of this namespace reach it.
"""

from __future__ import annotations

import json
import math
from typing import Any

from bench.keyring import AUTHORITY, PASSWORD, USERNAME
from bench.loadgen.drive import FINISH_TIMEOUT_S
from bench.manifests import brokers
from bench.manifests.job import APP, UNPRIVILEGED
from bench.manifests.kustomize import Resource
from bench.manifests.sizing import WORKER_MB
from bench.scenario import Settings

IMAGE = "streamgauge/load"
PORT = 5557
MASTER, WORKERS = "load-master", "load-workers"
FOLDER, AUTHORITY_FOLDER = "/load", "/kafka-ca"
READY_S = 600  # until nodes are there, images pulled and every worker has said so
KEPT_S = 86_400  # a day to read the logs
AWAIT = (
    "import socket, sys, time\n"
    "end = time.monotonic() + float(sys.argv[3])\n"
    "while True:\n"
    "    try:\n"
    "        socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()\n"
    "        break\n"
    "    except OSError:\n"
    "        if time.monotonic() > end:\n"
    "            raise\n"
    "        time.sleep(1)\n"
)


def bounded_s(settings: Settings) -> int:
    """The longest that a load may take: everybody ready, the schedule, the flush."""
    phases = settings.phases
    return math.ceil(READY_S + phases.warmup_s + phases.measure_s + FINISH_TIMEOUT_S)


def order(settings: Settings, topic: str) -> dict[str, Any]:
    """What `bench.loadgen.headless` is told."""
    phases = settings.phases
    return {
        "settings": {key: getattr(settings, key).model_dump(mode="json") for key in ("workload", "load", "producer")},
        "bootstrap": brokers.bootstrap(brokers.TLS),
        "topic": topic,
        "partitions": settings.topic.partitions,
        "duration_s": phases.warmup_s + phases.measure_s,
        "warmup_s": phases.warmup_s,
        "seed": settings.seed,
        "bind_host": "0.0.0.0",  # noqa: S104 -- of a pod, which only workers may reach
        "port": PORT,
        "ready_s": READY_S,
    }


def resources(settings: Settings, topic: str) -> list[Resource]:
    """The order, both Jobs, and who may talk to whom."""
    workers, limit_s = settings.load.workers, bounded_s(settings)
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "load-order"},
            "data": {"load.json": json.dumps(order(settings, topic), indent=1) + "\n"},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": MASTER},
            "spec": {"selector": _labels(MASTER), "ports": [{"name": "locust", "port": PORT, "targetPort": PORT}]},
        },
        _network_policy(MASTER, [{"from": [_pods(WORKERS)], "ports": [{"protocol": "TCP", "port": PORT}]}]),
        _network_policy(WORKERS, []),
        _job(
            MASTER,
            ["python", "-m", "bench.loadgen.headless", f"{FOLDER}/load.json"],
            1,
            limit_s,
            volumes=[("order", FOLDER, {"configMap": {"name": "load-order"}})],
        ),
        _job(
            WORKERS,
            ["python", "-m", "bench.loadgen.worker", "--master", f"{MASTER}:{PORT}"],
            workers,
            limit_s,
            env=[
                {"name": USERNAME, "value": brokers.USER},
                {"name": PASSWORD, "valueFrom": {"secretKeyRef": {"name": brokers.USER, "key": "password"}}},
                {"name": AUTHORITY, "value": f"{AUTHORITY_FOLDER}/ca.crt"},
            ],
            volumes=[("kafka-ca", AUTHORITY_FOLDER, {"secret": {"secretName": f"{brokers.CLUSTER}-cluster-ca-cert"}})],
            first=[["python", "-c", AWAIT, MASTER, str(PORT), str(READY_S)]],
        ),
    ]


def _labels(role: str) -> dict[str, str]:
    return {"app": "streamgauge-load", "role": role}


def _pods(role: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": _labels(role)}}


def _network_policy(role: str, ingress: list[dict[str, Any]]) -> Resource:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": role},
        "spec": {**_pods(role), "policyTypes": ["Ingress"], "ingress": ingress},
    }


def _job(
    name: str, command: list[str], pods: int, limit_s: int, *, volumes: list[tuple[str, str, dict[str, Any]]],
    env: list[dict[str, Any]] | None = None, first: list[list[str]] | None = None,
) -> Resource:  # fmt: skip
    """One attempt within `limit_s`: a load that was repeated would be another load."""
    size = brokers.same(1, WORKER_MB)
    confined = {**UNPRIVILEGED, "readOnlyRootFilesystem": True}
    mounts = [{"name": volume, "mountPath": path, "readOnly": True} for volume, path, _ in volumes]
    scratch = {"name": "scratch", "mountPath": "/tmp"}  # noqa: S108 -- a container's own
    common = {"image": IMAGE, "resources": size, "securityContext": confined}
    waiting = [{"name": "await-master", **common, "command": words} for words in first or []]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "suspend": True,  # until brokers and job are ready: whoever says so starts both (docs/past-one-machine.md)
            "completions": pods,
            "parallelism": pods,
            "backoffLimit": 0,
            "activeDeadlineSeconds": limit_s,
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {
                "metadata": {"labels": _labels(name)},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
                    "affinity": brokers.apart(brokers.PODS, APP),  # beside them it takes what it measures
                    "topologySpreadConstraints": [
                        {
                            "maxSkew": 1,
                            "topologyKey": "kubernetes.io/hostname",
                            "whenUnsatisfiable": "ScheduleAnyway",
                            "labelSelector": {"matchLabels": {"app": "streamgauge-load"}},
                        }
                    ],
                    **({"initContainers": waiting} if waiting else {}),
                    "containers": [
                        {
                            "name": name,
                            **common,
                            "command": command,
                            **({"env": env} if env else {}),
                            "volumeMounts": [*mounts, scratch],
                        }
                    ],
                    "volumes": [{"name": volume, **source} for volume, _, source in volumes]
                    + [{"name": "scratch", "emptyDir": {}}],
                },
            },
        },
    }
