"""Fraud by a rule over a sequence (MATCH_RECOGNIZE): two suspicious payments of a card in a row within two seconds.

A payment is suspicious that is made abroad, or online for 50 euros and more. The second one must be another payment,
not the first delivered twice. Both payments of a match are alarmed. Two seconds are of event time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.jobs import JobParams, Output, Terms, Verified, Waits, kafka_sink, kafka_source
from bench.jobs.oracle import per_event, rows_of
from bench.jobs.payments import VIEW, best_threshold_f1, paid, quality

WITHIN_S = 2
LARGE_CENTS = 5_000
SAME = ("ts", "amount_cents", "merchant", "terminal")  # what two deliveries of a payment have in common

ALERTS = {"seq": "int64", "first_seq": "int64", "card": "object", "due_ns": "int64"}


class FraudRules:
    """State: for each card the payments that the watermark has not passed, and at most one half-finished match."""

    version = 1
    reads = "payments"
    settings: Mapping[str, str] = {}
    outputs = ("alerts",)
    per_event = ""

    def build(self, tables: Any, params: JobParams) -> Any:
        tables.execute_sql(kafka_source("payments", params))
        tables.execute_sql(VIEW)
        fields = "seq BIGINT, first_seq BIGINT, card STRING, due_ns BIGINT"
        tables.execute_sql(kafka_sink("alerts", "alerts", fields, params))
        suspicious = f"({{0}}.abroad = 1 OR {{0}}.online = 1 AND {{0}}.amount_cents >= {LARGE_CENTS})"
        same = " AND ".join(f"B.`{name}` = A.`{name}`" for name in SAME)
        statements = tables.create_statement_set()
        # the second sort key makes payments of the same millisecond come in the same order in any run
        statements.add_insert_sql(f"""
            INSERT INTO alerts SELECT seq, first_seq, card, due_ns FROM paid MATCH_RECOGNIZE (
              PARTITION BY card ORDER BY event_time, seq
              MEASURES A.seq AS first_seq, B.seq AS seq, B.due_ns AS due_ns
              ONE ROW PER MATCH
              AFTER MATCH SKIP TO NEXT ROW
              PATTERN (A B) WITHIN INTERVAL '{WITHIN_S}' SECOND
              DEFINE A AS {suspicious.format("A")}, B AS {suspicious.format("B")} AND NOT ({same})
            )""")  # noqa: S608 -- every word is ours
        return statements

    def verify(self, truth: pd.DataFrame, outputs: Mapping[str, Output], terms: Terms) -> Verified:
        payments = paid(truth)
        due = payments[payments["ts"] <= terms.watermark_ms]
        expected = expected_matches(due)
        output = outputs["alerts"]
        rows = rows_of(output, ALERTS)
        checks, counts = per_event("alerts", expected, rows, "first payment, card or due time", terms)
        alarmed = due["seq"].isin(expected["seq"]) | due["seq"].isin(expected["first_seq"])
        fraud = due["fraud"].to_numpy()
        found = quality(alarmed.to_numpy(), fraud)
        margin = found["f1_score"] - best_threshold_f1(due["amount_cents"].to_numpy(), fraud)
        first = rows.assign(append_ms=output.append_ms).drop_duplicates("seq")
        right = first[first["seq"].isin(due["seq"][due["fraud"]])]
        latency_ms = (right["append_ms"] - right["due_ns"] / 1e6).to_numpy(dtype=np.float64)
        waits = Waits(right["due_ns"].to_numpy("int64"), latency_ms)
        return Verified(checks, counts | found | {"f1_over_threshold_rule": margin}, {"alert_latency_ms": waits})


def expected_matches(due: pd.DataFrame) -> pd.DataFrame:
    """Every match of the pattern: seq and due_ns of its second payment, first_seq, card."""
    rows = due.sort_values(["card", "ts", "seq"], ignore_index=True)
    suspicious = (rows["abroad"] == 1) | ((rows["online"] == 1) & (rows["amount_cents"] >= LARGE_CENTS))
    before = rows.shift(1)
    same = pd.Series(data=True, index=rows.index)
    for name in SAME:
        same &= rows[name].astype(object) == before[name].astype(object)
    matched = (
        suspicious
        & suspicious.shift(1, fill_value=False)
        & (rows["card"].astype(object) == before["card"].astype(object))
        & (rows["ts"] - before["ts"] < WITHIN_S * 1000)
        & ~same
    )
    second = rows[matched]
    return pd.DataFrame(
        {"seq": second["seq"], "first_seq": before["seq"][matched].astype("int64"), "card": second["card"].astype(str),
         "due_ns": second["due_ns"]}
    )  # fmt: skip


JOB = FraudRules()
