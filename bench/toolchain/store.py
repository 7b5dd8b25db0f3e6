"""The per-user cache of jars: fetched in parallel, verified by sha256, moved into place whole, then only looked at.

A jar is in the cache or it is not: it is downloaded to a private folder, hashed, and renamed. `verified.json` remembers
size and modification time of what was hashed, so that the next start costs a stat per jar.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import platformdirs
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential

from bench.errors import HostError
from bench.toolchain.lockfile import LockedJar

CACHE_VARIABLE = "STREAMGAUGE_CACHE"
_PARALLEL = 8
_TIMEOUT_S = 30  # without a byte, not for the whole file

Advance = Callable[[int], None]  # told of bytes fetched, from any thread
Bar = AbstractContextManager[Advance]


def no_bar(_jars: Sequence[LockedJar]) -> Bar:
    """Progress that nobody sees."""
    return nullcontext(lambda _size_bytes: None)


class DamagedJarError(HostError):
    """A jar whose bytes are not the pinned ones. It has been removed from the cache."""


def cache_folder() -> Path:
    """`$STREAMGAUGE_CACHE`, or where this user's caches belong."""
    override = os.environ.get(CACHE_VARIABLE)
    return Path(override).expanduser().absolute() if override else platformdirs.user_cache_path("streamgauge")


class Store:
    """Jars below one folder, in Maven's layout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._jars = folder / "jars"
        self._marks = folder / "verified.json"

    def path(self, jar: LockedJar) -> Path:
        """Where `jar` is, or would be."""
        return self._jars / jar.path

    def unverified(self, jars: Iterable[LockedJar]) -> list[LockedJar]:
        """Those that are absent, or that changed since they were hashed. One stat per jar, no network."""
        marks = self._read_marks()
        return [jar for jar in jars if (mark := self._mark(jar)) is None or marks.get(jar.jar) != mark]

    def absent(self, jars: Iterable[LockedJar]) -> list[LockedJar]:
        """Those that would have to be downloaded."""
        return [jar for jar in jars if not self.path(jar).is_file()]

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Only one process at a time changes the cache; the others wait. The kernel frees it if we die."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = (self.folder / "lock").open("w")
        except OSError as e:
            msg = f"the cache {self.folder} cannot be written ({e.strerror}); set {CACHE_VARIABLE} to another folder"
            raise HostError(msg) from e
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def fill(
        self, jars: Sequence[LockedJar], *, rehash: bool, bar: Callable[[Sequence[LockedJar]], Bar] = no_bar
    ) -> None:
        """Verify what is there (`rehash`: all of it, else what changed) and fetch what is not.

        `bar` is opened with what is to be fetched and told of bytes that arrive. Call within `exclusive()`.
        Raises DamagedJarError if a jar has another hash than pinned, HostError naming what is missing if one cannot
        be had.
        """
        for debris in self.folder.glob("incoming-*"):  # of a killed process: while we hold the lock nobody uses it
            shutil.rmtree(debris, ignore_errors=True)
        self._verify(jars if rehash else self.unverified(jars))
        absent = self.absent(jars)
        if absent:
            with bar(absent) as advance:
                self._fetch(absent, advance)

    def _verify(self, jars: Iterable[LockedJar]) -> None:
        """Hash the jars that are there and remember them. Raises DamagedJarError at the first wrong one."""
        good: list[LockedJar] = []
        try:
            for jar in jars:
                if self.path(jar).is_file():
                    _check(jar, self.path(jar))
                    good.append(jar)
        finally:
            self._remember(good)

    def _fetch(self, jars: Sequence[LockedJar], advance: Advance) -> None:
        """Download several at a time; each that arrives whole stays, whatever happens to the others."""
        pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch")
        with tempfile.TemporaryDirectory(prefix="incoming-", dir=self.folder) as incoming:
            pending = {
                pool.submit(self._fetch_one, jar, Path(incoming) / str(i), advance): jar for i, jar in enumerate(jars)
            }
            try:
                done, _ = wait(pending, return_when=FIRST_EXCEPTION)
            finally:  # also when interrupted: those under way land, no new ones start
                pool.shutdown(wait=True, cancel_futures=True)
                arrived = [jar for future, jar in pending.items() if not future.cancelled() and not future.exception()]
                self._remember(arrived)
        for error in filter(None, (future.exception() for future in done)):
            if _is_network_trouble(error):
                raise _unreachable(self.absent(jars), len(jars), error) from error
            raise error

    def _fetch_one(self, jar: LockedJar, private: Path, advance: Advance) -> None:
        arrived = _download(jar, private, advance)
        _check(jar, arrived)
        place = self.path(jar)
        place.parent.mkdir(parents=True, exist_ok=True)
        arrived.replace(place)

    def _mark(self, jar: LockedJar) -> list[str | int] | None:
        try:
            stat = self.path(jar).stat()
        except OSError:
            return None
        return [jar.sha256, stat.st_size, stat.st_mtime_ns]

    def _read_marks(self) -> dict[str, list[str | int]]:
        try:
            marks = json.loads(self._marks.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # no marks, or torn ones: everything is hashed again
        return marks if isinstance(marks, dict) else {}

    def _remember(self, jars: Iterable[LockedJar]) -> None:
        marks = self._read_marks()
        marks.update({jar.jar: mark for jar in jars if (mark := self._mark(jar)) is not None})
        draft = self._marks.with_suffix(".draft")
        draft.write_text(json.dumps(marks, indent=0, sort_keys=True), encoding="utf-8")
        draft.replace(self._marks)


def _check(jar: LockedJar, file: Path) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != jar.sha256:
        file.unlink()
        msg = (
            f"{jar.jar} is not the pinned file: expected sha256 {jar.sha256}, found {found}; "
            f"removed {file}, the next set-up fetches it again"
        )
        raise DamagedJarError(msg)


def _download(jar: LockedJar, private: Path, advance: Advance) -> Path:
    """Fetch one jar into `private`, through jgo's own default repository."""
    from jgo.maven import MavenContext, PythonResolver  # 0.2 s that a filled cache never pays

    @contextmanager
    def progress(_name: str, _size_bytes: int) -> Iterator[Advance]:
        yield advance

    @retry(
        retry=retry_if_exception(_is_network_trouble),
        stop=stop_after_attempt(3),
        wait=wait_exponential(multiplier=0.5, max=5),
        reraise=True,
    )
    def attempt() -> Path:
        shutil.rmtree(private, ignore_errors=True)  # a torn file of the attempt before
        context = MavenContext(
            resolver=PythonResolver(progress_callback=progress), repo_cache=private, timeout=_TIMEOUT_S
        )
        group, artifact, version, *classifier = jar.jar.split(":")
        component = context.project(group, artifact).at_version(version)
        return component.artifact(classifier="".join(classifier)).resolve()

    return attempt()


def _is_network_trouble(error: BaseException) -> bool:
    """Whether jgo could not get a file. An exception of `requests` is an OSError without errno; the disk's have one."""
    return isinstance(error, RuntimeError) or (isinstance(error, OSError) and error.errno is None)


def _unreachable(absent: Sequence[LockedJar], wanted: int, cause: BaseException) -> HostError:
    named = ", ".join(jar.jar for jar in absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
    return HostError(
        f"{len(absent)} of {wanted} jars could not be fetched: {named} "
        f"({type(cause).__name__}); what has arrived is kept: with a network, `make setup` goes on from there"
    )
