# noqa: INP001  # scripts, not a package
"""What analysis costs: fifty million latencies, and the data of two hundred runs. Figures, no limits: machines differ.

`make bench ARGS="-k analysis -s"`, or `pytest benchmarks/test_analysis.py -s`.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench import record
from bench.noise import RECORDED

LATENCIES = """
import resource, time
import numpy as np
from bench.analysis.histogram import LogLinearHistogram

rng = np.random.default_rng(1)
waits_ms = rng.lognormal(3, 0.8, 50_000_000)
began = time.perf_counter()
found = LogLinearHistogram("ms").add(waits_ms).percentiles()
took_s = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
assert abs(found["p50"] / np.exp(3) - 1) < 0.01
print(f"50 M latencies: {took_s:.2f} s, {peak:.2f} GiB at most, 0.37 GiB of them the latencies themselves")
"""


def test_fifty_million_latencies() -> None:
    """A run of an hour at 14,000 events/s has as many."""
    done = subprocess.run([sys.executable, "-c", LATENCIES], capture_output=True, text=True, check=True)
    print(f"\n{done.stdout.strip()}")


def test_two_hundred_runs(tmp_path: Path) -> None:
    """A claim book reads as many: run.json, its checksums, and the series beside it."""
    bundles = record.find(RECORDED)
    for k in range(200):
        bundle = bundles[k % len(bundles)]
        shutil.copytree(bundle, tmp_path / bundle.parent.name / f"{k:03}-{bundle.name}")
    began = time.perf_counter()
    table = record.frame(tmp_path)
    framed_s = time.perf_counter() - began
    series = [record.load_series(bundle) for bundle in record.find(tmp_path)]
    loaded_s = time.perf_counter() - began
    assert table["started_utc"].count() == len(table)
    assert len(series) == 200
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\n200 runs: {framed_s:.2f} s to the tidy frame, {loaded_s:.2f} s with all series, {peak:.2f} GiB at most")
