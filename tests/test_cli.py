"""The command line as its users meet it: quick help, bad input told in one go, exit codes, answers on stdout alone."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import jsonschema
import psutil
import pytest

from bench import campaign, record, study, trial
from bench.cli import MODULES, cli, main
from bench.metrics import METRICS
from bench.record import Measurement, Outcome
from bench.scenario import Trial
from bench.study import Asked

ROOT = Path(__file__).resolve().parent.parent

SCENARIO = """\
schema: 1
name: small
workload: {name: clicks}
load: {rate_eps: 1000}
axes: {topic.partitions: [6, 96]}
claims: [over-partitioning-inflates-storage]
repeats: 1
"""
USAGE = """\
schema: 1
region: us-east-1
ingest: {mb_s: 100, record_bytes: 1000}
broker: {cpu_s_per_million_events: 1.1, disk_bytes_per_wire_byte: 1.0}
consumers: {groups: 3}
topics: {count: 1, partitions: 600, replication_factor: 3}
retention: {days: 7}
zones: 3
"""
MEASURED = {
    "acknowledged_eps": 1000.0, "payload_bytes_per_event": 200.0, "wire_bytes_per_event": 90.0, "delivery_errors": 0.0,
    "disk_bytes_per_event": 95.0, "broker_cpu_s_per_million_events": 3.0, "batch_records": 40.0,
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        return json.loads(self.out)


Streamgauge = Callable[..., Said]


@pytest.fixture
def streamgauge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Streamgauge:
    """`streamgauge WORDS` in a scratch folder; nothing it could do may start a cluster."""
    (tmp_path / "small.yaml").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(campaign, "open_cluster", lambda *_, **__: pytest.fail("a cluster was started"))

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["streamgauge", *map(str, words)])
        capsys.readouterr()
        code = main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Said(code, out, err)

    return run


def asked_trials() -> list[Trial]:
    return study.trials(study.scenario(Asked("small.yaml")), "local")


def keep(one: Trial, **changes: Any) -> Path:
    """A finished run of this trial among the results, with what a bill needs."""
    metrics = {name: Measurement(value, METRICS[name].unit) for name, value in MEASURED.items()}
    run = replace(trial.crashed(one, "local", ""), outcome=Outcome.FINISHED, metrics=metrics)
    bundle = Path("results") / one.scenario / one.id / "20261123T120000Z"
    record.save(replace(run, **changes), bundle)
    return bundle


@pytest.fixture
def results(streamgauge: Streamgauge) -> Path:
    """A finished study of two cells."""
    scenario, trials = study.scenario(Asked("small.yaml")), asked_trials()
    study.remember(Asked("small.yaml"), scenario, trials, Path("results"))
    for one in trials:
        keep(one)
    return Path("results/small")


# ---- help


def test_help_loads_nothing_heavy() -> None:
    """Half a second for --help is felt at every word mistyped; and gevent or a JVM in it would be a bug everywhere."""
    code = """
import sys
from bench.cli import main
sys.argv = ["streamgauge", "--help"]
assert main() == 0
heavy = {"numpy", "pandas", "scipy", "matplotlib", "pyflink", "confluent_kafka", "locust", "gevent", "pydantic"}
sys.exit(f"loaded {heavy & set(sys.modules)}" if heavy & set(sys.modules) else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"doctor", "list", "plan", "run", "show", "report", "cost"} <= set(done.stdout.split())


def test_a_bill_of_results_loads_neither_tables_nor_statistics_nor_clients(results: Path) -> None:
    """Two seconds are what somebody waits who tries prices one after the other; pandas alone takes half of one."""
    code = """
import sys
from bench.cli import main
sys.argv = ["streamgauge", "cost", sys.argv[1], "--json"]
assert main() == 0
heavy = {"pandas", "pyarrow", "scipy.stats", "scipy.optimize", "matplotlib", "jinja2", "confluent_kafka", "boto3",
         "pyflink", "locust", "gevent", "reports.figures"}
sys.exit(f"loaded {heavy & set(sys.modules)}" if heavy & set(sys.modules) else 0)
"""
    words = [sys.executable, "-c", code, str(results.resolve())]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["cells"]) == {"partitions 6", "partitions 96"}


def commands(group: click.Group, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*above, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)


def test_every_command_and_option_is_explained(streamgauge: Streamgauge) -> None:
    """A word that nobody explains is used wrongly, and the wrong benchmark runs."""
    for module in MODULES:
        import_module(f"bench.cli.{module}")
    found = dict(commands(cli))
    assert len(found) >= 10
    unexplained = [" ".join(words) for words, command in found.items() if not command.help]
    unexplained += [
        f"{' '.join(words)} {option.opts[0]}" for words, command in found.items() for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]  # fmt: skip
    assert unexplained == []
    for words in found:
        said = streamgauge(*words, "--help")
        assert said.code == 0
        assert said.out.startswith("Usage: streamgauge")


# ---- bad input


def test_a_scenario_with_mistakes_is_told_all_of_them_at_once(streamgauge: Streamgauge) -> None:
    """One error per attempt costs a person five attempts; a typo that is ignored runs another benchmark."""
    text = SCENARIO.replace("topic.partitions", "topic.partition") + "\ntopik: {partitions: 6}\nseed: seven\n"
    Path("wrong.yaml").write_text(text)
    said = streamgauge("run", "wrong.yaml")
    assert said.code == 2
    assert said.out == ""
    assert "wrong.yaml:5: axes.topic.partition" in said.err
    assert "did you mean 'topic.partitions'" in said.err
    assert "wrong.yaml:9: topik: unknown key" in said.err
    assert "did you mean 'topic'" in said.err
    assert "wrong.yaml:10: seed: was 'seven'" in said.err
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "quickstrat"], "quickstart"),
        (["plan", "small.yaml", "--set", "topic.partition=6"], "topic.partitions"),
        (["plan", "small.yaml", "--repeats", "0"], "--repeats"),
        (["run", "small.yaml", "--fail-on", "refute"], "--fail-on"),
        (["show", "."], "expected a bundle or a results folder"),
        (["show", "nowhere"], "nowhere"),
        (["report", "."], "expected a folder that `streamgauge run` made"),
        (["cost", "nowhere.yaml"], "nowhere.yaml"),
        (["cost", "small.yaml"], "small.yaml"),  # a scenario is no usage
        (["cost", "usage.yaml", "--platform", "msk-standart"], "msk-standard"),
        (["cost", "usage.yaml", "--set", "retention_days"], "expected KEY=VALUE"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_words_are_the_users_error(words: list[str], says: str, streamgauge: Streamgauge) -> None:
    """Exit 2 and the nearest valid word: a pipeline must tell a typo from a broken Kafka."""
    Path("usage.yaml").write_text(USAGE)
    said = streamgauge(*words)
    assert (said.code, said.out) == (2, "")
    assert says in said.err


def test_a_wrong_usage_is_told_with_its_line(streamgauge: Streamgauge) -> None:
    """A key that is ignored is a cost that is left out."""
    Path("usage.yaml").write_text(USAGE.replace("groups: 3", "grups: 3"))
    said = streamgauge("cost", "usage.yaml")
    assert said.code == 2
    assert "grups" in said.err
    assert "groups" in said.err
    assert "5" in said.err


# ---- the host


def test_too_little_disk_is_refused_before_anything_starts(
    streamgauge: Streamgauge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills in mid-run stops the broker, and everybody else on the machine."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=9 << 30, used=8 << 30, free=1 << 30))
    said = streamgauge("run", "small.yaml")
    assert (said.code, said.out) == (4, "")
    assert "1.0 GiB of disk are free" in said.err
    assert "are needed" in said.err
    assert list(Path("results").glob("**/run.json")) == []


def test_a_prefill_needs_its_own_room(streamgauge: Streamgauge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GiB are enough for the cluster, not for a drain of 100 million events."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=9 << 30, used=5 << 30, free=4 << 30))
    said = streamgauge("run", "quickstart", "--set", "loads.drain.drain=100_000_000")
    assert said.code == 4
    assert "4.0 GiB of disk are free" in said.err


def test_too_little_memory_is_refused_with_what_to_lower(
    streamgauge: Streamgauge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that swaps measures its disk; one that kills a broker measures nothing."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1 << 30, total=24 << 30))
    said = streamgauge("run", "small.yaml")
    assert (said.code, said.out) == (4, "")
    assert "1.0 GiB of memory are available" in said.err
    assert "lower cluster.broker_heap_mb" in said.err


def test_doctor_tells_machine_and_remedy(streamgauge: Streamgauge, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing must be said before a run, with what to do; and Docker is optional here."""
    said = streamgauge("doctor", "--json")
    found = {finding["what"]: finding for finding in said.answer}
    assert {"Python", "machine", "memory", "disk", "Java", "jars", "loopback", "Docker"} <= found.keys()
    optional = {"Docker", "compose", "images", "CPU quotas"}
    needed = [finding["ok"] for what, finding in found.items() if what not in optional]
    assert said.code == (0 if all(needed) else 4)
    assert found["Python"]["ok"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=9, used=8, free=1))
    said = streamgauge("doctor")
    assert said.code == 4
    assert "MISS disk: 0.0 GiB free here\n     free 2 GiB" in said.out


# ---- plans and results


def test_list_tells_every_scenario(streamgauge: Streamgauge) -> None:
    """A scenario that does not even parse would be found by whoever tries it first."""
    said = streamgauge("list", "--json")
    assert (said.code, said.err) == (0, "")
    assert {path.stem for path in (ROOT / "scenarios").glob("*.yaml")} == {row["name"] for row in said.answer}
    assert streamgauge("list").code == 0


def test_plan_says_by_its_exit_code_whether_there_is_work(streamgauge: Streamgauge) -> None:
    """A pipeline that runs a study each night must know whether tonight changes anything; --fresh does again."""
    trials = asked_trials()
    said = streamgauge("plan", "small.yaml", "--json", "--detailed-exitcode")
    assert said.code == 5
    assert [one["done"] for one in said.answer["trials"]] == [False, False]
    keep(trials[0])
    said = streamgauge("plan", "small.yaml", "--json", "--detailed-exitcode")
    assert (said.code, said.answer["todo"]) == (5, 1)
    keep(trials[1])
    assert streamgauge("plan", "small.yaml", "--detailed-exitcode").code == 0
    assert streamgauge("plan", "small.yaml", "--detailed-exitcode", "--fresh").code == 5
    assert streamgauge("plan", "small.yaml", "--fresh").code == 0  # only when asked for
    assert not (Path("results") / "small" / "index.json").exists()  # a plan leaves nothing


def test_a_finished_study_is_reported_again_without_a_cluster(results: Path, streamgauge: Streamgauge) -> None:
    """The numbers of last month must be readable on a laptop; and running again must only tell them again."""
    said = streamgauge("run", "small.yaml", "--json")
    assert said.code == 0
    assert [run["outcome"] for run in said.answer["runs"]] == ["finished", "finished"]
    assert [cell["n"] for cell in said.answer["cells"]] == [1, 1]
    assert said.answer["verdicts"][0]["verdict"] == "inconclusive"
    assert streamgauge("run", "small.yaml", "--fail-on", "inconclusive").code == 3
    for name in ("report.html", "report.md", "junit.xml", "index.json"):
        (results / name).unlink(missing_ok=name != "index.json")
    study.remember(Asked("small.yaml"), study.scenario(Asked("small.yaml")), asked_trials(), Path("results"))
    said = streamgauge("report", results)
    assert said.code == 0
    assert "small" in said.out
    assert (results / "report.html").stat().st_size > 5_000
    assert (results / "report.md").exists()


def test_a_damaged_bundle_is_said_and_the_rest_told(results: Path, streamgauge: Streamgauge) -> None:
    """Silence about a bundle that cannot be read makes the study look complete."""
    path = next(results.glob("*/*/run.json"))
    path.write_text(path.read_text()[:-200])
    said = streamgauge("report", results, "--json")
    assert said.code == 0
    assert len(said.answer["runs"]) == 1
    assert str(path) in said.err
    said = streamgauge("show", results, "--json")
    assert (said.code, len(said.answer)) == (0, 1)
    assert "truncated or damaged" in said.err


def test_one_run_is_shown_with_its_numbers(results: Path, streamgauge: Streamgauge) -> None:
    """The way from a verdict back to the run it rests on."""
    bundle = next(results.glob("*/*/run.json")).parent
    said = streamgauge("show", bundle)
    assert said.code == 0
    assert "wire_bytes_per_event" in said.out
    assert "90 bytes/event" in said.out


def test_the_schema_of_a_bundle_is_printed(results: Path, streamgauge: Streamgauge) -> None:
    """A reader in another language has nothing else to go by."""
    said = streamgauge("show", "--schema")
    assert said.code == 0
    jsonschema.validate(json.loads(next(results.glob("*/*/run.json")).read_text()), said.answer)
    assert streamgauge("show").code == 2


def test_a_bill_is_told_down_to_the_source_of_each_price(streamgauge: Streamgauge) -> None:
    """A total that nobody can take apart is believed or not; neither helps whoever signs it."""
    Path("usage.yaml").write_text(USAGE + "operations: {hours_month: 20, usd_hour: 100}\n")
    words = ("cost", "usage.yaml", "--platform", "self-ec2", "--platform", "msk-standard")
    (own, managed) = streamgauge(*words, "--json").answer["options"]
    told = " ".join(streamgauge(*words, "--lines").out.replace("\u2502", " ").split())

    for line in own["lines"]:
        assert f"{line['usd_month']:,.2f}" in told and line["price"]["id"] in told
    assert "because minimum of 3 brokers" in told and managed["bound_by"]["next"] in told
    assert "All sized alike" in told and "Given: ingest.mb_s 100" in told and "Assumed: " in told
    hours = (managed["usd_month"]["p50"] - own["usd_month"]["p50"]) / 100
    assert f"to cost as much: msk-standard {hours:+,.1f}" in told


def test_two_loads_with_the_same_knobs_have_two_bills(streamgauge: Streamgauge) -> None:
    """A quiet load's batches compress worse: one bill under the other's name would price a stream that nobody ran."""
    loads = "loads: {calm: {rate_eps: 100}, rush: {rate_eps: 1000}}\naxes: {topic.partitions: [6]}"
    one_load = "load: {rate_eps: 1000}\naxes: {topic.partitions: [6, 96]}"
    Path("small.yaml").write_text(SCENARIO.replace(one_load, loads).replace("over-partitioning-inflates-storage", ""))
    trials = asked_trials()
    study.remember(Asked("small.yaml"), study.scenario(Asked("small.yaml")), trials, Path("results"))
    for one in trials:
        wire = {"calm": 180.0, "rush": 90.0}[one.load_name]
        metrics = {name: Measurement(value, METRICS[name].unit) for name, value in MEASURED.items()}
        keep(one, metrics=metrics | {"wire_bytes_per_event": Measurement(wire, "bytes/event")})

    bills = streamgauge("cost", "results/small", "--platform", "msk-serverless", "--json").answer["cells"]
    told = streamgauge("report", "results/small")

    assert list(bills) == ["partitions 6 under calm", "partitions 6 under rush"]
    calm, rush = (bill["usage"]["ingest.compression_ratio"]["value"] for bill in bills.values())
    assert (calm, rush) == (pytest.approx(200 / 180), pytest.approx(200 / 90))
    assert "partitions 6 under calm" in told.out and "partitions 6 under rush" in told.out


def test_nothing_finished_is_a_failure(streamgauge: Streamgauge) -> None:
    """Exit 0 for a study whose every run crashed would turn a pipeline green."""
    trials = asked_trials()
    study.remember(Asked("small.yaml"), study.scenario(Asked("small.yaml")), trials, Path("results"))
    keep(trials[0], outcome=Outcome.CRASHED, reason="broker 1 ended", metrics={})
    said = streamgauge("report", "results/small", "--json")
    assert said.code == 4
    assert said.answer["bills"] == {}
    assert said.answer["runs"][0]["reason"] == "broker 1 ended"


# ---- money


def test_a_usage_file_is_priced_without_any_run(streamgauge: Streamgauge) -> None:
    """The architect's question needs no cluster: every platform that fits, or why not."""
    Path("usage.yaml").write_text(USAGE)
    said = streamgauge("cost", "usage.yaml", "--json")
    assert said.code == 0
    options = {option["platform"]: option for option in said.answer["options"]}
    assert {"self-ec2", "msk-standard", "confluent-standard"} <= options.keys()
    for option in options.values():
        assert option["reason"] or option["usd_month"]["p50"] > 0
    bill = options["msk-standard"]
    total = sum(line["usd_month"] for line in bill["lines"])
    assert bill["usd_month"]["p10"] <= total <= bill["usd_month"]["p90"]
    said = streamgauge("cost", "usage.yaml", "--platform", "msk-standard")
    assert "msk-standard" in said.out
    assert "self-ec2" not in said.out


def test_results_are_priced_cell_by_cell(results: Path, streamgauge: Streamgauge) -> None:
    """Two arms under one price would hide what the second one costs; another assumption must reach the bill."""
    said = streamgauge("cost", results, "--json", "--platform", "msk-standard")
    assert said.code == 0
    cells = said.answer["cells"]
    assert len(cells) == 2
    week = [cell["options"][0]["usd_month"]["p50"] for cell in cells.values()]
    longer = streamgauge("cost", results, "--json", "--platform", "msk-standard", "--set", "retention_days=70").answer[
        "cells"
    ]
    assert all(b["options"][0]["usd_month"]["p50"] > a for a, b in zip(week, longer.values(), strict=True))


def test_a_study_without_an_axis_over_partitions_is_priced_too(streamgauge: Streamgauge) -> None:
    """The commonest scenario of all: its hour of runs must not end in an error about the bill."""
    Path("small.yaml").write_text(SCENARIO.replace("axes: {topic.partitions: [6, 96]}", "topic: {partitions: 12}"))
    (one,) = asked_trials()
    keep(one)
    said = streamgauge("run", "small.yaml", "--json")
    assert said.code == 0
    (bill,) = said.answer["bills"].values()
    assert {option["platform"] for option in bill["options"]} == {"self-ec2", "msk-standard"}


def test_ctrl_c_is_said_and_has_its_own_exit_code(streamgauge: Streamgauge, monkeypatch: pytest.MonkeyPatch) -> None:
    """130 is no failure of the platform, and what was measured is kept: both must be clear."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(campaign, "run_all", interrupted)
    said = streamgauge("run", "small.yaml")
    assert (said.code, said.out) == (130, "")
    assert "what was measured is kept" in said.err


def test_a_process_that_draws_figures_does_not_run_the_command_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each such process reads the launcher that `make setup` writes: without a guard each began the study anew."""
    makefile = (Path(__file__).resolve().parents[1] / "Makefile").read_text()
    launcher = makefile.partition("define LAUNCHER\n")[2].partition("endef")[0].replace("$$", "$")
    (tmp_path / "streamgauge").write_text(launcher)
    assert "main" in runpy.run_path(str(tmp_path / "streamgauge"), run_name="__mp_main__")
    monkeypatch.setattr(sys, "argv", ["streamgauge", "--help"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(tmp_path / "streamgauge"), run_name="__main__")
