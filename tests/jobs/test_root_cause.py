"""A failed submission is told as the one sentence its reader can act on, from stack traces as they really come."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.jobs.client import root_cause
from bench.jobs.session import declined_checkpoint

# What PyFlink prints for a submission that Flink refuses: a Python traceback around Py4J around Java.
PY4J = """\
Traceback (most recent call last):
  File "/repo/bench/jobs/client.py", line 77, in main
    document = {"job_id": submit(order["job"], JobParams(**order["params"]))}
  File "/venv/lib/python3.11/site-packages/pyflink/util/exceptions.py", line 162, in deco
    return f(*a, **kw)
  File "/venv/lib/python3.11/site-packages/py4j/protocol.py", line 327, in get_return_value
    raise Py4JJavaError(
py4j.protocol.Py4JJavaError: An error occurred while calling o55.execute.
: org.apache.flink.table.api.TableException: Failed to execute sql
\tat org.apache.flink.table.api.internal.TableEnvironmentImpl.executeInternal(TableEnvironmentImpl.java:1079)
\tat java.base/java.lang.Thread.run(Unknown Source)
Caused by: org.apache.flink.util.FlinkException: Failed to execute job 'sg-1'.
\tat org.apache.flink.streaming.api.environment.StreamExecutionEnvironment.executeAsync(X.java:2455)
\t... 17 more
Caused by: java.lang.IllegalArgumentException: Could not parse value 'soon' for key 'execution.checkpointing.interval'.
\tat org.apache.flink.configuration.Configuration.getOptional(Configuration.java:383)
\t... 22 more
Caused by: java.time.format.DateTimeParseException: Text 'soon' could not be parsed
\t... 30 more
"""

# PyFlink turns some Java exceptions into Python ones and repeats the class.
WRAPPED = """\
Traceback (most recent call last):
  File "/venv/lib/python3.11/site-packages/pyflink/util/exceptions.py", line 168, in deco
    raise java_exception
pyflink.util.exceptions.TableException: org.apache.flink.table.api.TableException: Unsupported query: HOP in a view
\tat org.apache.flink.table.planner.delegation.PlannerBase.translate(PlannerBase.scala:1)
"""

# Flink's REST interface: exceptionHistory.entries[0].stacktrace
REST = """\
org.apache.flink.runtime.JobException: Recovery is suppressed by FixedDelayRestartBackoffTimeStrategy(attempts=10)
\tat org.apache.flink.runtime.executiongraph.failover.ExecutionFailureHandler.handleFailure(X.java:180)
Caused by: java.lang.RuntimeException: One or more fetchers have encountered exception
\t... 4 more
Caused by: org.apache.kafka.common.errors.TopicAuthorizationException: Not authorized to access topics: [sg-in]
"""

PYTHON = """\
Traceback (most recent call last):
  File "/repo/bench/jobs/revenue.py", line 40, in build
    tables.execute_sql(missing)
NameError: name 'missing' is not defined
"""


OPTION = (
    "IllegalArgumentException: Could not parse value 'soon' for key 'execution.checkpointing.interval'. "
    "DateTimeParseException: Text 'soon' could not be parsed"
)


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        (PY4J, OPTION),
        (WRAPPED, "TableException: Unsupported query: HOP in a view"),
        (REST, "TopicAuthorizationException: Not authorized to access topics: [sg-in]"),
        (PYTHON, "NameError: name 'missing' is not defined"),
        ("Killed\n", "Killed"),
        ("", "unknown"),
    ],
)
def test_the_cause_is_one_line_without_packages(trace: str, said: str) -> None:
    """A stack trace in a report hides why a run crashed; the outermost "Failed to execute sql" does just as well."""
    assert root_cause(trace) == said


DECLINED = """\
2026-11-28T04:04:47,525 INFO CheckpointCoordinator - Triggering checkpoint 1 (type=X) @ 1795838687504 for job 82c0.
2026-11-28T04:04:52,130 INFO CheckpointCoordinator - Decline checkpoint 1 by task 34_9_1_0 of job 82c0 at tm0-1 @ x.
org.apache.flink.util.SerializedThrowable: org.apache.flink.runtime.checkpoint.CheckpointException: Asynchronous failed.
\tat org.apache.flink.streaming.runtime.tasks.AsyncCheckpointRunnable.run(AsyncCheckpointRunnable.java:155)
Caused by: org.apache.flink.util.SerializedThrowable: java.io.IOException: Could not open output stream
\tSuppressed: org.apache.flink.util.SerializedThrowable: some.SdkClientException: Request attempt 1 failure: X
Caused by: org.apache.flink.util.SerializedThrowable: some.model.S3Exception: Forbidden (Service: S3, Status Code: 403)
\t... 68 more
2026-11-28T04:04:52,278 WARN CheckpointFailureManager - Failed to trigger or complete checkpoint 1 for job 82c0.
org.apache.flink.runtime.checkpoint.CheckpointException: Asynchronous task checkpoint failed.
Caused by: java.lang.IllegalStateException: of another matter
"""


def test_a_declined_checkpoint_is_told_from_the_jobmanagers_log(tmp_path: Path) -> None:
    """REST says that a task declined, and nothing else: the reader would have to look for the log."""
    log = tmp_path / "jobmanager.log"
    assert declined_checkpoint(log, "82c0") == ""
    log.write_text(DECLINED)
    assert root_cause(declined_checkpoint(log, "82c0")) == "S3Exception: Forbidden (Service: S3, Status Code: 403)"
    assert declined_checkpoint(log, "another") == ""
