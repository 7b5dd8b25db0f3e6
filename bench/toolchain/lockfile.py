"""`jars.lock`: which jars there are, by Maven coordinates and sha256, in groups that are fetched together.

Provisioning only reads it. `relock` resolves the roots again, transitively; it is run by hand to raise a version.
"""

from __future__ import annotations

import hashlib
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bench.errors import HostError

LOCK_FILE = Path(__file__).with_name("jars.lock")

_HEADER = """\
# Every jar by Maven coordinates (group:artifact:version[:classifier]), sha256 and size.
# To raise a version: edit `roots`, run `python -m bench.toolchain lock`, and review the difference.
# The first root of a group decides the versions of what it depends on; the others only add their own.
"""


class LockedJar(BaseModel):
    """One file: its coordinates, its sha256 (hex) and its size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jar: Annotated[str, Field(pattern=r"^[^:\s]+:[^:\s]+:[^:\s]+(:[^:\s]+)?$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(gt=0)]

    @property
    def version(self) -> str:
        """The third part of the coordinates."""
        return self.jar.split(":")[2]

    @property
    def path(self) -> Path:
        """Where it lies below a repository root; the layout is Maven's."""
        group, artifact, version, *classifier = self.jar.split(":")
        name = "-".join([artifact, version, *classifier]) + ".jar"
        return Path(*group.split("."), artifact, version, name)


class Group(BaseModel):
    """Jars that make up one class path."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roots: tuple[str, ...]
    jars: tuple[LockedJar, ...]


def read(path: Path = LOCK_FILE) -> dict[str, Group]:
    """The lock's groups by name. Raises HostError if the file is damaged: the checkout is, not the user's scenario."""
    try:
        return TypeAdapter(dict[str, Group]).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as e:
        msg = f"{path.name} cannot be read, restore it from version control: {e}"
        raise HostError(msg) from e


def render(groups: dict[str, Group]) -> str:
    """The lock as text, stable in order, one jar a line, so that a difference can be reviewed."""
    parts = [_HEADER]
    for name, group in groups.items():
        roots = "".join(f'  "{root}",\n' for root in group.roots)
        jars = "".join(
            f'  {{ jar = "{j.jar}", sha256 = "{j.sha256}", size_bytes = {j.size_bytes} }},\n' for j in group.jars
        )
        parts.append(f"[{name}]\nroots = [\n{roots}]\njars = [\n{jars}]\n")
    return "\n".join(parts)


def relock(path: Path = LOCK_FILE) -> Iterator[str]:
    """Resolve every group's roots again and rewrite the lock; yields one line of progress per group.

    Only the roots are read from the old file, so a group can be added with its roots and `jars = []`.
    """
    with tempfile.TemporaryDirectory(prefix="streamgauge-lock-") as repository:
        groups = {}
        for name, group in read(path).items():
            groups[name] = Group(roots=group.roots, jars=_resolve(group.roots, Path(repository)))
            yield f"{name}: {len(groups[name].jars)} jars"
        path.write_text(render(groups), encoding="utf-8")


def _resolve(roots: tuple[str, ...], repository: Path) -> tuple[LockedJar, ...]:
    """The transitive closure of `roots`, downloaded and hashed, ordered by coordinates."""
    from jgo.maven import MavenContext  # only the maintainer pays for its import

    context = MavenContext(repo_cache=repository, timeout=60)
    dependencies = []
    for i, root in enumerate(roots):
        group, name, version, *classifier = root.split(":")
        dependency = context.create_dependency(f"{group}:{name}:{version}")
        dependency.artifact.classifier = "".join(classifier)
        # jgo imports a root's dependencyManagement into the whole resolution unless it is "raw". The first root must
        # have that; from the others it would leak: log4j's manages kafka-clients, and drags it down to 3.9.
        dependency.raw = i > 0
        dependencies.append(dependency)
    if all(dependency.artifact.classifier for dependency in dependencies):
        inputs, transitive = (
            dependencies,
            dependencies[:0],
        )  # a part of a project: a plug-in beside a class path that has the rest
    else:
        inputs, transitive = context.resolver.resolve(dependencies)
    wanted = [d.artifact for d in (*inputs, *transitive) if d.type == "jar" and d.scope not in {"test", "provided"}]
    with ThreadPoolExecutor(8) as pool:
        files = list(pool.map(lambda artifact: artifact.resolve(), wanted))
    jars = {}
    for artifact, file in zip(wanted, files, strict=True):
        parts = (artifact.groupId, artifact.artifactId, artifact.version, artifact.classifier)
        jar = ":".join(part for part in parts if part)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        jars[jar] = LockedJar(jar=jar, sha256=digest, size_bytes=file.stat().st_size)
    return tuple(jars[jar] for jar in sorted(jars))
