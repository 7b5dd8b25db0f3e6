"""SELECT user, COUNT(*) FROM clicks GROUP BY user: the query that everyone names first.

Its result is a table that changes with every event. The output is an upsert topic keyed by user: the last row of a user
is the answer so far, and a repeated row is no duplicate. An event that was delivered twice counts twice, as the
sentence says. Each update carries the number and due time of the newest event in it, so that its latency can be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.jobs import JobParams, Output, Terms, Verified, kafka_sink, kafka_source
from bench.jobs.oracle import rows_of
from bench.record import Check

COUNTS = {"user": "object", "events": "int64", "seq": "int64", "due_ns": "int64"}


class CountByUser:
    """State: a counter for each user that was ever seen, for ever."""

    version = 1
    reads = "clicks"
    settings: Mapping[str, str] = {}
    outputs = ("counts",)
    per_event = "counts"

    def build(self, tables: Any, params: JobParams) -> Any:
        tables.execute_sql(kafka_source("clicks", params))
        fields = "`user` STRING, events BIGINT, seq BIGINT, due_ns BIGINT, PRIMARY KEY (`user`) NOT ENFORCED"
        tables.execute_sql(kafka_sink("counts", "counts", fields, params))
        statements = tables.create_statement_set()
        statements.add_insert_sql("""
            INSERT INTO counts SELECT `user`, COUNT(*), MAX(seq), MAX(due_ns)
            FROM clicks WHERE seq IS NOT NULL GROUP BY `user`""")
        return statements

    def verify(self, truth: pd.DataFrame, outputs: Mapping[str, Output], terms: Terms) -> Verified:
        expected = truth[~truth.malformed].groupby("user", observed=True).size()
        # a user's rows lie in one partition, so that the last one read is the last one written
        last = rows_of(outputs["counts"], COUNTS).groupby("user")["events"].last()
        both = pd.DataFrame({"expected": expected.rename(index=str), "found": last}).fillna(0)
        missing = (both["expected"] - both["found"]).clip(lower=0).sum()
        beyond = (both["found"] - both["expected"]).clip(lower=0).sum()
        agree = (both["found"] >= both["expected"]) if terms.may_recount else (both["found"] == both["expected"])
        detail = ""
        if not agree.all():
            user, first = next(both[~agree].iterrows())
            detail = f"{user}: expected {first['expected']:.0f}, found {first['found']:.0f}"
        checks = (
            Check("counts: events lost", 0, float(missing), missing == 0),
            Check("counts: users whose count agrees", len(expected), int(agree.sum()), bool(agree.all()), detail),
        )
        share = 1 - missing / len(truth[~truth.malformed]) if len(expected) else float("nan")
        return Verified(
            checks, {"lost_events": float(missing), "duplicated_events": float(beyond), "output_share": share}
        )


JOB = CountByUser()
