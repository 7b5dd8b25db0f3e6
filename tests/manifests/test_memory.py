"""Flink's own arithmetic on what the manifest says: a process whose parts do not add up never starts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.backends.containers.plan import yaml_lines
from bench.manifests.kustomize import Tree
from bench.toolchain import provision
from tests.manifests.scene import base, rendered, settings

pytestmark = pytest.mark.platform


def parameters(what: str, flink: dict[str, str], process: tuple[str, str], folder: Path) -> str:
    """What Flink's start scripts ask of it before each JVM."""
    (folder / "config.yaml").write_text(yaml_lines({**flink, process[0]: process[1]}))
    tools = provision(progress=False)
    jars = f"{tools.flink_home}/bin/bash-java-utils.jar:{tools.flink_home}/lib/*"
    main = "org.apache.flink.runtime.util.bash.BashJavaUtils"
    words = [str(tools.java), "-XX:TieredStopAtLevel=1", "-cp", jars, main, what, "--configDir", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(line for line in done.stdout.splitlines() if "-Xmx" in line)


@pytest.mark.parametrize(
    ("scenario", "load", "change", "process_mb"),
    [
        ("quickstart", "steady", "pipeline.slots=2", 2560),
        ("quickstart", "steady", "pipeline.slots=4", 2560),
        ("fraud-detection", "load", "axes={}", 2560 + 2 * 384),  # and a Python process for each slot
    ],
)
def test_a_task_manager_gets_the_heap_that_was_measured(
    scenario: str, load: str, change: str, process_mb: int, tmp_path: Path
) -> None:
    """The operator takes one figure for a process, the plan says each of its parts."""
    spec = base(rendered(settings(scenario, load, change)))["FlinkDeployment", "job"]["spec"]
    memory = spec["taskManager"]["resource"]["memory"]
    assert memory == f"{process_mb}m"
    process = ("taskmanager.memory.process.size", memory)
    told = parameters("GET_TM_RESOURCE_PARAMS", spec["flinkConfiguration"], process, tmp_path)
    heap = (128 + 1536) << 20
    assert f"-Xmx{heap}" in told
    assert f"-Xms{heap}" in told


def test_the_job_manager_has_the_heap_that_was_measured_and_room_for_python(quickstart: Tree, tmp_path: Path) -> None:
    """The client is a Python process in the same pod: at the JVM's own size the kernel would end one of them."""
    spec = base(quickstart)["FlinkDeployment", "job"]["spec"]
    memory = spec["jobManager"]["resource"]["memory"]
    assert memory == f"{1024 + 384}m"
    process = ("jobmanager.memory.process.size", memory)
    told = parameters("GET_JM_RESOURCE_PARAMS", spec["flinkConfiguration"], process, tmp_path)
    assert f"-Xmx{448 << 20}" in told  # 1,024 MiB less 256 of metaspace, 128 off heap, 192 of overhead
