"""What a running HotSpot JVM says of itself, over the socket that `jcmd` uses: no tool, no agent, no open port."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from pathlib import Path

PROTOCOL = "1"
OPEN_S = 5.0  # the JVM opens the socket at a safepoint
ANSWER_S = 30.0  # a full collection of a heap of some GiB on a busy host


def live_heap_bytes(pid: int) -> int | None:
    """Bytes of heap in use after a full collection, which this asks for; None where the JVM does not answer."""
    try:
        _ask(pid, "GC.run")
        return heap_used_bytes(_ask(pid, "GC.heap_info"))
    except (OSError, ValueError):
        return None


def heap_used_bytes(said: str) -> int | None:
    """From `GC.heap_info`: "garbage-first heap   total reserved 1536000K, committed 1536000K, used 25344K"."""
    found = re.search(r"\bheap\b[^\n]*\bused (\d+)K", said)
    return int(found[1]) * 1024 if found else None


def _ask(pid: int, command: str) -> str:
    """The answer to one diagnostic command. OSError or ValueError where there is none."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(ANSWER_S)
        link.connect(str(_door(pid)))
        # version, "jcmd", and its three arguments: strings that end in a zero byte
        link.sendall(b"".join(word.encode() + b"\0" for word in (PROTOCOL, "jcmd", command, "", "")))
        said = b""
        while chunk := link.recv(65_536):
            said += chunk
    status, _, answer = said.decode("utf-8", "replace").partition("\n")
    if status.strip() != "0":
        raise ValueError(f"{command}: {answer.strip() or status}")
    return answer


def _door(pid: int) -> Path:
    """The JVM's socket; it is opened on a SIGQUIT while a file of this name lies in its folder."""
    door = Path("/proc", str(pid), "root", "tmp", f".java_pid{pid}")  # where HotSpot's attach protocol has it
    if door.is_socket():
        return door
    knock = Path(f"/proc/{pid}/cwd/.attach_pid{pid}")
    knock.touch(mode=0o600)
    try:
        end = time.monotonic() + OPEN_S
        os.kill(pid, signal.SIGQUIT)  # without the file it would only print its threads
        while not door.is_socket():
            if time.monotonic() > end:
                raise TimeoutError(f"process {pid} opened no attach socket")
            time.sleep(0.02)
    finally:
        with contextlib.suppress(OSError):
            knock.unlink()
    return door
