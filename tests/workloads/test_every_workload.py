"""The contract that every workload in the folder keeps; a new file is found and held to it by itself."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import fastavro
import numpy as np
import pytest

from bench.errors import ScenarioError
from bench.loadgen.schedule import Schedule
from bench.workloads import Batch, Knobs, Workload, find, open_workload

T0_NS = 1_790_000_000_123_456_789
SCHEDULE = Schedule.constant(T0_NS, 40_000.0, 60)
SEQ = np.arange(990, 4_990, dtype=np.int64)  # numbers grow a digit on the way
DUE = SCHEDULE.due_ns(SEQ)
FORMATS = ("json", "csv", "avro")


@lru_cache(maxsize=64)
def opened(name: str, fmt: str = "json", **knobs: Any) -> Workload:
    base: dict[str, Any] = {"event_bytes": 400, "distinct": 500, "disorder_s": 3.0, "event_time_speed": 60.0}
    return open_workload(Knobs(**{"name": name, "format": fmt, **base, **knobs}), 7, T0_NS, SCHEDULE)


@pytest.fixture(params=sorted(find()))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def parsed(workload: Workload, batch: Batch) -> list[dict[str, Any]]:
    names = [f.name for f in workload.fields]
    values = [batch.value(i) for i in range(len(batch))]
    if workload.knobs.format == "json":
        return [json.loads(v) for v in values]
    if workload.knobs.format == "avro":
        schema = fastavro.parse_schema(workload.avro_schema)
        records: list[Any] = [fastavro.schemaless_reader(io.BytesIO(v), schema, None) for v in values]
        return records
    cast: dict[str, Callable[[str], Any]] = {f.name: str if f.type == "string" else int for f in workload.fields}
    rows = csv.reader([v.decode() for v in values], strict=True)
    return [{n: cast[n](cell) for n, cell in zip(names, row, strict=True)} for row in rows]


@pytest.mark.parametrize("fmt", FORMATS)
def test_bytes_say_what_the_truth_says(name: str, fmt: str) -> None:
    """Else an oracle built from `columns` would judge a job by events that were never sent."""
    workload = opened(name, fmt)
    truth = workload.columns(SEQ, DUE)
    events = parsed(workload, workload.encode(SEQ, DUE))
    for f in workload.fields:
        if f.name in truth:
            assert [e[f.name] for e in events] == truth[f.name].tolist(), f.name
    assert {f.name for f in workload.fields} - set(truth.columns) <= {workload.filler.name}
    assert [n for n, _ in workload.flink_ddl_columns] == list(events[0])


@pytest.mark.parametrize("fmt", FORMATS)
def test_an_event_is_the_same_wherever_it_is_made(name: str, fmt: str) -> None:
    """Two workers, another chunk size or the oracle would otherwise make other events of the same schedule."""
    workload = opened(name, fmt, duplicates=0.05)
    again = workload.starting(T0_NS, SCHEDULE)
    whole = workload.encode(int(SEQ[0]), DUE)
    page = again.page(1_000)
    for part in (slice(1, 4_000, 7), slice(3_500, 3_501), slice(0, 900)):
        batch = again.encode(SEQ[part], DUE[part], page)
        assert [batch.value(i) for i in range(len(batch))] == [whole.value(i) for i in range(len(SEQ))[part]]
        assert [batch.key(i) for i in range(len(batch))] == [whole.key(i) for i in range(len(SEQ))[part]]


def test_another_seed_gives_other_events(name: str) -> None:
    """Repetitions with the same bytes would count one sample several times."""
    workload = opened(name)
    one, other = (w.encode(SEQ, DUE) for w in (workload, open_workload(workload.knobs, 8, T0_NS, SCHEDULE)))
    assert sum(one.value(i)[85:] == other.value(i)[85:] for i in range(len(SEQ))) < len(SEQ) / 100


@pytest.mark.parametrize("fmt", FORMATS)
def test_size_is_the_one_asked_for(name: str, fmt: str) -> None:
    """MB/s and dollars are computed from it."""
    workload = opened(name, fmt)
    assert np.abs(workload.encode(SEQ, DUE).lengths - 400).max() <= 1
    spread = opened(name, fmt, event_bytes=800, event_bytes_sigma=0.2)
    lengths = spread.encode(np.arange(60_000), SCHEDULE.due_ns(np.arange(60_000))).lengths
    assert abs(lengths.mean() / 800 - 1) < 0.03
    assert 0.15 < np.log(lengths).std() < 0.25
    with pytest.raises(ScenarioError, match=f"too small for {name}.*at least"):
        opened(name, fmt, event_bytes=40).encode(SEQ, DUE)


def test_event_time_stays_within_its_bound(name: str) -> None:
    """A watermark with this bound must not drop a single event as late."""
    truth = opened(name).columns(SEQ, DUE)
    ahead_ns = T0_NS + 60 * (DUE - T0_NS) - truth["event_ns"]
    assert ahead_ns.min() >= 0
    assert 2.5e9 < ahead_ns.max() < 3e9
    assert (truth["ts"] == truth["event_ns"] // 1_000_000).all()


def test_duplicates_repeat_an_event_that_was_sent(name: str) -> None:
    """A job that removes duplicates is judged by this label."""
    workload = opened(name, duplicates=0.1)
    truth = workload.columns(SEQ, DUE)
    again = truth[truth["duplicate"]]
    assert 0.06 < len(again) / len(truth) < 0.12
    events = {int(e["seq"]): e for e in parsed(workload, workload.encode(SEQ, DUE))}
    stamps = {"seq", "due_ns"}
    for row in again[again["origin"] >= SEQ[0]].itertuples():
        one, other = events[row.seq], events[row.origin]
        assert {k: v for k, v in one.items() if k not in stamps} == {k: v for k, v in other.items() if k not in stamps}


@pytest.mark.parametrize("fmt", ["json", "csv"])
def test_malformed_events_do_not_parse_and_the_others_do(name: str, fmt: str) -> None:
    """The label must be right both ways, or a job is blamed for what it dropped, or praised for what it kept."""
    workload = opened(name, fmt, malformed=0.05)
    truth = workload.columns(SEQ, DUE)
    assert 0.03 < truth["malformed"].mean() < 0.07
    batch = workload.encode(SEQ, DUE)
    for i, bad in enumerate(truth["malformed"]):
        value = batch.value(i).decode()
        if not bad:
            assert json.loads(value) if fmt == "json" else next(csv.reader([value], strict=True))
        elif fmt == "json":
            with pytest.raises(json.JSONDecodeError):
                json.loads(value)
        else:
            with pytest.raises(csv.Error):
                next(csv.reader([value], strict=True))


def test_avro_refuses_malformed_records(name: str) -> None:
    with pytest.raises(ScenarioError, match="cannot skip"):
        opened(name, "avro", malformed=0.01)


def test_schema_is_documented(name: str) -> None:
    workload = opened(name)
    assert all(len(f.meaning) > 3 for f in workload.fields)
    assert workload.version >= 1
    assert workload.summary
    assert len({f.name for f in workload.fields}) == len(workload.fields)


def test_unknown_workload_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ScenarioError, match="did you mean clicks"):
        open_workload(Knobs(name="clikcs"), 1, 0)
