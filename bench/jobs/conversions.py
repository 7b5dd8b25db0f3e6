"""Real-time conversion rates of signups: of the visitors from each channel, how many got how far, minute by minute.

A cumulating window: every minute the funnel of the ten minutes begun, until they are over and the next begin. A visitor
counts once at each step, however often the event was delivered. A rate is steps within the window over visits within
it: a visitor who came before the window and buys in it counts as a purchase without a visit, as on any live dashboard.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.jobs import WINDOW_END_MS, JobParams, Output, Terms, Verified, kafka_sink, kafka_source
from bench.jobs.oracle import counted, rows_of

MINUTE_MS = 60_000
WINDOW_MINUTES = 10
STEPS = ("visits", "forms", "verified", "purchases")  # steps 1 to 4 of the workload

FUNNEL = {"window_end_ms": "int64", "channel": "object"} | dict.fromkeys(STEPS, "int64")


class Conversions:
    """State: the visitors seen at each step of the window that is open."""

    version = 1
    reads = "signups"
    settings: Mapping[str, str] = {}
    outputs = ("funnel",)
    per_event = ""

    def build(self, tables: Any, params: JobParams) -> Any:
        tables.execute_sql(kafka_source("signups", params))
        fields = ", ".join(f"{step} BIGINT" for step in STEPS)
        row = f"window_end_ms BIGINT, channel STRING, {fields}, conversion_rate DOUBLE"
        tables.execute_sql(kafka_sink("funnel", "funnel", row, params))
        counts = ", ".join(
            f"COUNT(DISTINCT visitor) FILTER (WHERE step = {at}) AS {step}" for at, step in enumerate(STEPS, start=1)
        )
        statements = tables.create_statement_set()
        minutes = f"INTERVAL '1' MINUTE, INTERVAL '{WINDOW_MINUTES}' MINUTE"
        statements.add_insert_sql(f"""
            INSERT INTO funnel SELECT {WINDOW_END_MS}, channel, {", ".join(STEPS)},
              CAST(purchases AS DOUBLE) / NULLIF(visits, 0)
            FROM (
              SELECT window_end, channel, {counts}
              FROM TABLE(CUMULATE(TABLE signups, DESCRIPTOR(event_time), {minutes}))
              WHERE step > 0 GROUP BY window_start, window_end, channel)""")  # noqa: S608 -- every word is ours
        return statements

    def verify(self, truth: pd.DataFrame, outputs: Mapping[str, Output], terms: Terms) -> Verified:
        expected = expected_funnel(truth[~truth.malformed], terms.watermark_ms)
        check, counts = counted("funnel", expected, rows_of(outputs["funnel"], FUNNEL), terms)
        return Verified((check,), counts)


def expected_funnel(good: pd.DataFrame, watermark_ms: int) -> pd.DataFrame:
    """(window_end_ms, channel) -> distinct visitors at each step, for every window that the watermark has closed."""
    steps = good[good["step"] > 0][["visitor", "channel", "step", "ts"]].astype({"visitor": str, "channel": str})
    size_ms = WINDOW_MINUTES * MINUTE_MS
    begin = steps["ts"] // size_ms * size_ms
    parts = []
    for minute in range(1, WINDOW_MINUTES + 1):
        end = begin + minute * MINUTE_MS
        inside = steps[steps["ts"] < end].assign(window_end_ms=end)
        parts.append(inside.drop_duplicates(["window_end_ms", "channel", "step", "visitor"]))
    reached = pd.concat(parts)
    for at, step in enumerate(STEPS, start=1):
        reached[step] = (reached["step"] == at).astype("int64")
    table = reached.groupby(["window_end_ms", "channel"])[list(STEPS)].sum()
    return table[table.index.get_level_values(0) - 1 <= watermark_ms]


JOB = Conversions()
