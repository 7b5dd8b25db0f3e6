"""Scenarios: what a person writes runs exactly as written, or is refused with where, what and the nearest word."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import ScenarioError
from bench.scenario import Scenario, Settings, Trial, beside, estimate_s, find, load, parse_threshold
from bench.scenario.keypaths import paths

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path(__file__).parent / "data" / "scenario"
SHORT = "schema: 1\nworkload: {name: clicks}\nload: {rate_eps: 1000}\n"
JOB = "pipeline: {job: revenue, parallelism: 2}\n"
PRIMED_40_S = "cluster: {prime_s: 40}\n"

Read = Callable[..., Scenario]


def make_root(root: Path) -> Path:
    """A repository with one workload, one job and two claims."""
    for file, text in {
        "bench/workloads/clicks.py": "class Clicks(Workload):\n    pass\n",
        "bench/workloads/draws.py": "",
        "bench/jobs/revenue.py": "JOB = 1\n",
        "bench/jobs/client.py": "",
        "scenarios/claims/start-with-6-partitions.yaml": "",
        "scenarios/claims/over-partitioning-inflates-storage.yaml": "",
    }.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def read(root: Path, tmp_path: Path) -> Read:
    def read(text: str, *options: str, **more: Any) -> Scenario:
        file = tmp_path / "asked.yaml"
        file.write_text(text)
        return load(file, overrides=options, root=root, **more)

    return read


@pytest.fixture
def wrong(read: Read, tmp_path: Path) -> Callable[..., list[str]]:
    """The findings, with the folder cut off."""

    def wrong(text: str, *options: str, **more: Any) -> list[str]:
        with pytest.raises(ScenarioError) as error:
            read(text, *options, **more)
        return str(error.value).replace(f"{tmp_path}/", "").split("\n")

    return wrong


def trials(scenario: Scenario, **change: Any) -> list[Trial]:
    asked: dict[str, Any] = {"backend": "local", "workload_version": 1, "measurement_version": 1, "host_class": "2x"}
    return scenario.trials(**(asked | change))


# ---- what is wrong is said, all of it, where it stands


def test_every_mistake_of_a_file_is_reported_at_once_with_its_line_and_the_nearest_word(root: Path) -> None:
    """Prevents a typo from running another benchmark, and a user from meeting one error per attempt."""
    with pytest.raises(ScenarioError) as error:
        load(DATA / "wrong-everywhere.yaml", root=root)
    said = [line.removeprefix(f"{DATA}/wrong-everywhere.yaml:") for line in str(error.value).split("\n")]
    assert said == (DATA / "wrong-everywhere.txt").read_text().splitlines()
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "asked.yaml:1: is empty, expected a mapping such as"),
        ("# nothing yet\n", "asked.yaml:1: is empty"),
        ("- a\n- b\n", "asked.yaml:1: is not a mapping"),
        ("just words", "asked.yaml:1: is not a mapping"),
        ("schema: 1\nload: {rate_eps: 5\ntopic: {}\n", "asked.yaml:3: not valid YAML"),
        ("schema: 1\ntopic:\n\tpartitions: 6\n", "asked.yaml:3: not valid YAML"),
        ("schema: 1\ntopic: !!python/object:os.system {}\n", "asked.yaml:2: topic: has the tag"),
        ("schema: 1\ntopic: !!python/name:os.system x\n", "asked.yaml:2: not valid YAML"),
        ("schema: 1\nseed: !!int six\n", "asked.yaml:2: seed: 'six' is not text, or not what its tag says"),
        ("schema: 1\nseed: !!bool six\n", "asked.yaml:2: seed: 'six' is not text, or not what its tag says"),
        ('schema: 1\nquestion: "\\ud800"\n', "asked.yaml:2: question: '\\ud800' is not text"),
        ("schema: 1\n---\nschema: 1\n", "asked.yaml:2: not valid YAML"),
        ("schema: &a\n  - *a\n", "contains itself"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_in_one_sentence(
    wrong: Callable[..., list[str]], text: str, says: str
) -> None:
    """Prevents a traceback, or an empty file from running with nothing but defaults."""
    assert any(says in line for line in wrong(text))


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, root: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name, reason in (("none.yaml", "No such file"), (".", "Is a directory"), ("binary.yaml", "not UTF-8 text")):
        with pytest.raises(ScenarioError, match=reason):
            load(tmp_path / name, root=root)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("workload: {name: clicks}\nload: {drain: 5}", "1: schema: is missing, expected schema: 1"),
        ("schema: 2\nworkload: {name: clicks}\nload: {rate_eps: 5}", "1: schema: was 2, expected 1"),
        ("schema: 1\nworkload: {name: clicks}\n", "1: has none of them, expected exactly one of load, loads"),
        (SHORT + "loads: {a: {drain: 5}}", "4: loads: has load and loads, expected exactly one of load, loads"),
        ("schema: 1\nworkload: {name: clicks}\nloads: {}", "3: loads: is empty, expected at least one entry"),
        (SHORT.replace("rate_eps: 1000", "rate_eps: 0"), "3: load.rate_eps: was 0, expected events per second above 0"),
        (SHORT.replace("rate_eps: 1000", "workers: 2"), "3: load: has none of them, expected exactly one of rate_eps"),
        (SHORT.replace("rate_eps: 1000", "rate_eps: 5, drain: 5"), "3: load: has rate_eps and drain, expected exactly"),
        (SHORT.replace("rate_eps: 1000", "shape: {spik: {}}"), "load.shape.spik: unknown key, expected one of steps"),
        (SHORT.replace("rate_eps: 1000", "shape: {replay: {}}"), "3: load.shape.replay.file: is missing"),
        (SHORT.replace("rate_eps: 1000", "shape: {replay: {file: x.csv}}"), "no file 'x.csv' in"),
        (SHORT.replace("rate_eps: 1000", "rate_eps: search"), "3: load.rate_eps: is a search without an SLO"),
        (SHORT.replace("rate_eps: 1000", "drain: 5"), "3: load.drain: has nobody to read it, expected a pipeline"),
        (SHORT + "topic: {replication_factor: 3}", "4: topic.replication_factor: was 3, expected at most 1"),
        (SHORT + "topic: {min_insync: 2}", "4: topic.min_insync: was 2, expected at most 1"),
        (SHORT + "cluster: {racks: [a, b]}", "4: cluster.racks: has 2, expected at most 1"),
        (SHORT + "producer: {acks: 1}", "4: producer.acks: was 1, expected all: an idempotent producer"),
        (SHORT + "pipeline: {job: revenu}", "4: pipeline.job: unknown job 'revenu', expected one of "),
        (SHORT + "pipeline: {job: client}", "4: pipeline.job: unknown job 'client'"),
        (SHORT + "pipeline: {job: revenue, parallelism: 4, slots: 2}", "4: pipeline.slots: makes 2 slots in all"),
        (SHORT + "pipeline: {job: revenue, guarantee: exactly-once, checkpoint: none}", "exactly-once commits at"),
        (
            SHORT + "pipeline: {job: revenue, guarantee: exactly-once, checkpoint: {interval_s: 90}}",
            "interval_s: was 90, expected less than 60: exactly-once commits at checkpoints, and brokers end",
        ),
        (SHORT + "pipeline: {job: revenue, checkpoint: {incremental: true}}", "expected backend: rocksdb"),
        (SHORT + "pipeline: {job: revenue, flink: {a.b: [1]}}", "4: pipeline.flink: a.b was [1], expected one word"),
        (SHORT + "consumers: [{group: a}, {group: a}]", "4: consumers.1.group: 'a' is given twice"),
        (SHORT + "faults: [{at_s: 1, do: stop, target: broker}]", "4: faults.0.for_s: is missing, expected how many"),
        (SHORT + "faults: [{at_s: 29, do: stop, target: broker, for_s: 5}]", "ends 34 s into the"),
        (
            SHORT + "consumers: [{group: a}]\nfaults: [{at_s: 1, do: leave, target: consumer}, "
            "{at_s: 3, do: leave, target: consumer}, {at_s: 5, do: join, target: consumer}]",
            "faults.1.do: was leave, expected a member that is still there",
        ),
        (SHORT + "faults: [{at_s: 1, do: kill, target: taskmanager}]", "expected a pipeline to have one"),
        (SHORT + "faults: [{at_s: 1, do: fill-disk, target: loadworker, for_s: 1}]", "expected broker: only its disk"),
        (SHORT + "axes: {topic.partitions: []}", "4: axes.topic.partitions: is empty, expected at least one entry"),
        (SHORT + "axes: {topic.partitions: 6}", "4: axes.topic.partitions: was 6, expected a list"),
        (SHORT + "axes: {faults.0.at_s: [1]}", "4: axes.faults.0.at_s: cannot be an axis"),
        (SHORT + "quick: {axes: {topic.partitions: [0]}}", "4: quick.axes.topic.partitions.0: was 0, expected"),
        (SHORT + "axes: {topic.min_insync: [1, 2]}", "(where topic.min_insync = 2)"),
        (SHORT + "claims: [start-with-6-partition]", "did you mean 'start-with-6-partitions'?"),
        (SHORT + "topic: {partitions: [6, 96]}", "expected a whole number (several values go under axes)"),
        (SHORT + "1: 2\n", "4: 1: unknown key"),
        (SHORT + "[a, b]: 2\n", "4: ?: a key is a list or a mapping, expected a word"),
    ],
)
def test_what_cannot_be_right_is_refused_with_line_and_remedy(
    wrong: Callable[..., list[str]], text: str, says: str
) -> None:
    """Prevents a run that answers a question nobody asked."""
    assert any(f"asked.yaml:{says}" in line or (not says[0].isdigit() and says in line) for line in wrong(text))


def test_metric_names_of_thresholds_are_checked_where_a_registry_is_given(wrong: Callable[..., list[str]]) -> None:
    text = SHORT + "thresholds: ['e2e_latency_m p99 < 5']"
    said = wrong(text, metrics=["e2e_latency_ms", "lost_events"])
    assert said == ["asked.yaml:4: thresholds.0: unknown metric 'e2e_latency_m', did you mean 'e2e_latency_ms'?"]


# ---- options


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("topic.partitons=12", "topic.partitons: no such setting, did you mean 'topic.partitions'?"),
        ("partitions=12", "partitions: no such setting, did you mean 'topic.partitions'?"),
        ("topic.partitions=six", "topic.partitions: was 'six', expected a whole number"),
        ("topic.partitions=[1, six]", "axes.topic.partitions.1: was 'six', expected a whole number"),
        ("topic.partitions", "expected PATH=VALUE, such as topic.partitions=12"),
        ("topic.partitions=[1", "topic.partitions: the value is not valid YAML"),
        ("pipeline.parallelism=2", "pipeline.parallelism: there is no pipeline here, expected pipeline.job first"),
        ("topic.replication_factor=3", "topic.replication_factor: was 3, expected at most 1"),
        ("repeats=[1, 2]", "repeats: was [1, 2], expected a whole number"),
        ("axes.topic.partitons=[1]", "axes.topic.partitons: cannot be an axis"),
        ("faults.0.at_s=3", "faults.0.at_s: no such setting"),
    ],
)
def test_a_wrong_option_names_itself_and_no_line_of_the_file(
    wrong: Callable[..., list[str]], option: str, says: str
) -> None:
    """Prevents `--set` on a path that does not exist from silently measuring the default."""
    said = wrong(SHORT, option)
    assert len(said) == 1
    assert said[0].startswith(f"--set {option}: {says}")


LOADS = (
    "schema: 1\nworkload: {name: clicks}\naxes: {topic.partitions: [6, 96]}\nrepeats: 3\n"
    + JOB
    + "loads:\n  steady: {rate_eps: 1000}\n  drain: {drain: 5000, axes: {topic.partitions: [6]}, repeats: 2}\n"
    + "quick: {axes: {topic.partitions: [1, 6]}, repeats: 1, phases: {measure_s: 5}}\n"
)


def cells(scenario: Scenario) -> dict[str, list[Any]]:
    return {
        name: [knobs["topic.partitions"] for knobs, _ in scenario.cells(plan)] for name, plan in scenario.plans.items()
    }


def test_an_option_wins_over_axes_loads_and_quick(read: Read) -> None:
    """Prevents the file from quietly undoing what was asked for on the command line."""
    assert cells(read(LOADS)) == {"steady": [6, 96], "drain": [6]}
    assert cells(read(LOADS, quick=True)) == {"steady": [1, 6], "drain": [6]}
    assert cells(read(LOADS, "topic.partitions=12", quick=True)) == {"steady": [12], "drain": [12]}
    assert cells(read(LOADS, "topic.partitions=[3, 4]", quick=True)) == {"steady": [3, 4], "drain": [3, 4]}
    assert cells(read(LOADS, "loads.steady.axes.topic.partitions=[3, 4]")) == {"steady": [3, 4], "drain": [6]}
    for asked in (read(LOADS, "repeats=4", quick=True), read(LOADS, quick=True, repeats=4)):
        assert [plan.repeats for plan in asked.plans.values()] == [4, 4]
    assert read(LOADS, "phases.measure_s=7", quick=True).plans["steady"].phases.measure_s == 7
    swept = read(LOADS, "loads.steady.rate_eps=[500, 2000]")
    assert {t.load.rate_eps for t in trials(swept) if t.load_name == "steady"} == {500, 2000}
    assert {len(t.knobs) for t in trials(swept) if t.load_name == "drain"} == {1}


def test_quick_changes_only_what_it_names_and_a_missing_one_is_no_quick_run(
    read: Read, wrong: Callable[..., list[str]]
) -> None:
    plan = read(LOADS, quick=True).plans["steady"]
    assert (plan.repeats, plan.phases.measure_s, plan.phases.warmup_s) == (1, 5, 10)
    assert read(LOADS).plans["steady"].phases.measure_s == 30
    assert wrong(SHORT, quick=True) == ["asked.yaml:1: quick: is missing, expected a quick section for --quick"]


def test_a_flink_option_is_reached_through_its_dots_and_typed_ones_have_one_place(
    read: Read, wrong: Callable[..., list[str]]
) -> None:
    scenario = read(SHORT + JOB, "pipeline.flink.table.exec.state.ttl=[5 ms, null]")
    flink = [t.settings.pipeline.flink for t in trials(scenario, backend="x")[:2] if t.settings.pipeline]
    assert sorted(map(json.dumps, flink)) == ['{"table.exec.state.ttl": "5 ms"}', "{}"]
    assert "expected pipeline.parallelism instead" in wrong(SHORT + JOB, "pipeline.flink.parallelism.default=3")[0]


EVERY_PATH = [*paths({"loads": {"a": {}}, "faults": ({},), "consumers": ({},)}), "axes.topic.partitions", "nowhere"]
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 10**6)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["none", "all", "search", "rocksdb", "keyed", "json", "clicks", "x.y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "job"]), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None)
@given(asked=st.lists(st.tuples(st.sampled_from(EVERY_PATH), JUNK), min_size=1, max_size=3), quick=st.booleans())
def test_whatever_is_set_anywhere_either_runs_or_is_a_scenario_error(
    root: Path,
    tmp_path_factory: pytest.TempPathFactory,
    asked: list[tuple[str, Any]],
    quick: bool,  # noqa: FBT001
) -> None:
    """Prevents tracebacks, and settings that pass the check and then fail in the middle of a study."""
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(LOADS)
    options = [f"{path}={json.dumps(value)}" for path, value in asked]
    refused = ""
    try:
        scenario = load(file, overrides=options, root=root, quick=quick)
    except ScenarioError as error:
        refused = str(error)
    if refused:
        assert all(line.startswith((f"{file}:", "--set ")) for line in refused.split("\n"))
        return
    ran = trials(scenario)
    assert ran
    assert len({t.id for t in ran}) == len(ran)
    assert json.loads(json.dumps(scenario.describe()))["trials"] == len(ran)
    assert all(Settings.model_validate_json(t.settings.model_dump_json()) == t.settings for t in ran)


# ---- trials


@pytest.mark.parametrize("design", ["full", "one-at-a-time"])
def test_the_design_decides_which_cells_run(read: Read, design: str) -> None:
    """Prevents a product of axes where one factor at a time was asked for, and the other way round."""
    text = SHORT + "axes: {topic.partitions: [1, 6, 96], producer.routing: [sticky, keyed]}\ndesign: " + design
    plan = (scenario := read(text)).plans["load"]
    found = {(k["topic.partitions"], k["producer.routing"]) for k, _ in scenario.cells(plan)}
    around_6_keyed = {(1, "keyed"), (6, "keyed"), (96, "keyed"), (6, "sticky")}
    assert found == (around_6_keyed if design != "full" else {(p, r) for p in (1, 6, 96) for r in ("sticky", "keyed")})


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3), repeats=st.integers(1, 7), seed=st.integers(0, 99))
def test_blocks_hold_every_cell_once_and_come_in_mirrored_pairs(
    root: Path, tmp_path_factory: pytest.TempPathFactory, sizes: list[int], repeats: int, seed: int
) -> None:
    """Prevents a host that slowly gets hotter from looking like an effect of the axis that ran last."""
    axes = dict(zip(("topic.partitions", "producer.linger_ms", "cluster.broker_heap_mb"), sizes, strict=False))
    text = SHORT + json.dumps({"axes": {a: [1000 + i for i in range(n)] for a, n in axes.items()}})[1:-1]
    file = tmp_path_factory.mktemp("s") / "s.yaml"
    file.write_text(text.replace('"axes": ', "axes: ", 1) + f"\nrepeats: {repeats}\nseed: {seed}\n")
    scenario = load(file, root=root)
    ran = trials(scenario)
    blocks = [[tuple(t.knobs.items()) for t in ran if t.repetition == r] for r in range(repeats)]
    assert [t.repetition for t in ran] == sorted(t.repetition for t in ran)
    assert [t.order for t in ran] == list(range(len(ran)))
    assert all(Counter(block) == Counter(blocks[0]) and max(Counter(block).values()) == 1 for block in blocks)
    for first, second in zip(blocks[::2], blocks[1::2], strict=False):
        assert second == first[::-1]
    assert ran == trials(load(file, root=root))
    more = trials(load(file, root=root, repeats=repeats + 1))
    assert [t.id for t in more[: len(ran)]] == [t.id for t in ran]
    assert len({t.id for t in more}) == len(more)


def test_an_id_says_what_was_measured_and_nothing_else(read: Read) -> None:
    """Prevents a finished trial from being redone for a reworded question, or reused for another setting."""
    base = trials(read(SHORT))[0]
    same = SHORT + (
        "question: Reworded?\nclaims: [start-with-6-partitions]\nthresholds: ['e2e_latency_ms p99 < 5']\n"
        "pricing: {zones: 2}\nname: renamed\nrepeats: 9\nquick: {repeats: 1}\ntopic: {partitions: 6}\n"
    )
    assert trials(read(same))[0].id == base.id
    assert len(base.id) == 12
    assert int(base.id, 16) >= 0
    changes = [
        "topic.partitions=7",
        "seed=8",
        "load.rate_eps=1001",
        "phases.measure_s=31",
        "producer.linger_ms=11",
        "consumers=[{group: a}]",
        "workload.disorder_s=1",
        "topic.partitions=[6]",
    ]
    others = [trials(read(SHORT, change))[0].id for change in changes]
    others += [
        trials(read(SHORT), **{key: value})[0].id
        for key, value in {
            "backend": "compose",
            "workload_version": 2,
            "measurement_version": 2,
            "host_class": "4x",
        }.items()
    ]
    others.append(trials(read(SHORT))[1].id)
    assert len({base.id, *others}) == len(others) + 1


def test_ids_are_the_same_in_another_process(read: Read, tmp_path: Path, root: Path) -> None:
    """Prevents a resumed study from starting over because a hash was salted."""
    here = [t.id for t in trials(read(LOADS))]
    code = (
        "import sys; from pathlib import Path; from bench.scenario import load\n"
        "s = load(Path(sys.argv[1]), root=Path(sys.argv[2]))\n"
        "print(*[t.id for t in s.trials(backend='local', workload_version=1, measurement_version=1,"
        " host_class='2x')])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "asked.yaml", root],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        env={"PYTHONHASHSEED": "1234", "PYTHONPATH": str(REPOSITORY)},
    )
    assert out.stdout.split() == here


def test_cells_of_a_block_see_the_same_events_and_repetitions_see_others(read: Read) -> None:
    ran = trials(read(SHORT + "axes: {topic.partitions: [1, 6]}\nseed: 40"))
    assert {(t.repetition, t.seed) for t in ran} == {(0, 40), (1, 41), (2, 42)}


def test_a_trial_records_what_it_ran_with_on_the_paths_of_the_file(read: Read) -> None:
    """Prevents a bundle whose settings say something else than its knobs."""
    for trial in trials(read(LOADS)):
        kept = json.loads(json.dumps(trial.settings.model_dump(mode="json")))
        assert kept["topic"]["partitions"] == trial.knobs["topic.partitions"]
        assert kept["load"]["drain"] == (5000 if trial.load_name == "drain" else None)
        assert kept["pipeline"]["job"] == "revenue"


@pytest.mark.parametrize(
    ("option", "clusters"),
    [
        ("topic.partitions=7", 1),
        ("pipeline.checkpoint.interval_s=1", 1),
        ("pipeline.flink.table.exec.state.ttl=5 ms", 1),
        ("pipeline.flink.taskmanager.memory.managed.size=1g", 2),
        ("cluster.broker_heap_mb=800", 2),
        ("cluster.brokers=3", 2),
        ("pipeline.task_managers=2", 2),
        ("pipeline.slots=4", 2),
        ("pipeline.checkpoint.storage=s3", 1),
        ("pipeline=none", 2),
    ],
)
def test_a_cluster_is_shared_only_by_trials_that_could_not_tell(read: Read, option: str, clusters: int) -> None:
    """Prevents a setting from being recorded that the running cluster never had."""
    both = trials(read(SHORT + JOB)) + trials(read(SHORT + JOB, option))
    assert len({t.shape_key for t in both}) == clusters


def test_several_backends_take_turns(read: Read) -> None:
    """A ratio of backends measured one after the other is also the ratio of a morning to an afternoon."""
    scenario = read(SHORT + JOB, "repeats=3")
    arms = [trials(scenario, backend=backend) for backend in ("local", "compose")]
    both = beside(arms)
    assert [(t.repetition, t.knobs["backend"], t.backend) for t in both] == [
        (0, "local", "local"), (0, "compose", "compose"),
        (1, "compose", "compose"), (1, "local", "local"),
        (2, "local", "local"), (2, "compose", "compose"),
    ]  # fmt: skip
    assert [t.order for t in both] == list(range(6))
    assert len({t.shape_key for t in both}) == 6  # a cluster that has run before is warm: each turn has its own
    assert len({t.id for t in (*both, *arms[0], *arms[1])}) == 12  # a run by itself never stands in for one of a pair
    assert {t.id for t in beside([arm[:2] for arm in arms])} < {t.id for t in both}  # more repeats keep the first ones


# ---- words


def test_thresholds_are_read_with_their_share_of_the_load() -> None:
    slope = parse_threshold("backlog_slope_eps upper < 1% of load")
    assert (slope.metric, slope.stat, slope.op, slope.value, slope.unit, slope.of_load) == (
        "backlog_slope_eps",
        "upper",
        "<",
        1.0,
        "%",
        True,
    )
    assert slope.limit(50_000) == 500
    assert slope.limit(None) is None
    assert parse_threshold("e2e_latency_ms p99.9<=5e2").limit() == 500
    assert str(slope) == "backlog_slope_eps upper < 1% of load"
    for text in ("p99 < 5", "e2e_latency_ms p99 5", "e2e_latency_ms p99 < fast", "e2e_latency_ms p99 < 5 of it", ""):
        with pytest.raises(ValueError, match="expected METRIC STAT OP VALUE"):
            parse_threshold(text)


def test_find_takes_a_name_or_a_path_and_suggests(root: Path, tmp_path: Path) -> None:
    (root / "scenarios" / "ingest.yaml").write_text(SHORT)
    assert find("ingest", root=root) == root / "scenarios" / "ingest.yaml"
    assert find(str(root / "scenarios" / "ingest.yaml"), root=tmp_path) == root / "scenarios" / "ingest.yaml"
    with pytest.raises(ScenarioError, match="no scenario 'ingst', expected a file or one of ingest, did you mean"):
        find("ingst", root=root)


def test_the_estimate_grows_with_the_work_and_counts_clusters_not_trials(read: Read) -> None:
    one, three = (estimate_s(trials(read(SHORT, repeats=n))) for n in (1, 3))
    start = estimate_s(trials(read(SHORT, repeats=1)), cluster_s=0)  # nobody reads: nothing is primed
    assert three - one == pytest.approx(2 * start)  # the same cluster serves all three
    two_shapes = trials(read(SHORT + "axes: {cluster.broker_heap_mb: [800, 900]}", repeats=1))
    assert estimate_s(two_shapes) == pytest.approx(2 * one)
    usual, longer = (estimate_s(trials(read(f"{SHORT}{JOB}{more}", repeats=1))) for more in ("", PRIMED_40_S))
    assert longer - usual == pytest.approx(20)  # 20 s without a word


@pytest.mark.parametrize("file", sorted((REPOSITORY / "scenarios").glob("*.yaml")), ids=lambda f: f.stem)
def test_every_scenario_of_the_repository_reads(file: Path) -> None:
    """Prevents a scenario from rotting after its workload, job, claim or metric was renamed."""
    from bench.metrics import METRICS

    scenario = load(file, metrics=METRICS)
    assert scenario.name == file.stem
    assert scenario.question.endswith("?")
    assert trials(scenario)
    if scenario.quick:
        quick = load(file, metrics=METRICS, quick=True)
        assert estimate_s(trials(quick)) < estimate_s(trials(scenario))


def test_the_quickstart_interleaves_six_and_ninety_six(root: Path) -> None:
    ran = trials(load(REPOSITORY / "scenarios" / "quickstart.yaml", root=root))
    steady = [t.knobs["topic.partitions"] for t in ran if t.load_name == "steady"]
    assert set(steady[:2]) == {6, 96}
    assert steady[:2] == steady[3:1:-1]
    assert Counter(steady) == {6: 4, 96: 4}
    drains = [t.load.drain for t in ran if t.load_name == "drain"]
    assert len(drains) == 2
    assert min(events or 0 for events in drains) >= 500_000  # shorter, and the window holds too few samples
    assert len({t.shape_key for t in ran}) == 1
