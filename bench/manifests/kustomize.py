"""A kustomize tree: a base, and overlays that hold only what differs from it.

The same functions render the base and each size; an overlay's patches are their difference (as RFC 7386 has it: a
mapping is merged, a list replaced whole), so that nothing is said twice. A difference that such a patch cannot tell is
refused instead of rendered.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

Resource = dict[str, Any]
Tree = dict[str, str]  # path -> text
Files = Mapping[str, Sequence[Resource]]  # file -> the resources in it

CONFIGURATION = "kustomizeconfig.yaml"
HEADER = "# Made by `streamgauge render k8s`; edit an overlay of your own instead (docs/past-one-machine.md).\n"


def text(*documents: Mapping[str, Any]) -> str:
    """YAML, with long strings as blocks."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump_all([_blocks(document) for document in documents], stream)
    return HEADER + stream.getvalue().removeprefix("---\n")


def _blocks(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _blocks(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_blocks(value) for value in node]
    return LiteralScalarString(node) if isinstance(node, str) and "\n" in node else node


def name_of(resource: Mapping[str, Any]) -> tuple[str, str]:
    """(kind, name), by which kustomize finds it."""
    return resource["kind"], resource["metadata"]["name"]


def base(files: Files, namespace: str, images: Mapping[str, str]) -> Tree:
    """The base's files, its kustomization among them. images: name -> name:tag."""
    tree = {f"base/{file}": text(*resources) for file, resources in files.items()}
    # kustomize knows where Kubernetes' own kinds name an image, not where the operator's does
    tree[f"base/{CONFIGURATION}"] = text({"images": [{"path": "spec/image", "kind": "FlinkDeployment"}]})
    tree["base/kustomization.yaml"] = text(
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": namespace,
            "resources": sorted(files),
            "configurations": [CONFIGURATION],
            "images": [
                {"name": name, "newName": image.rpartition(":")[0], "newTag": image.rpartition(":")[2]}
                for name, image in images.items()
            ],
        }
    )
    return tree


def overlay(name: str, files: Files, sized: Files) -> Tree:
    """The overlay that turns `files` into `sized`. ValueError where one has a resource that the other lacks."""
    before = {name_of(one): one for resources in files.values() for one in resources}
    after = {name_of(one): one for resources in sized.values() for one in resources}
    if before.keys() != after.keys():
        raise ValueError(f"overlay {name}: {sorted(before.keys() ^ after.keys())} are in one of the two only")
    tree = {}
    for (kind, called), resource in after.items():
        changed = difference(before[kind, called], resource)
        if changed:
            who = {"apiVersion": resource["apiVersion"], "kind": kind, "metadata": {"name": called}}
            tree[f"overlays/{name}/{kind.lower()}-{called}.yaml"] = text(merged(who, changed))
    tree[f"overlays/{name}/kustomization.yaml"] = text(
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["../../base"],
            "patches": [{"path": path.rpartition("/")[2]} for path in sorted(tree)],
        }
    )
    return tree


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch from one to the other; a key that is gone becomes null."""
    found: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        if key not in before or before[key] != value:
            both = isinstance(value, Mapping) and isinstance(before.get(key), Mapping)
            found[key] = difference(before[key], value) if both else value
    return found


def merged(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`target` with a merge patch applied."""
    found = dict(target)
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, Mapping):
            below = found.get(key)
            found[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            found[key] = value
    return found
