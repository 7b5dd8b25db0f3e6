"""The process that owns every other process: it ends its whole subtree when the command that started it is gone.

Run as a file by `Subtree` (backends/subtree.py) with one end of a socket pair; stdlib only, so that it starts in
milliseconds. Why a process of its own: a parent-death signal fires when the *thread* that created the child ends, and
grandchildren (Flink's Python workers) don't inherit it. A subreaper inherits every orphan instead, and end-of-file on
the socket says that the command has ended, however it ended, SIGKILL included.

Protocol: one JSON document per line.
  in:  {"spawn": key, "argv": [...], "env": {...}, "cwd": "...", "nice": n, "group": "/dir" or "", "cores": [n, ...]}
                                with three file descriptors; group: a control group to begin in; cores: [] as ours
       {"scratch": "/dir"}      unmount and remove it once all have ended
       {"group": "/dir"}        remove this control group once all have ended
  out: {"started": key, "pid": n} | {"failed": key, "error": "..."} | {"exited": pid, "code": n}
"""

import ctypes
import errno
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
MNT_DETACH = 2  # sys/mount.h
GRACE_S = 3.0  # a broker under load closes its logs in about 2 s; whoever takes longer is killed
KILL_S = 10.0  # SIGKILL is not refused, but a process in disk sleep dies late


def descendants() -> list[int]:
    """Every process below this one, found through /proc (children of children included)."""
    parent_of: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 -- thousands of names, no objects wanted
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stat:  # noqa: PTH123 -- as above
                    # the command may hold spaces and parentheses: fields count from the last ')'
                    parent_of[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it ended while we looked
    found: list[int] = []
    frontier = {os.getpid()}
    while frontier:
        frontier = {pid for pid, parent in parent_of.items() if parent in frontier}
        found.extend(frontier)
    return found


def signal_all(number: int) -> None:
    for pid in descendants():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def reap(link: "socket.socket | None") -> bool:
    """Collect what has ended and tell the command; True while children remain."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        if link is not None:
            try:
                send(link, {"exited": pid, "code": os.waitstatus_to_exitcode(status)})
            except OSError:
                link = None  # the command is gone: keep reaping


def send(link: socket.socket, message: dict[str, Any]) -> None:
    link.sendall(json.dumps(message).encode() + b"\n")


def spawn(link: socket.socket, order: dict[str, Any], fds: list[int]) -> None:
    stdin, stdout, stderr = fds
    try:
        child = subprocess.Popen(
            order["argv"],
            env=order["env"],
            cwd=order["cwd"],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            preexec_fn=lambda: take_place(order),  # noqa: PLW1509 -- this process has one thread
        )
    except (OSError, subprocess.SubprocessError) as error:  # the second: its place could not be taken
        send(link, {"failed": order["spawn"], "error": str(error)})
    else:
        # Popen must not wait for it: reap() owns every exit, orphans included
        child.returncode = 0
        send(link, {"started": order["spawn"], "pid": child.pid})
    finally:
        for fd in fds:
            os.close(fd)


def take_place(order: dict[str, Any]) -> None:
    """In the new process, before it is anything else: its control group, its cores, its niceness."""
    if order["group"]:
        with open(os.path.join(order["group"], "cgroup.procs"), "w") as procs:  # noqa: PTH118, PTH123 -- as above
            procs.write(str(os.getpid()))
    if order["cores"]:
        os.sched_setaffinity(0, order["cores"])
    os.nice(order["nice"])


def end_subtree() -> None:
    for number, patience_s in ((signal.SIGCONT, 0.0), (signal.SIGTERM, GRACE_S), (signal.SIGKILL, KILL_S)):
        signal_all(number)  # SIGCONT first: a stopped process takes no SIGTERM
        deadline = time.monotonic() + patience_s
        while reap(None) and time.monotonic() < deadline:
            time.sleep(0.02)
            if number == signal.SIGKILL:
                signal_all(number)  # what was forked in the meantime


def unmount_below(folder: str) -> None:
    """Detach every file system mounted below a scratch folder: otherwise it would outlive the folder."""
    with open("/proc/self/mounts", "rb") as mounts:  # noqa: PTH123 -- as above
        points = [line.split()[1].decode("unicode_escape") for line in mounts]
    for point in sorted(points, reverse=True):
        if point.startswith(folder + os.sep):
            ctypes.CDLL(None).umount2(point.encode(), MNT_DETACH)


def remove_group(folder: str) -> None:
    """A control group is empty a moment after its last process has ended, not at once."""
    deadline = time.monotonic() + GRACE_S
    while True:
        try:
            os.rmdir(folder)  # noqa: PTH106 -- as above
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                return
            time.sleep(0.02)
        else:
            return


def serve(link: socket.socket, wake: int, scratch: list[str], groups: list[str]) -> None:
    """Obey until the command is gone; notes the scratch folders and control groups to remove."""
    buffer = b""
    fds: list[int] = []
    while True:
        readable, _, _ = select.select([link.fileno(), wake], [], [])
        if wake in readable:
            os.read(wake, 4096)
            reap(link)
        if link.fileno() not in readable:
            continue
        try:
            data, new_fds, _, _ = socket.recv_fds(link, 1 << 20, 16)
        except ConnectionResetError:
            return
        if not data:
            return
        fds.extend(new_fds)
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "scratch" in order:
                scratch.append(order["scratch"])
            elif "spawn" not in order:
                groups.append(order["group"])
            else:
                mine, fds = fds[:3], fds[3:]
                spawn(link, order, mine)


def main() -> None:
    link = socket.socket(fileno=int(sys.argv[1]))
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("the kernel refuses a child subreaper")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
        # only the end of the command ends us; a handler rather than SIG_IGN, which children would inherit through exec
        signal.signal(number, lambda *_: None)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    scratch: list[str] = []
    groups: list[str] = []
    try:
        serve(link, wake_read, scratch, groups)
    finally:
        end_subtree()
        for folder in groups:
            remove_group(folder)
        for folder in scratch:
            unmount_below(folder)
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
