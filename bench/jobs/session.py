"""Our side of the job client: submit a job to an open cluster, wait until it runs, cancel it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from bench.backends import Cluster
from bench.backends.flink import get_json
from bench.errors import JobError
from bench.jobs import JobParams
from bench.probes.flink import all_run

WARM_TIMEOUT_S = 90.0  # 11-18 s on an idle host
SUBMIT_TIMEOUT_S = 90.0
RUNNING_TIMEOUT_S = 60.0
CANCEL_TIMEOUT_S = 30.0
PROOF_TIMEOUT_S = 45.0  # of a first, small checkpoint: half a second where it can be written at all
NOT_YET = "Not all required tasks are currently running"
LOG_S = 3.0  # for a failure that Flink has just told of to be in its log
LOG_BYTES = 4 << 20  # of the log's end


def declined_checkpoint(log: Path, job_id: str) -> str:
    """The stack trace of the last checkpoint of the job that a task declined, "" without one."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - LOG_BYTES))
        text = stream.read().decode("utf-8", "replace")
    declined = rf"CheckpointCoordinator - Decline checkpoint \d+ by task \S+ of job {job_id}[^\n]*\n"
    found: list[str] = re.findall(rf"{declined}((?:(?!\d{{4}}-)[^\n]*\n)+)", text)  # to the next line with a date
    return found[-1].replace("org.apache.flink.util.SerializedThrowable: ", "") if found else ""


class JobSession:
    """Submits to one cluster through one warm client process."""

    def __init__(self, cluster: Cluster, log: Path) -> None:
        self._terms = cluster.terms
        self.flink_url = cluster.flink_url
        self._log = cluster.logs.get("jobmanager")
        self.bootstrap = cluster.bootstrap_inside
        order_read, order_write = os.pipe()
        answer_read, answer_write = os.pipe()
        # the client's own UDF workers would live and die with it, and the job restart for ever
        environment = {**cluster.client_environment(), "_python_worker_execution_mode": "process"}
        argv = [sys.executable, "-m", "bench.jobs.client"]
        try:
            self._child = cluster.spawn(argv, log, env=environment, fds=(order_read, answer_write))
        finally:
            os.close(order_read)
            os.close(answer_write)
        self._orders: IO[str] = os.fdopen(order_write, "w")
        self._answers = answer_read
        self._buffer = b""
        self._warm = False
        self.submitted: dict[str, str] = {}  # option -> as Flink's client had it for the last job

    def _answer(self, timeout_s: float, what: str) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            readable, _, _ = select.select([self._answers], [], [], max(0.0, min(1.0, deadline - time.monotonic())))
            data = os.read(self._answers, 65536) if readable else b""
            if readable and not data:
                raise JobError(
                    f"{what}: the job client ended (exit code {self._child.poll()})\n{self._child.log_tail()}"
                )
            self._buffer += data
            if not data and time.monotonic() > deadline:
                raise JobError(f"{what}: no answer within {timeout_s:.0f} s\n{self._child.log_tail()}")
        line, _, self._buffer = self._buffer.partition(b"\n")
        document: dict[str, Any] = json.loads(line)
        return document

    def await_warm(self) -> None:
        """Until the client's JVM and planner are there."""
        if not self._warm:
            self._answer(WARM_TIMEOUT_S, "starting the job client")
            self._warm = True

    def submit(self, job: str, params: JobParams) -> str:
        """Submit, and wait until every task runs. JobError with Flink's root cause in one line."""
        self.await_warm()
        # settings handed over replace the client's config.yaml whole, the address of the cluster included
        address = urlsplit(self.flink_url)
        settings = {
            **self._terms.settings,
            **params.settings,
            "rest.address": str(address.hostname),
            "rest.port": str(address.port or 80),
        }
        # the tasks read and write where they run, not where this command does
        there = replace(params, settings=settings, bootstrap=self.bootstrap, client=self._terms.client)
        order = {"job": job, "params": asdict(there)}
        print(json.dumps(order), file=self._orders, flush=True)
        answer = self._answer(SUBMIT_TIMEOUT_S, f"submitting {job}")
        if "error" in answer:
            raise JobError(f"submitting {job}: {answer['error']}")
        job_id: str = answer["job_id"]
        self.submitted = {key: value for key, value in answer["settings"].items() if key in params.settings}
        self.await_running(job_id)
        return job_id

    def await_running(self, job_id: str, timeout_s: float = RUNNING_TIMEOUT_S) -> None:
        """Until the job and each of its tasks are RUNNING: a checkpoint triggered earlier would fail."""

        def running() -> bool:
            state = get_json(f"{self.flink_url}/jobs/{job_id}")
            if state is None:
                return False
            if state["state"] in ("FAILED", "CANCELED", "FINISHED"):
                raise JobError(f"job {job_id} is {state['state']}: {self.failure(job_id)}")
            return all_run(state)

        self._poll(running, timeout_s, f"job {job_id} running", lambda: self.failure(job_id))

    def check(self, job_id: str) -> None:
        """JobError with Flink's root cause when the job is over."""
        state = get_json(f"{self.flink_url}/jobs/{job_id}")
        if state is not None and state["state"] in ("FAILED", "CANCELED", "FINISHED"):
            raise JobError(f"job {job_id} is {state['state']}: {self.failure(job_id)}")

    def failure(self, job_id: str) -> str:
        """Flink's root cause of the job's last failure, in one line."""
        from bench.jobs.client import root_cause

        history = get_json(f"{self.flink_url}/jobs/{job_id}/exceptions")
        entries = (history or {}).get("exceptionHistory", {}).get("entries", [])
        return root_cause(entries[0]["stacktrace"]) if entries else "Flink names no cause"

    def cancel(self, job_id: str) -> None:
        """Cancel and wait until it is over; a job that already ended is fine."""
        request = urllib.request.Request(f"{self.flink_url}/jobs/{job_id}?mode=cancel", method="PATCH")  # noqa: S310
        with contextlib.suppress(OSError):  # ended already, or the JobManager is gone: what follows finds out
            urllib.request.urlopen(request, timeout=5.0).close()  # noqa: S310 -- http on loopback

        def over() -> bool:
            state = get_json(f"{self.flink_url}/jobs/{job_id}")
            return state is not None and state["state"] in ("FAILED", "CANCELED", "FINISHED")

        self._poll(over, CANCEL_TIMEOUT_S, f"job {job_id} cancelled", lambda: "")

    def begin_checkpoint(self, job_id: str) -> str:
        """Ask for a checkpoint now, beside the periodic ones; the request's id, "" when Flink does not take it."""
        request = urllib.request.Request(  # noqa: S310 -- http on loopback
            f"{self.flink_url}/jobs/{job_id}/checkpoints",
            data=b"{}",
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=5.0) as answer:  # noqa: S310 -- http on loopback
                return str(json.load(answer)["request-id"])
        except (OSError, ValueError, KeyError):
            return ""

    def checkpoint_done(self, job_id: str, request: str) -> bool | None:
        """Whether that checkpoint completed; None while it is under way."""
        answer = get_json(f"{self.flink_url}/jobs/{job_id}/checkpoints/{request}")
        if answer is None or answer["status"]["id"] != "COMPLETED":
            return None
        return "failureCause" not in (answer.get("operation") or {"failureCause": ""})

    def prove_checkpoint(self, job_id: str, where: str) -> None:
        """Have a first checkpoint made: a store that cannot be written to fails every trial, and should do so at once.

        JobError with Flink's root cause in one line.
        """
        began, request = time.monotonic(), ""
        while True:
            self.check(job_id)
            request = request or self.begin_checkpoint(job_id)
            answer = get_json(f"{self.flink_url}/jobs/{job_id}/checkpoints/{request}") if request else None
            if answer is not None and answer["status"]["id"] == "COMPLETED":
                failure = (answer.get("operation") or {}).get("failureCause")
                if failure is None:
                    return
                if NOT_YET not in str(failure):
                    raise JobError(f"no checkpoint can be made {where}: {self._why_none(job_id, failure)}")
                request = ""  # a task that has just gone says nothing about the store
            if time.monotonic() > began + PROOF_TIMEOUT_S:
                late = f"none was done after {PROOF_TIMEOUT_S:.0f} s"
                raise JobError(f"no checkpoint can be made {where}: {late}; {self._last_word(job_id)}")
            time.sleep(0.1)

    def _why_none(self, job_id: str, failure: Mapping[str, Any]) -> str:
        """What the request's answer says; where that is only that a task declined, what the JobManager's log has of it.

        REST tells no more of a declined checkpoint than that it was one.
        """
        from bench.jobs.client import root_cause

        said = root_cause(str(failure.get("stack-trace") or failure.get("class") or "Flink names no cause"))
        if "CheckpointException" not in said and "Exceeded checkpoint" not in said:
            return said
        deadline = time.monotonic() + LOG_S
        while time.monotonic() < deadline:
            if self._log is not None and (declined := declined_checkpoint(self._log, job_id)):
                return root_cause(declined)
            time.sleep(0.2)
        return said

    def _last_word(self, job_id: str) -> str:
        """On a checkpoint that does not end: why one before it was declined, or the job's last failure."""
        from bench.jobs.client import root_cause

        declined = declined_checkpoint(self._log, job_id) if self._log is not None else ""
        return root_cause(declined) if declined else self.failure(job_id)

    def _poll(self, condition: Callable[[], bool], timeout_s: float, what: str, why: Callable[[], str]) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise JobError(f"{what}: not within {timeout_s:.0f} s; {why()}")
            time.sleep(0.1)

    def jobs_named(self, name: str) -> list[str]:
        """Ids of the jobs called `name` that are not over: also those whose submission we saw fail half-way."""
        overview = get_json(f"{self.flink_url}/jobs/overview") or {"jobs": []}
        over = ("FAILED", "CANCELED", "FINISHED")
        return [str(job["jid"]) for job in overview["jobs"] if job["name"] == name and job["state"] not in over]

    def close(self) -> None:
        """End the client; its JVM ends with it."""
        self._orders.close()
        os.close(self._answers)
        self._child.stop()
