"""streamgauge render k8s: what it writes, leaves alone and refuses."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cli import cli
from bench.errors import ScenarioError
from tests.manifests.scene import documents

STUDY = str(Path(__file__).parents[2] / "studies" / "sustainable-rate")
import_module("bench.cli.rendering")


def run(folder: Path, *words: str) -> Result:
    argv = ["render", "k8s", "quickstart", "--load", "steady", "--from", STUDY, "--out", str(folder), *words]
    return CliRunner().invoke(cli, argv, catch_exceptions=False)


def test_one_rate_is_one_overlay_and_the_answer_as_json(tmp_path: Path) -> None:
    """Who asks for a rate of their own gets that one."""
    done = run(tmp_path, "--rate-eps", "400000", "--json", "--namespace", "mine", "--checkpoints", "s3://bucket/p/",
               "--flink-image", "registry.example:5000/flink:7")  # fmt: skip
    said = json.loads(done.stdout)
    assert said["measured"]["source"] == STUDY
    [size] = said["sizes"]
    assert (size["name"], size["rate_eps"]) == ("wanted", 400_000)
    assert size["extrapolated_by"] == pytest.approx(4.656, abs=0.001)
    assert size["task_managers"] == {"count": 3, "slots": 2}  # 0.4 x 9.75 / 0.7 = 5.6 cores
    assert size["busiest_slot_cores"] > 1  # keyed: its busiest user alone brings 10.7 %
    assert size["is_reached"] is False
    assert {path.name for path in (tmp_path / "overlays").iterdir()} == {"wanted"}
    [root] = documents((tmp_path / "base" / "kustomization.yaml").read_text())
    assert root["namespace"] == "mine"
    flink = {"name": "streamgauge/flink", "newName": "registry.example:5000/flink", "newTag": "7"}
    assert flink in root["images"]
    assert "s3://bucket/p/checkpoints" in (tmp_path / "base" / "flink.yaml").read_text()


def test_it_takes_away_what_it_wrote_and_leaves_what_it_did_not(tmp_path: Path) -> None:
    """An overlay of one's own beside them is where changes belong; a stale patch would be applied again."""
    run(tmp_path, "--size", "large")
    own = tmp_path / "overlays" / "mine" / "kustomization.yaml"
    own.parent.mkdir()
    own.write_text("resources: [../large]\n")
    run(tmp_path, "--size", "small")
    assert own.exists()
    assert not list((tmp_path / "overlays" / "large").glob("*.yaml"))
    assert (tmp_path / "overlays" / "small" / "kustomization.yaml").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--load", "stead"], "--load stead: expected one of steady, drain, did you mean 'steady'?"),
        (
            ["--flink-image", "registry.example:5000/flink"],
            "--flink-image registry.example:5000/flink: expected NAME:TAG",
        ),
        (["--checkpoints", "/mnt/state"], "--checkpoints /mnt/state: expected s3://BUCKET"),
        (["--namespace", "My_Space"], "--namespace My_Space: expected small letters"),
    ],
)
def test_a_wrong_word_is_answered(tmp_path: Path, words: list[str], says: str) -> None:
    """In a cluster it would be a pod that never starts."""
    with pytest.raises(ScenarioError) as raised:
        run(tmp_path, *words)
    assert says in str(raised.value)


def test_without_runs_it_says_which_to_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No evidence, no size."""
    text = (Path(__file__).parents[2] / "scenarios" / "quickstart.yaml").read_text()
    never = tmp_path / "never-run.yaml"
    never.write_text(text.replace("name: quickstart", "name: never-run", 1))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScenarioError, match=r"no runs of never-run are here.*streamgauge run"):
        CliRunner().invoke(cli, ["render", "k8s", str(never), "--out", str(tmp_path / "k8s")], catch_exceptions=False)
