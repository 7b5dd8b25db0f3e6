"""Every manifest against the schema of who takes it; what a schema does not know is refused, as kubectl would not."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bench.manifests.kustomize import Tree
from bench.manifests.sizing import SIZES
from tests.manifests.scene import Resources, base, built, rendered, settings

FOLDER = Path(__file__).parents[1] / "data" / "crds"
# The operator whose schema is to be had lists Flink up to 1.20: see the README beside the schemas
NEWER = ("spec/flinkVersion", "'v2_3' is not one of")
Finding = tuple[str, str]


@cache
def schemas() -> dict[str, Draft202012Validator]:
    """Kind in small letters -> its validator."""
    found = {}
    for file in sorted(FOLDER.glob("*.json")):
        document = strict(json.loads(file.read_text()))
        for kind, name in document.pop("kinds", {file.stem: ""}).items():
            whole = {"$ref": f"#/$defs/{name}", "$defs": document["$defs"]} if name else document
            found[kind] = Draft202012Validator(whole)
    return found


def strict(node: Any, *, names: bool = False) -> Any:
    """The same schema, refusing what it does not name. `names`: the keys of this mapping are a resource's own."""
    if isinstance(node, list):
        return [strict(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {key: strict(value, names=not names and key in ("properties", "$defs")) for key, value in node.items()}
    if names:
        return made
    if made.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if "properties" in made and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def findings(resource: Mapping[str, Any]) -> list[Finding]:
    """(where, what) of everything that its schema refuses."""
    errors = schemas()[resource["kind"].lower()].iter_errors(resource)
    found = [("/".join(str(word) for word in error.absolute_path), error.message) for error in errors]
    return [one for one in found if not (one[0] == NEWER[0] and one[1].startswith(NEWER[1]))]


def refused(resources: Resources) -> dict[tuple[str, str], list[Finding]]:
    return {name: found for name, one in resources.items() if (found := findings(one))}


@pytest.mark.parametrize("name", SIZES)
def test_every_size_is_what_the_operators_take(name: str, quickstart: Tree) -> None:
    """A field with a typing error is dropped in silence by some servers, and refuses the whole by others."""
    assert refused(built(quickstart, name)) == {}


@pytest.mark.parametrize(("scenario", "load"), [("quickstart", "steady"), ("ingest-1m", "million"), ("zones", "even")])
def test_a_scenario_as_it_stands_is_what_they_take(scenario: str, load: str) -> None:
    """One broker without zones, a topic without a job: other branches, other fields."""
    assert refused(base(rendered(settings(scenario, load)))) == {}


@pytest.mark.parametrize(
    "change",
    [
        "pipeline.checkpoint=none",
        "pipeline.guarantee=exactly-once",
        "topic.segment_mb=16",
        "workload.malformed=0.01",
    ],
)
def test_other_settings_are_what_they_take(change: str) -> None:
    """Each of these adds a field or leaves one out."""
    assert refused(base(rendered(settings("quickstart", "steady", change)))) == {}


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every mapping below `node` whose keys its schema decides."""
    if isinstance(node, Mapping):
        if at:
            yield at
        for key, value in node.items():
            if key not in FREE:
                yield from places(value, (*at, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from places(value, (*at, index))


# Mappings whose keys are the user's: labels, a selector, settings, data, sizes by name
FREE = {
    "metadata", "labels", "annotations", "matchLabels", "selector", "flinkConfiguration", "logConfiguration", "config",
    "data", "limits", "requests", "podTemplate",
}  # fmt: skip


def test_a_field_that_does_not_exist_is_refused_wherever_it_stands(quickstart: Tree) -> None:
    """A validator that lets everything pass would have passed every test above."""
    tried = 0
    for resource in built(quickstart, "large").values():
        for place in places(resource):
            wrong = copy.deepcopy(resource)
            node = wrong
            for word in place:
                node = node[word]
            node["replicaz"] = 3
            assert findings(wrong), f"{resource['kind']} {'/'.join(str(word) for word in place)}"
            tried += 1
    assert tried > 80


def test_a_value_of_the_wrong_kind_is_refused(quickstart: Tree) -> None:
    """A port as text, a count as a word: taken for granted by whoever writes YAML."""
    large = built(quickstart, "large")
    wrong = [
        (("KafkaTopic", "streamgauge-in"), ("spec", "partitions"), "many"),
        (("KafkaNodePool", "brokers"), ("spec", "roles"), ["leader"]),
        (("Kafka", "kafka"), ("spec", "kafka", "listeners", 0, "type"), "inside"),
        (("KafkaUser", "load"), ("spec", "authentication", "type"), "password"),
        (("FlinkDeployment", "job"), ("spec", "job", "upgradeMode"), "savepoints"),
        (("FlinkDeployment", "job"), ("spec", "taskManager", "resource", "cpu"), "two"),
        (("Job", "load-workers"), ("spec", "completions"), "5"),
        (("NetworkPolicy", "load-master"), ("spec", "policyTypes"), "Ingress"),
        (("PodMonitor", "kafka"), ("spec", "podMetricsEndpoints", 0, "port"), 9404),
        (("PrometheusRule", "streamgauge"), ("spec", "groups", 0, "rules"), "none"),
    ]
    for name, place, value in wrong:
        resource = copy.deepcopy(large[name])
        node = resource
        for word in place[:-1]:
            node = node[word]
        assert place[-1] in node if isinstance(node, dict) else True
        node[place[-1]] = value
        assert findings(resource), f"{name} {place}"


def test_only_the_flink_version_is_excepted(quickstart: Tree) -> None:
    """An exception that has become needless hides the next mistake."""
    job = built(quickstart, "large")["FlinkDeployment", "job"]
    raw = [error.message for error in schemas()["flinkdeployment"].iter_errors(job)]
    assert len(raw) == 1
    assert raw[0].startswith(NEWER[1])
