"""Locust's master for workers in other processes or on other machines. `python -m bench.loadgen.worker_master FILE`.

FILE: {count, bind_host, port, web_host?, web_port?, task: a worker's settings}. Its folder is the desk (see
`bench.loadgen.desk`): a worker's rows and result are written there as if it were local, so the parent need not know.
Workers are started by hand where they shall run: `python -m bench.loadgen.worker --master HOST:PORT`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import gevent
from locust import LoadTestShape, User, task
from locust.env import Environment
from locust.runners import STATE_MISSING

from bench.loadgen.desk import write_whole

POLL_S = 0.05


class ProducerUser(User):
    """Stands for a worker's user; the real one runs in the worker."""

    @task
    def drive(self) -> None:
        """Never run here."""


class Master:
    """Gives out tasks, passes on the start and the stop, files what comes back."""

    def __init__(self, path: Path) -> None:
        self._settings: dict[str, Any] = json.loads(path.read_text())
        self._folder, self._parent = path.parent, os.getppid()
        self._index: dict[str, int] = {}  # Locust's id of a worker -> its place in the schedule
        self._rows: dict[int, TextIO] = {}
        self._done: set[int] = set()
        count = self._settings["count"]

        class Shape(LoadTestShape):  # one user a worker, for as long as the schedule lasts; the rate is inside
            def tick(self) -> tuple[int, float] | None:
                return count, float(count)

        self.environment = Environment(user_classes=[ProducerUser], shape_class=Shape())  # type: ignore[no-untyped-call]
        self.runner = self.environment.create_master_runner(self._settings["bind_host"], self._settings["port"])
        for name, hear in (("hello", self._on_hello), ("row", self._on_row), ("result", self._on_result)):
            self.runner.register_message(name, hear)
        if self._settings.get("web_port"):
            self.environment.create_web_ui(self._settings.get("web_host", "127.0.0.1"), self._settings["web_port"])

    def run(self) -> None:
        """Until every worker has handed in its result, or the parent is gone."""
        count, told = self._settings["count"], set[str]()
        while len(self._done) < count and os.getppid() == self._parent:
            for name, file in (("go", "go.json"), ("halt", "stop")):
                path = self._folder / file
                if name not in told and path.exists():
                    told.add(name)
                    text = path.read_text()
                    self.runner.send_message(name, json.loads(text) if text else {})
            self._note_missing()
            gevent.sleep(POLL_S)
        gevent.sleep(0.5)  # the last statistics
        self.runner.quit()

    def _on_hello(self, *, msg: Any, **_: Any) -> None:
        known = msg.node_id in self._index
        if not known and len(self._index) >= self._settings["count"]:
            return
        index = self._index.setdefault(msg.node_id, len(self._index))
        self.runner.send_message("task", {**self._settings["task"], "index": index}, msg.node_id)
        if not known and len(self._index) == self._settings["count"]:
            self.runner.start_shape()

    def _on_row(self, *, msg: Any, **_: Any) -> None:
        index = int(msg.data["index"])
        out = self._rows.get(index)
        if out is None:
            out = self._rows[index] = (self._folder / f"worker-{index}.rows.jsonl").open("w")
        out.write(json.dumps(msg.data["row"]) + "\n")
        out.flush()

    def _on_result(self, *, msg: Any, **_: Any) -> None:
        index = int(msg.data["index"])
        self._done.add(index)
        write_whole(self._folder / f"worker-{index}.result.json", msg.data["result"])

    def _note_missing(self) -> None:
        """A worker whose heartbeat stopped is dead or unreachable: the run cannot be whole."""
        for node, index in self._index.items():
            client = self.runner.clients.get(node)
            lost = client is None or client.state == STATE_MISSING
            if index not in self._done and lost:
                self._done.add(index)
                error = {"error": "no heartbeat any more: the worker died or cannot be reached"}
                write_whole(self._folder / f"worker-{index}.result.json", error)


if __name__ == "__main__":
    Master(Path(sys.argv[1])).run()
    sys.stdout.flush()
    os._exit(0)  # Locust's own greenlets never end
