"""Pure fan-out: every event to three topics, unchanged in content, for three teams that want a topic of their own.

Nothing is computed. Consumer groups on the input topic would do the same without the job, which is what the claim
`overkill-fan-out` is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.jobs import JobParams, Output, Terms, Verified, kafka_sink, kafka_source
from bench.jobs.oracle import per_event, rows_of
from bench.record import Check

COLUMNS = {"seq": "int64", "due_ns": "int64", "ts": "int64"}


class FanOut:
    """Reads any workload. Each copy has all of the event's fields."""

    version = 1
    reads = ""
    settings: Mapping[str, str] = {}
    outputs = ("billing", "recommend", "archive")
    per_event = "billing"

    def build(self, tables: Any, params: JobParams) -> Any:
        tables.execute_sql(kafka_source("events", params))
        statements = tables.create_statement_set()
        names = ", ".join(f"`{name}`" for name, _ in params.columns)
        fields = ", ".join(f"`{name}` {kind}" for name, kind in params.columns)
        for output in self.outputs:
            tables.execute_sql(kafka_sink(output, output, fields, params))
            statements.add_insert_sql(f"INSERT INTO {output} SELECT {names} FROM events WHERE seq IS NOT NULL")  # noqa: S608
        return statements

    def verify(self, truth: pd.DataFrame, outputs: Mapping[str, Output], terms: Terms) -> Verified:
        good = truth[~truth.malformed]
        checks: list[Check] = []
        counts = {"lost_events": 0.0, "duplicated_events": 0.0, "output_share": 1.0}
        for output in self.outputs:
            rows = rows_of(outputs[output], COLUMNS)
            wanted = good[[name for name in good.columns if name in rows.columns]]  # the filler text has no truth
            found, numbers = per_event(output, wanted, rows, "field", terms)
            checks += found
            counts["lost_events"] = max(counts["lost_events"], numbers["lost_events"])
            counts["duplicated_events"] += numbers["duplicated_events"]
            counts["output_share"] = min(counts["output_share"], numbers["output_share"])
        return Verified(tuple(checks), counts)


JOB = FanOut()
