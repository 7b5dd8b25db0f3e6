"""One scenario, rendered as the command does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from bench.manifests import tree
from bench.manifests.kustomize import Tree, merged, name_of
from bench.manifests.sizing import SIZES, Measured, Rules, constant, own, size
from bench.scenario import Settings
from bench.study import Asked
from bench.study import scenario as read

RULES = Rules(cpu_fill=0.7, follower_share=0.5)
MEASURED = Measured(generator=3.5, broker=4.0, flink=10.0, rate_eps=100_000.0, runs=1, source="studies/made-up")
IMAGES = {"streamgauge/flink": "registry.example/flink:2", "streamgauge/load": "registry.example/load:3"}
Resources = dict[tuple[str, str], dict[str, Any]]


def settings(name: str = "quickstart", load: str = "steady", *overrides: str) -> Settings:
    found = read(Asked(name, overrides))
    return found.cells(found.plans[load])[0][1]


def rendered(one: Settings, measured: Measured = MEASURED) -> Tree:
    terms = tree.Terms("streamgauge-test", IMAGES, "s3://bucket/prefix", "-Dopen=all", RULES)
    one = constant(one, measured)
    sizes = [size(name, rate, one, measured, RULES) for name, rate in SIZES.items()]
    return tree.render(one, own(one, measured, RULES), sizes, terms)


def documents(text: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(text))


def base(files: Mapping[str, str]) -> Resources:
    found = {}
    for path in documents(files["base/kustomization.yaml"])[0]["resources"]:
        found |= {name_of(one): one for one in documents(files[f"base/{path}"])}
    return found


def built(files: Mapping[str, str], overlay: str) -> Resources:
    """What kustomize makes of an overlay, images and namespace aside."""
    found = base(files)
    for patch in documents(files[f"overlays/{overlay}/kustomization.yaml"])[0]["patches"]:
        [one] = documents(files[f"overlays/{overlay}/{patch['path']}"])
        found[name_of(one)] = merged(found[name_of(one)], one)
    return found
