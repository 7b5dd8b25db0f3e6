"""Where a worker gets its orders and hands in what it has: files beside its parent, or messages to a Locust master.

A file desk lies in a folder: `<stem>.json` (settings), `go.json` (the start), `stop`; and back: `<stem>.rows.jsonl`,
whose first line is {"ready": ...}, and `<stem>.result.json`. A master keeps the same folder for workers far away.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

LOOK_EVERY_NS = 100_000_000
MASTER_SILENT_S = 15.0


class Desk(Protocol):
    """One worker's."""

    settings: dict[str, Any]

    def row(self, row: dict[str, Any]) -> None: ...

    def result(self, result: dict[str, Any]) -> None: ...

    def go(self) -> dict[str, int] | None:
        """{t0_ns, started_ns} once it is there; None if stopped before."""
        ...

    def stopped(self) -> bool:
        """Asked to stop, or orphaned; cheap enough to be asked every millisecond."""
        ...


class FileDesk:
    """In a folder shared with the parent."""

    def __init__(self, path: Path, sleep: Callable[[float], None]) -> None:
        self.settings = json.loads(path.read_text())
        self._folder, self._stem, self._sleep = path.parent, path.stem, sleep
        self._rows = (self._folder / f"{self._stem}.rows.jsonl").open("w")
        self._parent, self._looked_ns, self._stop = os.getppid(), 0, False

    def row(self, row: dict[str, Any]) -> None:
        self._rows.write(json.dumps(row) + "\n")
        self._rows.flush()

    def result(self, result: dict[str, Any]) -> None:
        write_whole(self._folder / f"{self._stem}.result.json", result)

    def go(self) -> dict[str, int] | None:
        path = self._folder / "go.json"
        while not path.exists():
            if self.stopped():
                return None
            self._sleep(0.01)
        return dict(json.loads(path.read_text()))

    def stopped(self) -> bool:
        now = time.monotonic_ns()
        if now - self._looked_ns > LOOK_EVERY_NS:
            self._looked_ns = now
            self._stop = (self._folder / "stop").exists() or os.getppid() != self._parent
        return self._stop


class MessageDesk:
    """Over a Locust worker's connection to its master: `task` and `go` and `halt` come, `row` and `result` go."""

    def __init__(self, runner: Any, sleep: Callable[[float], None]) -> None:
        self.settings: dict[str, Any] = {}
        self._runner, self._sleep = runner, sleep
        self._go: dict[str, int] | None = None
        self._halt = False
        for name, hear in (("task", self._on_task), ("go", self._on_go), ("halt", self._on_halt)):
            runner.register_message(name, hear)

    def ask(self) -> bool:
        """Ask the master for a task until it gives one; False if it never does."""
        end = time.monotonic() + MASTER_SILENT_S
        while not self.settings and time.monotonic() < end and not self._halt:
            self._runner.send_message("hello", {})
            for _ in range(20):
                self._sleep(0.05)
                if self.settings:
                    break
        return bool(self.settings)

    def row(self, row: dict[str, Any]) -> None:
        self._runner.send_message("row", {"index": self.settings["index"], "row": row})

    def result(self, result: dict[str, Any]) -> None:
        self._runner.send_message("result", {"index": self.settings["index"], "result": result})

    def go(self) -> dict[str, int] | None:
        while self._go is None:
            if self.stopped():
                return None
            self._sleep(0.01)
        return self._go

    def stopped(self) -> bool:
        heard = self._runner.last_heartbeat_timestamp
        return self._halt or (heard is not None and time.time() - heard > MASTER_SILENT_S)

    def _on_task(self, *, msg: Any, **_: Any) -> None:
        self.settings = dict(msg.data)

    def _on_go(self, *, msg: Any, **_: Any) -> None:
        self._go = dict(msg.data)

    def _on_halt(self, **_: Any) -> None:
        self._halt = True


def write_whole(path: Path, body: dict[str, Any]) -> None:
    """A JSON file that is either there or not, never half."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(body))
    part.rename(path)
