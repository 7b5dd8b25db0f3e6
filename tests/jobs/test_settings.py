"""Every Flink setting that has a key: found by itself, so that a new one needs no line here."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest

from bench import jobs
from bench.backends import PythonUse
from bench.backends.accounting import python_use
from bench.backends.flink import MEASURABLE, told
from bench.campaign import cluster_spec, only_local
from bench.errors import ScenarioError
from bench.jobs import in_our_store, job_params
from bench.scenario import Settings, load
from bench.scenario.keypaths import locate
from bench.scenario.options import Sets, declared
from bench.scenario.reading import scan
from bench.scenario.sections import Pipeline, typed
from bench.toolchain import provision
from bench.toolchain.options import known_options, unknown
from bench.trial import readback

ROOT = Path(__file__).resolve().parents[2]
AXES = dict(declared(Pipeline, "pipeline"))
FORMS = [(job, form) for job in jobs.names() for form in jobs.functions(job)]


@pytest.fixture(scope="module")
def jars() -> tuple[Path, ...]:
    return provision(progress=False).flink_classpath


def settings(tmp_path: Path, *options: str, job: str = "margin") -> Settings:
    """Of a scenario's first cell."""
    file = tmp_path / "asked.yaml"
    reads = jobs.find(job).reads or "clicks"
    file.write_text(
        f"schema: 1\nworkload: {{name: {reads}}}\nload: {{rate_eps: 1_000}}\npipeline:\n  job: {job}\n  function: row\n"
        if "row" in jobs.functions(job)
        else f"schema: 1\nworkload: {{name: {reads}}}\nload: {{rate_eps: 1_000}}\npipeline:\n  job: {job}\n"
    )
    scenario = load(file, overrides=options)
    return scenario.cells(next(iter(scenario.plans.values())))[0][1]


def a_value(kind: Any) -> Any:
    """Something that a key of this type may be, and is not by default."""
    if get_origin(kind) is Annotated:
        return a_value(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return a_value(next(one for one in get_args(kind) if one is not type(None)))
    if get_origin(kind) is Literal:
        return get_args(kind)[-1]
    return {bool: "true", int: 3, float: 3, str: "/some/where"}[kind]


# what a key needs beside it, where it would do nothing alone and is refused
WITH = {
    "pipeline.checkpoint.unaligned": "pipeline.checkpoint.mode=exactly-once",
    "pipeline.checkpoint.working_directory": "pipeline.checkpoint.backend=rocksdb",
}


@pytest.mark.parametrize("key", AXES)
def test_a_key_reaches_flink_as_the_option_it_says(tmp_path: Path, key: str, jars: tuple[Path, ...]) -> None:
    """A setting that gets lost on the way compares a value with itself; one that Flink does not know does the same."""
    place = locate(key, {})
    assert place is not None
    assert place.single  # it can be an axis
    one, value = AXES[key], a_value(place.kind)
    asked = settings(tmp_path, f"{key}={value}", *([WITH[key]] if key in WITH else []))
    assert asked.pipeline is not None
    given = (
        cluster_spec(asked).flink if one.of_cluster else job_params(asked, "", "run", "in", {"margins": "m"}).settings
    )
    expected = f"{round(value * one.scale)} {one.unit}".strip() if isinstance(value, int) else str(value)
    assert given[one.option] == expected
    assert set(one.beside) <= set(given.items())
    assert unknown([one.option, *dict(one.beside)], jars) == []
    usual = settings(tmp_path)
    assert usual.pipeline is not None
    assert one.option not in {**usual.pipeline.job_flink, **usual.pipeline.cluster_flink}


@pytest.mark.parametrize("option", typed())
def test_an_option_with_a_key_is_not_said_twice(tmp_path: Path, option: str) -> None:
    """The later of two would win, and the scenario would show the other."""
    with pytest.raises(ScenarioError, match=f"{re.escape(option)} has a key of its own, expected {typed()[option]}"):
        settings(tmp_path, f"pipeline.flink.{option}=1")


@pytest.mark.parametrize(
    ("option", "key"),
    [
        ("state.backend", "pipeline.checkpoint.backend"),
        ("state.backend.incremental", "pipeline.checkpoint.incremental"),
        ("state.checkpoints.dir", "pipeline.checkpoint.directory"),
        ("execution.buffer-timeout", "pipeline.buffer_timeout_ms"),
        ("execution.checkpointing.mode", "pipeline.checkpoint.mode"),
    ],
)
def test_an_option_is_known_by_its_former_name_too(tmp_path: Path, option: str, key: str) -> None:
    """`state.backend: rocksdb`, as most pages on Flink have it, would be passed over for the key's hashmap."""
    with pytest.raises(ScenarioError, match=f"{re.escape(option)} has a key of its own, expected {re.escape(key)} "):
        settings(tmp_path, f"pipeline.flink.{option}=1")


@pytest.mark.parametrize("setting", ["buffer_timeout_ms=0.5", "watermark_interval_ms=0.2", "idle_timeout_s=0.0004"])
def test_what_would_be_rounded_to_another_meaning_is_refused(tmp_path: Path, setting: str) -> None:
    """A buffer timeout of 0 flushes each record by itself, a watermark interval of 0 is none at all."""
    key, _, value = setting.partition("=")
    with pytest.raises(ScenarioError, match=rf"pipeline.{key}: was {value}, expected a whole number of ms"):
        settings(tmp_path, f"pipeline.{setting}")
    asked = settings(tmp_path, "pipeline.idle_timeout_s=0.29", "pipeline.buffer_timeout_ms=2.0").pipeline
    assert asked is not None
    assert asked.job_flink["table.exec.source.idle-timeout"] == "290 ms"
    assert asked.job_flink["execution.buffer-timeout.interval"] == "2 ms"


@pytest.mark.parametrize("option", ["s3.access-key", "s3.secret-key", "security.ssl.rest.key-password"])
def test_a_secret_is_refused_before_a_bundle_keeps_it(tmp_path: Path, option: str) -> None:
    with pytest.raises(ScenarioError, match=f"{option} is a secret, .* expected AWS_ACCESS_KEY_ID") as refused:
        settings(tmp_path, f"pipeline.flink.{option}=hunter2")
    assert "hunter2" not in str(refused.value)


def test_flink_knows_every_option_that_it_is_told_here(jars: tuple[Path, ...]) -> None:
    """It takes an option of an older version without a word: slots were no longer spread over TaskManagers."""
    assert unknown({**MEASURABLE, **told(1, 512, 128), **typed()}, jars) == []
    for job in jobs.names():
        assert unknown(jobs.find(job).settings, jars) == []


def test_a_misspelt_option_is_named_with_the_nearest(jars: tuple[Path, ...]) -> None:
    """It would do nothing, and the run would look as if it had."""
    asked = Pipeline(job="margin", flink={"execution.bufer-timeout.interval": "5 ms", "metrics.reporter.x.class": "y"})
    (said,) = readback.misspelt(asked, jars)
    assert said.startswith("pipeline.flink: Flink has no option execution.bufer-timeout.interval, it did nothing")
    assert "execution.buffer-timeout.interval" in said.partition("nothing")[2]
    assert len(known_options(jars)) > 1_000


# ---- forms of a function


def test_a_scenario_knows_the_forms_that_the_jobs_have() -> None:
    """They are read from the files' text: a job that says them otherwise would be refused."""
    assert scan(ROOT).functions == {job: jobs.functions(job) for job in jobs.names() if jobs.functions(job)}
    assert {form for _, form in FORMS} == {"sql", "java", "row", "pandas"}


@pytest.mark.parametrize(("job", "form"), [(job, form) for job, form in FORMS if form != "row"])
def test_only_rows_run_in_threads(tmp_path: Path, job: str, form: str) -> None:
    """Flink runs a pandas function in processes whatever it is told: the arm would be another one."""
    line = 6 if len(jobs.functions(job)) > 1 else 5
    valid = "process or pipeline.function: row" if "row" in jobs.functions(job) else "process"
    with pytest.raises(ScenarioError, match=rf"pipeline.python.mode: was 'thread', expected {valid}: .*{form}"):
        settings(tmp_path, f"pipeline.function={form}", "pipeline.python.mode=thread", job=job)
    file = tmp_path / "asked.yaml"
    file.write_text(file.read_text().replace("function: row\n", f"function: {form}\n") + "  python: {mode: thread}\n")
    with pytest.raises(ScenarioError, match=rf"asked.yaml:{line + 1}: pipeline.python.mode: "):
        load(file)


@pytest.mark.parametrize("job", sorted({*jobs.names()} - {job for job, _ in FORMS}))
def test_a_job_without_a_function_has_no_form_of_it(tmp_path: Path, job: str) -> None:
    with pytest.raises(ScenarioError, match=f"'{job}' has no function of its own, expected a job with 'java': margin"):
        settings(tmp_path, "pipeline.function=java", job=job)
    with pytest.raises(ScenarioError, match=r"was 'thread', expected process: nothing of it is Python"):
        settings(tmp_path, "pipeline.python.mode=thread", job=job)


def test_a_bound_below_the_disorder_is_the_watermarks(tmp_path: Path) -> None:
    asked = settings(tmp_path, "workload.disorder_s=5", "pipeline.disorder_bound_s=1.5")
    assert jobs.watermark_delay_ms(asked) == 1_500
    assert jobs.watermark_delay_ms(settings(tmp_path, "workload.disorder_s=5")) == 5_000


# ---- what Flink says it ran with

EXECUTION = {"job-parallelism": 2, "object-reuse-mode": False}
CHECKPOINTS = {"interval": 1000, "mode": "exactly_once", "min_pause": 0, "unaligned_checkpoints": False,
               "state_backend": "HashMapStateBackend", "checkpoint_storage": "FileSystemCheckpointStorage"}  # fmt: skip
THREADS, PROCESSES, NEITHER = PythonUse(0, embedded=True), PythonUse(2, embedded=True), PythonUse(0, embedded=False)


def what_ran(**cluster: str) -> readback.Told:
    named = {key.replace("__", "-").replace("_", "."): value for key, value in cluster.items()}
    return readback.Told(named, readback.job_options(EXECUTION, CHECKPOINTS), 1, 2)


def differences(asked: Pipeline, told: readback.Told, submitted: dict[str, str] | None = None) -> list[str]:
    return list(readback.differences(told, asked.job_flink, submitted or {}, asked, whole=True))


def test_an_option_that_did_not_arrive_is_named_with_both_values() -> None:
    asked = Pipeline(job="revenue", parallelism=2, slots=2, object_reuse=True, slot_idle_timeout_s=2)
    assert differences(asked, what_ran(slot_idle_timeout="50 s")) == [
        "pipeline.object_reuse: Flink was told true and ran with false",
        "pipeline.slot_idle_timeout_s: Flink was told 2000 ms and ran with 50 s",
    ]
    same = asked.model_copy(update={"object_reuse": False})
    assert differences(same, what_ran(slot_idle_timeout="2 s")) == []
    lost = same.model_copy(update={"flink": {"table.x": 5}})
    assert differences(lost, what_ran(), {"table.x": "7"}) == [
        "pipeline.flink.table.x: Flink was told 5 and ran with 7"
    ]
    more = same.model_copy(update={"parallelism": 4, "task_managers": 2, "slots": 3})
    assert differences(more, what_ran()) == [
        "pipeline.parallelism: Flink was told 4 and ran with 2",
        "pipeline.task_managers: Flink was told 2 and ran with 1",
        "pipeline.slots: Flink was told 3 and ran with 2",
    ]
    away = readback.differences(what_ran(), {}, {}, same.model_copy(update={"task_managers": 2}), whole=False)
    assert list(away) == []  # one that a fault took is no setting that did not arrive
    checkpointing = {"execution.checkpointing.interval": "5 s", "execution.checkpointing.mode": "EXACTLY_ONCE"}
    (said,) = readback.differences(what_ran(), checkpointing, {}, same, whole=True)
    assert said == "pipeline.checkpoint.interval_s: Flink was told 5 s and ran with 1000 ms"
    on_heap = {"execution.checkpointing.storage": "jobmanager"}
    (said,) = readback.differences(what_ran(), on_heap, {}, same, whole=True)
    assert said == "pipeline.checkpoint.storage: Flink was told jobmanager and ran with filesystem"


def test_a_function_that_ran_elsewhere_is_no_evidence_for_where_it_was_to_run() -> None:
    """Thread mode falls back to processes without a word: threads would look as slow as processes."""
    assert readback.python_refusal("row", "thread", PROCESSES).startswith(
        "pipeline.python.mode was thread, and Flink ran"
    )
    assert "in threads" in readback.python_refusal("row", "process", THREADS)
    assert "in neither" in readback.python_refusal("pandas", "process", NEITHER)
    assert (
        readback.python_refusal("row", "thread", THREADS) == readback.python_refusal("row", "process", PROCESSES) == ""
    )
    assert readback.python_refusal("row", "thread", None) == readback.python_refusal("sql", "process", NEITHER) == ""


def test_where_python_ran_unseen_is_said() -> None:
    """On a cluster of somebody else's a fallback would pass for the mode that was asked for."""
    (said,) = readback.unseen("row", None)
    assert "could not be seen" in said
    assert [*readback.unseen("sql", None), *readback.unseen("row", PROCESSES)] == []


def test_python_workers_are_seen_in_the_process_list() -> None:
    """As Flink starts them: below its own process, by way of a shell."""
    code = "import time; print('up', flush=True); time.sleep(60)"
    before = python_use([os.getpid()])
    words = f'"{sys.executable}" -c "{code}" -m pyflink.fn_execution.beam.beam_boot; true'
    with subprocess.Popen(["sh", "-c", words], stdout=subprocess.PIPE, start_new_session=True) as shell:
        try:
            assert shell.stdout is not None
            assert shell.stdout.readline() == b"up\n"
            seen = python_use([os.getpid()])
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
    assert before == PythonUse(0, embedded=False)
    assert seen is not None
    assert seen.mode == "process"
    assert python_use([2**22 + 1]) is None  # there is no such process: nobody knows


def test_a_setting_that_nobody_here_looks_at_says_so() -> None:
    asked = {"resourcemanager.taskmanager-timeout": "2000 ms", "python.fn-execution.bundle.time": "10"}
    idle, python = readback.without_effect(asked, (), standalone=True)
    assert "this session cluster is standalone" in idle
    assert python == "python.fn-execution.bundle.time did nothing: the job runs no Python function"
    assert list(readback.without_effect(asked, ("sql", "row"), standalone=False)) == []
    assert len(list(readback.without_effect(asked, ("sql",), standalone=False))) == 1  # it has one, and did not run it
    asked["python.execution-mode"] = "thread"  # as Flink's EmbeddedPythonScalarFunctionOperator has it
    (bundles,) = readback.without_effect(asked, ("row",), standalone=False, threads=True)
    assert bundles.startswith(
        "python.fn-execution.bundle.time did nothing: a function in a thread is called row by row"
    )


@pytest.mark.parametrize("option", ["env.java.opts.taskmanager", "taskmanager.memory.task.heap.size"])
def test_what_only_flinks_scripts_read_does_nothing(option: str, jars: tuple[Path, ...]) -> None:
    """The JVMs here have flags and sizes of their own: a heap of 4 GB would be recorded that was 1.6."""
    (said,) = readback.without_effect({option: "4g"}, (), standalone=True)
    assert said.startswith(f"{option} did nothing: Flink's start scripts read that")
    assert unknown([option], jars) == []  # a name that Flink knows: nothing else would have told
    assert list(readback.without_effect({"taskmanager.memory.managed.size": "1g"}, (), standalone=True)) == []


def test_a_setting_of_another_storage_says_that_it_did_nothing(tmp_path: Path) -> None:
    """Two latencies of a store to which nothing went are the same arm twice."""

    def said(*options: str, varied: tuple[str, ...] = ()) -> list[str]:
        asked = settings(tmp_path, *(f"pipeline.{option}" for option in options)).pipeline
        assert asked is not None
        return list(readback.of_another_storage(asked, varied))

    slow, far = "checkpoint.s3.latency_ms=30", "pipeline.checkpoint.s3.latency_ms"
    wrong = f"{far} did nothing: it is of storage s3, and checkpoints went to local"
    assert said(slow) == said(slow, varied=(far,)) == [wrong]
    assert said(slow, varied=("pipeline.checkpoint.storage", far)) == [wrong]
    assert said(slow, varied=("pipeline.checkpoint.storage",)) == []  # what the other arm has
    assert said(slow, "checkpoint.storage=s3") == said() == []
    own = said(slow, "checkpoint.storage=s3", "flink.s3.endpoint=http://minio:9000")
    assert own == [wrong.replace("went to local", "went to an object store of your own")]
    (folder,) = said("checkpoint.directory=/mnt/x", "checkpoint.storage=jobmanager")
    assert folder.startswith("pipeline.checkpoint.directory did nothing: it is of storage local")


def test_python_that_an_earlier_job_brought_in_is_not_this_jobs() -> None:
    """A TaskManager never lets go of it: every SQL run after one in threads would say that it ran Python."""
    asked, told = Pipeline(job="margin"), what_ran()
    ran = {form: readback.recorded(told, asked, {}, form, THREADS)["python"] for form in ("sql", "row")}
    assert ran == {"sql": "none", "row": "thread"}
    assert readback.recorded(told, asked, {}, "sql", PROCESSES)["python"] == "process"
    assert readback.recorded(told, asked, {}, "row", None)["python"] == "not told"


@pytest.mark.parametrize(
    ("one", "other"),
    [("2 s", "2000 ms"), ("1 min", "60000"), ("TRUE", "true"), ("1 h", "3600 s"), ("RocksDB", "rocksdb")],
)
def test_equal_values_are_equal_however_they_are_written(one: str, other: str) -> None:
    assert readback.plain(one) == readback.plain(other) or readback.plain(one) == f"{other} ms"
    assert readback.plain("2 s") != readback.plain("3 s")


def test_a_default_sets_nothing() -> None:
    """Flink's own default counts, and a job's own settings, not ours in their stead."""
    assert Pipeline(job="margin").job_flink == Pipeline(job="margin").cluster_flink == {}
    assert Sets("a", "ms", 1000).text(0.25) == "250 ms"


# ---- where checkpoints go


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], {"execution.checkpointing.mode": "AT_LEAST_ONCE"}),
        (["mode=exactly-once"], {"execution.checkpointing.mode": "EXACTLY_ONCE"}),
        (["storage=s3"], {"execution.checkpointing.dir": "s3://streamgauge/run"}),
        (["storage=jobmanager"], {"execution.checkpointing.storage": "jobmanager"}),
        (["directory=/mnt/my disk"], {"execution.checkpointing.dir": "file:///mnt/my%20disk"}),
    ],
)
def test_checkpoints_go_where_the_scenario_says(tmp_path: Path, options: list[str], told: dict[str, str]) -> None:
    """Two arms that write to the same place compare a store with itself."""
    asked = settings(tmp_path, *(f"pipeline.checkpoint.{option}" for option in options))
    given = job_params(asked, "", "run", "in", {"margins": "m"}).settings
    assert set(told.items()) <= set(given.items())
    if not options:
        assert not {"execution.checkpointing.dir", "execution.checkpointing.storage"} & given.keys()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["unaligned=true"], "unaligned: was true, expected mode: exactly-once"),
        (["working_directory=/x"], "working_directory: is of RocksDB, expected backend: rocksdb"),
        (["directory=here"], "directory: was 'here', expected a folder's whole path"),
        (["s3.latency_ms=-1"], "s3.latency_ms: was -1"),
        (["incremental=true"], "incremental: was true, expected backend: rocksdb"),
    ],
)
def test_what_a_checkpoint_cannot_have_is_refused(tmp_path: Path, options: list[str], says: str) -> None:
    """Flink leaves it out without a word, and the arm is the other one again."""
    with pytest.raises(ScenarioError, match=re.escape(f"pipeline.checkpoint.{says}")):
        settings(tmp_path, *(f"pipeline.checkpoint.{option}" for option in options))


def test_only_the_local_backend_has_a_store_that_is_metered(tmp_path: Path) -> None:
    """Elsewhere a latency would be recorded that nobody set; a store of one's own is one's own affair."""
    asked = settings(tmp_path, "pipeline.checkpoint.storage=s3")
    assert "s3.endpoint" in only_local(asked, "compose")
    assert "s3.endpoint" not in only_local(asked, "remote")  # where it would be refused: that cluster is configured
    assert "needs --backend local" in only_local(asked, "remote")
    assert in_our_store(asked)
    own = settings(tmp_path, "pipeline.checkpoint.storage=s3", "pipeline.flink.s3.endpoint=http://minio:9000")
    assert not in_our_store(own)
    assert only_local(own, "compose") == only_local(settings(tmp_path), "compose") == ""


@pytest.mark.parametrize("key", ["directory", "working_directory"])
def test_a_folder_of_this_machine_is_not_one_of_a_container(tmp_path: Path, key: str) -> None:
    """It would be made in the container's own layer, and recorded as the disk that was to be measured."""
    beside = ["pipeline.checkpoint.backend=rocksdb"] if key == "working_directory" else []
    asked = settings(tmp_path, f"pipeline.checkpoint.{key}=/mnt/ebs/x", *beside)
    assert only_local(asked, "testcontainers").startswith(f"pipeline.checkpoint.{key} needs --backend local: ")
    assert "/mnt/ebs/x" in only_local(asked, "compose")
    assert only_local(asked, "remote") == ""  # a folder of its TaskManagers'
