"""Nothing that a command started outlives it, whatever ends it; and nothing of the user's reaches what it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from bench.backends.subtree import Child, Subtree
from bench.errors import HostError

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0  # a busy host is slow, never wrong

# Leaves a daemon behind as shell scripts do: its own session, its parent gone, deaf to a polite request.
DAEMON = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
time.sleep(600)
"""

# Writes down what it is told, and obeys only SIGTERM.
NOTING = """
import os, signal, sys, time
def note(number, frame):
    with open(sys.argv[1], "a") as file:
        file.write(signal.Signals(number).name + "\\n")
    if number == signal.SIGTERM:
        sys.exit(0)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, note)
open(sys.argv[1], "a").close()
while True:
    time.sleep(0.1)
"""

DEAF = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("last words", flush=True)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
"""

# A command: a scratch folder, a child with a daemon below it and a child that takes notes; says so, then waits.
COMMAND = """
import json, sys, time
from pathlib import Path
from bench.backends.subtree import Subtree
here = Path(sys.argv[1])
with Subtree() as subtree:
    scratch = here / "scratch"
    (scratch / "data").mkdir(parents=True)
    subtree.remove_at_end(scratch)
    parent = subtree.spawn("daemon", [sys.executable, "-c", sys.argv[2], str(scratch / "daemon.pid")])
    noting = subtree.spawn("noting", [sys.executable, "-c", sys.argv[3], str(here / "notes")])
    told = scratch / "daemon.pid"
    while not (told.exists() and told.read_text() and (here / "notes").exists()):
        time.sleep(0.02)
    try:
        print(json.dumps([subtree.pid, parent.pid, noting.pid, int(told.read_text())]), flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        time.sleep(0.5)  # a signal that reached the child too would have arrived by now
        print(json.dumps({"noting": noting.poll(), "notes": (here / "notes").read_text()}), flush=True)
        sys.exit(130)
"""


def await_file(path: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < end, f"{path.name} did not appear"
        time.sleep(0.02)


@contextmanager
def command(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A running COMMAND as a terminal starts one, in a process group of its own; and every process below it."""
    argv = [sys.executable, "-c", COMMAND, str(folder), DAEMON, NOTING]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        assert running.stdout is not None
        try:
            yield running, [psutil.Process(pid) for pid in json.loads(running.stdout.readline())]
        finally:
            running.kill()


def await_gone(processes: list[psutil.Process], scratch: Path) -> None:
    _, alive = psutil.wait_procs(processes, PATIENCE_S)
    assert alive == []
    end = time.monotonic() + PATIENCE_S
    while scratch.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not scratch.exists()


def test_a_killed_command_leaves_no_daemon_and_no_data(tmp_path: Path) -> None:
    """A broker that survived kill -9 would eat the next study's CPU, and its data the disk."""
    with command(tmp_path) as (running, below):
        assert len(below) == 4
        running.send_signal(signal.SIGKILL)
        running.wait(PATIENCE_S)
        await_gone(below, tmp_path / "scratch")


def test_ctrl_c_reaches_only_the_command(tmp_path: Path) -> None:
    """Ctrl-C in a terminal goes to the whole foreground group: brokers that heard it would be gone before the last
    numbers are kept.
    """
    with command(tmp_path) as (running, below):
        os.killpg(running.pid, signal.SIGINT)
        assert running.stdout is not None
        assert json.loads(running.stdout.readline()) == {"noting": None, "notes": ""}
        assert running.wait(PATIENCE_S) == 130
        await_gone(below, tmp_path / "scratch")
    assert (tmp_path / "notes").read_text() == "SIGTERM\n"  # asked politely, once the command was done


def test_a_stopped_child_may_still_close_its_files(tmp_path: Path) -> None:
    """A broker paused by a fault would otherwise hang the end of the study, or lose its log's last lines."""
    notes = tmp_path / "notes"
    with Subtree() as subtree:
        child = subtree.spawn("noting", [sys.executable, "-c", NOTING, str(notes)])
        end = time.monotonic() + PATIENCE_S
        while not notes.exists() and time.monotonic() < end:
            time.sleep(0.02)
        child.send_signal(signal.SIGSTOP)
    assert child.poll() is not None
    assert notes.read_text() == "SIGTERM\n"
    assert not psutil.pid_exists(child.pid)


def test_a_deaf_child_is_killed_and_its_end_is_told(tmp_path: Path) -> None:
    """`stop` that returned with the broker still running would let two brokers share one log directory."""
    pid_file = tmp_path / "pid"
    with Subtree() as subtree:
        child = subtree.spawn("deaf", [sys.executable, "-c", DEAF, str(pid_file)], log=tmp_path / "deaf.log")
        await_file(pid_file)
        assert child.stop(grace_s=0.2) == -signal.SIGKILL == child.poll()
        assert not psutil.pid_exists(child.pid)
        assert child.log_tail() == "last words"


def test_the_users_credentials_stay_with_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs of Kafka and Flink print environments, and bundles carry logs: a key in there would be published."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "fake-but-secret")
    monkeypatch.setenv("KAFKA_OPTS", "-javaagent:from-the-users-shell")  # would measure another Kafka
    dump = "import json, os; print(json.dumps(dict(os.environ)))"
    with Subtree() as subtree:
        child = subtree.spawn("dump", [sys.executable, "-c", dump], log=tmp_path / "log", env={"FLINK_CONF_DIR": "/x"})
        assert child.wait(PATIENCE_S) == 0
    seen = json.loads((tmp_path / "log").read_text())
    assert seen["PATH"] == os.environ["PATH"]
    assert seen["FLINK_CONF_DIR"] == "/x"
    assert "fake-but-secret" not in seen.values()
    assert {"AWS_SECRET_ACCESS_KEY", "KAFKA_OPTS"}.isdisjoint(seen)


def test_a_program_that_is_not_there_is_the_hosts_fault_and_the_rest_goes_on() -> None:
    """A missing Java must not read as a Kafka that did not start, nor take the supervisor down."""
    with Subtree() as subtree:
        with pytest.raises(HostError, match=r"java: .*No such file.*no/such/java"):
            subtree.spawn("java", ["/no/such/java", "-version"])
        child: Child = subtree.spawn("still", [sys.executable, "-c", "raise SystemExit(7)"])
        assert child.wait(PATIENCE_S) == 7


def test_the_end_of_a_log_shows_what_went_wrong(tmp_path: Path) -> None:
    """Flink says why it died, then twenty lines about its shutdown: a crashed run that shows those says nothing."""
    log = tmp_path / "taskmanager.log"
    log.write_text(
        "starting\nFATAL x\n\tat a.b(C.java:1)\nCaused by: java.io.IOException: first\n"
        "Caused by: java.lang.IllegalArgumentException: why\n"
        + "".join(f"2026-11-23 INFO shutting down part {n}\n" for n in range(30))
    )
    lines = Child("taskmanager", [], log).log_tail(5).splitlines()
    assert lines[0] == "Caused by: java.lang.IllegalArgumentException: why"
    assert lines[1:] == [f"2026-11-23 INFO shutting down part {n}" for n in range(26, 30)]
    log.write_text("one\ntwo\n")
    assert Child("x", [], log).log_tail(5) == "one\ntwo"
    assert Child("x", [], tmp_path / "none").log_tail() == Child("x", [], None).log_tail() == ""


def test_a_dead_supervisor_is_noticed() -> None:
    """Waiting for the exit of a child nobody watches any more would hang the study for ever."""
    with Subtree() as subtree:
        child = subtree.spawn("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"])
        sleeper = psutil.Process(child.pid)
        psutil.Process(subtree.pid).kill()
        try:
            assert child.wait(PATIENCE_S) < 0
        finally:
            sleeper.kill()  # its owner is dead: nobody else will
