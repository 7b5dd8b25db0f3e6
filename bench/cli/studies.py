"""doctor, list, plan, run, show: scenarios and their runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.backends import BACKENDS
from bench.cli import RESULTS, answer, as_json, cli, leave, say, share
from bench.cli.remotely import look, remote_of, remote_options
from bench.errors import ScenarioError

if TYPE_CHECKING:
    from bench.backends.remote import Remote
    from bench.record import Run
    from bench.scenario import Scenario, Trial
    from bench.study import Asked

results_folder = click.option(
    "--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True, help="Results folder."
)


def scenario_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What `plan` and `run` share."""
    decorators: list[Callable[..., Any]] = [
        click.argument("scenario"),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="PATH=VALUE",
            help="Change one setting or axis; may be repeated.",
        ),
        click.option("--repeats", type=click.IntRange(1), help="Repetitions of each cell."),
        click.option(
            "--precision",
            metavar="SHARE",
            help="As many repetitions as this host's noise takes for an interval of ±SHARE, such as 5%.",
        ),
        click.option("--quick", is_flag=True, help="The scenario's own short version."),
        click.option(
            "--backend",
            "backends",
            type=click.Choice(BACKENDS),
            multiple=True,
            default=["local"],
            show_default=True,
            help="Where Kafka and Flink run: as child processes, or in containers. Several: what they differ in.",
        ),
        remote_options,
        click.option("--fresh", is_flag=True, help="Run again what has finished before."),
        results_folder,
        as_json,
    ]
    for option in reversed(decorators):
        command = option(command)
    return command


@dataclass(frozen=True)
class _Opened:
    """The scenario as asked for, its trials on this machine, those that are finished, and the plan for the rest."""

    asked: Asked
    scenario: Scenario
    trials: Sequence[Trial]
    known: Mapping[str, Run]
    plan: Mapping[str, Any]
    remote: Remote | None

    @property
    def todo(self) -> list[Trial]:
        return [one for one in self.trials if one.id not in self.known]


def _open(words: dict[str, Any], out: Path, *, fresh: bool) -> _Opened:
    from bench import campaign, ceilings, planning, study

    precision = words.pop("precision")
    remote = remote_of(words, words["backends"])
    asked, found = study.Asked(**words, remote=remote.name if remote else ""), None
    scenario = study.scenario(asked)
    if precision is not None:
        if asked.repeats is not None:
            raise ScenarioError("--precision picks the repeats itself, expected it without --repeats")
        known = campaign.finished(study.trials(scenario, *asked.backends, remote=asked.remote), out)
        found = planning.precise(scenario, share(precision, "--precision"), known, out)
        asked = replace(asked, repeats=found.repeats)
        scenario = study.scenario(asked)
    trials = study.trials(scenario, *asked.backends, remote=asked.remote)
    campaign.check_recordings(trials)
    known = {} if fresh else campaign.finished(trials, out)
    document = planning.plan(scenario, trials, known, quick=asked.quick, out=out, precision=found)
    document["beyond_ceiling"] = ceilings.said_before([trial for trial in trials if trial.id not in known], out)
    return _Opened(asked, scenario, trials, known, document, remote)


@cli.command()
@remote_options
@as_json
def doctor(json_: bool, **words: Any) -> None:
    """Say what this machine has, and what it lacks; with --bootstrap what can be done and measured on that cluster."""
    from bench.doctor import Finding, examine

    remote = remote_of(words, ("remote",) if words["bootstrap"] else ())
    if remote is None:
        findings = examine()
    else:
        from bench.backends.reach import Needs, reach

        found = reach(remote, Needs(slots=1 if remote.flink_url else 0))
        findings = [Finding(one.what, one.ok, one.found, "a run goes on without it", optional=True)
                    for one in found.sights]  # fmt: skip
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
    from bench import planning

    document = _open(words, out, fresh=fresh).plan
    for text in document["beyond_ceiling"]:
        say(text)
    if json_:
        answer(document)
    else:
        for line in planning.plan_lines(document):
            click.echo(line)
    leave(5 if detailed_exitcode and document["todo"] else 0)


@cli.command()
@scenario_options
@click.option(
    "--web",
    "web_port",
    type=click.IntRange(1, 65535),
    is_flag=False,
    flag_value=8089,
    metavar="[PORT]",
    help="Locust's page on loopback while a load goes on (8089).",
)
@click.option(
    "--metrics",
    "metrics_port",
    type=click.IntRange(1, 65535),
    is_flag=False,
    flag_value=9400,
    metavar="[PORT]",
    help="Everything that is measured, for Prometheus on loopback (9400).",
)
@click.option(
    "--fail-on", type=click.Choice(["refuted", "inconclusive"]), multiple=True, help="Make such a verdict an exit code."
)
@click.option("--remove-leftovers", is_flag=True, help="remote: remove the topics that an earlier run left.")
def run(
    json_: bool,
    out: Path,
    fresh: bool,
    fail_on: tuple[str, ...],
    *,
    web_port: int | None,
    metrics_port: int | None,
    remove_leftovers: bool,
    **words: Any,
) -> None:
    """Run SCENARIO (a name or a file), judge its claims, price it, write the report. Running again resumes."""
    from contextlib import ExitStack

    from bench import campaign, planning, progress, study
    from bench.cli.reporting import conclude
    from bench.probes.exporter import Exporter
    from bench.scenario import estimates_s

    found = _open(words, out, fresh=fresh)
    for line in planning.plan_lines(found.plan):
        say(line)
    for text in found.plan["beyond_ceiling"]:
        say(text)
    if found.remote and found.todo:
        look(found.remote, found.todo, remove_leftovers=remove_leftovers)
    study.remember(found.asked, found.scenario, found.trials, out)
    slo_ms = study.latency_slo_ms(found.scenario)
    if web_port:
        say(f"Locust's page, while a load goes on: http://127.0.0.1:{web_port}")
    with ExitStack() as stack:
        exporter = stack.enter_context(Exporter(metrics_port)) if metrics_port else None
        listen = stack.enter_context(progress.follow([*estimates_s(found.todo)]))
        runs = campaign.run_all(
            found.trials,
            out=out,
            listen=listen,
            fresh=fresh,
            latency_slo_ms=slo_ms,
            web_port=web_port,
            exporter=exporter,
            remote=found.remote,
        )
    leave(conclude(study.conclude(found.scenario, runs), out / found.scenario.name, json_=json_, fail_on=fail_on))


@cli.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--schema", is_flag=True, help="The JSON Schema of run.json instead; needs no FOLDER.")
@as_json
def show(folder: Path | None, schema: bool, json_: bool) -> None:
    """One run (a bundle) or every run below FOLDER: outcome, metrics, checks, warnings."""
    from bench import record, study

    if schema:
        answer(record.json_schema())
        return
    if folder is None:
        raise ScenarioError("show: expected a bundle or a results folder (or --schema)")
    bundles = record.find(folder)
    if not bundles:
        raise ScenarioError(f"{folder}: no run.json below it, expected a bundle or a results folder")
    runs, unreadable = study.readable(bundles)
    for text in unreadable:
        say(text)
    if json_:
        answer([study.run_document(run) for run in runs])
    else:
        for run in runs:
            for line in study.run_lines(run):
                click.echo(line)
    leave(0 if runs else 4)
