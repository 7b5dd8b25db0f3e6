"""The whole tree for one scenario: a base of its own size, an overlay for each larger one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.campaign import cluster_spec
from bench.errors import ScenarioError
from bench.manifests import brokers, generator, job, kustomize, watching
from bench.manifests.kustomize import Files, Tree
from bench.manifests.sizing import Rules, Size, settings_at
from bench.scenario import Settings

DISK_FILL = 0.6
LEAST_DISK_GB = 10
COPIES_OF_INPUT = 3  # what the input's topic and the job's outputs may take together, in inputs: none writes more rows


@dataclass(frozen=True)
class Terms:
    """What no scenario says. images: name -> name:tag; checkpoints: an s3:// address; java_options: Flink's own."""

    namespace: str
    images: Mapping[str, str]
    checkpoints: str
    java_options: str
    rules: Rules


def unsupported(settings: Settings) -> str:
    """Why this load has no manifests, "" if it has."""
    if settings.faults:
        return "faults need --backend local, whose processes are ours to stop"
    if settings.load.shape is not None and settings.load.shape.replay is not None:
        return "load.shape.replay: a recording is a file of this machine"
    if settings.cluster.tiered:
        return "cluster.tiered needs --backend local: its remote store is a folder"
    if settings.topic.replication_factor > settings.cluster.brokers:
        return "topic.replication_factor is more than cluster.brokers"
    return ""


def files(settings: Settings, size: Size, terms: Terms) -> Files:
    """Every resource, by file."""
    spec = cluster_spec(settings)
    found: dict[str, Sequence[kustomize.Resource]] = {
        "namespace.yaml": [_namespace(terms.namespace)],
        "kafka.yaml": brokers.resources(
            settings, spec, job.topics(settings), brokers.same(size.broker_cpus, size.broker_mb), _disk_gb(settings)
        ),
        "load.yaml": generator.resources(settings, job.topic_name("in")),
        "monitoring.yaml": watching.resources(with_job=settings.pipeline is not None),
    }
    if settings.pipeline is not None:
        flink = job.options(
            settings, spec, terms.java_options, checkpoints=terms.checkpoints, fill=terms.rules.cpu_fill,
            bounded_s=generator.bounded_s(settings),
        )  # fmt: skip
        found["flink.yaml"] = job.resources(settings, spec, flink)
    return found


def render(settings: Settings, own: Size, sizes: Sequence[Size], terms: Terms) -> Tree:
    """Path -> text. ScenarioError for what a cluster cannot be told."""
    if why := unsupported(settings):
        raise ScenarioError(f"not to be had as manifests: {why}")
    base = files(settings, own, terms)
    tree = kustomize.base(base, terms.namespace, terms.images)
    for size in sizes:
        tree |= kustomize.overlay(size.name, base, files(settings_at(settings, size), size, terms))
    return tree


def _namespace(name: str) -> kustomize.Resource:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                f"pod-security.kubernetes.io/{mode}": level
                for mode, level in (("enforce", "baseline"), ("warn", "restricted"), ("audit", "restricted"))
            },
        },
    }


def _disk_gb(settings: Settings) -> int:
    """GiB of a broker: what a whole load writes, uncompressed, in every copy, on disks that are not full."""
    rate = settings.load.rate_eps
    assert isinstance(rate, float)
    seconds = settings.phases.warmup_s + settings.phases.measure_s
    written = rate * seconds * settings.workload.event_bytes * settings.topic.replication_factor * COPIES_OF_INPUT
    return max(LEAST_DISK_GB, math.ceil(written / settings.cluster.brokers / DISK_FILL / 2**30))
