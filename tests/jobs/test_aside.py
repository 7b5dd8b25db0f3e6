"""What cannot be read: found by the SQL that routes it aside, and counted one by one."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bench.jobs import JobParams, aside
from bench.workloads import Knobs, open_workload
from bench.workloads.encoding import Format

EVENTS = 4_000


@pytest.mark.parametrize("fmt", ["json", "csv"])
def test_exactly_the_unreadable_events_have_to_be_aside(fmt: Format) -> None:
    """One that vanished is a silent loss; one that could be read and lies there is lost to the job."""
    seq = np.arange(EVENTS)
    workload = open_workload(Knobs("clicks", format=fmt, distinct=50, malformed=0.05), 7, 0)
    truth, batch = workload.columns(seq, seq * 1_000), workload.encode(seq, seq * 1_000)
    bad = np.flatnonzero(truth["malformed"])
    contents = [batch.value(int(i)) for i in bad]
    check, count = aside.verify(truth, contents, fmt)
    assert (check.ok, check.expected, count) == (True, len(bad), len(bad))
    assert aside.verify(truth, contents * 2, fmt)[0].ok  # at-least-once may repeat
    fewer, _ = aside.verify(truth, contents[1:], fmt)
    assert (fewer.ok, fewer.detail) == (False, "1 missing, 0 that could be read")
    more, _ = aside.verify(truth, [*contents, batch.value(int(np.flatnonzero(~truth["malformed"])[0]))], fmt)
    assert (more.ok, more.detail) == (False, "0 missing, 1 that could be read")


def test_the_pattern_for_csv_finds_what_the_format_cannot_read() -> None:
    """Flink's CSV reader skips such a line without a word: a pattern that misses it loses the event silently."""
    workload = open_workload(Knobs("clicks", format="csv", distinct=50, malformed=0.05), 7, 0)
    columns = tuple(workload.flink_ddl_columns)
    told = JobParams("127.0.0.1:1", "in", {"aside": "out"}, columns, "csv", 0, 1, "at-least-once", "run")
    (pattern,) = re.findall(r"'\^(.*)\$'", aside.unreadable(told))
    seq = np.arange(EVENTS)
    truth, batch = workload.columns(seq, seq * 1_000), workload.encode(seq, seq * 1_000)
    aside_of = [re.fullmatch(pattern, batch.value(i).decode()) is None for i in range(EVENTS)]
    assert aside_of == truth["malformed"].tolist()
