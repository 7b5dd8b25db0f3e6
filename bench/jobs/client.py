"""The warm PyFlink client: a child process that submits jobs to a session cluster, one JSON document per line.

    in:  {"job": NAME, "params": {...}}
    out: {"job_id": "...", "settings": {option: as Flink has it}} or {"error": "one line"}

Kept alive for a cluster's whole life: starting Python, a JVM and the planner costs 11-18 s, a further submission
about 2. It reports the cause that a user can act on, not Py4J's stack.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bench.jobs import ASIDE, JobParams, aside, find
from bench.keyring import hidden

SESSION: Mapping[str, str] = MappingProxyType({"execution.target": "remote", "execution.attached": "false"})


def environment(params: JobParams, where: Mapping[str, str] = SESSION) -> Any:
    """A TableEnvironment that submits to the session cluster FLINK_CONF_DIR names, or as `where` says."""
    from pyflink.common import Configuration
    from pyflink.table import EnvironmentSettings, TableEnvironment

    settings = {
        **where,
        "pipeline.name": params.run_name,
        "table.local-time-zone": "UTC",  # windows are told as UTC, wherever this runs
        "parallelism.default": str(params.parallelism),
        "python.executable": sys.executable,  # "python" on the path of a TaskManager is somebody else's
        **params.settings,
    }
    configuration = Configuration()
    for key, value in settings.items():
        configuration.set_string(key, value)
    return TableEnvironment.create(
        EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(configuration).build()
    )


def build(name: str, tables: Any, params: JobParams) -> Any:
    """The job's statements; with a branch for what cannot be read where its stream may hold such events."""
    statements = find(name).build(tables, params)
    if ASIDE in params.output_topics:
        aside.route(tables, statements, params)
    return statements


def submit(name: str, params: JobParams) -> dict[str, Any]:
    """The job's id and its settings as Flink's client has them, once it is submitted."""
    tables = environment(params)
    statements = build(name, tables, params)
    job_id = str(statements.execute().get_job_client().get_job_id())
    config = tables.get_config()
    return {"job_id": job_id, "settings": {key: config.get(key, "") for key in params.settings}}


def root_cause(text: str) -> str:
    """The innermost cause of a Java stack trace, or the last exception a Python one names, without its package.

    A cause further out that names the option at fault goes before it: "Text 'soon' could not be parsed" helps nobody.
    """
    causes = re.findall(r"^(?:Caused by: |: )?(?:[\w$]+\.)+([\w$]*(?:Exception|Error)\b[^\n]*)", text, re.MULTILINE)
    if causes:
        # PyFlink wraps: "TableException: org.apache.flink.table.api.TableException: why"
        plain = [re.sub(r"^\w+: (?:[\w$]+\.)+(\w+(?:Exception|Error))", r"\1", cause).strip() for cause in causes]
        option = next((cause for cause in reversed(plain[:-1]) if re.search(r"\bkey '[\w.-]+'", cause)), "")
        return f"{option} {plain[-1]}" if option else plain[-1]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "unknown"


def main() -> None:
    """Warm up, say so, then obey until standard input ends."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library or the gateway's JVM prints must not break the protocol

    from pyflink.java_gateway import get_gateway

    get_gateway()
    print(json.dumps({"ready": True}), file=answer, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            document = submit(order["job"], JobParams(**order["params"]))
        except Exception:  # noqa: BLE001 -- the boundary to another process: everything becomes an answer
            # should anybody ever quote a statement whole, with the connectors' secrets
            detail = hidden(traceback.format_exc().encode(), order["params"].get("client", {})).decode()
            print(detail, file=sys.stderr, flush=True)  # the log keeps the whole stack; the answer is one line
            document = {"error": root_cause(detail)}
        print(json.dumps(document), file=answer, flush=True)


if __name__ == "__main__":
    main()
