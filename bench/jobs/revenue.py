"""Revenue of the last 10 minutes, every minute, by country; and each event cleaned and enriched on the way.

Two outputs of one job: `clean` has a row for each well-formed event (its latency is the headline), `revenue` a row for
each country and sliding window of event time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.jobs import JobParams, Output, Verified, kafka_sink, kafka_source
from bench.record import Check

MINUTE_MS = 60_000
WINDOW_MINUTES = 10

# What "enrich" adds: sales regions by country. Countries outside the table are "other", as a real lookup would have it.
REGIONS = {
    "DE": "dach", "FR": "france", "GB": "uk", "PL": "cee", "NL": "benelux",
    "SE": "nordics", "US": "americas", "BR": "americas", "IN": "apac", "JP": "apac",
}  # fmt: skip

# What is compared of each output
CLEAN = {"seq": "int64", "due_ns": "int64", "region": "object", "cents": "int64"}
REVENUE = {"window_end_ms": "int64", "country": "object", "orders": "int64", "cents": "int64"}


class Revenue:
    """See the module."""

    version = 1
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
            INSERT INTO revenue SELECT
              1000 * UNIX_TIMESTAMP(CAST(window_end AS STRING), 'yyyy-MM-dd HH:mm:ss.SSS'), country,
              COUNT(*), SUM(CAST(price_cents AS BIGINT) * qty)
            FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(event_time), {minutes}))
            WHERE `type` = 'order' GROUP BY window_start, window_end, country""")  # noqa: S608
        return statements

    def verify(self, truth: pd.DataFrame, outputs: Mapping[str, Output], final_watermark_ms: int) -> Verified:
        good = truth[~truth.malformed]
        clean_checks, counts = verify_clean(good, _rows(outputs["clean"], CLEAN))
        window_check = verify_windows(good, _rows(outputs["revenue"], REVENUE), final_watermark_ms)
        return Verified((*clean_checks, window_check), counts)


def _rows(output: Output, columns: Mapping[str, str]) -> pd.DataFrame:
    """An output's rows; one that nobody wrote to has none, but has its columns."""
    return output.rows if len(output.rows) else pd.DataFrame(columns=[*columns]).astype(columns)


def verify_clean(good: pd.DataFrame, rows: pd.DataFrame) -> tuple[tuple[Check, ...], dict[str, float]]:
    """Every well-formed event once, with the right region and amount."""
    wanted = pd.Index(good["seq"])
    found = pd.Index(rows["seq"])
    unique = found.unique()
    lost = float(len(wanted.difference(unique)))
    duplicated = float(len(found) - len(unique))
    strangers = float(len(unique.difference(wanted)))
    both = rows.merge(  # a repeated row has to be right too
        good[["seq", "country", "amount_cents", "due_ns"]], on="seq", suffixes=("", "_true")
    )
    region = both["country"].astype(str).map(REGIONS).fillna("other")
    wrong = (
        (both["region"] != region) | (both["cents"] != both["amount_cents"]) | (both["due_ns"] != both["due_ns_true"])
    )
    checks = (
        Check("clean: events lost", 0, lost, lost == 0),
        Check("clean: events nobody sent", 0, strangers, strangers == 0),
        Check("clean: rows with a wrong region, amount or due time", 0, float(wrong.sum()), not wrong.any()),
    )
    share = 1 - lost / len(wanted) if len(wanted) else float("nan")
    return checks, {"lost_events": lost, "duplicated_events": duplicated, "output_share": share}


def expected_windows(good: pd.DataFrame, final_watermark_ms: int) -> pd.DataFrame:
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
    closed = windows[windows.index.get_level_values(0) - 1 <= final_watermark_ms]
    return closed.rename(columns={"size": "orders", "sum": "cents"})


def verify_windows(good: pd.DataFrame, rows: pd.DataFrame, final_watermark_ms: int) -> Check:
    """Window by window: the same windows, counts and cents; a row that is repeated must repeat the same values."""
    expected = expected_windows(good, final_watermark_ms)
    # at-least-once may write a window twice after a failure; the same window with two different sums is wrong
    found = rows.drop_duplicates().set_index(["window_end_ms", "country"])[["orders", "cents"]]
    both = (
        expected.reset_index()
        .astype({"country": str})
        .merge(
            found.reset_index(), on=["window_end_ms", "country"], how="outer", suffixes=("", "_found"), indicator=True
        )
    )
    agree = (
        (both["_merge"] == "both") & (both["orders"] == both["orders_found"]) & (both["cents"] == both["cents_found"])
    )
    detail = "" if len(expected) else "no window was due before the end"
    if not agree.all():
        first = both[~agree].iloc[0]
        detail = (
            f"window ending {first['window_end_ms']} {first['country']}: expected {first['orders']} orders "
            f"{first['cents']} cents, found {first['orders_found']} and {first['cents_found']}"
        )
    ok = bool(agree.all()) and len(expected) > 0
    return Check("revenue: windows that agree", float(len(expected)), float(agree.sum()), ok, detail)


JOB = Revenue()
