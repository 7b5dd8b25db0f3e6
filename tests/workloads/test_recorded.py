"""A user's own file, sent again: every byte of it, at its pace, and plain words where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.errors import ScenarioError
from bench.loadgen.shapes import plan
from bench.workloads.draws import murmur2
from bench.workloads.recorded import RecordedEvents, read_recording

T0_NS = 1_790_000_000_000_000_000
ROWS: list[dict[str, Any]] = [
    {"time": "2026-03-01T10:00:00Z", "key": "alice", "text": 'a "quoted" ümlaut', "n": 1},
    {"time": "2026-03-01T10:00:00.250Z", "key": "bob-with-a-long-key", "text": "", "n": 2.5},
    {"time": "2026-03-01T10:00:01Z", "key": "alice", "text": "last", "n": None},
]


def ndjson(folder: Path, rows: list[Any]) -> dict[str, Any]:
    path = folder / "events.ndjson"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in rows) + "\n")
    return {"file": str(path), "time": "time", "key": "key"}


@pytest.mark.parametrize("kind", ["ndjson", "csv", "parquet"])
def test_events_keep_their_fields_and_keys_and_get_stamps(kind: str, tmp_path: Path) -> None:
    """What is measured must be the user's own events, and still carry when each was due."""
    settings = ndjson(tmp_path, ROWS)
    if kind != "ndjson":
        settings["file"] = str(tmp_path / f"events.{kind}")
        frame = pd.DataFrame(ROWS)
        frame.to_csv(settings["file"], index=False) if kind == "csv" else frame.to_parquet(settings["file"])
    events = RecordedEvents(read_recording(settings))
    seq = np.arange(7, dtype=np.int64)
    batch = events.encode(seq, T0_NS + seq)
    for i in range(7):
        value = json.loads(batch.value(i))
        assert (value.pop("seq"), value.pop("due_ns")) == (i, T0_NS + i)
        want: dict[str, Any] = dict(ROWS[i % 3])
        if kind == "csv":
            want["text"] = want["text"] or None
        assert value == want
        assert batch.key(i).decode() == ROWS[i % 3]["key"]
        key = np.frombuffer(batch.key(i), dtype=np.uint8).reshape(1, -1)
        assert batch.key_hash[i] == murmur2(key)[0]


@pytest.mark.parametrize(("speed", "gaps_ms"), [(1.0, [250, 750, 500, 250, 750]), (5.0, [50, 150, 100, 50, 150])])
def test_pace_is_the_recordings_own(speed: float, gaps_ms: list[int], tmp_path: Path) -> None:
    """A replay at an even rate would hide the bursts it was recorded for."""
    recording = read_recording(ndjson(tmp_path, [ROWS[2], ROWS[0], ROWS[1]]))  # order of time, not of the file
    load = {"shape": {"steps": None, "replay": {"speed": speed, "rate_eps": None}}}
    mode, schedule = plan(load, duration_s=3.0, warmup_s=0, seed=1, recording=recording)
    due = schedule.starting(T0_NS).due_ns(np.arange(6))
    assert mode == "paced"
    assert due[0] == T0_NS
    assert (np.diff(due) / 1e6).round().tolist() == gaps_ms
    every = schedule.due_ns(np.arange(schedule.events + 1))
    assert every[-2] < 3e9 <= every[-1]
    _, even = plan({"shape": {"replay": {"rate_eps": 100}}}, duration_s=2, warmup_s=0, seed=1, recording=recording)
    assert even.events == 200


@pytest.mark.parametrize("value", [1_772_359_200, 1_772_359_200_000, 1_772_359_200_000_000, 1_772_359_200_000_000_000])
def test_numbers_are_read_by_their_size(value: int, tmp_path: Path) -> None:
    assert read_recording(ndjson(tmp_path, [{"time": value, "key": 1}])).times_ns[0] == 1_772_359_200_000_000_000


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([ROWS[0], '{"time": 1'], r"events.ndjson, line 2: no JSON"),
        ([ROWS[0], "[1]"], r"line 2: expected an object, found list"),
        ([{"tims": 1, "key": 2}], r"line 1: no time column 'time', it has tims, key; did you mean .*time: tims"),
        ([{"time": 1_772_359_200}], r"line 1: no key column 'key'"),
        ([ROWS[0], ROWS[1], {"time": "noon", "key": 1}], r"line 3: time 'noon' is no time; expected ISO 8601 or"),
        ([{"time": 17, "key": 1}], r"line 1: time 17 is no time"),
        ([{"time": 1_772_359_200, "key": 1, "seq": 4}], r"'seq' is stamped by the generator"),
        ([], r"not one event"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(rows: list[Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=said):
        read_recording(ndjson(tmp_path, rows))


def test_bad_tables_and_paths_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("when,key\n2026-01-01,a\nlater,b\n")
    with pytest.raises(ScenarioError, match=r"x.csv: no time column 'time', it has when, key"):
        read_recording({"file": path})
    with pytest.raises(ScenarioError, match=r"x.csv, line 3: when 'later' is no time"):
        read_recording({"file": path, "time": "when"})
    with pytest.raises(ScenarioError, match="is not there"):
        read_recording({"file": tmp_path / "none.csv"})
    (tmp_path / "x.txt").touch()
    with pytest.raises(ScenarioError, match=r"expected .ndjson, .jsonl, .csv or .parquet"):
        read_recording({"file": tmp_path / "x.txt"})
