"""What the documents promise, the code keeps: a newcomer's first copy-and-paste must work."""

from __future__ import annotations

import re
import shlex
from functools import cache
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXTENDING = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def commands() -> dict[str, click.Command]:
    """Every command of the command line, subcommands as "prices list"."""
    from bench.cli import MODULES, cli

    for name in MODULES:
        import_module(f"bench.cli.{name}")
    found: dict[str, click.Command] = {}
    for name, command in cli.commands.items():
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": one for inner, one in command.commands.items()}
        else:
            found[name] = command
    return found


def mentioned() -> list[list[str]]:
    """Every `streamgauge ...` of the README, as words."""
    return [shlex.split(words) for words in re.findall(r"`streamgauge ([^`]+)`", README)]


def test_every_command_that_the_readme_shows_exists_with_its_options() -> None:
    """A reader types what stands there; a renamed option would meet them with an error."""
    known = commands()
    assert mentioned()
    for words in mentioned():
        name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        assert name in known, f"streamgauge {' '.join(words)}"
        options = {opt for parameter in known[name].params for opt in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words


def test_every_command_says_what_it_does() -> None:
    """An undocumented command is one that nobody dares to run."""
    assert [name for name, command in commands().items() if not (command.help or "").strip()] == []


def test_every_exit_code_is_documented_for_readers() -> None:
    """CI scripts are written from this table."""
    import bench.cli

    documented = set(re.findall(r"^\| (\d+) \|", README, re.MULTILINE))
    assert all(f"{code} " in (bench.cli.__doc__ or "") for code in documented)
    assert documented == {"0", "1", "2", "3", "4", "5", "130"}


def test_links_between_documents_lead_somewhere() -> None:
    """A dead link in a README costs the reader's trust in its numbers."""
    broken = []
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        inner = [target for target in targets if "://" not in target]
        broken += [f"{page.name}: {target}" for target in inner if not (page.parent / target).exists()]
    assert broken == []


def test_the_example_logins_of_the_documents_are_read_as_meant(tmp_path: Path) -> None:
    """Neither we nor librdkafka know a comment behind a value: it would be part of the mechanism, or of an address."""
    from bench import keyring
    from bench.login import MECHANISMS

    page = (ROOT / "docs" / "remote.md").read_text(encoding="utf-8")
    examples = [
        block for block in re.findall(r"(?:^ {4}.*\n)+", page, re.MULTILINE) if re.search(r"(?m)^ +\S+\.\S+=", block)
    ]
    found: dict[str, str] = {}
    for number, example in enumerate(examples):
        file = tmp_path / f"{number}.properties"
        file.write_text(example, encoding="utf-8")
        found |= keyring.read(file)
    assert found["sasl.mechanism"] in MECHANISMS
    assert found["flink.bootstrap.servers"] == "kafka-internal:9093"
    assert [key for key, value in found.items() if "#" in value] == []


def minutes_said() -> list[tuple[str, str, bool, int]]:
    """(where, scenario, --quick, minutes) of every line that tells how long a scenario takes."""
    found = []
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "scenarios").glob("*.yaml")]:
        for line in page.read_text(encoding="utf-8").splitlines():
            ran = re.search(r"streamgauge run ([a-z0-9-]+)( --quick)?\b[^;]*?about (\d+) min", line)
            if ran:
                found.append((page.name, ran[1], bool(ran[2]), int(ran[3])))
                quick = re.search(r"--quick about (\d+)", line)
                found += [(page.name, ran[1], True, int(quick[1]))] if quick else []
    return found


def test_minutes_that_are_said_are_those_that_plan_says() -> None:
    """Who gave it the evening for "about 20 minutes" must not find it running after an hour."""
    from bench import study
    from bench.scenario import estimate_s

    @cache
    def plan_min(name: str, *, quick: bool) -> float:
        return estimate_s(study.trials(study.scenario(study.Asked(name, quick=quick)), "local")) / 60

    wrong = []
    for where, name, quick, minutes in minutes_said():
        planned = plan_min(name, quick=quick)
        if abs(planned - minutes) > max(1.0, 0.1 * planned):
            wrong.append(f"{where}: {name}{' --quick' if quick else ''} takes about {planned:.0f} min, not {minutes}")
    assert wrong == []
    assert len(minutes_said()) > 30


def test_list_tells_the_time_that_plan_tells() -> None:
    """Where a cluster serves several cells of processes but not of containers, the two once said 41 and 28 minutes."""
    from bench import study
    from bench.scenario import estimate_s

    scenarios = [study.scenario(study.Asked(path.stem)) for path in study.scenario_files()]
    told = {one.name: one.describe()["estimate_s"] for one in scenarios}
    assert told == {one.name: estimate_s(study.trials(one, "local")) for one in scenarios}
    assert "prediction" in told


def test_the_readme_leads_to_every_page_and_every_target_of_make_exists() -> None:
    """A page that nobody is led to is not read; a command of the first screen that fails is the last one tried."""
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages - set(re.findall(r"\]\(([^)#]+)", README)) == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    typed = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= typed <= targets


def test_the_example_workload_of_the_documents_works() -> None:
    """Adding a workload is promised to take one file: this is that file."""
    from bench import workloads

    example = re.search(r"## A workload.*?```python\n(.*?)```", EXTENDING, re.DOTALL)
    assert example
    space = {"Workload": workloads.Workload, "Field": workloads.Field, "np": np}
    exec(example.group(1), space)
    knobs = workloads.Knobs(name="parking", event_bytes=160)
    parking = space["Parking"](knobs, 7, 0)
    due_ns = np.arange(100, dtype=np.int64)
    batch, truth = parking.encode(0, due_ns), parking.columns(0, due_ns)
    assert len(batch) == len(truth) == 100
    assert set(truth["event"].astype(str)) == {"enter", "leave"}
    assert b'"garage"' in batch.value(0)


def test_the_example_scenario_of_the_documents_is_valid_up_to_its_own_workload_and_job(tmp_path: Path) -> None:
    """The shortest scenario must need no more keys than the documents show."""
    from bench.errors import ScenarioError
    from bench.scenario import load

    example = re.search(r"## A scenario.*?```yaml\n(.*?)```", EXTENDING, re.DOTALL)
    assert example
    file = tmp_path / "garages.yaml"
    file.write_text(example.group(1), encoding="utf-8")
    with pytest.raises(ScenarioError) as raised:
        load(file)
    findings = str(raised.value).splitlines()
    assert len(findings) == 2
    assert "parking" in findings[0]
    assert "level-counts" in findings[1]
    file.write_text(example.group(1).replace("parking", "clicks").replace("level-counts", "revenue"), encoding="utf-8")
    assert load(file).name == "garages"
