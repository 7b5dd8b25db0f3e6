"""The quickstart, unchanged, in containers; and that nothing of it stays there, whatever ends the command."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import command
import docker
import psutil
import pytest
import test_main_job as main_job

from bench import record
from bench.backends.containers import engine
from bench.backends.containers.warden import Warden

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

BROKER_ONLY = """\
schema: 1
name: broker-only
workload: {name: clicks, keys: {distinct: 1000}}
load: {rate_eps: 2000}
cluster: {broker_heap_mb: 512}
phases: {warmup_s: 0.5, measure_s: 120, settle_s: 1}
repeats: 1
"""
GONE_S = 60.0


def made(client: docker.DockerClient) -> dict[str, tuple[str, str]]:
    """Kind and name -> owner and cluster of all that Streamgauge made and that is there."""
    wanted = {"label": engine.CLUSTER}
    listed = {
        "container": client.containers.list(all=True, filters=wanted, ignore_removed=True),
        "network": client.networks.list(filters=wanted),
        "volume": client.volumes.list(filters=wanted),
    }
    return {
        f"{kind} {thing.name}": (engine.owner_of(thing), engine.labels_of(thing)[engine.CLUSTER])
        for kind, things in listed.items()
        for thing in things
    }


@pytest.fixture
def ours(docker_client: docker.DockerClient) -> Iterator[Callable[[], set[str]]]:
    """What has been made since the test began, by processes other than this one, and is there."""
    before = made(docker_client).keys()

    def found() -> dict[str, str]:
        now = made(docker_client).items()
        return {name: cluster for name, (owner, cluster) in now if name not in before and owner != engine.owner()}

    yield lambda: set(found())
    for cluster in set(found().values()):  # a test that failed in between
        engine.remove(docker_client, cluster)


def test_the_quickstart_runs_unchanged(container_backend: str, tmp_path: Path, ours: Callable[[], set[str]]) -> None:
    """A scenario that means something else in a container answers another question."""
    scenario = main_job.write_scenario(tmp_path / "small.yaml", broken=False, partitions=[6])
    done = command.run("run", scenario, "--backend", container_backend, "--json", out=tmp_path / "results")
    assert done.process.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.document["runs"]) == 2
    for run in done.document["runs"]:
        command.assert_ran(run)
        assert run["backend"] == container_backend
        assert [check for check in run["checks"] if not check["ok"]] == []
        assert main_job.CHECKED - {check["name"] for check in run["checks"]} == set()
        if run["load"] == "steady":
            assert main_job.PROMISED - run["metrics"].keys() == set(), run["warnings"]
            metrics = {name: m["value"] for name, m in run["metrics"].items()}
            assert 40 < metrics["disk_bytes_per_event"] < 800
            for component in ("broker", "flink", "generator"):
                assert 0.1 < metrics[f"{component}_cpu_s_per_million_events"] < 2_000
                assert 50 << 20 < metrics[f"{component}_rss_bytes"] < 8 << 30
    bills = done.document["bills"].values()
    assert len(bills) == sum(command.assert_ran(run) for run in done.document["runs"] if run["load"] == "steady")
    for bill in bills:
        found = [option["usd_month"]["p50"] for option in bill["options"] if option["feasible"]]
        assert found and min(found) > 0
    for bundle in done.bundles():
        kept = record.load(bundle)
        assert kept.backend == kept.environment["backend"] == container_backend
        assert kept.environment["container_engine"].startswith("Docker ")
        assert "kafka-1: all CPUs" in kept.environment["container_limits"]
        assert "@sha256:" in kept.environment["container_images"]
        logs = {path.stem for path in (bundle / "logs").glob("*.log")}
        assert logs & {"broker-1", "taskmanager-0", "jobmanager"}
    assert f"({container_backend})" in (tmp_path / "results" / "small" / "report.md").read_text()
    assert ours() == set()
    assert done.addresses <= command.LOOPBACK


def test_kill_minus_nine_leaves_no_container(
    container_backend: str, tmp_path: Path, ours: Callable[[], set[str]], docker_client: docker.DockerClient
) -> None:
    """A broker that outlives its study loads the next one's. If even its warden is killed, the next start tidies up."""
    scenario = tmp_path / "broker-only.yaml"
    scenario.write_text(BROKER_ONLY)
    for warden_too in (False, True):
        words = ("run", str(scenario), "--backend", container_backend)
        with command.started(*words, out=tmp_path / f"results-{warden_too}") as study:
            study.until(lambda study=study: study.below("bench.loadgen.worker"))
            below = study.below()
            assert {name.split()[0] for name in ours()} == {"container", "network", "volume"}
            if warden_too:
                (warden,) = [process for process in below if Warden.__module__ in " ".join(process.cmdline())]
                warden.kill()
            study.process.kill()
            assert study.process.wait() == -signal.SIGKILL
            _, alive = psutil.wait_procs(below, GONE_S)
            assert alive == []
        if warden_too:
            assert ours() != set()
            engine.remove_leftovers(docker_client)  # what the next start does first
        end = time.monotonic() + GONE_S
        while ours() and time.monotonic() < end:
            time.sleep(0.1)
        assert ours() == set()


@pytest.mark.parametrize("backend", ["compose", "testcontainers"])
def test_without_docker_the_command_says_so(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever copies a command from the README to a machine without Docker must learn it at once, from one line."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    began = time.monotonic()
    scenario = tmp_path / "broker-only.yaml"
    scenario.write_text(BROKER_ONLY)
    # of several backends it is said before the first has had its turn
    done = command.run("run", str(scenario), "--backend", "local", "--backend", backend, out=tmp_path / "results")
    assert done.process.returncode == 4
    *_, said = done.stderr.strip().splitlines()
    assert said.startswith(f"streamgauge: no Docker engine answers at {tmp_path}/docker.sock: ")
    assert time.monotonic() - began < 15
    assert list(done.out.glob(".run-*")) == []


def test_backends_take_turns_in_one_study(containers: None, tmp_path: Path, ours: Callable[[], set[str]]) -> None:
    """A ratio is only as good as what really ran on either side."""
    scenario = tmp_path / "short.yaml"
    scenario.write_text(BROKER_ONLY.replace("measure_s: 120", "measure_s: 3").replace("broker-only", "short"))
    words = ("run", str(scenario), "--backend", "local", "--backend", "testcontainers", "--json")
    done = command.run(*words, out=tmp_path / "results")
    assert "Traceback" not in done.stderr
    kept = [record.load(bundle) for bundle in done.bundles()]
    assert {run.backend: run.knobs["backend"] for run in kept} == {name: name for name in ("local", "testcontainers")}
    for run in kept:
        assert run.environment["backend"] == run.backend
        assert ("container_limits" in run.environment) == (run.backend == "testcontainers")
        assert [check for check in run.checks if not check.ok] == []
    report = (tmp_path / "results" / "short" / "report.md").read_text()
    assert "What testcontainers changes against local" in report
    assert ours() == set()
