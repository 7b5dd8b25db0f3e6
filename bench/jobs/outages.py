"""Outages of cell towers, seen from their own events: an alert for a cell whose calls drop while its signal is weak.

A sliding window for each cell: three seconds, every second. A cell is alerted when at least four events of the window
are dropped calls, they are at least a fifth of its events, and its mean signal is weaker than -80 dBm. The alert is
repeated every second while it lasts. Events that were delivered twice count twice.

What the oracle knows beyond the windows: which cell was down when (the workload's label). So it can say how long after
the beginning of an outage its first alert came, which outages had none, and which alerts had no outage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.jobs import WINDOW_END_MS, JobParams, Output, Terms, Verified, Waits, kafka_sink, kafka_source
from bench.jobs.oracle import counted, rows_of
from bench.workloads.telco import BLOCK_BITS, DROP

BLOCK = 1 << BLOCK_BITS
SECOND_MS = 1_000
WINDOW_S = 3
LEAST_DROPS = 4
LEAST_SHARE = 5  # a fifth
WEAK_DB = 80
PATIENCE_MS = 8_000  # an outage that began less than this before the end may be without an alert yet

ALERTS = {"window_end_ms": "int64", "cell": "object", "events": "int64", "drops": "int64", "weakness_db": "int64"}


class Outages:
    """State: three seconds of sums for each cell."""

    version = 1
    reads = "telco"
    settings: Mapping[str, str] = {}
    outputs = ("alerts",)
    per_event = ""

    def build(self, tables: Any, params: JobParams) -> Any:
        tables.execute_sql(kafka_source("telco", params))
        fields = "window_end_ms BIGINT, cell STRING, events BIGINT, drops BIGINT, weakness_db BIGINT"
        tables.execute_sql(kafka_sink("alerts", "alerts", fields, params))
        statements = tables.create_statement_set()
        seconds = f"INTERVAL '1' SECOND, INTERVAL '{WINDOW_S}' SECOND"
        statements.add_insert_sql(f"""
            INSERT INTO alerts SELECT {WINDOW_END_MS}, cell, events, drops, weakness_db
            FROM (
              SELECT window_end, cell, COUNT(*) AS events, COUNT(*) FILTER (WHERE event = {DROP}) AS drops,
                SUM(CAST(weakness_db AS BIGINT)) AS weakness_db
              FROM TABLE(HOP(TABLE telco, DESCRIPTOR(event_time), {seconds}))
              WHERE seq IS NOT NULL GROUP BY window_start, window_end, cell)
            WHERE drops >= {LEAST_DROPS} AND {LEAST_SHARE} * drops >= events
              AND weakness_db >= {WEAK_DB} * events""")  # noqa: S608 -- every word is ours
        return statements

    def verify(self, truth: pd.DataFrame, outputs: Mapping[str, Output], terms: Terms) -> Verified:
        output = outputs["alerts"]
        rows = rows_of(output, ALERTS)
        expected = expected_alerts(truth[~truth.malformed], terms.watermark_ms)
        check, counts = counted("alerts", expected[["events", "drops", "weakness_db"]], rows, terms)
        began = outages(truth, terms.watermark_ms)
        waits = first_alerts(began, rows.assign(append_ms=output.append_ms))
        false = int((~expected["outage"]).sum())
        hours = float(truth["ts"].max() - truth["ts"].min()) / 3_600_000
        found = counts | {
            "recall": float(waits["append_ms"].notna().mean()) if len(began) else float("nan"),
            "precision": 1 - false / len(expected) if len(expected) else float("nan"),
            "false_alarms_per_hour": false / hours if hours else float("nan"),
        }
        alerted = waits.dropna()
        latency_ms = (alerted["append_ms"] - alerted["due_ns"] / 1e6).to_numpy(dtype=np.float64)
        return Verified((check,), found, {"alert_latency_ms": Waits(alerted["due_ns"].to_numpy("int64"), latency_ms)})


def expected_alerts(good: pd.DataFrame, watermark_ms: int) -> pd.DataFrame:
    """(window_end_ms, cell) -> events, drops, weakness_db, and whether the cell was down in any part of the window."""
    second = good["ts"] // SECOND_MS
    table = pd.DataFrame(
        {"second": second, "cell": good["cell"], "drops": good["event"] == DROP, "weakness_db": good["weakness_db"],
         "outage": good["outage"]}
    )  # fmt: skip
    by_second = table.groupby(["second", "cell"], observed=True).agg(
        events=("drops", "size"), drops=("drops", "sum"), weakness_db=("weakness_db", "sum"), outage=("outage", "sum")
    )
    flat = by_second.reset_index()
    parts = [flat.assign(window_end_ms=(flat["second"] + ahead) * SECOND_MS) for ahead in range(1, WINDOW_S + 1)]
    names = ["events", "drops", "weakness_db", "outage"]
    windows = pd.concat(parts).groupby(["window_end_ms", "cell"], observed=True)[names].sum()
    closed = windows[windows.index.get_level_values(0) - 1 <= watermark_ms]
    bad = closed[
        (closed["drops"] >= LEAST_DROPS)
        & (LEAST_SHARE * closed["drops"] >= closed["events"])
        & (closed["weakness_db"] >= WEAK_DB * closed["events"])
    ]
    return bad.assign(outage=bad["outage"] > 0)


def outages(truth: pd.DataFrame, watermark_ms: int) -> pd.DataFrame:
    """Every outage that could have been alerted: cell, when it began (`due_ns`, `ts`), and when it was over (`until`).

    It begins with the block of events in which the cell is down, whether or not the cell itself had one then.
    """
    blocks = pd.DataFrame({"block": truth["seq"] // BLOCK, "cell": truth["cell"].astype(str)})
    down = blocks[truth["outage"].to_numpy()].drop_duplicates().sort_values(["cell", "block"], ignore_index=True)
    begins = (down["cell"] != down["cell"].shift()) | (down["block"] != down["block"].shift() + 1)
    each = down.groupby(begins.cumsum()).agg(cell=("cell", "first"), first=("block", "min"), last=("block", "max"))
    at = truth.set_index("seq")[["due_ns", "ts"]]
    first = at.reindex(each["first"] * BLOCK, method="bfill")
    until = at["ts"].reindex((each["last"] + 1) * BLOCK).fillna(np.inf)
    table = each[["cell"]].assign(due_ns=first["due_ns"].to_numpy(), ts=first["ts"].to_numpy(), until=until.to_numpy())
    return table[table["ts"] <= watermark_ms - PATIENCE_MS]


def first_alerts(began: pd.DataFrame, alerts: pd.DataFrame) -> pd.DataFrame:
    """`began` with the append of each outage's first alert, NaN where there was none."""
    both = began.reset_index(drop=True).reset_index(names="outage").merge(alerts, on="cell", how="left")
    begin_ms = both["window_end_ms"] - WINDOW_S * SECOND_MS
    its = both[(both["window_end_ms"] > both["ts"]) & (begin_ms < both["until"])]
    return began.reset_index(drop=True).assign(append_ms=its.groupby("outage")["append_ms"].min())


JOB = Outages()
