"""`streamgauge` as a person starts it: a process of its own, its own process group, everything below it known."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 400.0
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
# Flink's Python gateway learns of a free port by a listener on every interface that it closes at once and never accepts
# from (NetUtils.getAvailablePort; 38 ms in a trace of its calls). What it still has after this long is another matter.
GATEWAY, MOMENT_S = "PythonGatewayServer", 1.0
LATE = re.compile(r"(schedule lateness|offered)[^;]*(; (schedule lateness|offered)[^;]*)*")


def assert_ran(run: dict[str, Any]) -> bool:
    """It finished, or its generator alone was late, as on a busy machine; whether it is evidence, and so has a price.

    What a late run counted is counted all the same: every test but one of a price or of a verdict may go on.
    """
    late = run["outcome"] == "invalid" and LATE.fullmatch(run["reason"])
    assert run["outcome"] == "finished" or late, run["reason"]
    return not late


@dataclass
class Command:
    """A running or ended `streamgauge`."""

    process: subprocess.Popen[bytes]
    out: Path  # the results folder
    folder: Path
    seen: set[psutil.Process] = field(default_factory=set)  # what `watch` saw below it
    addresses: set[str] = field(default_factory=set)  # on which something below it accepted connections

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)

    def below(self, word: str = "") -> list[psutil.Process]:
        """Processes below the command whose command line has `word`."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if word in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def bundles(self) -> list[Path]:
        return sorted(path.parent for path in self.out.glob("*/*/*/run.json"))

    def run_dirs(self) -> list[Path]:
        return [path for path in self.out.rglob(".run-*") if path.is_dir()]

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until `condition` holds while the command runs; its value."""
        end = time.monotonic() + PATIENCE_S
        while not (found := condition()):
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.stderr}"
            assert time.monotonic() < end, self.stderr
            time.sleep(0.05)
        return found

    def watch(self, every_s: float = 1.0) -> int:
        """Until it ends: note every process below it and every address that one of them listens on."""
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < end, self.stderr
            for process in self.below():
                self.seen.add(process)
                with suppress(psutil.NoSuchProcess):
                    found = listening(process)
                    if not {ip for ip, _ in found} <= LOOPBACK and GATEWAY in " ".join(process.cmdline()):
                        time.sleep(MOMENT_S)
                        found &= listening(process)
                    self.addresses |= {ip for ip, _ in found}
            time.sleep(every_s)
        return self.process.returncode

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    """Address and port of everything that `process` accepts connections on; Java's dual-stack sockets included."""
    found = process.net_connections("all")
    return {(c.laddr.ip, c.laddr.port) for c in found if c.status == psutil.CONN_LISTEN and c.laddr}


@contextmanager
def started(*words: str, out: Path) -> Iterator[Command]:
    """`streamgauge WORDS --out OUT`, killed at the end if it still runs."""
    folder = out.with_name(f"{out.name}-{time.monotonic_ns()}")
    folder.mkdir(parents=True)
    where = [] if words[0] in ("report", "show", "compare", "doctor") else ["--out", str(out)]
    argv = [sys.executable, "-m", "bench.cli", *words, *where]
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
        )
    try:
        yield Command(process, out, folder)
    finally:
        process.kill()
        process.wait()


def run(*words: str, out: Path) -> Command:
    """`streamgauge WORDS --out OUT`, ended."""
    with started(*words, out=out) as command:
        command.watch()
        return command


def assert_gone(processes: list[psutil.Process], command: Command) -> None:
    """No process of the command is left, and none of its scratch data."""
    _, alive = psutil.wait_procs(processes, 60)
    assert alive == []
    end = time.monotonic() + 60
    while command.run_dirs() and time.monotonic() < end:
        time.sleep(0.05)
    assert command.run_dirs() == []
