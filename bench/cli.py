"""Words <-> functions, and exit codes. The one place that looks right (costmodel, reports), and only inside commands.

0 done · 1 a threshold, gate or refuted claim fails · 2 usage or scenario error · 3 inconclusive under --fail-on ·
4 host or platform failed, or no run finished · 5 plan has work to do · 130 interrupted, what was measured is kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from bench.errors import ScenarioError, StreamgaugeError

if TYPE_CHECKING:
    from bench.scenario import Scenario, Trial
    from bench.study import Asked, Study

RESULTS = Path("results")
REPORTED_PLATFORMS = ("self-ec2", "msk-standard")  # what a report compares; `cost` prices every platform


def say(text: str) -> None:
    """Chatter and progress go to stderr; stdout is for answers."""
    click.echo(text, err=True)


def answer(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """A machine-readable answer."""
    click.echo(json.dumps(document, indent=1, default=str))


def leave(code: int) -> NoReturn:
    """End the command with this exit code."""
    raise click.exceptions.Exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option("0.1.0", prog_name="streamgauge")
def cli() -> None:
    """Measures what a Kafka + Flink pipeline carries, which guidance about it holds, and what it costs in a cloud.

    Start with `streamgauge run quickstart`.
    """


as_json = click.option("--json", "json_", is_flag=True, help="The answer as JSON on stdout.")
results_folder = click.option(
    "--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True, help="Results folder."
)


def scenario_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What `plan` and `run` share."""
    for option in reversed(
        [
            click.argument("scenario"),
            click.option(
                "--set",
                "overrides",
                multiple=True,
                metavar="PATH=VALUE",
                help="Change one setting or axis; may be repeated.",
            ),
            click.option("--repeats", type=click.IntRange(1), help="Repetitions of each cell."),
            click.option("--quick", is_flag=True, help="The scenario's own short version."),
            click.option("--backend", type=click.Choice(["local"]), default="local", show_default=True),
            click.option("--fresh", is_flag=True, help="Run again what has finished before."),
            results_folder,
            as_json,
        ]
    ):
        command = option(command)
    return command


def _open(asked: Asked) -> tuple[Scenario, list[Trial]]:
    """The scenario as asked for, and its trials on this machine."""
    from bench import study
    from bench.metrics import METRICS

    scenario = study.scenario(asked, tuple(METRICS))
    return scenario, study.trials(scenario, asked.backend)


@cli.command()
@as_json
def doctor(json_: bool) -> None:
    """Say what this machine has, and what it lacks."""
    from bench.doctor import examine

    findings = examine()
    if json_:
        answer([{"what": f.what, "ok": f.ok, "found": f.found, "remedy": f.remedy} for f in findings])
    else:
        for finding in findings:
            click.echo(
                f"{'ok  ' if finding.ok else 'MISS'} {finding.what}: {finding.found}"
                + ("" if finding.ok else f"\n     {finding.remedy}")
            )
    leave(0 if all(f.ok or f.optional for f in findings) else 4)


@cli.command("list")
@as_json
def list_(json_: bool) -> None:
    """The scenarios there are, and what they ask."""
    from bench import study

    rows = [study.scenario(study.Asked(path.stem)).describe() for path in study.scenario_files()]
    if json_:
        answer(rows)
        return
    for row in rows:
        click.echo(
            f"{row['name']:<20} {row['trials']:>3} runs, about {row['estimate_s'] / 60:.0f} min   {row['question']}"
        )


@cli.command()
@scenario_options
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 5 when there is something to run.")
def plan(detailed_exitcode: bool, json_: bool, out: Path, fresh: bool, **words: Any) -> None:
    """What would run, how long it takes, and what its repeats can decide."""
    from bench import campaign, study

    asked = study.Asked(**words)
    scenario, trials = _open(asked)
    known = {} if fresh else campaign.finished(trials, out)
    document = study.plan(scenario, trials, known, quick=asked.quick)
    if json_:
        answer(document)
    else:
        for line in study.plan_lines(document):
            click.echo(line)
    leave(5 if detailed_exitcode and document["todo"] else 0)


@cli.command()
@scenario_options
@click.option(
    "--fail-on", type=click.Choice(["refuted", "inconclusive"]), multiple=True, help="Make such a verdict an exit code."
)
def run(json_: bool, out: Path, fresh: bool, fail_on: tuple[str, ...], **words: Any) -> None:
    """Run SCENARIO (a name or a file), judge its claims, price it, write the report. Running again resumes."""
    from bench import campaign, progress, study

    asked = study.Asked(**words)
    scenario, trials = _open(asked)
    known = {} if fresh else campaign.finished(trials, out)
    document = study.plan(scenario, trials, known, quick=asked.quick)
    for line in study.plan_lines(document):
        say(line)
    study.remember(asked, scenario, trials, out)
    slo_ms = study.latency_slo_ms(scenario)
    with progress.follow(len(trials), document["todo_s"]) as listen:
        runs = campaign.run_all(
            trials, backend=asked.backend, out=out, listen=listen, fresh=fresh, latency_slo_ms=slo_ms
        )
    leave(_conclude(study.conclude(scenario, runs), out, json_=json_, fail_on=fail_on))


@cli.command()
@click.argument("folders", nargs=-1, type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--open", "open_", is_flag=True, help="Show report.html in the browser.")
@as_json
def report(folders: tuple[Path, ...], open_: bool, json_: bool) -> None:
    """Make the report of FOLDERS (results/SCENARIO) again, from what was recorded. Needs no cluster and no network."""
    from bench import study

    for folder in folders:
        made = study.recall(folder)
        for text in made.unreadable:
            say(text)
        code = _conclude(made, folder.parent, json_=json_)
        if open_:
            click.launch(str(folder / "report.html"))
        if code:
            leave(code)


@cli.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@as_json
def show(folder: Path, json_: bool) -> None:
    """One run (a bundle) or every run below FOLDER: outcome, metrics, checks, warnings."""
    from bench import record, study

    bundles = record.find(folder)
    if not bundles:
        raise ScenarioError(f"{folder}: no run.json below it, expected a bundle or a results folder")
    runs, unreadable = study.readable(bundles)
    for text in unreadable:
        say(text)
    if json_:
        answer([study.run_document(run) for run in runs])
        return
    for run in runs:
        for line in study.run_lines(run):
            click.echo(line)


@cli.command()
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path), required=True)
@click.option(
    "--platform",
    "--stack",
    "platforms",
    multiple=True,
    help="A platform or stack (KAFKA+FLINK); default: every one that fits.",
)
@click.option(
    "--set",
    "assumptions",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another pricing assumption (region, retention_days, …).",
)
@as_json
def cost(sources: tuple[Path, ...], platforms: tuple[str, ...], assumptions: tuple[str, ...], json_: bool) -> None:
    """The monthly bill of SOURCES: usage.yaml, deployment.yaml, or results/SCENARIO (each of its cells)."""
    from datetime import UTC, datetime

    import costmodel
    from bench import study

    wanted = list(platforms) or None
    documents: dict[str, Any] = {}
    for source in sources:
        if source.is_dir():
            found = study.recall(source)
            documents |= _bills(found, wanted, _assumptions(assumptions))
        else:
            usage = costmodel.load(source)
            documents[source.stem] = costmodel.to_json(
                costmodel.price(usage, wanted), usage, today=datetime.now(UTC).date()
            )
    if json_:
        answer(next(iter(documents.values())) if len(documents) == 1 else {"schema": 1, "cells": documents})
        return
    for label, document in documents.items():
        _print_bill(label, document)


def _assumptions(words: Sequence[str]) -> dict[str, Any]:
    from ruamel.yaml import YAML

    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ScenarioError(f"--set {word}: expected KEY=VALUE, such as retention_days=3")
        found[key] = YAML(typ="safe").load(value)
    return found


def _bills(found: Study, platforms: Sequence[str] | None, assumptions: Mapping[str, Any]) -> dict[str, Any]:
    """Arm -> the document of `cost --json`, for every cell whose runs carry what a bill needs."""
    from datetime import UTC, datetime

    import costmodel
    from bench import record
    from reports.wording import arm_label

    frame = record.frame(found.runs)
    pricing = {**found.scenario.pricing.model_dump(), **assumptions}
    documents: dict[str, Any] = {}
    for cell in found.cells:
        if not cell.n or "wire_bytes_per_event" not in cell.metrics:
            continue  # a drain writes flat out: its batches are not those of the priced stream
        chosen = dict(cell.knobs) | {"load": cell.load}
        usage = costmodel.usage_from_runs(frame, pricing, chosen)
        options = costmodel.price(usage, platforms)
        documents[arm_label(cell.knobs)] = costmodel.to_json(options, usage, today=datetime.now(UTC).date())
    return documents


def _print_bill(label: str, document: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=label, title_justify="left")
    for name in ("platform", "USD a month", "P10 to P90", "USD/GB in", "bound by"):
        table.add_column(name, justify="left" if name in ("platform", "bound by") else "right")
    ranked = sorted(document["options"], key=lambda o: (not o["feasible"], (o.get("usd_month") or {}).get("p50") or 0))
    for option in ranked:
        if not option["feasible"]:
            table.add_row(option["platform"], "infeasible", "", "", str(option["reason"]))
            continue
        usd = option["usd_month"]
        least = "at least " if option["at_least"] else ""
        per_gb = option.get("usd_gb_in")
        table.add_row(option["platform"], f"{least}{usd['p50']:,.2f}", f"{usd['p10']:,.0f} to {usd['p90']:,.0f}",
                      f"{per_gb:.4f}" if per_gb is not None else "", str(option["bound_by"]["constraint"]))  # fmt: skip
    Console().print(table)
    for text in document.get("warnings", ()):
        say(text)


def _conclude(found: Study, out: Path, *, json_: bool, fail_on: tuple[str, ...] = ()) -> int:
    """Judge, price, write and tell; the exit code."""
    from datetime import UTC, datetime

    from rich.console import Console

    from bench import study
    from reports import render, story

    bills = _bills(found, REPORTED_PLATFORMS, {}) if found.finished else {}
    told = story.tell(
        found.scenario,
        found.runs,
        found.cells,
        found.verdicts,
        bills,
        generated_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        unreadable=found.unreadable,
    )
    folder = out / found.scenario.name
    document = study.document(found) | {"bills": bills}
    study.write_index(folder, document)
    paths = render.write(told, folder)
    if json_:
        answer(document)
    else:
        render.terminal(told, Console())
        for path in paths:
            if path.suffix in (".html", ".md"):
                click.echo(str(path))
    return study.exit_code(found, fail_on)


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        result = cli.main(standalone_mode=False, prog_name="streamgauge")
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        say("interrupted; what was measured is kept, and running again resumes")
        return 130
    except StreamgaugeError as error:
        say(f"streamgauge: {error}")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
