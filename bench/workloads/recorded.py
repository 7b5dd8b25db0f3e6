"""A user's own events: a recorded NDJSON, CSV or Parquet file with a time and a key column, sent again.

Each goes out as a JSON object: `seq` and `due_ns` first, then its own fields as they were. When the file is used up it
begins again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.errors import ScenarioError
from bench.workloads import STAMPS, Batch
from bench.workloads.draws import murmur2
from bench.workloads.encoding import Page, head

I64 = npt.NDArray[np.int64]
EXPECTED_TIME = "expected ISO 8601 or a number of s, ms, us or ns since the epoch"
_STAMPED = ("seq", "due_ns")


@dataclass(frozen=True)
class Recording:
    """The file, in order of time. `bodies` are JSON objects without the opening brace."""

    path: Path
    bodies: tuple[bytes, ...]
    keys: tuple[bytes, ...]
    times_ns: I64

    def pace(self, speed: float) -> tuple[I64, int]:
        """(offsets in ns from the first event, period in ns) at `speed` times the recorded pace."""
        offsets: I64 = np.rint((self.times_ns - self.times_ns[0]) / speed).astype(np.int64)
        gap = max(1, int(offsets[-1]) // max(1, len(offsets) - 1))  # one mean gap before it begins again
        return offsets, int(offsets[-1]) + gap


def read_recording(settings: Mapping[str, Any]) -> Recording:
    """The file that `load.shape.replay` names: {file, time, key}. A ScenarioError says what is wrong, in which line."""
    path = Path(settings["file"])
    time, key = str(settings.get("time") or "time"), str(settings.get("key") or "key")
    if not path.is_file():
        raise ScenarioError(f"load.shape.replay.file: {path} is not there")
    readers = {".ndjson": _ndjson, ".jsonl": _ndjson, ".json": _ndjson, ".csv": _table, ".parquet": _table}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ScenarioError(f"{path}: {path.suffix or 'no suffix'}, expected .ndjson, .jsonl, .csv or .parquet")
    bodies, keys, times = reader(path, time, key)
    if not bodies:
        raise ScenarioError(f"{path}: not one event")
    first_line = 1 if reader is _ndjson else 2
    times_ns = _nanoseconds(path, time, times, first_line)
    order = np.argsort(times_ns, kind="stable")
    return Recording(path, tuple(bodies[i] for i in order), tuple(keys[i] for i in order), times_ns[order])


class RecordedEvents:
    """A recording as something to send (see `bench.workloads.Source`)."""

    def __init__(self, recording: Recording) -> None:
        start, self._slots = head("json", [(f.name, "int", f.digits) for f in STAMPS if f.name in _STAMPED])
        values = [start + b"," + body for body in recording.bodies]
        self._rows, self._lengths = _matrix(values)
        self._keys, self._key_lengths = _matrix(list(recording.keys))
        self._key_hash = murmur2(self._keys, self._key_lengths)

    def page(self, events: int) -> Page:
        return Page(self._slots, self._rows.shape[1], events)

    def encode(self, seq: int | I64, due_ns: I64, page: Page | None = None) -> Batch:
        """See `Workload.encode`; event i is the recording's i-th, round after round."""
        seqs = np.arange(seq, seq + len(due_ns), dtype=np.int64) if isinstance(seq, int) else seq
        at = seqs % len(self._rows)
        page = page or self.page(len(seqs))
        np.take(self._rows, at, axis=0, out=page.rows[: len(seqs)], mode="clip")
        for slot, values in zip(self._slots, (seqs, due_ns), strict=True):
            page.put(slot, values)
        return Batch(
            page.rows[: len(seqs)], self._lengths[at], np.take(self._keys, at, axis=0), self._key_lengths[at],
            self._key_hash[at],
        )  # fmt: skip


def _matrix(values: list[bytes]) -> tuple[npt.NDArray[np.uint8], I64]:
    lengths = np.array([len(v) for v in values], dtype=np.int64)
    width = max(8, (int(lengths.max()) + 7) // 8 * 8)
    joined = b"".join(v.ljust(width, b" ") for v in values)
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(values), width).copy(), lengths


def _ndjson(path: Path, time: str, key: str) -> tuple[list[bytes], list[bytes], list[Any]]:
    bodies, keys, times = [], [], []
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            text = raw.strip()
            if not text:
                continue
            try:
                event = json.loads(text)
            except (json.JSONDecodeError, UnicodeDecodeError) as e:
                raise ScenarioError(f"{path}, line {number}: no JSON ({e}), expected one object a line") from None
            if not isinstance(event, dict):
                raise ScenarioError(f"{path}, line {number}: expected an object, found {type(event).__name__}")
            _require(f"{path}, line {number}", event, time, key)
            bodies.append(text[1:].lstrip())
            keys.append(_key_bytes(event[key]))
            times.append(event[time])
    return bodies, keys, times


def _table(path: Path, time: str, key: str) -> tuple[list[bytes], list[bytes], list[Any]]:
    try:
        frame = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else pd.read_csv(path)
    except Exception as e:  # noqa: BLE001  # pandas and pyarrow raise what they like
        raise ScenarioError(f"{path}: cannot be read: {e}") from None
    _require(str(path), dict.fromkeys(frame.columns), time, key)
    text = frame.to_json(orient="records", lines=True, date_format="iso", date_unit="us")
    bodies = [line.encode()[1:] for line in str(text).split("\n") if line]
    return bodies, [_key_bytes(k) for k in frame[key].tolist()], frame[time].tolist()


def _require(where: str, event: Mapping[str, Any], time: str, key: str) -> None:
    for role, name in (("time", time), ("key", key)):
        if name not in event:
            near = get_close_matches(name, event, n=1)
            hint = f"; did you mean load.shape.replay.{role}: {near[0]}?" if near else ""
            raise ScenarioError(f"{where}: no {role} column {name!r}, it has {', '.join(map(str, event))}{hint}")
    for name in _STAMPED:
        if name in event:
            raise ScenarioError(f"{where}: the column {name!r} is stamped by the generator; rename it")


def _key_bytes(value: Any) -> bytes:
    return str(value).encode()


def _nanoseconds(path: Path, column: str, values: list[Any], first_line: int) -> I64:
    """Times as ns since the epoch; numbers are s, ms, us or ns by their size (as in years 1973 to 2286)."""
    out = np.zeros(len(values), dtype=np.int64)
    for i, value in enumerate(values):
        found = _one_time(value)
        if found is None:
            raise ScenarioError(f"{path}, line {i + first_line}: {column} {value!r} is no time; {EXPECTED_TIME}")
        out[i] = found
    return out


def _one_time(value: Any) -> int | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        for scale in (1_000_000_000, 1_000_000, 1_000, 1):
            if 1e8 <= value * scale / 1e9 < 1e10:
                return round(value * scale)
        return None
    try:
        stamp = pd.to_datetime(value, utc=True)
    except (ValueError, TypeError):
        return None
    return None if pd.isna(stamp) else int(stamp.value)
