"""What cannot be read is counted and routed aside: a branch of its own beside any job, and what it must have found.

Flink's formats skip an unreadable record without a word (`ignore-parse-errors`), or fail the job on it for ever. So a
second reader of the same topic takes the records as they are, and writes those that are no event to the output `aside`,
byte for byte. It costs one more reading and parsing of the stream, which is why only a stream that may hold such
records (`workload.malformed` above 0) has this branch.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.jobs import ASIDE, JobParams, delivering, groups, reading
from bench.record import Check
from bench.workloads.encoding import Format, stamps_of


def route(tables: Any, statements: Any, params: JobParams) -> None:
    """Add the branch to a job's pyflink StatementSet."""
    as_it_is = "'format' = 'raw'"
    source = reading(params, groups(params.run_name, params.output_topics)[-1])
    tables.execute_sql(f"CREATE TEMPORARY TABLE as_sent (content STRING) WITH ({source}, {as_it_is})")
    tables.execute_sql(
        f"CREATE TEMPORARY TABLE {ASIDE} (content STRING) WITH ({delivering(ASIDE, params)}, {as_it_is})"
    )
    statements.add_insert_sql(f"INSERT INTO {ASIDE} SELECT content FROM as_sent WHERE {unreadable(params)}")  # noqa: S608


def unreadable(params: JobParams) -> str:
    """SQL that is true of a record that is no event."""
    if params.input_format == "json":  # NULL for no JSON as for JSON without a sequence number
        return "JSON_VALUE(content, '$.seq' NULL ON EMPTY NULL ON ERROR) IS NULL"
    kinds = {"BIGINT": "-?[0-9]+", "INT": "-?[0-9]+"}
    fields = ",".join(kinds.get(kind, '("[^"]*"|[^",]*)') for _, kind in params.columns)
    return f"NOT REGEXP(content, '^{fields}$')"


def verify(truth: pd.DataFrame, contents: list[bytes], fmt: Format) -> tuple[Check, float]:
    """Exactly the unreadable events are aside (their stamps can still be read); and how many they are."""
    wanted = set(truth["seq"][truth["malformed"]].tolist())
    found = {stamps_of(fmt, content)[0] for content in contents}
    wrong = len(wanted ^ found)
    detail = f"{len(wanted - found)} missing, {len(found - wanted)} that could be read" if wrong else ""
    return Check("aside: unreadable events", float(len(wanted)), float(len(found)), not wrong, detail), float(
        len(found)
    )
