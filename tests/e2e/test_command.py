"""What the tests of the whole command see with has to see: every listener but the one that Flink's gateway closes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import command
import pytest

LISTENER = "import socket, sys, time; s = socket.create_server((sys.argv[1], 0)); time.sleep(float(sys.argv[2]))"
PARENT = "import subprocess, sys, time; subprocess.run(sys.argv[1:], check=True); time.sleep(1)"


@pytest.mark.parametrize(
    ("who", "address", "stays_s", "seen"),
    [
        (command.GATEWAY, "0.0.0.0", 3.0, {"0.0.0.0"}),
        (command.GATEWAY, "0.0.0.0", 0.5, set()),
        ("anybody else", "0.0.0.0", 0.5, {"0.0.0.0"}),
        ("anybody else", "127.0.0.1", 0.5, {"127.0.0.1"}),
    ],
)
def test_a_listener_on_every_interface_is_seen_unless_the_gateway_closes_it_at_once(
    tmp_path: Path, who: str, address: str, stays_s: float, seen: set[str]
) -> None:
    listener = [sys.executable, "-c", LISTENER, address, str(stays_s), who]
    process = subprocess.Popen([sys.executable, "-c", PARENT, *listener])
    watched = command.Command(process, out=tmp_path, folder=tmp_path)
    assert watched.watch(every_s=0.1) == 0
    assert watched.addresses == seen
