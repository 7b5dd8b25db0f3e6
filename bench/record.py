"""How a `Run` is kept: on disk as versioned JSON, series and histograms beside it.

results/<scenario>/<trial-id>/<utc>/run.json  series.parquet  latency.parquet  logs/
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from bench.analysis.histogram import LogLinearHistogram
from bench.errors import StreamgaugeError
from bench.run import Attempt, Check, Criterion, Knob, Measurement, Outcome, Run, Search

__all__ = [
    "SCHEMA", "Attempt", "BundleError", "Check", "Criterion", "Knob", "Measurement", "Outcome", "Run", "Search", "find",
    "frame", "json_schema", "load", "load_histograms", "load_series", "save",
]  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd  # half a second to import: only the functions that make tables pay it

SCHEMA = 1  # raised when a field changes its meaning; a reader refuses what it does not know

_RUN, _SERIES, _LATENCY = "run.json", "series.parquet", "latency.parquet"


class BundleError(StreamgaugeError):
    """A bundle that cannot be trusted: truncated, edited, or of another schema. Says what and where."""


def save(
    run: Run,
    bundle: Path,
    *,
    series: Mapping[str, pd.DataFrame] | None = None,
    histograms: Mapping[str, LogLinearHistogram] | None = None,
) -> Run:
    """Write the run into the folder `bundle`; returns it as it is read from there, with `bundle` set.

    `series`: name -> DataFrame(t_s: seconds since the start, value: NaN where a sample is missing).
    Each file appears whole or not at all; run.json comes last and carries the checksums of everything, so a folder
    without it is a run that never ended. The same run may be saved again as it grows; another run, or a bundle that
    does not load, is never overwritten. A metric that is not a number is left out with a warning: it is missing.
    """
    bundle.mkdir(parents=True, exist_ok=True)
    if (bundle / _RUN).exists():
        before = load(bundle)
        if (before.trial_id, before.started_utc) != (run.trial_id, run.started_utc):
            raise BundleError(
                f"{bundle / _RUN}: holds the run {before.trial_id} of {before.started_utc}, not overwritten"
            )
    run = _without_nan(run)
    written = _write_tables(bundle, series, histograms)
    body = {f.name: _plain(getattr(run, f.name)) for f in fields(run) if f.name != "bundle"}
    read = _validated(body, bundle / _RUN)  # what is written can be read, or it is not written
    document = {"schema": SCHEMA, "run": body, "files": written, "sha256": {name: _sha256(body[name]) for name in body}}
    _write(bundle / _RUN, json.dumps(document, indent=1, allow_nan=False).encode() + b"\n")
    return replace(read, bundle=bundle)


def load(bundle: Path) -> Run:
    """The run in the folder `bundle` (or its run.json). BundleError if truncated, edited or of another schema."""
    document = _document(bundle)
    body, sums = document["run"], document["sha256"]
    where = _run_json(bundle)
    for name in body.keys() | sums.keys():
        if name not in body:
            raise BundleError(f"{where}: the field {name!r} was removed after the run was saved")
        if sums.get(name) != _sha256(body[name]):
            raise BundleError(f"{where}: the field {name!r} was changed after the run was saved (its checksum differs)")
    return replace(_validated(body, where), bundle=where.parent)


def load_series(bundle: Path) -> dict[str, pd.DataFrame]:
    """Per-second series of a bundle: name -> DataFrame(t_s, value); {} if none were saved."""
    table = _read_table(bundle, _SERIES)
    if table is None:
        return {}
    import pandas as pd

    columns = pd.Index(["t_s", "value"])  # one for all: it costs more than the numbers
    return {name: pd.DataFrame(rows, columns=columns) for name, rows in _blocks(table, "series", columns).items()}


def load_histograms(bundle: Path) -> dict[str, LogLinearHistogram]:
    """Latency histograms of a bundle by name; {} if none were saved."""
    table = _read_table(bundle, _LATENCY)
    if table is None:
        return {}
    filled = _blocks(table, "histogram", ["bucket", "count"])
    none = np.zeros((0, 2), dtype=np.int64)
    found = {}
    for name, exact in table.attrs["histograms"].items():
        part = filled.get(name, none)
        numbers = {key: value for key, value in exact.items() if key != "unit"}
        found[name] = LogLinearHistogram.from_arrays(part[:, 0], part[:, 1], numbers, exact["unit"])
    return found


def find(root: Path, *, trial_id: str | None = None) -> list[Path]:
    """Folders of saved runs under `root` (results, one scenario, one trial or one bundle), oldest first."""
    found = {path.parent for depth in range(4) for path in root.glob("*/" * depth + _RUN)}
    return sorted(
        (path for path in found if trial_id is None or path.parent.name == trial_id), key=lambda path: (path.name, path)
    )


def rows(runs: Path | Iterable[Run | Path]) -> list[dict[str, Any]]:
    """A row for each run, metric and stat ("value", "p50", "p99", "max"): `frame` without pandas, which takes half a
    second to load.

    Keys: scenario, load, trial_id, repetition, order, outcome, reason, backend, started_utc, one for each knob's path,
    metric, stat, value, unit. A run without metrics has one row whose metric is None: it stays countable.
    """
    many = find(runs) if isinstance(runs, Path) else list(runs)
    whole = [item if isinstance(item, Run) else load(item) for item in many]
    knobs = list(dict.fromkeys(path for run in whole for path in run.knobs))
    found: list[dict[str, Any]] = []
    for run in whole:
        about = {name: getattr(run, name) for name in _ABOUT} | {path: run.knobs.get(path) for path in knobs}
        about["outcome"] = str(run.outcome)
        for name, measured in run.metrics.items():
            stats = {"value": measured.value, **(measured.percentiles or {})}
            found += [{**about, "metric": name, "stat": stat, "value": value, "unit": measured.unit}
                      for stat, value in stats.items()]  # fmt: skip
        if not run.metrics:
            found.append({**about, **_NO_METRIC})
    return found


_ABOUT = ("scenario", "load", "trial_id", "repetition", "order", "outcome", "reason", "backend", "started_utc")
_NO_METRIC = {"metric": None, "stat": None, "value": math.nan, "unit": None}


def frame(runs: Path | Iterable[Run | Path]) -> pd.DataFrame:
    """`rows` as one tidy table, the door for notebooks. `runs`: a results folder, or runs and bundles."""
    import pandas as pd

    found = rows(runs)
    return pd.DataFrame(found, columns=list(found[0]) if found else [*_ABOUT, *_NO_METRIC])


def json_schema() -> dict[str, Any]:
    """JSON Schema of run.json, made from the types that read it. docs/bundle.md describes the files beside it."""
    run = _adapter().json_schema()
    run["properties"].pop("bundle")
    run["additionalProperties"] = False
    digest = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Streamgauge run.json, schema {SCHEMA}",
        "description": "One run of one trial, with checksums: a bundle that was cut or edited does not load.",
        "type": "object",
        "additionalProperties": False,
        "required": ["schema", "run", "files", "sha256"],
        "properties": {
            "schema": {"const": SCHEMA, "description": "Raised when a field changes its meaning; others are refused."},
            "run": run,
            "files": {
                "type": "object", "additionalProperties": digest,
                "description": "SHA-256 of series.parquet and latency.parquet, where they were written.",
            },
            "sha256": {
                "type": "object", "additionalProperties": digest,
                "description": "SHA-256 of each field of `run` as canonical JSON: sorted keys, no spaces.",
            },
        },
        "$defs": run.pop("$defs"),
    }  # fmt: skip


@cache
def _adapter() -> TypeAdapter[Run]:
    return TypeAdapter(Run)


def _validated(body: dict[str, Any], where: Path) -> Run:
    numbers = [{key: math.nan if value is None else value for key, value in check.items()} for check in body["checks"]]
    try:
        return _adapter().validate_python({**body, "checks": numbers})
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _run_json(bundle: Path) -> Path:
    return bundle if bundle.name == _RUN else bundle / _RUN


def _document(bundle: Path) -> dict[str, Any]:
    path = _run_json(bundle)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path.parent}: no {_RUN}: this run never ended") from None
    try:
        document: Any = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        at = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else error.reason
        raise BundleError(f"{path}: truncated or damaged at {at} ({len(text)} bytes)") from error
    whole: dict[str, Any] = document if isinstance(document, dict) else {}
    if (schema := whole.get("schema")) != SCHEMA:
        raise BundleError(f"{path}: schema {schema!r}, but this Streamgauge reads schema {SCHEMA}")
    for part in ("run", "files", "sha256"):
        if not isinstance(whole.get(part), dict):
            raise BundleError(f"{path}: {part!r} is missing")
    return whole


def _without_nan(run: Run) -> Run:
    kept, warnings = _numbers(run.metrics), list(run.warnings)
    warnings += [
        f"{name} is missing: it came out as {run.metrics[name].value}" for name in run.metrics if name not in kept
    ]
    search = run.search
    if search is not None:
        search = replace(search, attempts=tuple(replace(a, metrics=_numbers(a.metrics)) for a in search.attempts))
    return replace(run, metrics=kept, warnings=tuple(dict.fromkeys(warnings)), search=search)


def _numbers(metrics: Mapping[str, Measurement]) -> dict[str, Measurement]:
    """Those that are numbers, with the percentiles that are."""
    kept = {}
    for name, measured in metrics.items():
        if not math.isfinite(measured.value):
            continue
        stats = measured.percentiles
        if stats is not None:
            stats = {stat: value for stat, value in stats.items() if math.isfinite(value)}
        kept[name] = replace(measured, percentiles=stats)
    return kept


def _plain(value: Any) -> Any:
    """What JSON can hold without loss; NaN and infinities become null, for they are missing numbers."""
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        value = value.tolist()
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int) else str(value)


def _sha256(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, even if the power fails: temporary file, fsync, rename, fsync of the folder."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write_tables(
    bundle: Path,
    series: Mapping[str, pd.DataFrame] | None,
    histograms: Mapping[str, LogLinearHistogram] | None,
) -> dict[str, str]:
    """Write the Parquet files that are given, keep those that lie there; their checksums by file name."""
    import pandas as pd

    tables: dict[str, pd.DataFrame] = {}
    if series:
        values = np.concatenate([table[["t_s", "value"]].to_numpy(dtype=float) for table in series.values()])
        tables[_SERIES] = pd.DataFrame(values, columns=["t_s", "value"])
        names = np.repeat(np.array([*series], dtype=object), [len(table) for table in series.values()])
        tables[_SERIES].insert(0, "series", pd.Series(names, dtype="category"))
    if histograms:
        parts, about = [], {}
        for name, histogram in histograms.items():
            buckets, counts, exact = histogram.to_arrays()
            parts.append(pd.DataFrame({"histogram": name, "bucket": buckets, "count": counts}))
            about[name] = {"unit": histogram.unit, **exact}
        tables[_LATENCY] = pd.concat(parts, ignore_index=True)
        tables[_LATENCY].attrs["histograms"] = about  # kept in the Parquet file's metadata
    for name, table in tables.items():
        _write(bundle / name, table.to_parquet(index=False))
    lying = (bundle / name for name in (_SERIES, _LATENCY))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in lying if path.exists()}


def _blocks(table: pd.DataFrame, key: str, columns: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
    """The numbers of the table, cut where `key` changes: each name's rows lie together, as `save` wrote them."""
    names, values = table[key].to_numpy(), table[list(columns)].to_numpy()
    starts = [0, *(int(at) + 1 for at in (names[1:] != names[:-1]).nonzero()[0])] if len(names) else []
    return {str(names[at]): values[at:end] for at, end in zip(starts, [*starts[1:], len(names)], strict=True)}


def _read_table(bundle: Path, name: str) -> pd.DataFrame | None:
    import io

    import pandas as pd

    files = _document(bundle)["files"]
    path = _run_json(bundle).parent / name
    if name not in files:
        return None
    if not path.exists():
        raise BundleError(f"{path}: is missing, though the run was saved with it")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != files[name]:
        raise BundleError(f"{path}: truncated or changed after the run was saved (its checksum differs)")
    return pd.read_parquet(io.BytesIO(content))
