"""Every load, every reader and every fault on a real broker, in one study: what the command line promises, it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import command
import pytest

from bench import record

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

SCENARIO = """\
schema: 1
name: loads
workload: {name: clicks, keys: {distinct: 1000}}
topic: {partitions: 4}
cluster: {broker_heap_mb: 512, prime_s: 2}
phases: {warmup_s: 1, measure_s: 4, settle_s: 20}
repeats: 1
thresholds: [e2e_latency_ms p99 < 60000]   # a generator may be late by a tenth of it: CI machines are busy
loads:
  ramp: {shape: {ramp: {from_eps: 1000, to_eps: 5000, over_s: 5}}, consumers: [{group: a, members: 2}, {group: b}]}
  poisson: {shape: {poisson: {rate_eps: 2000}}, workers: 2}
  replay: {shape: {replay: {file: visits.ndjson, time: at, key: who, speed: 10}}, consumers: [{group: a}]}
  maximum: {rate_eps: maximum, phases: {measure_s: 2}}
  drain: {drain: 300_000, consumers: [{group: a}]}
  stopped: {rate_eps: 5000, faults: [{at_s: 1, do: stop, target: broker, for_s: 2}], phases: {measure_s: 6}}
  orphaned: {rate_eps: 5000, workers: 2, faults: [{at_s: 1, do: kill, target: loadworker}]}
"""
VISITS = 400


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> command.Command:
    folder = tmp_path_factory.mktemp("loads")
    (folder / "loads.yaml").write_text(SCENARIO)
    visits = [{"at": 1_790_000_000_000 + 20 * i, "who": f"w{i % 7}", "page": i} for i in range(VISITS)]
    (folder / "visits.ndjson").write_text("\n".join(map(json.dumps, visits)) + "\n")
    return command.run("run", str(folder / "loads.yaml"), "--json", out=folder / "results")


def run_of(study: command.Command, load: str) -> dict[str, Any]:
    [run] = [run for run in study.document["runs"] if run["load"] == load]
    return dict(run)


def value(run: dict[str, Any], name: str) -> float:
    return float(run["metrics"][name]["value"])


def counted(run: dict[str, Any], name: str) -> float:
    """What the run's comparison of this name found."""
    [found] = [check for check in run["checks"] if check["name"] == name]
    return float(found["actual"])


def test_each_load_ends_as_it_should(study: command.Command) -> None:
    """A load that silently ran as another one would be reported under its name."""
    for run in study.document["runs"]:
        if run["load"] == "orphaned":
            assert run["outcome"] == "invalid"
        else:
            command.assert_ran(run)
            assert all(check["ok"] for check in run["checks"]), run["checks"]
            assert value(run, "lost_events") == value(run, "duplicated_events") == 0


def test_consumer_groups_read_everything_and_time_it(study: command.Command) -> None:
    """Fan-out is judged by it: latency from the due time to the read, CPU and bytes of all groups, a backlog's end."""
    ramp = run_of(study, "ramp")
    for group in "ab":
        assert counted(ramp, f"group {group} read every event once") == 15_000  # the ramp's area
    assert 0 < value(ramp, "produce_latency_ms") < 60_000
    assert 0 < value(ramp, "e2e_latency_ms") < 60_000
    assert value(ramp, "consumed_eps") == pytest.approx(2 * value(ramp, "acknowledged_eps"), rel=0.3)
    assert value(ramp, "consumer_cpu_s_per_million_events") > 0
    assert 30 < value(ramp, "fetched_bytes_per_event") < 600
    series = record.load_series(Path(ramp["bundle"]))
    assert {"consumed_events:a", "consumed_events:b", "backlog_events", "consumer_cpu_s"} <= series.keys()
    assert series["consumed_events"].value.iloc[-1] == 15_000


def test_what_nobody_read_is_counted_afterwards_event_by_event(study: command.Command) -> None:
    """Equal totals can hide one event lost and another doubled."""
    poisson = run_of(study, "poisson")
    once = counted(poisson, "every event is in the topic once")
    assert once == value(poisson, "acknowledged_events") == pytest.approx(10_000, rel=0.06)
    assert "e2e_latency_ms" not in poisson["metrics"]


def test_a_recording_is_replayed_at_its_own_pace_times_ten(study: command.Command) -> None:
    replay = run_of(study, "replay")
    assert value(replay, "target_eps") == pytest.approx(500, rel=0.02)  # one event in 20 ms, ten times as fast
    assert counted(replay, "group a read every event once") == pytest.approx(2_500, rel=0.02)


def test_a_maximum_has_a_rate_and_no_latency(study: command.Command) -> None:
    """Closed by back-pressure, nothing is due: a latency would leave out the very waiting."""
    maximum = run_of(study, "maximum")
    assert value(maximum, "acknowledged_eps") > 5_000
    assert {"produce_latency_ms", "schedule_lateness_ms", "target_eps"} & maximum["metrics"].keys() == set()


def test_consumers_drain_a_topic_flat_out(study: command.Command) -> None:
    drain = run_of(study, "drain")
    assert value(drain, "drain_eps") > 10_000
    assert counted(drain, "group a read every event once") == 300_000


def test_a_stopped_broker_shows_in_the_tail_and_costs_nothing_else(study: command.Command) -> None:
    """Coordinated omission: a stall of two seconds must be seen as two seconds, and the run stays evidence."""
    stopped = run_of(study, "stopped")
    assert stopped["metrics"]["produce_latency_ms"]["percentiles"]["max"] > 1_800
    assert value(stopped, "acknowledged_events") == 7 * 5_000
    assert value(stopped, "offered_eps") == pytest.approx(5_000, rel=0.03)
    assert 1.5 < value(stopped, "recovery_s") < 6
    fault = record.load_series(Path(stopped["bundle"]))["faults"]
    assert fault.value.tolist() == [1, 0]
    assert fault.t_s.iloc[0] == pytest.approx(2.0, abs=0.5)  # one second into the window, which begins at one


def test_a_load_worker_that_dies_makes_its_run_invalid(study: command.Command) -> None:
    """Half the load arriving would read as a system that is twice as fast as needed."""
    assert "load worker 1 died" in run_of(study, "orphaned")["reason"]


def test_a_recording_with_a_fault_is_named_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "visits.ndjson").write_text('{"at": 1790000000000, "who": "a"}\n{"at": "soon", "who": "b"}\n')
    (tmp_path / "loads.yaml").write_text(SCENARIO)
    done = command.run("run", str(tmp_path / "loads.yaml"), out=tmp_path / "results")
    assert done.process.returncode == 2
    assert "visits.ndjson, line 2: at 'soon' is no time; expected ISO 8601" in done.stderr
    assert "starting Kafka" not in done.stderr
