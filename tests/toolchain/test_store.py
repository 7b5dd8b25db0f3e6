"""The cache of jars, against a Maven repository on loopback that can be made to misbehave."""

from __future__ import annotations

import gc
import hashlib
import http.server
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jgo.maven._core
import pytest

from bench.errors import HostError
from bench.toolchain.lockfile import LockedJar
from bench.toolchain.store import Store

# jgo leaves the connection of a failed download to the garbage collector, which says so.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Repository:
    """Serves what it is given; `torn` files break off half-way that many times, `gone` is a repository that is away."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.torn: Counter[str] = Counter()

    def jar(self, name: str) -> LockedJar:
        data = name.encode() * 1000
        jar = LockedJar(jar=f"org.example:{name}:1.0", sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        self.files[f"/{jar.path}"] = data
        return jar

    def asked_for(self, jar: LockedJar) -> int:
        return self.asked[f"/{jar.path}"]


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    served = Repository()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked[self.path] += 1
            data = served.files.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            if data and served.torn[self.path] > 0:
                served.torn[self.path] -= 1
                data = data[: len(data) // 2]
            self.wfile.write(data or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(jgo.maven._core, "DEFAULT_REMOTE_REPOS", {"loopback": address})
    yield served
    server.shutdown()
    server.server_close()
    thread.join()
    gc.collect()  # here, where the warning is expected, not in somebody else's test


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network: nothing listens there."""
    monkeypatch.setattr(jgo.maven._core, "DEFAULT_REMOTE_REPOS", {"away": "http://127.0.0.1:9"})


def fill(store: Store, jars: list[LockedJar], *, rehash: bool = False) -> None:
    """As `provision` does."""
    with store.exclusive():
        store.fill(jars, rehash=rehash)


def everything_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()} - {"lock", "verified.json"}


def test_a_filled_cache_asks_nobody(repository: Repository, tmp_path: Path) -> None:
    """Otherwise a run on a train fails, and every run pays for a look at the network."""
    jars = [repository.jar(name) for name in ("a", "b", "c")]
    fill(Store(tmp_path), jars)
    assert {store_path.read_bytes() for store_path in map(Store(tmp_path).path, jars)} == set(repository.files.values())
    before = repository.asked.total()
    assert Store(tmp_path).unverified(jars) == []
    fill(Store(tmp_path), jars)
    assert repository.asked.total() == before


def test_a_file_that_is_not_the_pinned_one_never_enters(repository: Repository, tmp_path: Path) -> None:
    """A replaced or corrupted jar would run inside the broker, and its figures would be published."""
    good, bad = repository.jar("good"), repository.jar("bad")
    repository.files[f"/{bad.path}"] = b"something else"
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(HostError) as error:
        fill(Store(tmp_path), [good, bad])
    assert all(part in str(error.value) for part in ("org.example:bad:1.0", bad.sha256, found, "removed"))
    assert everything_in(tmp_path) <= {"good-1.0.jar"}


def test_a_cached_jar_that_was_changed_is_found_named_and_fetched_again(repository: Repository, tmp_path: Path) -> None:
    """A half-written disk or a helpful editor must not pass as Kafka 4.3.1."""
    jar = repository.jar("a")
    fill(Store(tmp_path), [jar])
    Store(tmp_path).path(jar).write_bytes(b"x" * jar.size_bytes)
    with pytest.raises(HostError, match=f"org.example:a:1.0 .*expected sha256 {jar.sha256}"):
        fill(Store(tmp_path), [jar])
    assert not Store(tmp_path).path(jar).exists()
    fill(Store(tmp_path), [jar])
    assert repository.asked_for(jar) == 2


def test_rehash_does_not_trust_size_and_time(repository: Repository, tmp_path: Path) -> None:
    """Silent bit rot keeps both; `doctor` is there to find it."""
    jar = repository.jar("a")
    store = Store(tmp_path)
    fill(store, [jar])
    stat = store.path(jar).stat()
    store.path(jar).write_bytes(b"x" * jar.size_bytes)
    os.utime(store.path(jar), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert store.unverified([jar]) == []
    with pytest.raises(HostError, match=r"org\.example:a:1\.0"):
        fill(store, [jar], rehash=True)


def test_a_raised_pin_is_not_satisfied_by_the_old_mark(repository: Repository, tmp_path: Path) -> None:
    """A republished version under the same coordinates must be looked at, not remembered."""
    jar = repository.jar("a")
    fill(Store(tmp_path), [jar])
    other = jar.model_copy(update={"sha256": "0" * 64})
    assert Store(tmp_path).unverified([other]) == [other]


def test_a_torn_download_is_tried_again(repository: Repository, tmp_path: Path) -> None:
    """A dropped connection in the middle of 86 MB must not cost the whole set-up."""
    jar = repository.jar("a")
    repository.torn[f"/{jar.path}"] = 1
    fill(Store(tmp_path), [jar])
    assert repository.asked_for(jar) == 2


def test_what_arrived_before_an_interruption_stays(repository: Repository, tmp_path: Path) -> None:
    """Starting from nothing again after each failure would never finish on a bad line."""
    here, missing = repository.jar("here"), repository.jar("missing")
    data = repository.files.pop(f"/{missing.path}")
    with pytest.raises(HostError, match=r"1 of 2 jars could not be fetched: org\.example:missing:1\.0"):
        fill(Store(tmp_path), [here, missing])
    repository.files[f"/{missing.path}"] = data
    fill(Store(tmp_path), [here, missing])
    assert repository.asked_for(here) == 1


def test_debris_of_a_killed_set_up_goes(repository: Repository, tmp_path: Path) -> None:
    """SIGKILL runs no clean-up: without this a cache grows by each kill."""
    (tmp_path / "incoming-dead").mkdir()
    (tmp_path / "incoming-dead" / "half.jar").write_bytes(b"half")
    fill(Store(tmp_path), [repository.jar("a")])
    assert everything_in(tmp_path) == {"a-1.0.jar"}


@pytest.mark.usefixtures("away")
def test_without_a_network_the_missing_are_named(tmp_path: Path) -> None:
    """A stack trace of sockets does not tell anybody to connect once."""
    jars = [LockedJar(jar=f"org.example:{name}:1.0", sha256="0" * 64, size_bytes=1) for name in "abcde"]
    with pytest.raises(HostError, match=r"5 of 5 jars .*org.example:a:1.0.* and 2 more .*make setup"):
        fill(Store(tmp_path), jars)


def test_two_set_ups_at_once_fetch_everything_once(repository: Repository, tmp_path: Path) -> None:
    """Two terminals, one cache: neither may see or leave half a jar."""
    jars = [repository.jar(f"j{i}") for i in range(20)]
    failures: list[Exception] = []

    def one() -> None:
        try:
            fill(Store(tmp_path), jars)
        except Exception as e:  # noqa: BLE001 - reported by the assertion
            failures.append(e)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {repository.asked_for(jar) for jar in jars} == {1}
    assert Store(tmp_path).unverified(jars) == []


def test_a_cache_that_cannot_be_written_says_how_to_move_it(tmp_path: Path) -> None:
    """A read-only home is common in CI; the way out must be in the message."""
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(HostError, match="STREAMGAUGE_CACHE"):
        fill(Store(tmp_path / "file"), [])
