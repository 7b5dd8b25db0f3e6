# noqa: INP001  # scripts, not a package
"""How long the report of two hundred runs takes, in every format, and how much memory.

    python -m pytest benchmarks/test_report.py -s

The limits are the product's: 10 s and 1 GiB on two quiet cores.
"""

from __future__ import annotations

import copy
import json
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench import record
from bench.book import RECORDED
from bench.study import INDEX, SCHEMA

ROOT = Path(__file__).resolve().parents[1]
ARMS, REPEATS = 20, 10
MOST_S, MOST_GIB, MOST_MB = 10.0, 1.0, 5.0


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The steady runs of the recorded quickstart, as twenty arms of ten runs each with all their series."""
    recorded = RECORDED / "quickstart"
    runs = [run for bundle in record.find(recorded) if (run := record.load(bundle)).load == "steady"]
    home, trials = tmp_path / "quickstart", []
    for at in range(ARMS * REPEATS):
        run, trial, partitions = runs[at % len(runs)], f"{at:012x}", at % ARMS + 1
        assert run.bundle is not None
        settings = copy.deepcopy(dict(run.settings))
        settings["topic"]["partitions"] = partitions
        spread = 1 + 0.01 * (at * 7 % 11 - 5)
        metrics = {name: replace(one, value=one.value * spread) for name, one in run.metrics.items()}
        made = replace(
            run, trial_id=trial, repetition=at // ARMS, order=at, knobs={"topic.partitions": partitions},
            settings=settings, metrics=metrics, bundle=None,
        )  # fmt: skip
        series, histograms = record.load_series(run.bundle), record.load_histograms(run.bundle)
        record.save(made, home / trial / run.bundle.name, series=series, histograms=histograms)
        trials.append(trial)
    shutil.copyfile(recorded / "scenario.yaml", home / "scenario.yaml")
    asked = json.loads((recorded / INDEX).read_text())["asked"]
    (home / INDEX).write_text(
        json.dumps({"schema": SCHEMA, "scenario": "quickstart", "asked": asked, "trials": trials})
    )
    return home


def test_two_hundred_runs_are_told_in_ten_seconds(study: Path) -> None:
    """What takes a minute is not made again after each run, and a page that needs 4 GiB is made nowhere."""
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "bench.cli", "report", str(study)], cwd=ROOT, check=True, capture_output=True)
    took_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s, gib = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 2**20
    page_mb = (study / "report.html").stat().st_size / 1e6
    print(f"\n200 runs, every format: {took_s:.1f} s ({cpu_s:.1f} s of CPU), {gib:.2f} GiB, page {page_mb:.1f} MB")
    assert took_s <= MOST_S
    assert gib <= MOST_GIB
    assert page_mb <= MOST_MB
