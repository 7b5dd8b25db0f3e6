"""Revenue of the last 10 minutes, every minute, by country; and each event cleaned and enriched on the way.

Two outputs of one job: `clean` has a row for each well-formed event (its latency is the headline), `revenue` a row for
each country and sliding window of event time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.jobs import WINDOW_END_MS, JobParams, Output, Terms, Verified, kafka_sink, kafka_source
from bench.jobs.oracle import counted, per_event, rows_of

MINUTE_MS = 60_000
WINDOW_MINUTES = 10

# What "enrich" adds: sales regions by country. Countries outside the table are "other", as a real lookup would have it.
REGIONS = {
    "DE": "dach", "FR": "france", "GB": "uk", "PL": "cee", "NL": "benelux",
    "SE": "nordics", "US": "americas", "BR": "americas", "IN": "apac", "JP": "apac",
}  # fmt: skip

# What is compared of each output
CLEAN = {"seq": "int64", "due_ns": "int64", "ts": "int64", "user": "object", "type": "object", "region": "object",
         "cents": "int64"}  # fmt: skip
REVENUE = {"window_end_ms": "int64", "country": "object", "orders": "int64", "cents": "int64"}


class Revenue:
    """See the module."""

    version = 1
    reads = "clicks"
    settings: Mapping[str, str] = {}
    outputs = ("clean", "revenue")
    per_event = "clean"

    def build(self, tables: Any, params: JobParams) -> Any:
        cases = " ".join(f"WHEN '{country}' THEN '{region}'" for country, region in REGIONS.items())
        minutes = f"INTERVAL '1' MINUTE, INTERVAL '{WINDOW_MINUTES}' MINUTE"
        tables.execute_sql(kafka_source("clicks", params))
        tables.execute_sql(
            kafka_sink(
                "clean",
                "clean",
                "seq BIGINT, due_ns BIGINT, ts BIGINT, `user` STRING, `type` STRING, region STRING, cents BIGINT",
                params,
            )
        )
        tables.execute_sql(
            kafka_sink(
                "revenue", "revenue", "window_end_ms BIGINT, country STRING, orders BIGINT, cents BIGINT", params
            )
        )
        statements = tables.create_statement_set()
        # S608: every word that goes in is ours
        statements.add_insert_sql(f"""
            INSERT INTO clean SELECT seq, due_ns, ts, `user`, UPPER(`type`),
              CASE country {cases} ELSE 'other' END,
              CASE WHEN `type` = 'order' THEN CAST(price_cents AS BIGINT) * qty ELSE 0 END
            FROM clicks WHERE seq IS NOT NULL""")  # noqa: S608
        statements.add_insert_sql(f"""
            INSERT INTO revenue SELECT {WINDOW_END_MS}, country, COUNT(*), SUM(CAST(price_cents AS BIGINT) * qty)
            FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(event_time), {minutes}))
            WHERE `type` = 'order' GROUP BY window_start, window_end, country""")  # noqa: S608
        return statements

    def verify(self, truth: pd.DataFrame, outputs: Mapping[str, Output], terms: Terms) -> Verified:
        good = truth[~truth.malformed]
        wanted = good[["seq", "due_ns", "ts", "user"]].assign(
            type=good["type"].cat.rename_categories(str.upper),
            region=good["country"].astype(str).map(REGIONS).fillna("other"),
            cents=good["amount_cents"],
        )
        clean = rows_of(outputs["clean"], CLEAN)
        checks, counts = per_event("clean", wanted, clean, "field", terms)
        windows = rows_of(outputs["revenue"], REVENUE)
        due = expected_windows(good, terms.watermark_ms)
        window_check, in_windows = counted("revenue", due, windows, terms)
        counts["window_missing_share"] = in_windows["window_missing_share"]
        return Verified((*checks, window_check), counts)


def expected_windows(good: pd.DataFrame, watermark_ms: int) -> pd.DataFrame:
    """(window_end_ms, country) -> orders, cents, for every window that the watermark has closed."""
    orders = good[good["type"] == "order"]
    minute = orders["ts"].to_numpy() // MINUTE_MS
    by_minute = (
        orders.assign(minute=minute).groupby(["minute", "country"], observed=True)["amount_cents"].agg(["size", "sum"])
    )
    # an event of minute m is in the windows that end 1 to 10 minutes after m began
    parts = []
    for ahead in range(1, WINDOW_MINUTES + 1):
        part = by_minute.reset_index()
        part["window_end_ms"] = (part["minute"] + ahead) * MINUTE_MS
        parts.append(part)
    windows = pd.concat(parts).groupby(["window_end_ms", "country"], observed=True)[["size", "sum"]].sum()
    closed = windows[windows.index.get_level_values(0) - 1 <= watermark_ms]
    return closed.rename(columns={"size": "orders", "sum": "cents"})


JOB = Revenue()
