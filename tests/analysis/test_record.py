"""Bundles: what was measured comes back exactly, or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest

from bench.analysis.histogram import LogLinearHistogram
from bench.record import (
    Attempt,
    BundleError,
    Check,
    Criterion,
    Measurement,
    Outcome,
    Run,
    Search,
    find,
    frame,
    json_schema,
    load,
    load_histograms,
    load_series,
    save,
)

RUN = Run(
    scenario="quickstart",
    trial_id="a1b2",
    load="steady",
    repetition=1,
    order=3,
    outcome=Outcome.FINISHED,
    reason="",
    knobs={"topic.partitions": 6, "producer.compression": "lz4", "rate": 0.1 + 0.2},
    settings={"topic": {"partitions": 6}, "faults": [{"at_s": 1.5}]},
    seed=7,
    backend="local",
    started_utc="2026-11-23T18:11:18Z",
    duration_s=15.000000000000002,
    environment={"cores": 2},
    metrics={
        "wire_bytes_per_event": Measurement(1 / 3, "bytes"),
        "e2e_latency_ms": Measurement(12.5, "ms", {"p50": 11.1, "max": 50.0}, 20),
    },
    checks=(Check("windows", 10, 10, True),),
    phases={"warmup": 0.1},
)


def test_a_saved_run_is_what_is_on_disk(tmp_path: Path) -> None:
    """Prevents a report that is made at the end of a run from failing on what the same report made later never sees."""
    check: Any = Check("users", np.int64(300_000), np.int64(300_000), ok=True)
    saved = save(replace(RUN, checks=(check,)), tmp_path / "b")
    assert json.dumps(saved.checks[0].expected) == "300000.0"
    assert saved == load(tmp_path / "b")


def test_everything_comes_back_exactly(tmp_path: Path) -> None:
    """Prevents a number from changing between measuring and reporting."""
    series = {
        "backlog_events": pd.DataFrame({"t_s": [0.0, 1.0, 2.0], "value": [1.0, math.nan, 0.1]}),
        "busy_share": pd.DataFrame({"t_s": [0.5], "value": [0.7]}),
    }
    latency = {"e2e_latency_ms": LogLinearHistogram().add(np.arange(-1, 1_000) / 7), "none": LogLinearHistogram("ns")}
    saved = save(RUN, tmp_path / "b", series=series, histograms=latency)
    assert load(tmp_path / "b") == saved == replace(RUN, bundle=tmp_path / "b")
    assert load_histograms(tmp_path / "b") == latency
    for name, table in load_series(tmp_path / "b").items():
        pd.testing.assert_frame_equal(table, series[name])
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["latency.parquet", "run.json", "series.parquet"]


def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(bundle: Path) -> None:
        document = json.loads((bundle / "run.json").read_text())
        change(document)
        (bundle / "run.json").write_text(json.dumps(document))

    return edit


def _cut(name: str, keep: float) -> Callable[[Path], None]:
    def cut(bundle: Path) -> None:
        content = (bundle / name).read_bytes()
        (bundle / name).write_bytes(content[: int(len(content) * keep)])

    return cut


DAMAGE = {
    "truncated": (_cut("run.json", 0.6), r"run\.json: truncated or damaged at line \d+"),
    "empty": (_cut("run.json", 0.0), r"run\.json: truncated"),
    "gone": (lambda bundle: (bundle / "run.json").unlink(), "no run.json"),
    "number edited": (
        _edit(lambda d: d["run"]["metrics"]["wire_bytes_per_event"].update(value=0.3)),
        "the field 'metrics' was changed",
    ),
    "field removed": (_edit(lambda d: d["run"].pop("warnings")), "the field 'warnings' was removed"),
    "field and sum removed": (_edit(lambda d: (d["run"].pop("seed"), d["sha256"].pop("seed"))), "seed: Field required"),
    "field added": (_edit(lambda d: d["run"].update(extra=1)), "the field 'extra' was changed"),
    "newer schema": (_edit(lambda d: d.update(schema=2)), "schema 2, but this Streamgauge reads schema 1"),
    "no schema": (_edit(lambda d: d.pop("schema")), "schema None"),
    "not a bundle": (lambda bundle: (bundle / "run.json").write_text("[1]"), "schema None"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_bundle_says_what_and_where_and_is_not_overwritten(what: str, tmp_path: Path) -> None:
    """Prevents a verdict from a file that a crash or an editor has changed."""
    save(RUN, tmp_path)
    damage, message = DAMAGE[what]
    damage(tmp_path)
    with pytest.raises(BundleError, match=message):
        load(tmp_path)
    if what != "gone":
        before = (tmp_path / "run.json").read_bytes()
        with pytest.raises(BundleError):
            save(RUN, tmp_path)
        assert (tmp_path / "run.json").read_bytes() == before


@pytest.mark.parametrize("name", ["series.parquet", "latency.parquet"])
def test_damaged_tables_are_refused(name: str, tmp_path: Path) -> None:
    """Prevents a percentile from half a histogram, a slope from half a series."""
    series = {"busy_share": pd.DataFrame({"t_s": [0.5], "value": [0.7]})}
    save(RUN, tmp_path, series=series, histograms={"e2e_latency_ms": LogLinearHistogram().add([1.0])})
    read = load_series if name == "series.parquet" else load_histograms
    _cut(name, 0.9)(tmp_path)
    with pytest.raises(BundleError, match=f"{name}: truncated or changed"):
        read(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: is missing"):
        read(tmp_path)


def test_the_same_run_may_grow_and_another_may_not_replace_it(tmp_path: Path) -> None:
    """Prevents a run from being lost under another one."""
    save(replace(RUN, outcome=Outcome.CRASHED, reason="broker died"), tmp_path)
    save(RUN, tmp_path)
    assert load(tmp_path).outcome is Outcome.FINISHED
    with pytest.raises(BundleError, match="not overwritten"):
        save(replace(RUN, started_utc="2026-11-24T00:00:00Z"), tmp_path)


def test_a_metric_that_is_not_a_number_is_missing(tmp_path: Path) -> None:
    """Prevents NaN from passing a threshold (every comparison with it is False)."""
    odd = {"busy_share": Measurement(math.nan, "share"), "e2e_latency_ms": Measurement(1.0, "ms", {"p50": math.inf})}
    saved = save(replace(RUN, metrics=odd, checks=(Check("rows", math.nan, 3, False),)), tmp_path)
    read = load(tmp_path)
    assert dict(read.metrics) == dict(saved.metrics) == {"e2e_latency_ms": Measurement(1.0, "ms", {})}
    assert "busy_share is missing" in read.warnings[0]
    assert math.isnan(read.checks[0].expected) and not read.checks[0].ok


def test_frame_has_a_row_for_each_metric_and_stat_and_keeps_crashed_runs(tmp_path: Path) -> None:
    """Prevents crashed runs from vanishing out of the count."""
    crashed = replace(RUN, trial_id="c3", knobs={"topic.partitions": 96}, outcome=Outcome.CRASHED, metrics={})
    save(RUN, tmp_path / "quickstart" / "a1b2" / "20261123T181118Z")
    save(crashed, tmp_path / "quickstart" / "c3" / "20261123T181218Z")
    assert [path.parent.name for path in find(tmp_path)] == ["a1b2", "c3"]
    assert [path.parent.name for path in find(tmp_path / "quickstart", trial_id="c3")] == ["c3"]
    table = frame(tmp_path)
    assert list(table["stat"]) == ["value", "value", "p50", "max", None]
    assert table.loc[0, "value"] == 1 / 3
    assert list(table["outcome"].value_counts().index) == ["finished", "crashed"]
    assert list(table["topic.partitions"].unique()) == [6, 96]
    assert frame([RUN, crashed]).equals(table)


ATTEMPT = Attempt(
    0, 50_000.0, "ramp", "fail", "2.31 s of load behind (limit 2 s)", 40.0, "2026-11-23T18:11:18Z",
    (Criterion("final backlog", ok=False, detail="2.31 s of load behind (limit 2 s)"),),
    {"e2e_latency_ms": Measurement(12.5, "ms", {"p50": 12.5}, 20)},
)  # fmt: skip
SEARCH = Search("at least", "Sustains at least…", ("lost_events value == 0",), 50_000.0, 50_000.0, None, (ATTEMPT,))


def test_the_schema_describes_what_is_written(tmp_path: Path) -> None:
    """Prevents a bundle whose documentation forgets or misnames what it holds, missing numbers included."""
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    run = schema["properties"]["run"]
    assert set(run["properties"]) == {field.name for field in fields(Run)} - {"bundle"}
    assert run["properties"]["order"]["description"].startswith("Position in the interleaved sequence")
    grown = replace(RUN, search=SEARCH, checks=(Check("rows", math.nan, 3, ok=False),))
    series = {"busy_share": pd.DataFrame({"t_s": [0.5], "value": [0.7]})}
    save(grown, tmp_path, series=series, histograms={"e2e_latency_ms": LogLinearHistogram().add([1.0])})
    assert load(tmp_path).search == SEARCH
    document = json.loads((tmp_path / "run.json").read_text())
    jsonschema.validate(document, schema)
    for change in (
        lambda d: d["run"].update(outcome="fine"),
        lambda d: d["run"].update(extra=1),
        lambda d: d["run"]["metrics"]["e2e_latency_ms"].pop("unit"),
        lambda d: d.update(schema=2),
        lambda d: d["sha256"].update(seed="cafe"),
    ):
        other = json.loads(json.dumps(document))
        change(other)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(other, schema)


def test_bundles_of_before_the_searches_still_load(tmp_path: Path) -> None:
    """Prevents results of last month from being lost to a field that was added since."""
    save(RUN, tmp_path)
    _edit(lambda d: (d["run"].pop("search"), d["sha256"].pop("search")))(tmp_path)
    assert load(tmp_path) == replace(RUN, bundle=tmp_path)
