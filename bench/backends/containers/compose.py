"""Starts a plan through docker-compose.yml, the same file that a person uses by hand."""

from __future__ import annotations

import os
import subprocess
from functools import cache

from bench.backends.containers import engine, images
from bench.backends.containers.plan import Plan
from bench.errors import HostError

FILE = engine.ROOT / "docker-compose.yml"
MOST_BROKERS = 3  # the file names each one
UP_S = 120.0  # two seconds on an idle host
HEALTHCHECK = "60s"  # a check is a process: while a trial measures, rarely; readiness is awaited from outside


@cache
def command() -> tuple[str, ...]:
    """Compose as a plugin (v2) or as a program of its own (also v1). HostError when there is neither."""
    for words in (("docker", "compose"), ("docker-compose",)):
        try:
            done = subprocess.run([*words, "version"], capture_output=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return words
    raise HostError(
        "docker compose is not installed: install it (Debian 12: apt-get install docker-compose), "
        "or run with --backend testcontainers, which does not need it"
    )


def environment(plan: Plan) -> dict[str, str]:
    """Every variable of docker-compose.yml, so that none of the user's own reaches a measurement."""
    limits = plan.spec.limits
    ports: dict[str, int] = {}
    for n, (kafka, jmx) in enumerate(zip(plan.kafka_ports, plan.jmx_ports, strict=True), 1):
        ports |= {f"STREAMGAUGE_KAFKA_{n}_PORT": kafka, f"STREAMGAUGE_KAFKA_{n}_JMX_PORT": jmx}
    told = {
        "STREAMGAUGE_CLUSTER": plan.cluster,
        "STREAMGAUGE_OWNER": plan.owner,
        "STREAMGAUGE_CLUSTER_ID": plan.cluster_id,
        "STREAMGAUGE_CONF": plan.conf,
        "STREAMGAUGE_KAFKA_IMAGE": images.name("kafka"),
        "STREAMGAUGE_FLINK_IMAGE": images.name("flink"),
        "STREAMGAUGE_REST_PORT": plan.rest_port,
        "STREAMGAUGE_JOBMANAGER_METRICS_PORT": plan.reporter_ports[0],
        "STREAMGAUGE_TASKMANAGER_METRICS_PORTS": "",  # any free one each
        "STREAMGAUGE_HEALTHCHECK": HEALTHCHECK,
        "STREAMGAUGE_KAFKA_CPUS": limits.broker_cpus or 0,
        "STREAMGAUGE_KAFKA_MEMORY": f"{limits.broker_memory_mb or 0}m",
        "STREAMGAUGE_TASKMANAGER_CPUS": limits.task_manager_cpus or 0,
        "STREAMGAUGE_TASKMANAGER_MEMORY": f"{limits.task_manager_memory_mb or 0}m",
        "STREAMGAUGE_JOBMANAGER_CPUS": 0,
        "STREAMGAUGE_JOBMANAGER_MEMORY": "0m",
        "STREAMGAUGE_JAVA_OPTIONS": "",
        **ports,
    }
    return {**os.environ, **{name: str(value) for name, value in told.items()}}


def start(plan: Plan) -> None:
    """`compose up` of the services the plan needs; returns when they are started, not when they are ready."""
    spec = plan.spec
    if spec.brokers > MOST_BROKERS:
        raise HostError(
            f"docker-compose.yml has {MOST_BROKERS} brokers, {spec.brokers} were asked for: run with "
            "--backend testcontainers, or lower cluster.brokers"
        )
    flink = ["jobmanager", "taskmanager"] if spec.task_managers else []
    scale = ["--scale", f"taskmanager={spec.task_managers}"] if flink else []
    argv = [*command(), "--file", str(FILE), "--project-name", plan.cluster, "--project-directory", str(engine.ROOT)]
    argv += ["up", "--detach", "--no-build", "--no-deps", *scale, *plan.brokers, *flink]
    try:
        done = subprocess.run(
            argv, env=environment(plan), capture_output=True, text=True, timeout=UP_S, check=False, cwd=engine.ROOT
        )
    except subprocess.TimeoutExpired as late:
        raise HostError(f"docker compose up did not end within {UP_S:.0f} s: look at docker ps, docker info") from late
    if done.returncode != 0:
        raise HostError(engine.refusal("docker compose up", done.stderr or done.stdout))
