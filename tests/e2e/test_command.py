"""What the tests of the whole command see with has to see: a listener that stays, not one that is gone at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import command
import pytest

LISTENER = "import socket, sys, time; s = socket.create_server((sys.argv[1], 0)); time.sleep(float(sys.argv[2]))"
PARENT = "import subprocess, sys, time; subprocess.run(sys.argv[1:], check=True); time.sleep(float(sys.argv[-1]))"


@pytest.mark.parametrize(
    ("address", "stays_s", "seen"),
    [("0.0.0.0", 3.0, {"0.0.0.0"}), ("0.0.0.0", 0.2, set()), ("127.0.0.1", 1.5, {"127.0.0.1"})],
)
def test_a_listener_on_every_interface_is_seen_unless_it_is_gone_at_once(
    tmp_path: Path, address: str, stays_s: float, seen: set[str]
) -> None:
    process = subprocess.Popen([sys.executable, "-c", PARENT, sys.executable, "-c", LISTENER, address, str(stays_s)])
    watched = command.Command(process, out=tmp_path, folder=tmp_path)
    assert watched.watch(every_s=0.1) == 0
    assert watched.addresses == seen
