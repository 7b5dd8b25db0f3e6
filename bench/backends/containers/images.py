"""The images that everything runs from, and how they are built from what the toolchain already has.

    python -m bench.backends.containers.images            on the official bases (`make images`)
    python -m bench.backends.containers.images debian     on a Debian made here: no image registry is needed
    python -m bench.backends.containers.images NAME       on any image with the right Python

Nothing is downloaded but the base, and Debian's Prometheus where the base is made here: Java, the jars and PyFlink
come, by their hashes, from the toolchain and the environment that runs this. The images carry the digest of what went
in; one of other inputs is refused, since a run would record versions that it did not have.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import re
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import docker
from docker.errors import BuildError, ImageNotFound

from bench.backends.containers import engine
from bench.errors import HostError, StreamgaugeError
from bench.toolchain import Toolchain, provision

FOLDER = engine.ROOT / "deploy" / "docker"
INPUTS = "org.streamgauge.inputs"
DEBIAN = "streamgauge/debian:bookworm"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# The digest of 3.12's base is not known here
_PYTHON_DIGEST = {"3.11": "@sha256:528257d48c1da0dcecc2e725d1ae34498d60c965f1241e39cd6a85a8859bdf84"}
OFFICIAL = {
    "kafka": "apache/kafka:4.3.1@sha256:77e3df9054047a88b520d0cc46e16696d3b22022e1d580aeccd2632df6532837",
    "flink": f"python:{PYTHON}-slim-bookworm{_PYTHON_DIGEST.get(PYTHON, '')}",
}
OVERRIDES = {"kafka": "STREAMGAUGE_KAFKA_IMAGE", "flink": "STREAMGAUGE_FLINK_IMAGE"}

BUILD_S = 900  # silence of the engine while it copies 700 MB, on a slow disk
WORKERS = ("apache-flink", "pydantic", "ruamel.yaml")  # what Flink's Python workers and the jobs import
LEFT_OUT = re.compile(r"(^|/)(tests|__pycache__|include)/|^pyflink/(lib|opt|plugins|examples)/|\.(pyi|pxd|pyx|h)$")


def name(kind: str) -> str:
    """The image of "kafka" or "flink": as the environment says, else our own of this version."""
    return os.environ.get(OVERRIDES[kind]) or f"streamgauge/{kind}:{_version(kind)}"


def _version(kind: str) -> str:
    if kind == "flink":
        return importlib.metadata.version("apache-flink")
    of = OFFICIAL["kafka"] if kind == "kafka" else DEBIAN
    return of.partition("@")[0].partition(":")[2]


@dataclass(frozen=True)
class Context:
    """What one image is built from."""

    kind: str
    base: str
    files: Mapping[str, Path]  # path inside the image -> the file here

    @property
    def dockerfile(self) -> Path:
        return FOLDER / f"{self.kind}.Dockerfile"

    @property
    def digest(self) -> str:
        """Of everything that goes in, except the checkout's own Python: that is mounted over it."""
        parts = [self.base, PYTHON, self.dockerfile.read_text()]
        for path, file in sorted(self.files.items()):
            small = file.is_relative_to(FOLDER)
            if not file.is_relative_to(engine.ROOT / "bench"):
                parts.append(f"{path} {file.read_text() if small else file.stat().st_size}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def write(self, stream: IO[bytes]) -> None:
        """As the tar that an engine builds from."""
        with tarfile.open(fileobj=stream, mode="w|", dereference=True) as tar:
            content = self.dockerfile.read_bytes()
            about = tarfile.TarInfo("Dockerfile")
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
            for path, file in sorted(self.files.items()):
                tar.add(file, f"root/{path}", filter=_for_everyone)


def _for_everyone(about: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owned by root and readable by all, whatever the umask here was."""
    about.uid = about.gid = 0
    about.uname = about.gname = ""
    about.mode |= 0o555 if about.mode & 0o100 else 0o444
    return about


def contexts(base: str, tools: Toolchain) -> dict[str, Context]:
    """The images' contexts on "official" bases, "debian", or the image called `base`.

    Kafka and Flink; on Debian also Prometheus, which elsewhere is the official image itself.
    """
    bases = {kind: {"official": official, "debian": DEBIAN}.get(base, base) for kind, official in OFFICIAL.items()}
    kafka = {"opt/streamgauge/broker.sh": FOLDER / "broker.sh", "opt/streamgauge/jmx-agent.jar": tools.jmx_agent}
    if base != "official":  # a bare base has neither Java nor Kafka
        kafka |= _tree("opt/java", tools.java_home) | _flat("opt/kafka/libs", tools.kafka_classpath)
    flink = {
        "opt/streamgauge/flink.sh": FOLDER / "flink.sh",
        **_tree("opt/java", tools.java_home),
        **_tree("opt/flink", tools.flink_home),
        **_flat("opt/s3proxy", tools.s3proxy_classpath),
        **_tree("opt/streamgauge/src/bench", engine.ROOT / "bench"),
        **_packages("opt/streamgauge/python"),
    }
    found = {"kafka": Context("kafka", bases["kafka"], kafka), "flink": Context("flink", bases["flink"], flink)}
    return found | ({"prometheus": Context("prometheus", DEBIAN, {})} if base == "debian" else {})


def _tree(prefix: str, folder: Path) -> dict[str, Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    relative = ((path.relative_to(folder).as_posix(), path) for path in files)
    return {f"{prefix}/{name}": path for name, path in relative if "__pycache__/" not in name}


def _flat(prefix: str, files: tuple[Path, ...]) -> dict[str, Path]:
    return {f"{prefix}/{file.name}": file for file in files}


def _packages(prefix: str) -> dict[str, Path]:
    """The installed files of WORKERS and of all they need, without tests and headers, and without Flink's own jars."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, Path] = {}
    seen: set[str] = set()
    todo = list(WORKERS)
    while todo:
        package = canonicalize_name(todo.pop())
        if package in seen:
            continue
        seen.add(package)
        distribution = importlib.metadata.distribution(package)
        for text in distribution.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
        for file in distribution.files or []:
            path = file.as_posix()
            if not path.startswith("..") and not LEFT_OUT.search(path):
                found[f"{prefix}/{path}"] = Path(str(distribution.locate_file(file)))
    return found


def require(client: docker.DockerClient) -> dict[str, str]:
    """Kind -> "name@id" of the images here. HostError when one is missing or of other inputs; nothing is pulled."""
    found = {}
    for kind, override in OVERRIDES.items():
        wanted = name(kind)
        try:
            image = client.images.get(wanted)
        except ImageNotFound as error:
            yours = os.environ.get(override)
            remedy = (
                f"docker pull {wanted}, or unset {override}"
                if yours
                else "make images builds it (make images BASE=debian where no image registry can be reached)"
            )
            raise HostError(f"the image {wanted} is not on this machine: {remedy}") from error
        _refuse_stale(kind, wanted, image)
        found[kind] = f"{wanted}@{image.id}"
    return found


def _refuse_stale(kind: str, wanted: str, image: Any) -> None:
    built = image.labels.get(INPUTS)
    if built is None or os.environ.get(OVERRIDES[kind]):
        return  # somebody's own: they know what is in it
    base = image.labels.get("org.streamgauge.base", "official")
    if built != contexts(base, provision(progress=False, only=GROUPS))[kind].digest:
        again = "" if base == "official" else f" BASE={base}"
        raise HostError(f"the image {wanted} was built from other versions than this checkout's: make images{again}")


GROUPS = {"kafka", "flink", "jmx", "s3", "s3proxy"}


def build(client: docker.DockerClient, context: Context, base: str) -> None:
    """Build one image, unless it is there already from the same inputs. HostError with the step that failed."""
    wanted = f"streamgauge/{context.kind}:{_version(context.kind)}"
    try:
        if client.images.get(wanted).labels.get(INPUTS) == context.digest:
            print(f"images: {wanted} is there already", file=sys.stderr)
            return
    except ImageNotFound:
        pass
    began = time.monotonic()
    reader, writer = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(writer, "wb") as stream:  # a refusing engine says why itself
            context.write(stream)

    thread = threading.Thread(target=write, name="context", daemon=True)
    thread.start()
    with os.fdopen(reader, "rb") as stream, engine.told_plainly(f"building {wanted}"):
        try:
            client.images.build(
                fileobj=stream,
                custom_context=True,
                tag=wanted,
                buildargs={"BASE": context.base, "PYTHON": PYTHON},
                labels={INPUTS: context.digest, "org.streamgauge.base": base},
                rm=True,
                forcerm=True,
            )
        except BuildError as error:
            raise HostError(_failed(wanted, context.base, error)) from error
    thread.join(10.0)
    print(f"images: {wanted} on {context.base}, {time.monotonic() - began:.0f} s", file=sys.stderr)


def _failed(wanted: str, base: str, error: BuildError) -> str:
    why = str(error)
    if re.search(r"no such host|dial tcp|i/o timeout|TLS handshake|connection refused", why):
        return f"{wanted} could not be built on {base}: {why}; make images BASE=debian needs no image registry"
    said = "".join(str(line.get("stream", "")) for line in error.build_log if isinstance(line, Mapping)).strip()
    tail = "\n".join(said.splitlines()[-5:])
    return f"{wanted} could not be built on {base}: {why}" + (f"\n{tail}" if tail else "")


def _make_debian(client: docker.DockerClient) -> None:
    if PYTHON != "3.11":
        raise HostError(
            f"this .venv has Python {PYTHON}, Debian's is 3.11: make one with it (rm -r .venv; make setup "
            f"PYTHON=python3.11), or name a base that has {PYTHON}: make images BASE=python:{PYTHON}-slim-bookworm"
        )
    try:
        client.images.get(DEBIAN)
    except ImageNotFound:
        print(f"images: making {DEBIAN} with debootstrap, about 40 s", file=sys.stderr)
        done = subprocess.run([str(FOLDER / "debian.sh"), DEBIAN], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise HostError(f"{DEBIAN} could not be made: {(done.stderr.strip() or 'no reason given')}") from None


def main(words: list[str]) -> int:
    """Build the images; returns the exit code."""
    base = (words or ["official"])[0]
    try:
        engine.connect().close()  # within seconds, where there is none
        tools = provision(only=GROUPS)
        client = docker.from_env(timeout=BUILD_S)
        try:
            if base == "debian":
                _make_debian(client)
            for context in contexts(base, tools).values():
                build(client, context, base)
        finally:
            client.close()
    except StreamgaugeError as error:
        print(f"images: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
