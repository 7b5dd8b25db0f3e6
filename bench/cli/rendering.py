"""render: what a scenario is where it does not run on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import Span, answer, as_json, cli, say, wide_console
from bench.errors import ScenarioError

if TYPE_CHECKING:
    from bench.manifests.sizing import Measured, Rules, Size
    from bench.scenario import Scenario, Settings

SIZES = ("small", "medium", "large")
TENFOLD = 10  # what is carried further is said aloud


@cli.group()
def render() -> None:
    """A scenario as configuration for elsewhere."""


def _flink_image() -> str:
    from bench.backends.containers import images  # a third of a second to load

    return images.name("flink")


@render.command()
@click.argument("scenario")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the tree.")
@click.option("--load", "load", metavar="NAME", help="Which of the scenario's loads; the first one else.")
@click.option("--size", "sizes", multiple=True, type=click.Choice(SIZES), help="Only these overlays; all else.")
@click.option("--rate-eps", type=Span(0, min_open=True), help="One overlay, `wanted`, for this rate.")
@click.option("--from", "source", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Runs that measured CPU per event; results/SCENARIO or studies/SCENARIO else.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Another value of the scenario.")
@click.option("--namespace", help="streamgauge-SCENARIO else.")
@click.option(
    "--checkpoints", default="s3://streamgauge-checkpoints", show_default=True, help="Where Flink keeps its state."
)
@click.option(
    "--flink-image",
    default=_flink_image,
    show_default="what `make images` calls it",
    help="From `make images`, pushed.",
)
@click.option(
    "--load-image", default="streamgauge/load:latest", show_default=True, help="From deploy/k8s/load.Dockerfile."
)
@as_json
def k8s(scenario: str, out: Path, **how: Any) -> None:
    """SCENARIO as a kustomize tree: Strimzi's Kafka, Flink's operator, Locust as Jobs, monitors and alerts.

    `kubectl apply -k DIR/base` is the scenario as it stands; each overlay is the same question at a larger size, with
    counts from measured CPU-seconds per million events by the rules of `cost`. Nothing here talks to a cluster.
    """
    from bench.backends.flink import java_options
    from bench.manifests import tree
    from bench.manifests.evidence import measured
    from bench.manifests.sizing import SIZES as RATES
    from bench.manifests.sizing import constant, own, size
    from bench.study import Asked
    from bench.study import scenario as read
    from bench.toolchain import provision

    found = read(Asked(scenario, tuple(how["overrides"])))
    namespace = how["namespace"] or f"streamgauge-{found.name}"
    _checked(namespace, how["checkpoints"], {"--flink-image": how["flink_image"], "--load-image": how["load_image"]})
    name, settings = _settings(found, how["load"])
    rules = _rules()
    known = measured(how["source"] or _recorded(found.name), name, settings, rules)
    settings = constant(settings, known)
    rate = how["rate_eps"]
    rates = {"wanted": rate} if rate else {one: RATES[one] for one in how["sizes"] or SIZES}
    sized = [size(one, rate_eps, settings, known, rules) for one, rate_eps in rates.items()]
    terms = tree.Terms(
        namespace=namespace,
        images={"streamgauge/flink": how["flink_image"], "streamgauge/load": how["load_image"]},
        checkpoints=how["checkpoints"].rstrip("/"),
        java_options=java_options(provision(progress=False).flink_home / "conf" / "config.yaml"),
        rules=rules,
    )
    files = tree.render(settings, own(settings, known, rules), sized, terms)
    _write(out, files)
    document = to_json(known, sized)
    if how["json_"]:
        answer(document)
    else:
        _tell(known, sized)
    say(f"{len(files)} files in {out}; kubectl apply -k {out / 'overlays' / sized[-1].name}")


def _checked(namespace: str, checkpoints: str, images: dict[str, str]) -> None:
    """ScenarioError for what a cluster would refuse, or a pod would wait for without end."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", namespace):
        raise ScenarioError(f"--namespace {namespace}: expected small letters, digits and dashes, at most 63")
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/.*)?", checkpoints):
        raise ScenarioError(f"--checkpoints {checkpoints}: expected s3://BUCKET or s3://BUCKET/FOLDER")
    for option, image in images.items():
        if not re.search(r"[^:/]:[\w.-]+$", image):
            raise ScenarioError(f"{option} {image}: expected NAME:TAG")


def _settings(found: Scenario, load: str | None) -> tuple[str, Settings]:
    """The load's name and its first cell."""
    from bench.scenario.words import nearest

    plans = found.plans
    name = load or next(iter(plans))
    if name not in plans:
        raise ScenarioError(f"--load {name}: expected one of {', '.join(plans)}{nearest(name, plans)}")
    return name, found.cells(plans[name])[0][1]


def _rules() -> Rules:
    """The cost model's own."""
    from bench.manifests.sizing import Rules
    from costmodel.usage import Broker, Sizing

    return Rules(cpu_fill=float(Sizing().cpu_fill.value), follower_share=float(Broker().follower_cpu_share.value))


def _recorded(name: str) -> Path:
    folders = [Path("results") / name, Path(__file__).resolve().parents[2] / "studies" / name]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise ScenarioError(f"no runs of {name} are here: expected --from FOLDER, or `streamgauge run {name}` before")


def _write(out: Path, files: dict[str, str]) -> None:
    """The tree, and nothing that an earlier one left there; what somebody else wrote stays."""
    from bench.manifests.kustomize import HEADER

    for part in ("base", "overlays"):
        for old in sorted((out / part).rglob("*.yaml")):
            if old.read_text(encoding="utf-8").startswith(HEADER):
                old.unlink()
    for path, text in files.items():
        file = out / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def to_json(known: Measured, sizes: list[Size]) -> dict[str, Any]:
    """What was sized, by what."""
    return {
        "schema": 1,
        "measured": {
            "generator_cpu_s_per_million_events": known.generator,
            "broker_cpu_s_per_million_events": known.broker,
            "flink_cpu_s_per_million_events": known.flink,
            "rate_eps": known.rate_eps,
            "runs": known.runs,
            "source": known.source,
        },
        "sizes": [
            {
                "name": one.name,
                "rate_eps": one.rate_eps,
                "extrapolated_by": one.carried,
                "workers": one.workers,
                "brokers": {"count": one.brokers, "cpus": one.broker_cpus, "memory_mb": one.broker_mb},
                "task_managers": {"count": one.task_managers, "slots": one.slots},
                "partitions": one.partitions,
                "busiest_slot_cores": one.busiest_slot_cores,
                "is_reached": one.is_reached,
                "because": list(one.because),
            }
            for one in sizes
        ],
    }


def _tell(known: Measured, sizes: list[Size]) -> None:
    from rich.table import Table

    console = wide_console()
    table = Table()
    for name in (
        "size",
        "events/s",
        "x measured",
        "load workers",
        "brokers",
        "TaskManagers",
        "partitions",
        "busiest slot",
    ):
        table.add_column(name, justify="left" if name == "size" else "right")
    for one in sizes:
        table.add_row(
            one.name, f"{one.rate_eps:,.0f}", f"{one.carried:.1f}", f"{one.workers} x 1 CPU",
            f"{one.brokers} x {one.broker_cpus} CPUs", f"{one.task_managers} x {one.slots} slots", str(one.partitions),
            f"{one.busiest_slot_cores:.2f} cores" if one.task_managers else "",
        )  # fmt: skip
    console.print(table)
    for one in sizes:
        for reason in one.because:
            console.print(f"{one.name}: {reason}.", markup=False, highlight=False)
        if one.carried > TENFOLD:
            console.print(
                f"{one.name}: {one.carried:.1f} times the measured rate: an extrapolation beyond tenfold.",
                markup=False, highlight=False,
            )  # fmt: skip
        if not one.is_reached:
            console.print(
                f"{one.name} IS NOT REACHED: a slot reads with one thread, and the busiest one would need more than a "
                "core. Less skewed keys (workload.keys.zipf), or producer.routing: sticky where the job groups anew.",
                markup=False, highlight=False,
            )  # fmt: skip
    console.print(
        f"Measured at {known.rate_eps:,.0f} events/s in {known.source}, "
        f"{known.runs} run{'s' if known.runs > 1 else ''}; CPU filled as in a bill. No Kubernetes cluster was asked.",
        markup=False, highlight=False,
    )  # fmt: skip
