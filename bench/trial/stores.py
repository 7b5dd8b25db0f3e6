"""What checkpoints asked of the object store in a trial's window: requests by kind, bytes, what each really took."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from bench import measure
from bench.analysis.histogram import LogLinearHistogram
from bench.measure import Findings
from bench.record import Check
from bench.trial.notes import Notes, Seen

KIND = {  # operation -> how metrics tell requests apart; S3 bills the first three alike, then the next two; deleting: 0
    "PutObject": "put", "CopyObject": "put", "PostObject": "put",
    "CreateMultipartUpload": "multipart", "UploadPart": "multipart", "UploadPartCopy": "multipart",
    "CompleteMultipartUpload": "multipart",
    "ListObjects": "list", "ListParts": "list", "ListMultipartUploads": "list",
    "GetObject": "get", "HeadObject": "head", "HeadBucket": "head",
    "DeleteObject": "delete", "DeleteObjects": "delete", "AbortMultipartUpload": "delete",
}  # fmt: skip
KINDS = ("put", "multipart", "list", "get", "head", "delete")
BILLED = {"checkpoint_put_requests": ("put", "multipart", "list"), "checkpoint_get_requests": ("get", "head")}
AGREE = 0.2  # configured and measured latency: further apart, a run says nothing about its latency
AS_SLOW_AS_TOLD = "the store's latency is within 20 % of its setting, ms"


def measure_store(requests: pd.DataFrame, seen: Seen, notes: Notes, *, latency_ms: float) -> None:
    """`requests`: as `bench.backends.ObjectStore` tells them, of the whole trial; `latency_ms`: as configured."""
    found, zero_ns = notes.found, seen.samples.zero_ns
    at_s = (requests["end_ns"] - zero_ns) / 1e9
    kind = requests["operation"].map(KIND).fillna("head")  # S3 bills "all other requests" as it does GET
    for name in KINDS:
        times = at_s[kind == name].to_numpy(dtype=float)
        notes.series[f"s3_{name}_requests"] = pd.DataFrame({"t_s": times, "value": np.arange(1.0, len(times) + 1)})
    inside = (at_s >= seen.window.from_s) & (at_s < seen.window.to_s)
    count_requests(found, requests[inside], kind[inside])
    if not len(requests):
        notes.invalid.append("no request came to the object store: the job's checkpoints went elsewhere")
    if len(requests[inside]):
        _hold_against_configured(requests[inside], kind[inside], notes, latency_ms)
    else:
        found.put("s3_latency_ms", math.nan)  # nothing was asked: what a call takes is not known


def count_requests(found: Findings, requests: pd.DataFrame, kind: pd.Series[str]) -> None:
    """How many of each kind, bytes, and what a checkpoint is billed; after `checkpoint_metrics`."""
    found.put("s3_requests", float(len(requests)))
    for name in KINDS:
        found.put(f"s3_{name}_requests", float((kind == name).sum()))
    failed = (requests["status"] >= 400) & (requests["status"] != 404)
    found.put("s3_failed_requests", float(failed.sum()))
    found.put("s3_uploaded_bytes", float(requests["in_bytes"].sum()))
    found.put("s3_downloaded_bytes", float(requests["out_bytes"].sum()))
    done = found.metrics.get("checkpoints_completed")
    if done is not None and done.value:
        for name, kinds in BILLED.items():
            found.put(name, float(kind.isin(kinds).sum()) / done.value)


def _hold_against_configured(requests: pd.DataFrame, kind: pd.Series[str], notes: Notes, latency_ms: float) -> None:
    """Of the kind of request that is farthest off: a median over all is that of the many small questions.

    Without a latency a store is as quick as it can be: what it took is told, and held against nothing. A bandwidth
    alone asks for microseconds of a question without a body, which no server keeps.
    """
    spread = LogLinearHistogram("ms").add(requests["took_ms"].to_numpy(dtype=float))
    notes.found.histograms["s3_latency_ms"] = spread
    notes.found.put("s3_latency_ms", float(requests["took_ms"].median()), spread.percentiles() or None, spread.n)
    each = [requests[kind == name] for name in sorted(set(kind))]
    medians = [(float(of_kind["took_ms"].median()), float(of_kind["due_ms"].median())) for of_kind in each]
    if not latency_ms or not (paced := [(took, due) for took, due in medians if due > 0]):
        return
    took, due = max(paced, key=lambda one: abs(math.log(one[0] / one[1])))
    notes.found.put("s3_latency_over_configured", measure.share(took, due))
    close = abs(took / due - 1) <= AGREE
    notes.checks.append(Check(AS_SLOW_AS_TOLD, round(due, 1), round(took, 1), close))
