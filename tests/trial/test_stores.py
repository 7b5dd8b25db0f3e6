"""What a run says of its object store, from the requests that passed its door."""

from __future__ import annotations

import math
from typing import Any, cast

import pandas as pd
import pytest

from bench.backends.meter import operation
from bench.backends.objectstore import FIELDS
from bench.measure import Findings, Window, checkpoint_part_metrics
from bench.metrics import KINDS as TOLD
from bench.probes import Samples
from bench.trial import stores
from bench.trial.notes import Notes, Seen

ZERO_NS = 1_000_000_000_000
PASSED = [  # at_s, operation, status, took_ms, due_ms, in, out
    (5, "PutObject", 200, 31, 30, 900, 0),  # before the window
    (11, "PutObject", 200, 33, 30, 1000, 0),
    (12, "CreateMultipartUpload", 200, 31, 30, 0, 300),
    (12, "UploadPart", 200, 60, 55, 5_000_000, 0),
    (12, "CompleteMultipartUpload", 200, 31, 30, 200, 300),
    (13, "HeadObject", 404, 31, 30, 0, 0),
    (13, "ListObjects", 200, 31, 30, 0, 700),
    (14, "GetObject", 200, 31, 30, 0, 4000),
    (15, "DeleteObjects", 200, 31, 30, 100, 100),
    (16, "PutObject", 503, 31, 30, 1000, 50),
]


def noted(passed: list[tuple[Any, ...]], completed: int = 2, latency_ms: float = 30.0) -> Notes:
    rows = [(ZERO_NS + int(at_s * 1e9), *rest) for at_s, *rest in passed]
    seen = Seen(cast("Any", None), Samples(ZERO_NS), Window(10.0, 20.0), is_drain=False)
    notes = Notes()
    notes.found.put("checkpoints_completed", completed)
    stores.measure_store(pd.DataFrame(rows, columns=list(FIELDS)), seen, notes, latency_ms=latency_ms)
    return notes


def test_requests_are_counted_as_they_are_billed() -> None:
    """Parts of an upload and listings cost what a PUT costs, deleting nothing; what came earlier is not counted."""
    notes = noted(PASSED)
    found = {name: one.value for name, one in notes.found.metrics.items()}
    assert found["s3_requests"] == 9
    assert {kind: found[f"s3_{kind}_requests"] for kind in stores.KINDS} == {
        "put": 2, "multipart": 3, "list": 1, "get": 1, "head": 1, "delete": 1
    }  # fmt: skip
    assert found["checkpoint_put_requests"] == 3  # (2 + 3 + 1) / 2
    assert found["checkpoint_get_requests"] == 1
    assert found["s3_failed_requests"] == 1  # a 404 answers the question
    assert found["s3_uploaded_bytes"] == 5_002_300
    assert found["s3_downloaded_bytes"] == 5_450
    assert found["s3_latency_ms"] == pytest.approx(31, rel=0.02)
    assert notes.series["s3_put_requests"].to_numpy().tolist() == [[5, 1], [11, 2], [16, 3]]
    assert [check.ok for check in notes.checks] == [True]


@pytest.mark.parametrize(("took_ms", "ok"), [(24.1, True), (35.9, True), (23, False), (37, False)])
def test_a_latency_that_is_not_the_configured_one_is_no_evidence(took_ms: float, *, ok: bool) -> None:
    """The axis would say 30 ms, and the runs have had something else."""
    notes = noted([(12, "PutObject", 200, took_ms, 30.0, 10, 0)] * 3)
    assert [check.ok for check in notes.checks] == [ok]
    assert notes.found.metrics["s3_latency_over_configured"].value == pytest.approx(took_ms / 30)


def test_one_kind_of_request_that_is_slow_is_not_hidden_by_many_that_are_not() -> None:
    """Uploads held up for three seconds each (a client waiting to be told to go on) passed among questions in time."""
    notes = noted([(12, "PutObject", 200, 3030.0, 30.0, 10, 0)] * 2 + [(12, "HeadObject", 404, 30.5, 30.0, 0, 0)] * 9)
    assert [(check.ok, check.expected, check.actual) for check in notes.checks] == [(False, 30.0, 3030.0)]
    assert notes.found.metrics["s3_latency_over_configured"].value == pytest.approx(101)


def test_nothing_configured_and_nothing_asked_are_not_judged() -> None:
    """A store as quick as it can be is held against nothing; of no request at all only the zero is known."""
    assert noted([(12, "PutObject", 200, 3.0, 0.0, 10, 0)], latency_ms=0.0).checks == []
    nothing = noted([], completed=0)
    assert nothing.found.metrics["s3_requests"].value == 0
    assert not {"s3_latency_ms", "checkpoint_put_requests"} & nothing.found.metrics.keys()
    assert nothing.found.missing == ["s3_latency_ms"]


def test_a_bandwidth_alone_makes_no_run_void() -> None:
    """A question without a body is due after microseconds on a link of 100 MB/s: no server is within 20 % of that."""
    notes = noted([(12, "HeadObject", 404, 2.0, 0.003, 0, 300), (12, "PutObject", 200, 55, 50, 5_000_000, 0)],
                  latency_ms=0.0)  # fmt: skip
    assert notes.checks == notes.invalid == []
    assert "s3_latency_over_configured" not in notes.found.metrics


def test_checkpoints_that_never_came_to_the_store_are_no_evidence_of_it() -> None:
    """They were made somewhere, and would be recorded as those of S3; one that came earlier shows that they do come."""
    assert noted([], completed=3).invalid == [
        "no request came to the object store: the job's checkpoints went elsewhere"
    ]
    assert noted(PASSED[:1], completed=0).invalid == []


def test_every_operation_has_a_kind_and_every_kind_a_metric() -> None:
    """An operation that nobody knows would be billed as a question."""
    methods = ("GET", "PUT", "POST", "HEAD", "DELETE")
    targets = ("/b", "/b/k", "/b/k?uploads", "/b/k?uploadId=u", "/b?delete")
    of_buckets = {"CreateBucket", "DeleteBucket"}
    asked = {operation(method, target, {}) for method in methods for target in targets} - of_buckets
    assert asked - {"DELETE", "HEAD", "PUT"} <= stores.KIND.keys()
    assert set(stores.KIND.values()) == set(stores.KINDS) == set(TOLD)


def test_the_slowest_task_is_the_checkpoints() -> None:
    """A checkpoint is over when its last task is: a mean over tasks hides the one that uploads."""
    tasks = pd.DataFrame(
        {
            "id": [1, 1, 2, 2], "task": [0, 1, 0, 1], "sync_ms": [1, 5, 2, 7], "async_ms": [10, 400, 10, 600],
            "alignment_ms": [0, 20, 0, 40], "start_delay_ms": [math.nan] * 4,
        }
    )  # fmt: skip
    found = Findings()
    checkpoint_part_metrics(found, tasks)
    assert {name: one.value for name, one in found.metrics.items()} == {
        "checkpoint_sync_ms": 6, "checkpoint_async_ms": 500, "checkpoint_alignment_ms": 30
    }  # fmt: skip
    assert found.missing == ["checkpoint_start_delay_ms"]
