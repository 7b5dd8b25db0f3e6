"""A disk of bounded size for a broker, so that filling it harms nothing else: a file system of its own, in memory.

Only who may mount can have one (root, mostly). It lies in the run's folder, and the supervisor unmounts it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from bench.errors import HostError

FILLER = "filler"


def mount(folder: Path, size_mb: int) -> None:
    """Make `folder` a file system of so many MiB. HostError with the reason where that is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0700", "streamgauge", str(folder)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10.0, check=False)
    except OSError as error:
        raise HostError(f"no file system could be mounted: {error.strerror}") from error
    if done.returncode:
        raise HostError(f"no file system could be mounted: {done.stderr.strip().splitlines()[-1]}")


@cache
def why_not() -> str:
    """Why no bounded disk can be had here, "" if one can: found out by mounting one."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            mount(Path(folder), 1)
        except HostError as error:
            return str(error)
        subprocess.run(["umount", folder], capture_output=True, timeout=10.0, check=True)
    return ""


def fill(folder: Path) -> None:
    """Take all that is left of the file system mounted at `folder`."""
    with (folder / FILLER).open("ab") as filler:
        while (free := _free_bytes(folder)) > 0:
            try:
                os.posix_fallocate(filler.fileno(), filler.seek(0, os.SEEK_END), free)
            except OSError:  # somebody else took some of it in between
                continue


def free(folder: Path) -> None:
    """Give back what `fill` took."""
    (folder / FILLER).unlink(missing_ok=True)


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
