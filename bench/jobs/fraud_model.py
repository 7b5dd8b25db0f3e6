"""Fraud by a trained model: every payment scored in Flink's Python workers, in Arrow batches, with what its card did.

SQL looks back (two OVER windows by card, of event time), a vectorised Python function scores whole batches with numpy.
The model is `fraud_model.json`, read once in each worker. Payments of one card within the same millisecond see each
other, whichever came first; a payment that was delivered twice is scored twice.

How long a batch waits for company is `python.fn-execution.bundle.time` (Flink's 1 s would be the whole latency).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.jobs import JobParams, Output, Terms, Verified, Waits, kafka_sink, kafka_source, scoring
from bench.jobs.oracle import per_event, rows_of
from bench.jobs.payments import VIEW, best_threshold_f1, paid, quality

SCORED = {"seq": "int64", "due_ns": "int64", "log_odds": "float64", "alarm": "bool"}
NEAR = 1e-6  # log odds: a score so near the threshold may fall on either side of it on another processor


def scorer() -> Any:
    """The function that Flink ships to its workers: a pyflink ScalarFunction over INPUTS, in Arrow batches."""
    import cloudpickle
    from pyflink.table import DataTypes
    from pyflink.table.udf import ScalarFunction, udf

    cloudpickle.register_pickle_by_value(scoring)  # workers know nothing of this repository
    text = scoring.FILE.read_text()

    class Score(ScalarFunction):  # type: ignore[misc]
        """A worker opens it once, and then calls it with batches."""

        def open(self, _context: Any) -> None:
            """Read the model: once in a worker, not once for each event."""
            self._model = scoring.load(text)

        def eval(self, *columns: Any) -> Any:
            """Log odds of each payment of the batch."""
            given = {name: column.to_numpy("float64") for name, column in zip(scoring.INPUTS, columns, strict=True)}
            return pd.Series(self._model.score(scoring.features(given)))

    return udf(Score(), result_type=DataTypes.DOUBLE(), func_type="pandas")


class FraudModel:
    """State: for each card its payments of the last minute."""

    version = 1
    reads = "payments"
    functions = ("pandas",)
    settings: Mapping[str, str] = {
        "python.fn-execution.bundle.time": "10",
        "python.fn-execution.arrow.batch.size": "5000",
    }
    outputs = ("scored",)
    per_event = "scored"

    def build(self, tables: Any, params: JobParams) -> Any:
        threshold = scoring.load().threshold
        tables.create_temporary_function("log_odds", scorer())
        tables.execute_sql(kafka_source("payments", params))
        tables.execute_sql(VIEW)
        look = "PARTITION BY card ORDER BY event_time RANGE BETWEEN INTERVAL '{}' SECOND PRECEDING AND CURRENT ROW"
        tables.execute_sql(f"""CREATE TEMPORARY VIEW recently AS
            SELECT *, COUNT(*) OVER w AS recent,
              SUM(abroad) OVER w AS recent_abroad, SUM(online) OVER w AS recent_online
            FROM paid WINDOW w AS ({look.format(scoring.SHORT_MS // 1000)})""")  # noqa: S608 -- every word is ours
        tables.execute_sql(f"""CREATE TEMPORARY VIEW looked_back AS
            SELECT *, COUNT(*) OVER w AS `minute`
            FROM recently WINDOW w AS ({look.format(scoring.LONG_MS // 1000)})""")  # noqa: S608
        fields = "seq BIGINT, due_ns BIGINT, card STRING, log_odds DOUBLE, alarm BOOLEAN"
        tables.execute_sql(kafka_sink("scored", "scored", fields, params))
        inputs = ", ".join(f"`{name}`" for name in scoring.INPUTS)
        statements = tables.create_statement_set()
        statements.add_insert_sql(f"""
            INSERT INTO scored SELECT seq, due_ns, card, odds, odds >= {threshold}
            FROM (SELECT seq, due_ns, card, log_odds({inputs}) AS odds FROM looked_back)""")  # noqa: S608
        return statements

    def verify(self, truth: pd.DataFrame, outputs: Mapping[str, Output], terms: Terms) -> Verified:
        payments, model = paid(truth), scoring.load()
        due = payments[payments["ts"] <= terms.watermark_ms]
        odds = model.score(scoring.features_of(due))
        output = outputs["scored"]
        rows = rows_of(output, SCORED)
        wanted = due[["seq", "due_ns"]].assign(alarm=odds >= model.threshold)
        near = set(due["seq"][np.abs(odds - model.threshold) < NEAR])
        wanted_rows = rows.assign(alarm=rows["alarm"].astype(bool) & ~rows["seq"].isin(near))
        wanted = wanted.assign(alarm=wanted["alarm"] & ~wanted["seq"].isin(near))
        checks, counts = per_event("scored", wanted, wanted_rows, "alarm or due time", terms)
        fraud, alarmed = due["fraud"].to_numpy(), wanted["alarm"].to_numpy()
        found = quality(alarmed, fraud)
        margin = found["f1_score"] - best_threshold_f1(due["amount_cents"].to_numpy(), fraud)
        first = rows.assign(append_ms=output.append_ms)[wanted_rows["alarm"].to_numpy()].drop_duplicates("seq")
        right = first[first["seq"].isin(due["seq"][due["fraud"]])]
        latency_ms = (right["append_ms"] - right["due_ns"] / 1e6).to_numpy(dtype=np.float64)
        waits = Waits(right["due_ns"].to_numpy("int64"), latency_ms)
        return Verified(checks, counts | found | {"f1_over_threshold_rule": margin}, {"alert_latency_ms": waits})


JOB = FraudModel()
