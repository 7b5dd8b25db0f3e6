"""A process that removes a cluster's containers, networks and volumes when the command that made them has ended.

    python -m bench.backends.containers.warden CLUSTER

End-of-file on its standard input says so, however the command ended, SIGKILL included. If the warden itself is killed,
the next start removes what it left (`engine.remove_leftovers`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.backends.containers import engine
from bench.errors import HostError, StreamgaugeError

LEAVE_S = engine.REMOVE_S + 20.0


class Warden:
    """Leaving the `with`, or dying in it, removes everything labelled with `cluster`."""

    def __init__(self, cluster: str, log: Path) -> None:
        self.cluster = cluster
        self._log = log

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __spec__.name, self.cluster],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=engine.ROOT,
                env={**os.environ, "PYTHONPATH": str(engine.ROOT)},
                start_new_session=True,  # Ctrl-C at the terminal reaches only the command
            )
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(LEAVE_S)
        except subprocess.TimeoutExpired as late:
            raise HostError(f"the containers of {self.cluster} were not removed within {LEAVE_S:.0f} s") from late
        if code != 0:
            said = self._log.read_text(errors="replace").strip().splitlines()
            raise HostError(f"the containers of {self.cluster} were not removed: {said[-1] if said else 'no reason'}")


def main(cluster: str) -> int:
    """Wait for the end of the command, then remove; returns the exit code."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # only the command's end ends us
    sys.stdin.buffer.read()
    try:
        client = engine.connect()
        try:
            engine.remove(client, cluster)
        finally:
            client.close()
    except StreamgaugeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
