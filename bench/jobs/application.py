"""A job as an application of its own: what Flink's PythonDriver runs, in a cluster that is there for this job alone.

    python bench/jobs/application.py FILE

FILE: {"job": NAME, "params": {...}} as for `bench.jobs.client`. Where it runs, and every option, is in the
configuration that FLINK_CONF_DIR names: what is submitted is what that says.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.jobs import JobParams
from bench.jobs.client import build, environment


def main(path: Path) -> None:
    """Submit; returns once Flink has taken it."""
    order = json.loads(path.read_text(encoding="utf-8"))
    params = JobParams(**order["params"])
    tables = environment(params, where={})
    build(order["job"], tables, params).execute()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
