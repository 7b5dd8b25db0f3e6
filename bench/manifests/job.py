"""The job as Flink's own operator takes it: an application with a JobManager of its own, told what a session is told.

The options are those of the containers' session cluster and of the scenario's job, less what the operator decides:
addresses, ports, and memory, which it takes as one figure for each process.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from bench.backends import ClusterSpec
from bench.backends.containers import plan
from bench.backends.flink import LOG4J
from bench.jobs import JobParams, job_params, outputs_of
from bench.manifests import brokers, watching
from bench.manifests.kustomize import Resource
from bench.scenario import Settings
from bench.topics import OUTPUT_CONFIG, input_config

API = "flink.apache.org/v1beta1"
NAME = "job"
RUN = "streamgauge"  # names topics, the consumer group and transactions
ACCOUNT = "flink"
IMAGE = "streamgauge/flink"
APP = {"app": "streamgauge-job"}
FOLDER = "/opt/streamgauge/job"
PATH = ("/opt/flink/bin", "/opt/java/bin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
STORE_KEYS = (
    "checkpoint-store"  # a Secret with AWS_ACCESS_KEY_ID and the like; without one the pods' own identity counts
)
UNPRIVILEGED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
# The operator's: who is found where. Our store beside the cluster is not there, either
OPERATORS = ("jobmanager.", "rest.", "blob.server.", "taskmanager.bind-host", "taskmanager.cpu", "s3.")
JOBMANAGER = "jobmanager.memory.process.size"
OVERHEAD = "memory.jvm-overhead"
OVERHEAD_MB = 192  # of a JobManager, as of every TaskManager here
PYTHON_MB = 384  # of a Python process beside a JVM, which a pod's limit counts: client and workers hold 180 MiB here
SLOTS = "taskmanager.numberOfTaskSlots"


def task_manager_mb(options: Mapping[str, str]) -> int:
    """A TaskManager's whole memory: the sum of its parts, each of which is said."""
    parts = {key: value for key, value in options.items() if key.startswith("taskmanager.memory.")}
    return sum(int(value.removesuffix("m")) for key, value in parts.items() if not key.endswith(".min"))


def _beside(role: str, overhead_mb: int) -> dict[str, str]:
    """Memory of a process that is not its JVM's: what the JVM is given stays as it was measured."""
    return {f"{role}.{OVERHEAD}.{bound}": f"{overhead_mb}m" for bound in ("min", "max")}


def _python_processes(settings: Settings, params: JobParams, slots: int) -> int:
    """Beside one TaskManager: one a slot, where the job has a function in Python."""
    assert settings.pipeline is not None
    has_function = params.function in ("row", "pandas") or any(key.startswith("python.fn-") for key in params.settings)
    return slots if has_function and settings.pipeline.python.mode != "thread" else 0


def options(settings: Settings, spec: ClusterSpec, java_options: str, *, checkpoints: str, fill: float,
            bounded_s: int) -> dict[str, str]:  # fmt: skip
    """Flink's configuration. checkpoints: an s3:// address; fill: how busy the autoscaler keeps its tasks."""
    told = {key: value for key, value in plan.session(spec, java_options).items() if not key.startswith(OPERATORS)}
    params = _params(settings)
    workers_mb = PYTHON_MB * _python_processes(settings, params, spec.slots)
    return {
        **told,
        **params.settings,
        **_beside("jobmanager", OVERHEAD_MB + PYTHON_MB),  # the client runs there
        **(_beside("taskmanager", OVERHEAD_MB + workers_mb) if workers_mb else {}),
        "web.submit.enable": "false",  # its REST interface has no password: nobody brings another program
        "execution.checkpointing.dir": f"{checkpoints}/checkpoints",
        "execution.checkpointing.savepoint-dir": f"{checkpoints}/savepoints",
        "high-availability.type": "kubernetes",
        "high-availability.storageDir": f"{checkpoints}/ha",
        SLOTS: str(spec.slots),
        "kubernetes.entry.path": "/usr/bin/env",  # the image has Flink's scripts and no entry point of the official one
        "job.autoscaler.enabled": "true",
        "job.autoscaler.target.utilization": f"{fill:g}",
        "job.autoscaler.vertex.max-parallelism": str(settings.topic.partitions),
        # a rescaling is a restart: none while the load that is measured goes on
        "job.autoscaler.stabilization.interval": f"{bounded_s} s",
        "pipeline.max-parallelism": str(max(128, settings.topic.partitions)),
    }


def _params(settings: Settings) -> JobParams:
    outputs = {output: topic_name(output) for output in outputs_of(settings)}
    return job_params(settings, brokers.bootstrap(brokers.PLAIN), RUN, topic_name("in"), outputs)


def topic_name(what: str) -> str:
    """The topic called `what` ("in", or an output of the job)."""
    return f"{RUN}-{what}"


def topics(settings: Settings) -> list[Resource]:
    """The input as the scenario has it, and a partition of each output for every parallel sink."""
    topic, pipeline = settings.topic, settings.pipeline
    replicas = topic.replication_factor
    found = [brokers.topic(topic_name("in"), topic.partitions, replicas, input_config(settings))]
    for output in outputs_of(settings):
        assert pipeline is not None
        theirs = {**OUTPUT_CONFIG, "min.insync.replicas": str(topic.min_insync)}
        found.append(brokers.topic(topic_name(output), pipeline.parallelism, replicas, theirs))
    return found


def resources(settings: Settings, spec: ClusterSpec, flink: Mapping[str, str]) -> list[Resource]:
    """The deployment, who it runs as, and what it is to do. flink: see `options`."""
    pipeline = settings.pipeline
    assert pipeline is not None
    # every option is in the deployment's own configuration, where the operator's own can be seen beside it
    order = {"job": pipeline.job, "params": asdict(replace(_params(settings), settings={}))}
    version = importlib.metadata.version("apache-flink")
    short = "v" + "_".join(version.split(".")[:2])
    jobmanager_mb = int(plan.session(spec, "")[JOBMANAGER].removesuffix("m")) + PYTHON_MB
    return [
        *_account(),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "job-order"},
            "data": {"job.json": json.dumps(order, indent=1) + "\n"},
        },
        {
            "apiVersion": API,
            "kind": "FlinkDeployment",
            "metadata": {"name": NAME},
            "spec": {
                "image": IMAGE,
                "flinkVersion": short,
                "mode": "native",
                "serviceAccount": ACCOUNT,
                "flinkConfiguration": dict(flink),
                "logConfiguration": {"log4j-console.properties": LOG4J},
                "podTemplate": _pod(),
                "jobManager": {"replicas": 1, "resource": {"cpu": 1, "memory": f"{jobmanager_mb}m"}},
                "taskManager": {"resource": {"cpu": spec.slots, "memory": f"{task_manager_mb(flink)}m"}},
                "job": {
                    "jarURI": f"local:///opt/flink/opt/flink-python-{version}.jar",
                    "entryClass": "org.apache.flink.client.python.PythonDriver",
                    "args": ["-py", "/opt/streamgauge/src/bench/jobs/application.py", f"{FOLDER}/job.json"],
                    "parallelism": pipeline.parallelism,
                    "upgradeMode": "last-state" if pipeline.checkpoint else "stateless",
                    "state": "running",
                },
            },
        },
    ]


def _pod() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": APP},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
            "affinity": brokers.apart(brokers.PODS),  # what is measured of each is its own
            "containers": [
                {
                    "name": "flink-main-container",
                    "securityContext": UNPRIVILEGED,
                    "env": [
                        {"name": "FLINK_CONF_DIR", "value": "/opt/flink/conf"},
                        {"name": "FLINK_LOG_DIR", "value": "/tmp"},  # noqa: S108 -- a container's own
                        {
                            "name": "PATH",
                            "value": ":".join(PATH),
                        },
                    ],
                    "envFrom": [{"secretRef": {"name": STORE_KEYS, "optional": True}}],
                    "ports": [watching.reporter_port()],
                    "volumeMounts": [{"name": "order", "mountPath": FOLDER, "readOnly": True}],
                }
            ],
            "volumes": [{"name": "order", "configMap": {"name": "job-order"}}],
        },
    }


def _account() -> list[Resource]:
    """Flink starts its TaskManagers and keeps its leader in ConfigMaps: in this namespace, and nothing else."""
    rules = [
        {"apiGroups": [""], "resources": ["pods", "configmaps", "services"], "verbs": ["*"]},
        {"apiGroups": ["apps"], "resources": ["deployments", "deployments/finalizers"], "verbs": ["*"]},
    ]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": ACCOUNT}, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": ACCOUNT},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT}],
        },
    ]
