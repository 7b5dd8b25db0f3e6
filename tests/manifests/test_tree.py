"""A tree that kubectl takes, and in which a changed scenario changes what it should and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.backends.containers.plan import session
from bench.campaign import cluster_spec
from bench.errors import ScenarioError
from bench.manifests import generator, tree
from bench.manifests.brokers import config
from bench.manifests.job import OPERATORS
from bench.manifests.kustomize import Tree, difference, merged, overlay
from bench.manifests.sizing import SIZES
from tests.manifests.scene import MEASURED, RULES, Resources, base, built, documents, rendered, settings

KUBECTL = shutil.which("kubectl") or shutil.which("kustomize")
FLINK = ("FlinkDeployment", "job", "spec", "flinkConfiguration")
Leaves = dict[tuple[Any, ...], Any]


def leaves(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(node, str) and node.startswith("{\n"):
        node = json.loads(node)  # an order in a ConfigMap
    below = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else None
    if below is None:
        yield at, node
    else:
        for key, value in below:
            yield from leaves(value, (*at, key))


def flat(resources: Resources) -> Leaves:
    return {(*name, *path): value for name, one in resources.items() for path, value in leaves(one)}


def changed(before: Resources, after: Resources) -> Leaves:
    old, new = flat(before), flat(after)
    return {path: new.get(path) for path in old.keys() | new.keys() if old.get(path) != new.get(path)}


def test_every_kustomization_lists_the_files_that_are_there(quickstart: Tree) -> None:
    """A file that is not listed is not applied, and nobody is told."""
    for where in ("base", *(f"overlays/{name}" for name in SIZES)):
        [root] = documents(quickstart[f"{where}/kustomization.yaml"])
        named = {*root.get("configurations", []), *(one["path"] for one in root.get("patches", []))}
        named |= {path for path in root["resources"] if not path.startswith("../")}
        there = {path.removeprefix(f"{where}/") for path in quickstart if path.startswith(f"{where}/")}
        assert named == there - {"kustomization.yaml"}
        assert where == "base" or root["resources"] == ["../../base"]


def test_each_size_holds_what_it_was_sized_to(quickstart: Tree) -> None:
    """An overlay whose patch misses its target would leave one broker, at a million events a second."""
    found = {}
    for name in SIZES:
        one = built(quickstart, name)
        brokers, workers = one["KafkaNodePool", "brokers"]["spec"], one["Job", "load-workers"]["spec"]
        job, topic = one["FlinkDeployment", "job"]["spec"], one["KafkaTopic", "streamgauge-in"]["spec"]
        order = json.loads(one["ConfigMap", "load-order"]["data"]["load.json"])
        assert order["settings"]["load"] == {
            "rate_eps": SIZES[name], "workers": workers["completions"], "drain": None, "shape": None, "of_drain": None,
        }  # fmt: skip
        assert workers["parallelism"] == workers["completions"]
        assert order["partitions"] == topic["partitions"]
        assert topic["partitions"] % job["job"]["parallelism"] == 0
        assert topic["replicas"] == 3
        found[name] = (
            workers["completions"], brokers["replicas"], brokers["resources"]["limits"]["cpu"],
            job["job"]["parallelism"], topic["partitions"],
        )  # fmt: skip
    # 50,000/s: 0.25 cores of workers, 0.6 of brokers, 0.7 of Flink; twenty times that: 5, 12, 14.3
    assert found == {
        "small": (1, 3, "1", 2, 6),
        "medium": (2, 3, "1", 4, 8),
        "large": (5, 3, "4", 16, 16),
    }


ORDERS = (("ConfigMap", "job-order", "data", "job.json"), ("ConfigMap", "load-order", "data", "load.json"))
JOB, LOAD = ORDERS
CHANGES: dict[str, set[tuple[Any, ...]]] = {
    "topic.partitions=12": {
        ("KafkaTopic", "streamgauge-in", "spec", "partitions"),
        (*LOAD, "partitions"),
        (*FLINK, "job.autoscaler.vertex.max-parallelism"),
    },
    "cluster.broker_heap_mb=3000": {
        ("KafkaNodePool", "brokers", "spec", "jvmOptions", word) for word in ("-Xms", "-Xmx")
    },
    "pipeline.checkpoint.interval_s=30": {(*FLINK, "execution.checkpointing.interval")},
    "pipeline.checkpoint.backend=rocksdb": {(*FLINK, "state.backend.type")},
    "pipeline.guarantee=exactly-once": {(*FLINK, "execution.checkpointing.mode"), (*JOB, "params", "guarantee")},
    "pipeline.slots=4": {
        (*FLINK, "taskmanager.numberOfTaskSlots"),
        ("FlinkDeployment", "job", "spec", "taskManager", "resource", "cpu"),
    },
    "producer.linger_ms=50": {(*LOAD, "settings", "producer", "linger_ms")},
    "loads.steady.workers=3": {
        ("Job", "load-workers", "spec", "completions"),
        ("Job", "load-workers", "spec", "parallelism"),
        (*LOAD, "settings", "load", "workers"),
        (*JOB, "params", "watermark_delay_ms"),  # several workers drift apart a little
    },
    "phases.measure_s=60": {
        ("Job", "load-master", "spec", "activeDeadlineSeconds"),
        ("Job", "load-workers", "spec", "activeDeadlineSeconds"),
        (*LOAD, "duration_s"),
        (*FLINK, "job.autoscaler.stabilization.interval"),
    },
    "pipeline.flink.taskmanager.network.memory.buffers-per-channel=4": {
        (*FLINK, "taskmanager.network.memory.buffers-per-channel")
    },
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_scenario_changes_exactly_these_fields(change: str, quickstart: Tree) -> None:
    """What reaches only one of two places that must agree fails in a cluster, after an hour."""
    overrides = ("loads.steady.axes={}", change) if change.startswith("topic.partitions") else (change,)
    before = base(quickstart)
    if len(overrides) > 1:
        before = base(rendered(settings("quickstart", "steady", overrides[0])))
    after = base(rendered(settings("quickstart", "steady", *overrides)))
    assert changed(before, after).keys() == CHANGES[change]


def test_flink_and_kafka_are_told_what_they_are_told_elsewhere(quickstart: Tree) -> None:
    """Heap, slots and options are decided at one place: what was measured on a laptop is what runs in a cluster."""
    one = settings()
    resources = base(quickstart)
    told = resources["FlinkDeployment", "job"]["spec"]["flinkConfiguration"]
    elsewhere = session(cluster_spec(one), "-Dopen=all")
    kept = {key: value for key, value in elsewhere.items() if not key.startswith(OPERATORS)}
    differs = {key for key in kept if told[key] != kept[key]}
    assert differs == {"execution.checkpointing.dir"}
    assert "heartbeat.interval" in kept
    assert resources["FlinkDeployment", "job"]["spec"]["taskManager"]["resource"] == {"cpu": 2, "memory": "2560m"}
    assert resources["Kafka", "kafka"]["spec"]["kafka"]["config"].items() >= config(1).items()
    assert config(3)["offsets.topic.replication.factor"] == "3"
    assert not {
        key for key in config(3) if key.startswith(("listener", "advertised", "controller", "node", "log.dirs"))
    }


def test_no_manifest_holds_a_secret(quickstart: Tree) -> None:
    """A tree is committed and mailed; the password is the user's Secret's."""
    whole = "\n".join(quickstart.values())
    assert not re.search(r"(?i)(password|secret|access).?key:\s*\S*[A-Za-z0-9/+]{16}", whole)
    assert not [one for one in base(quickstart).values() if one["kind"] == "Secret"]
    [worker] = base(quickstart)["Job", "load-workers"]["spec"]["template"]["spec"]["containers"]
    by_name = {one["name"]: one for one in worker["env"]}
    assert by_name["STREAMGAUGE_KAFKA_PASSWORD"]["valueFrom"] == {"secretKeyRef": {"name": "load", "key": "password"}}


def test_every_pod_of_ours_is_unprivileged_and_every_job_ends(quickstart: Tree) -> None:
    """A load that runs for ever is a bill; one that is tried again is another load."""
    resources = base(quickstart)
    pods = [resources["Job", name]["spec"]["template"]["spec"] for name in ("load-master", "load-workers")]
    pods.append(resources["FlinkDeployment", "job"]["spec"]["podTemplate"]["spec"])
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert not pod.get("hostNetwork")
        for one in [*pod["containers"], *pod.get("initContainers", [])]:
            assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert one.get("resources", {}).get("requests") == one.get("resources", {}).get("limits")
    for name in ("load-master", "load-workers"):
        spec = resources["Job", name]["spec"]
        assert (spec["backoffLimit"], spec["suspend"]) == (0, True)
        assert spec["activeDeadlineSeconds"] == generator.bounded_s(settings()) == 600 + 6 + 15 + 60
        assert spec["ttlSecondsAfterFinished"] > 0


def test_only_the_workers_of_the_namespace_reach_the_master(quickstart: Tree) -> None:
    """Locust's port has no password."""
    resources = base(quickstart)
    policy = resources["NetworkPolicy", "load-master"]["spec"]
    master, workers = (resources["Job", f"load-{who}"]["spec"]["template"] for who in ("master", "workers"))
    assert policy["podSelector"]["matchLabels"] == master["metadata"]["labels"]
    [rule] = policy["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": workers["metadata"]["labels"]}}]
    assert [port["port"] for port in rule["ports"]] == [generator.PORT]
    assert resources["Service", "load-master"]["spec"]["selector"] == master["metadata"]["labels"]


def test_a_rule_sees_several_samples_in_its_shortest_range(quickstart: Tree) -> None:
    """Scraped more rarely than it looks back, an alert never fires."""
    resources = base(quickstart)
    ranges = re.findall(r"\[(\d+)s\]", json.dumps(resources["PrometheusRule", "streamgauge"]))
    every = {
        endpoint["interval"]
        for (kind, _), one in resources.items() if kind == "PodMonitor"
        for endpoint in one["spec"]["podMetricsEndpoints"]
    }  # fmt: skip
    assert every == {"2s"}
    assert min(int(one) for one in ranges) >= 4 * 2


def test_a_scenario_without_a_job_has_no_flink() -> None:
    """A deployment that nothing is sent to would be billed."""
    found = base(rendered(settings("ingest-1m", "million")))
    assert not [name for name in found if "Flink" in name[0] or name[1].startswith("job")]
    assert {group["name"] for group in found["PrometheusRule", "streamgauge"]["spec"]["groups"]} == {"kafka"}


@pytest.mark.parametrize(
    ("scenario", "load", "says"),
    [
        ("quickstart", "drain", "was drain, expected a constant rate_eps or a search"),
        ("ingest-1m", "stopped", "faults need --backend local"),
    ],
)
def test_what_a_cluster_cannot_be_told_is_refused(scenario: str, load: str, says: str) -> None:
    """Left out in silence it would be another question."""
    with pytest.raises(ScenarioError, match=says):
        rendered(settings(scenario, load))


def test_a_search_is_rendered_at_the_rate_that_was_found() -> None:
    """What it looks for on a laptop is what a cluster's base is held to."""
    found = base(rendered(settings("sustainable-rate", "load")))
    order = json.loads(found["ConfigMap", "load-order"]["data"]["load.json"])
    assert order["settings"]["load"]["rate_eps"] == MEASURED.rate_eps


def test_an_overlay_cannot_lose_a_resource() -> None:
    """A merge patch cannot add one: the size would run without it."""
    one = {"kind": "Job", "apiVersion": "batch/v1", "metadata": {"name": "a"}}
    with pytest.raises(ValueError, match="in one of the two only"):
        overlay("large", {"a.yaml": [one]}, {"a.yaml": []})


JSON = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=2), JSON, max_size=5)


@given(OBJECTS, OBJECTS)
def test_a_patch_makes_the_one_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Whatever differs between two sizes has to arrive."""
    assert merged(before, difference(before, after)) == after
    assert difference(before, before) == {}


@pytest.mark.skipif(KUBECTL is None, reason="needs kubectl or kustomize")
@pytest.mark.parametrize("name", SIZES)
def test_kustomize_itself_makes_of_it_what_was_meant(
    name: str, quickstart: Tree, write: Callable[[Tree], Path]
) -> None:
    """Its patches of Kubernetes' own kinds merge lists by name: not what RFC 7386 says."""
    folder = write(quickstart) / "overlays" / name
    words = [str(KUBECTL), "kustomize" if str(KUBECTL).endswith("kubectl") else "build", str(folder)]
    text = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
    made = {(one["kind"], one["metadata"]["name"]): one for one in documents(text)}
    meant = built(quickstart, name)
    assert made.keys() == meant.keys()
    images = set()
    for one in made.values():
        assert one["metadata"].pop("namespace", "streamgauge-test") == "streamgauge-test"
        images |= {value for path, value in leaves(one) if path[-1] == "image"}
    assert images == {"registry.example/flink:2", "registry.example/load:3"}
    differs = changed(meant, made)
    assert {path[-1] for path in differs} <= {"image", "namespace"}


def test_the_tree_that_is_committed_is_the_one_that_is_rendered(tmp_path: Path) -> None:
    """Who applies deploy/k8s gets what this checkout says; the same command makes it anew."""
    from click.testing import CliRunner

    from bench.cli import cli
    from bench.cli.rendering import k8s

    assert k8s.name == "k8s"
    root = Path(__file__).parents[2]
    study = root / "studies" / "sustainable-rate"
    words = [
        "render",
        "k8s",
        "quickstart",
        "--load",
        "steady",
        "--set",
        "producer.routing=sticky",
        "--from",
        str(study),
    ]
    done = CliRunner().invoke(cli, [*words, "--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.yaml")}
    kept = {path.relative_to(root / "deploy" / "k8s"): path for path in (root / "deploy" / "k8s").rglob("*.yaml")}
    again = f"streamgauge {' '.join(words[:-1])} studies/sustainable-rate --out deploy/k8s"
    assert made.keys() == kept.keys(), again
    assert [path for path, text in made.items() if kept[path].read_text() != text] == [], again


def test_the_disks_hold_what_a_load_writes() -> None:
    """A broker whose disk is full ends in mid-run."""
    one = settings("quickstart", "steady", "loads.steady.rate_eps=1000000", "phases.measure_s=600")
    written_gb = 1e6 * 606 * 200 / 2**30
    [pool] = [
        pool
        for pool in tree.files(one, _size(one), _terms())["kafka.yaml"]
        if pool["kind"] == "KafkaNodePool" and pool["metadata"]["name"] == "brokers"
    ]
    [volume] = pool["spec"]["storage"]["volumes"]
    assert int(volume["size"].removesuffix("Gi")) > 3 * written_gb


def _size(one: Any) -> Any:
    from bench.manifests.sizing import own

    return own(one, MEASURED, RULES)


def _terms() -> tree.Terms:
    return tree.Terms("n", {}, "s3://b", "", RULES)
