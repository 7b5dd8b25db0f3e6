"""Child processes that cannot outlive the command: `Subtree` starts them through the supervisor process.

A `Child` speaks enough of `subprocess.Popen` (pid, poll, wait, send_signal, terminate, kill) for its users not to care.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.backends.cpus import ANYWHERE, Place
from bench.errors import HostError

START_S = 10.0  # to fork and exec on a busy two-core host
LEAVE_S = 20.0  # supervisor: grace + kill, and the scratch folder's removal

# librdkafka, Flink and Java read these; nothing else of the user's environment (credentials!) reaches a child
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER")


class Child:
    """A process somewhere below the supervisor."""

    def __init__(self, name: str, argv: Sequence[str], log: Path | None) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.log = log
        self.pid = 0
        self.returncode: int | None = None
        self.started = threading.Event()
        self.ended = threading.Event()
        self.error = ""

    def poll(self) -> int | None:
        """The exit code (negative: the signal's number), or None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self.ended.wait(timeout):
            raise subprocess.TimeoutExpired(list(self.argv), timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it ended between the two lines
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def stop(self, grace_s: float = 5.0) -> int:
        """SIGTERM, then SIGKILL after `grace_s`; returns the exit code."""
        self.send_signal(signal.SIGCONT)
        self.terminate()
        try:
            return self.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.wait(10.0)

    def log_tail(self, lines: int = 12) -> str:
        """The last lines of its log, with the last cause Java named before them: what a crashed run shows."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - 65_536))
            said = stream.read().decode("utf-8", "replace").splitlines()
        causes = [at for at, line in enumerate(said) if line.startswith("Caused by: ")]
        if causes and causes[-1] < len(said) - lines:  # a dozen lines about the shutdown came after it
            return "\n".join([said[causes[-1]], *said[1 - lines :]])
        return "\n".join(said[-lines:])


class Subtree:
    """Every process of one command. Leaving the `with`, or dying in it, ends all and removes the scratch folders."""

    def __init__(self) -> None:
        self._keys = itertools.count()
        self._waiting: dict[int, Child] = {}
        self._children: dict[int, Child] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        ours, theirs = socket.socketpair()
        # -I -S: no user site, no environment; a session of its own, so that Ctrl-C at the terminal reaches only us
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py")), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self._link = ours
        self._reader = threading.Thread(target=self._listen, name="supervisor", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone already
            self._link.shutdown(socket.SHUT_WR)
        try:
            self._supervisor.wait(LEAVE_S)
        except subprocess.TimeoutExpired as late:
            raise HostError(
                f"the process supervisor (pid {self._supervisor.pid}) did not end within {LEAVE_S:.0f} s"
            ) from late
        finally:
            self._reader.join(1.0)
            self._link.close()

    @property
    def pid(self) -> int:
        """The supervisor's process id: the root of everything that was started."""
        return self._supervisor.pid

    def remove_at_end(self, folder: Path) -> None:
        """The supervisor removes `folder` once every process has ended, also after a SIGKILL of the command."""
        self._send({"scratch": str(folder)})

    def remove_group_at_end(self, folder: Path) -> None:
        """The same for a control group of ours."""
        self._send({"group": str(folder)})

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
        nice: int = 0,
        place: Place = ANYWHERE,
    ) -> Child:
        """Start `argv` (no shell), with file descriptors for `stdin`, `stdout` instead of nothing and `log`.

        `nice` > 0 yields the CPU: the instrument goes before what it measures. HostError if it cannot start.
        """
        child = Child(name, argv, log)
        environment = {key: os.environ[key] for key in KEPT_ENVIRONMENT if key in os.environ} | dict(env or {})
        key = next(self._keys)
        with open(os.devnull, "r+b") as null:  # noqa: PTH123
            sink = log.open("ab") if log is not None else open(os.devnull, "ab")  # noqa: PTH123, SIM115
            with sink:
                into = null.fileno() if stdin is None else stdin
                fds = [into, sink.fileno() if stdout is None else stdout, sink.fileno()]
                order = {
                    "spawn": key,
                    "argv": list(argv),
                    "env": environment,
                    "cwd": str(cwd or Path.cwd()),
                    "nice": nice,
                    "group": place.group,
                    "cores": place.cores,
                }
                with self._lock:
                    self._waiting[key] = child
                    socket.send_fds(self._link, [json.dumps(order).encode() + b"\n"], fds)
        if not child.started.wait(START_S):
            raise HostError(f"{name}: no process after {START_S:.0f} s")
        if child.error:
            raise HostError(f"{name}: {child.error}")
        return child

    def _send(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._link.sendall(json.dumps(message).encode() + b"\n")

    def _listen(self) -> None:
        with self._link.makefile("rb") as stream:
            try:
                for line in stream:
                    self._heard(json.loads(line))
            except OSError:
                pass  # closed under us: the command is leaving
        now_gone = -signal.SIGKILL
        for child in list(self._children.values()):
            if child.returncode is None:
                _end(child, now_gone)

    def _heard(self, message: dict[str, Any]) -> None:
        if "exited" in message:
            child = self._children.get(message["exited"])
            if child is not None:  # otherwise an orphan that the supervisor inherited
                _end(child, message["code"])
            return
        child = self._waiting.pop(int(message.get("started", message.get("failed", -1))))
        if "pid" in message:
            child.pid = message["pid"]
            self._children[child.pid] = child
        child.error = message.get("error", "")
        child.started.set()


def _end(child: Child, code: int) -> None:
    child.returncode = code
    child.ended.set()


def await_true(
    condition: Any, timeout_s: float, what: str, *, poll_s: float = 0.05, clock: Any = time.monotonic
) -> None:
    """Poll until `condition()` is true; TimeoutError names what was awaited."""
    deadline = clock() + timeout_s
    while not condition():
        if clock() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(poll_s)
