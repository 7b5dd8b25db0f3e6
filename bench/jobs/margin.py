"""One function of three columns, in every form that Flink can run it: what is earned on an event, in whole cents.

It reads a string and computes with integers, which is much less than what handing a row over costs: the forms differ in
how the row gets to the function. `sql` is an expression that Flink compiles; `java` a compiled function in the same
JVM; `row` Python, called for each row in a process or a thread (`pipeline.python.mode`); `pandas` Python, called for a
batch of rows. The rest of the job is the same: JSON in, a filter, JSON out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.jobs import JobParams, Output, Terms, Verified, kafka_sink, kafka_source
from bench.jobs.enrich import margin_cents
from bench.jobs.oracle import per_event, rows_of

MARGINS = {"seq": "int64", "due_ns": "int64", "cents": "int64"}

SQL = "CAST(price_cents AS BIGINT) * qty * (10 + MOD(CAST(SUBSTRING(item FROM 2) AS BIGINT), 40)) / 100"

JAVA = """
package streamgauge;

public class Margin extends org.apache.flink.table.functions.ScalarFunction {
    public Long eval(String item, Integer priceCents, Integer qty) {
        return (long) priceCents * qty * (10 + Long.parseLong(item.substring(1)) % 40) / 100;
    }
}
"""


def python_function(form: str) -> Any:
    """A pyflink function, `row` or `pandas`. What it calls is inside of it: workers know nothing of this repository."""
    from pyflink.table import DataTypes
    from pyflink.table.udf import udf

    def of_row(item: str, price_cents: int, qty: int) -> int:
        return price_cents * qty * (10 + int(item[1:]) % 40) // 100

    def of_batch(item: Any, price_cents: Any, qty: Any) -> Any:
        return price_cents.astype("int64") * qty * (10 + item.str[1:].astype("int64") % 40) // 100

    if form == "row":
        return udf(of_row, result_type=DataTypes.BIGINT())
    return udf(of_batch, result_type=DataTypes.BIGINT(), func_type="pandas")


class Margin:
    """State: none."""

    version = 1
    reads = "clicks"
    functions = ("sql", "java", "row", "pandas")
    settings: Mapping[str, str] = {}
    outputs = ("margins",)
    per_event = "margins"

    def build(self, tables: Any, params: JobParams) -> Any:
        call = "margin(item, price_cents, qty)"
        if params.function == "sql":
            call = SQL
        elif params.function == "java":
            from bench.toolchain.compiler import compiled

            jar = compiled("Margin", JAVA).as_uri()
            tables.execute_sql(
                f"CREATE TEMPORARY FUNCTION margin AS 'streamgauge.Margin' LANGUAGE JAVA USING JAR '{jar}'"
            )
        else:
            tables.create_temporary_function("margin", python_function(params.function))
        tables.execute_sql(kafka_source("clicks", params))
        tables.execute_sql(kafka_sink("margins", "margins", "seq BIGINT, due_ns BIGINT, cents BIGINT", params))
        statements = tables.create_statement_set()
        statements.add_insert_sql(f"""
            INSERT INTO margins SELECT seq, due_ns, {call} FROM clicks WHERE seq IS NOT NULL""")  # noqa: S608
        return statements

    def verify(self, truth: pd.DataFrame, outputs: Mapping[str, Output], terms: Terms) -> Verified:
        good = truth[~truth.malformed]
        cents = margin_cents(good["item"], good["price_cents"].astype("int64") * good["qty"])
        wanted = good[["seq", "due_ns"]].assign(cents=cents)
        return Verified(
            *per_event("margins", wanted, rows_of(outputs["margins"], MARGINS), "margin or due time", terms)
        )


JOB = Margin()
