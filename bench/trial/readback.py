"""What Flink really ran with, asked of Flink and of the processes, and held against what it was told.

Flink takes a setting that it does not know, or that this job or cluster cannot have, without a word. A run whose Python
functions ran otherwise than its settings say is no evidence for them; any other difference is a warning in the run.

REST tells the session cluster's own options, some of the job's, and its checkpoints'. Of the others `recorded` holds
what Flink's client had when it submitted the job: it may still do nothing, but it arrived, and its name is known.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.backends import PythonUse
from bench.backends.flink import get_json
from bench.scenario import nearest
from bench.scenario.sections import Pipeline, typed
from bench.toolchain.options import known_options, unknown

_UNITS_MS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_ALIASES = {"": "ms", "milli": "ms", "millis": "ms", "sec": "s", "second": "s", "seconds": "s", "m": "min"}
BACKENDS = {"HashMapStateBackend": "hashmap", "EmbeddedRocksDBStateBackend": "rocksdb"}  # as REST calls them
STORAGES = {"JobManagerCheckpointStorage": "jobmanager", "FileSystemCheckpointStorage": "filesystem"}
PYTHON, BUNDLES = "python.", "python.fn-execution.bundle."  # options that only a Python function, or its process, has
# What Flink's own start scripts make JVM flags of; every backend here starts the JVMs itself, with sizes of its own
OF_SCRIPTS = ("env.", "jobmanager.memory.", "taskmanager.memory.jvm-", "taskmanager.memory.framework.heap.",
              "taskmanager.memory.task.heap.")  # fmt: skip
PYTHON_FORMS = frozenset({"row", "pandas"})


@dataclass(frozen=True)
class Told:
    """What Flink tells of a job that runs. Options by name; those that nobody can ask for are not there."""

    cluster: Mapping[str, str]
    job: Mapping[str, str]
    task_managers: int | None
    slots: int | None


def ask(url: str, job_id: str) -> Told:
    """Ask REST; whatever does not answer tells nothing."""
    cluster = get_json(f"{url}/jobmanager/config") or []
    overview = get_json(f"{url}/overview") or {}
    execution = (get_json(f"{url}/jobs/{job_id}/config") or {}).get("execution-config", {})
    checkpoints = get_json(f"{url}/jobs/{job_id}/checkpoints/config")
    return Told(
        {str(entry["key"]): str(entry["value"]) for entry in cluster},
        job_options(execution, checkpoints),
        overview.get("taskmanagers"),
        overview.get("slots-total"),
    )


def job_options(execution: Mapping[str, Any], checkpoints: Mapping[str, Any] | None) -> dict[str, str]:
    """/jobs/ID/config and /jobs/ID/checkpoints/config as the options that they show."""
    found = {"parallelism.default": execution.get("job-parallelism"),
             "pipeline.object-reuse": execution.get("object-reuse-mode")}  # fmt: skip
    if checkpoints is not None and "errors" not in checkpoints:
        found |= {
            "execution.checkpointing.interval": f"{checkpoints.get('interval')} ms",
            "execution.checkpointing.mode": checkpoints.get("mode"),
            "execution.checkpointing.min-pause": f"{checkpoints.get('min_pause')} ms",
            "execution.checkpointing.unaligned.enabled": checkpoints.get("unaligned_checkpoints"),
            "state.backend.type": BACKENDS.get(str(checkpoints.get("state_backend"))),
            "execution.checkpointing.storage": STORAGES.get(str(checkpoints.get("checkpoint_storage"))),
        }
    return {key: plain(str(value)) for key, value in found.items() if value is not None}


def plain(text: str) -> str:
    """A value so that equal ones are equal: "2 s" is "2000 ms", "TRUE" is "true"."""
    text = text.strip().lower()
    found = re.fullmatch(r"(\d+) ?([a-z]+)", text)
    unit = _ALIASES.get(found[2], found[2]) if found else ""
    return f"{int(found[1]) * _UNITS_MS[unit]} ms" if found and unit in _UNITS_MS else text


def recorded(
    told: Told, pipeline: Pipeline, submitted: Mapping[str, str], function: str, python: PythonUse | None
) -> dict[str, Any]:
    """For the run's environment: what it ran with, of all that was asked for. `function`: its form."""
    return {
        "options": {**submitted, **told.job},
        "cluster_options": {key: told.cluster.get(key, "not told") for key in pipeline.cluster_flink},
        "task_managers": "not told" if told.task_managers is None else told.task_managers,
        "slots": "not told" if told.slots is None else told.slots,
        "python": _mode(function, python),
    }


def differences(
    told: Told, asked_of_job: Mapping[str, str], submitted: Mapping[str, str], pipeline: Pipeline, *, whole: bool
) -> Iterator[str]:  # fmt: skip
    """A sentence for each option that did not arrive. `whole`: a cluster of ours, with every TaskManager there."""
    names = {option: key for option, key in typed().items() if key.startswith("pipeline.")}
    job = {**submitted, **told.job}
    for asked, answers in ((asked_of_job, job), (pipeline.cluster_flink, told.cluster)):
        for option, value in asked.items():
            if plain(answers.get(option, value)) != plain(value):
                key = names.get(option, f"pipeline.flink.{option}")
                yield f"{key}: Flink was told {value} and ran with {answers[option]}"
    counts = {"parallelism": (pipeline.parallelism, float(told.job.get("parallelism.default", pipeline.parallelism)))}
    if whole and told.task_managers and told.slots is not None:
        counts["task_managers"] = (pipeline.task_managers, told.task_managers)
        counts["slots"] = (pipeline.slots_each, told.slots / told.task_managers)
    for key, (number, found) in counts.items():
        if found != number:
            yield f"pipeline.{key}: Flink was told {number} and ran with {found:g}"


def misspelt(pipeline: Pipeline, jars: tuple[Path, ...]) -> Iterator[str]:
    """A sentence for each raw option that this Flink has not."""
    for option in unknown(pipeline.flink, jars) if pipeline.flink else ():
        hint = nearest(option, list(known_options(jars)))
        yield f"pipeline.flink: Flink has no option {option}, it did nothing{hint}"


def _mode(function: str, python: PythonUse | None) -> str:
    """Where Python ran: a TaskManager that once had it inside keeps it, and tells it of jobs without any."""
    if python is None:
        return "not told"
    return python.mode if function in PYTHON_FORMS or python.processes else "none"


def without_effect(
    asked: Mapping[str, str], forms: Collection[str], *, standalone: bool, threads: bool = False
) -> Iterator[str]:
    """A sentence for each option that is right and does nothing here.

    `forms`: those of the job's function that may have run; `standalone`: whether no resource manager can give
    TaskManagers back; `threads`: Python runs in them alone.
    """
    if "resourcemanager.taskmanager-timeout" in asked and standalone:
        yield (
            "pipeline.task_manager_idle_timeout_s did nothing: only a resource manager that can release TaskManagers "
            "(native Kubernetes, YARN) looks at it, and this session cluster is standalone"
        )
    useless = [option for option in asked if option.startswith(PYTHON)]
    if useless and not PYTHON_FORMS & set(forms):
        yield f"{', '.join(useless)} did nothing: the job runs no Python function"
    elif threads and (bundles := [option for option in useless if option.startswith(BUNDLES)]):
        yield f"{', '.join(bundles)} did nothing: a function in a thread is called row by row, without bundles"
    if unread := [option for option in asked if option.startswith(OF_SCRIPTS)]:
        yield (
            f"{', '.join(unread)} did nothing: Flink's start scripts read that, and its JVMs are started without them"
        )


def of_another_storage(pipeline: Pipeline, varied: Collection[str]) -> Iterator[str]:
    """A sentence for each setting of a storage to which the checkpoints did not go.

    `varied`: the scenario's axes. Where the storage is one, what is given for all arms is meant for the other arms.
    """
    checkpoint = pipeline.checkpoint
    if checkpoint is None:
        return
    went_to = "an object store of your own" if checkpoint.storage == "s3" and pipeline.own_s3 else checkpoint.storage
    given = {
        "s3.latency_ms": ("s3", checkpoint.s3.latency_ms),
        "s3.bandwidth_mb_s": ("s3", checkpoint.s3.bandwidth_mb_s),
        "directory": ("local", checkpoint.directory),
    }
    for key, (storage, value) in given.items():
        path = f"pipeline.checkpoint.{key}"
        meant = path in varied or "pipeline.checkpoint.storage" not in varied
        if value and meant and storage != went_to:
            yield f"{path} did nothing: it is of storage {storage}, and checkpoints went to {went_to}"


def unseen(function: str, python: PythonUse | None) -> Iterator[str]:
    """A sentence where nobody saw in which mode Python ran: Flink falls back without a word."""
    if python is None and function in PYTHON_FORMS:
        yield "where Flink ran the Python function could not be seen: pipeline.python.mode is only what it was told"


def python_refusal(function: str, mode: str, python: PythonUse | None) -> str:
    """Why a run is no evidence for its Python settings, "" if it is. `function`: its form, as in the scenario."""
    if python is None or function not in PYTHON_FORMS or python.mode == mode:
        return ""
    ran = {"none": "in neither", "process": "in processes", "thread": "in threads"}[python.mode]
    return f"pipeline.python.mode was {mode}, and Flink ran the function {ran} ({python.processes} worker processes)"
