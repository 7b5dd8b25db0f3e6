"""ceiling: what the instrument itself can do here."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import Span, answer, as_json, cli, say
from bench.cli.studies import results_folder

if TYPE_CHECKING:
    from bench.loadgen.ceiling import Ceiling, Question
    from bench.scenario import Settings

ENGINES = ("native", "produce_batch", "produce")


@cli.command()
@click.argument("scenario")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change one setting; may be repeated.")
@click.option("--engine", "engines", type=click.Choice(ENGINES), multiple=True, default=ENGINES, show_default=True,
              help="Producing engine; may be repeated.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 64), multiple=True, default=(1, 2), show_default=True,
              help="Load workers; may be repeated.")  # fmt: skip
@click.option(
    "--partitions", type=click.IntRange(1), multiple=True, help="Partition counts (default: those of the scenario)."
)
@click.option("--no-broker", is_flag=True, help="Only the null sink and the mock broker: no Kafka is started.")
@click.option("--seconds", type=Span(1, 60), default=5.0, show_default=True, help="Of each measurement.")
@results_folder
@as_json
def ceiling(
    *, scenario: str, overrides: tuple[str, ...], engines: tuple[str, ...], workers: tuple[int, ...],
    partitions: tuple[int, ...], no_broker: bool, seconds: float, out: Path, json_: bool,
) -> None:  # fmt: skip
    """Measure the most that the load generator does with SCENARIO's events: to nobody, a mock broker, a real one.

    Each is a closed loop for some seconds; the last lines are the consuming engine reading what was written. What was
    found is kept beside the results, and a later run that asks for more than 80 % of it is told so before it starts.
    """
    from bench import ceilings, study
    from bench.loadgen.ceiling import Question

    asked = study.scenario(study.Asked(scenario, overrides))
    cells = [settings for plan in asked.plans.values() for _, settings in asked.cells(plan)]
    counts = partitions or tuple(dict.fromkeys(cell.topic.partitions for cell in cells))
    found: list[Ceiling] = []
    question = Question(tuple(engines), tuple(workers), counts, "", seconds)
    with tempfile.TemporaryDirectory(prefix="streamgauge-") as folder:
        for one in _measured(cells[0], question, Path(folder), out, broker=not no_broker):
            found.append(one)
            say(_line(one))
    path = ceilings.keep(found, cells[0], out)
    if json_:
        answer({"schema": 1, "scenario": asked.name, "of": ceilings.kind_of(cells[0]),
                "ceilings": [asdict(one) for one in found], "kept": str(path)})  # fmt: skip
        return
    click.echo(f"{'sink':<8}{'engine':<15}{'workers':>8}{'partitions':>12}{'events/s':>14}{'CPU us/event':>14}")
    for one in found:
        click.echo(
            f"{one.sink:<8}{one.engine:<15}{one.workers:>8}{one.partitions:>12}{one.rate_eps:>14,.0f}"
            f"{one.cpu_us_per_event:>14.2f}" + (f"   {one.note}" if one.note else "")
        )
    click.echo(str(path))


def _line(one: Ceiling) -> str:
    what = f"{one.workers} members reading" if one.sink == "reader" else f"{one.engine}, {one.workers} workers"
    return f"{one.sink}: {what}, {one.partitions} partitions: {one.rate_eps:,.0f} events/s" + (
        f" ({one.note})" if one.note else ""
    )


def _measured(settings: Settings, question: Question, folder: Path, out: Path, *, broker: bool) -> Iterator[Ceiling]:
    from bench import campaign, topics
    from bench.backends import open_cluster
    from bench.loadgen import ceiling as instrument

    plain = settings.model_dump(mode="json")
    if not broker:
        yield from instrument.measure(plain, question, run_dir=folder)
        return
    spec = replace(campaign.cluster_spec(settings), task_managers=0)
    run_dir = (out / f".run-ceiling-{os.getpid()}").resolve()  # on the results' own disk, as a run's broker
    names = (f"ceiling-{n}" for n in itertools.count())
    with open_cluster("local", spec, run_dir=run_dir, log_dir=folder / "logs") as cluster:
        before: list[str] = []

        def new_topic(partitions: int) -> str:
            if before:  # old data must not cost anybody
                topics.delete(cluster.bootstrap, before.pop())
            before.append(next(names))
            replication = settings.topic.replication_factor
            topics.create(cluster.bootstrap, before[0], partitions=partitions, replication=replication)
            return before[0]

        real = replace(question, bootstrap=cluster.bootstrap)
        yield from instrument.measure(plain, real, run_dir=folder, spawn=cluster.spawn, new_topic=new_topic)
