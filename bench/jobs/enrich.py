"""Clean, enrich, aggregate: clicks joined with a reference table of items, and the orders of each category by minute.

The reference table is versioned, and each event is joined with the version of its own time (FOR SYSTEM_TIME AS OF):
the join waits until the watermark says that no earlier version can come, which is part of the latency. It is filled by
a source inside the job, so that it needs no database; a lookup join proper asks one that runs outside.

Two outputs: `enriched`, a row for each delivery of an event, and `by_category`, which counts an order once however
often it was delivered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.jobs import WINDOW_END_MS, JobParams, Output, Terms, Verified, kafka_sink, kafka_source
from bench.jobs.oracle import counted, per_event, rows_of

MINUTE_MS = 60_000
ITEMS = 5_000  # as many as the workload has
CATEGORIES = ("books", "garden", "games", "kitchen", "music", "shoes", "sports", "toys")
SCATTER = 7_919  # neighbouring items are in different categories
CONTENT = ["user", "session", "item", "ts", "qty"]  # what two deliveries of the same event have in common

ENRICHED = {"seq": "int64", "due_ns": "int64", "category": "object", "margin_cents": "int64"}
BY_CATEGORY = {"window_end_ms": "int64", "category": "object", "orders": "int64", "cents": "int64"}


def category_of(item: pd.Series[Any]) -> pd.Series[str]:
    """The category of items such as "i00042"."""
    at = (_number(item) * SCATTER % len(CATEGORIES)).to_numpy()
    found: pd.Series[str] = pd.Series(np.array(CATEGORIES, dtype=object)[at], index=item.index)
    return found


def margin_cents(item: pd.Series[Any], amount_cents: pd.Series[int]) -> pd.Series[int]:
    """What is earned on an order: between 10 % and 49 % by item, rounded down."""
    return amount_cents * (10 + _number(item) % 40) // 100


def _number(item: pd.Series[Any]) -> pd.Series[int]:
    return item.astype(str).str[1:].astype("int64")


class Enrich:
    """State: the reference table, and the events between the watermark and now."""

    version = 1
    reads = "clicks"
    settings: Mapping[str, str] = {}
    outputs = ("enriched", "by_category")
    per_event = "enriched"

    def build(self, tables: Any, params: JobParams) -> Any:
        cases = " ".join(f"WHEN {at} THEN '{category}'" for at, category in enumerate(CATEGORIES))
        tables.execute_sql(kafka_source("clicks", params))
        tables.execute_sql(f"""CREATE TEMPORARY TABLE items (
              id BIGINT,
              category AS CASE MOD(id * {SCATTER}, {len(CATEGORIES)}) {cases} END,
              margin_percent AS 10 + MOD(id, 40),
              valid_from AS TO_TIMESTAMP_LTZ(0, 3),
              WATERMARK FOR valid_from AS valid_from,
              PRIMARY KEY (id) NOT ENFORCED
            ) WITH (
              'connector' = 'datagen', 'rows-per-second' = '1000000',
              'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '{ITEMS - 1}'
            )""")
        tables.execute_sql("""CREATE TEMPORARY VIEW orders AS
            SELECT *, CAST(SUBSTRING(item FROM 2) AS BIGINT) AS item_id,
              CASE WHEN `type` = 'order' THEN CAST(price_cents AS BIGINT) * qty ELSE 0 END AS cents
            FROM clicks WHERE seq IS NOT NULL""")
        tables.execute_sql("""CREATE TEMPORARY VIEW known AS
            SELECT o.*, i.category, o.cents * i.margin_percent / 100 AS margin_cents
            FROM orders AS o LEFT JOIN items FOR SYSTEM_TIME AS OF o.event_time AS i ON o.item_id = i.id""")
        row = "seq BIGINT, due_ns BIGINT, ts BIGINT, `user` STRING, item STRING, category STRING, margin_cents BIGINT"
        tables.execute_sql(kafka_sink("enriched", "enriched", row, params))
        window = "window_end_ms BIGINT, category STRING, orders BIGINT, cents BIGINT"
        tables.execute_sql(kafka_sink("by_category", "by_category", window, params))
        statements = tables.create_statement_set()
        statements.add_insert_sql("""
            INSERT INTO enriched SELECT seq, due_ns, ts, `user`, item, category, margin_cents FROM known""")
        content = ", ".join(f"`{name}`" for name in CONTENT)
        statements.add_insert_sql(f"""
            INSERT INTO by_category SELECT {WINDOW_END_MS}, category, COUNT(*), SUM(cents)
            FROM (
              SELECT *, ROW_NUMBER() OVER (
                PARTITION BY window_start, window_end, {content} ORDER BY event_time) AS delivery
              FROM TABLE(TUMBLE(TABLE known, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)) WHERE `type` = 'order'
            ) WHERE delivery = 1 GROUP BY window_start, window_end, category""")  # noqa: S608 -- every word is ours
        return statements

    def verify(self, truth: pd.DataFrame, outputs: Mapping[str, Output], terms: Terms) -> Verified:
        good = truth[~truth.malformed]
        wanted = good[["seq", "due_ns"]].assign(
            category=category_of(good["item"]), margin_cents=margin_cents(good["item"], good["amount_cents"])
        )
        # the join holds back what the watermark has not passed
        held = set(good["seq"][good["ts"] > terms.watermark_ms])
        rows = rows_of(outputs["enriched"], ENRICHED)
        early = rows["seq"].isin(held)
        due = wanted[~wanted["seq"].isin(held)]
        checks, counts = per_event("enriched", due, rows[~early], "category, margin or due time", terms)
        expected = expected_orders(good, terms.watermark_ms)
        windows = rows_of(outputs["by_category"], BY_CATEGORY)
        check, in_windows = counted("by_category", expected, windows, terms)
        counts["window_missing_share"] = in_windows["window_missing_share"]
        return Verified((*checks, check), counts)


def expected_orders(good: pd.DataFrame, watermark_ms: int) -> pd.DataFrame:
    """(window_end_ms, category) -> orders, cents; each order once, for every minute that the watermark has closed."""
    orders = good[good["type"] == "order"].drop_duplicates(CONTENT)
    end = (orders["ts"] // MINUTE_MS + 1) * MINUTE_MS
    table = orders.assign(window_end_ms=end, category=category_of(orders["item"]))
    sums = table.groupby(["window_end_ms", "category"])["amount_cents"].agg(["size", "sum"])
    closed = sums[sums.index.get_level_values(0) - 1 <= watermark_ms]
    return closed.rename(columns={"size": "orders", "sum": "cents"})


JOB = Enrich()
