"""An S3-compatible store on loopback: s3proxy on a folder, behind a door that counts, times and slows (`meter`).

The server is Maven's `org.gaul:s3proxy`, pinned by hash like every jar; the door is ours, because s3proxy's own latency
middleware adds to what its disk takes, and what a call really took is what a run has to say.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from pathlib import Path

import pandas as pd

from bench.backends import BUCKET
from bench.backends.subtree import Child, Subtree, await_true
from bench.errors import HostError, JobError
from bench.toolchain import Toolchain, provision

READY_TIMEOUT_S = 60.0  # 3 s on an idle host
HEAP_MB = 192
WARM_ROUNDS = 25
FIELDS = ("end_ns", "operation", "status", "took_ms", "due_ms", "in_bytes", "out_bytes")


def properties(endpoint: str, folder: str) -> str:
    """s3proxy's configuration: whoever comes, files below `folder`."""
    return f"""\
s3proxy.endpoint={endpoint}
s3proxy.authorization=none
jclouds.provider=filesystem-nio2
jclouds.filesystem.basedir={folder}
jclouds.identity=unused
jclouds.credential=unused
"""


# without it s3proxy tells of every request, hundreds of MB an hour
LOGBACK = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"""


def flink_options(endpoint: str) -> dict[str, str]:
    """What Flink's S3 plug-in is told, so that `s3://streamgauge/...` is this store."""
    return {
        "s3.endpoint": endpoint,
        "s3.region": "us-east-1",  # it wants one to sign for; nothing here is in it
        "s3.path-style-access": "true",
        "s3.access-key": "unused",
        "s3.secret-key": "unused",
    }


class ObjectStore:
    """See `bench.backends.ObjectStore`. Its address is known before it is started."""

    def __init__(self, folder: Path, port: int, inner_port: int, subtree: Subtree, log_dir: Path) -> None:
        self._folder, self._port, self._inner_port = folder, port, inner_port
        self._subtree, self._log_dir = subtree, log_dir
        self._children: tuple[Child, ...] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def pids(self) -> list[int]:
        """Of what runs; none before it was started."""
        return [child.pid for child in self._children]

    def start(self, root: Path) -> None:
        """Once; the first time its jars are fetched. `root`: where this package lies. JobError if it does not come."""
        if self._children:
            return
        tools = provision(only={"s3proxy"})
        (self._folder / "data").mkdir(parents=True)
        (self._folder / "s3proxy.conf").write_text(
            properties(f"http://127.0.0.1:{self._inner_port}", str(self._folder / "data"))
        )
        (self._folder / "logback.xml").write_text(LOGBACK)
        door = [sys.executable, "-m", "bench.backends.meter", str(self._port), str(self._inner_port)]
        log = self._log_dir / "store-door.log"
        self._children = (
            self._server(tools),
            # an instrument, and it stands for a service on other machines: it does not yield the CPU
            self._subtree.spawn("store-door", door, log=log, env={"PYTHONPATH": str(root)}, cwd=root),
        )
        try:
            await_true(self._made, READY_TIMEOUT_S, "the object store ready")
            self._warm()
        except TimeoutError as late:
            raise JobError(f"{late}\n{self._tails()}") from late

    def _server(self, tools: Toolchain) -> Child:
        argv = [
            str(tools.java),
            f"-Xmx{HEAP_MB}m",
            "-XX:+UseSerialGC",
            f"-Dlogback.configurationFile={self._folder / 'logback.xml'}",
            "-cp",
            ":".join(str(jar) for jar in tools.s3proxy_classpath),
            "org.gaul.s3proxy.Main",
            "--properties",
            str(self._folder / "s3proxy.conf"),
        ]
        return self._subtree.spawn("store", argv, log=self._log_dir / "store.log", cwd=self._folder)

    def _made(self) -> bool:
        """Whether the bucket is there: asking for it makes it."""
        self.check()
        request = urllib.request.Request(f"{self.url}/{BUCKET}", method="PUT")  # noqa: S310 -- http on loopback
        try:
            with urllib.request.urlopen(request, timeout=5.0) as answer:  # noqa: S310 -- as above
                return bool(answer.status == 200)
        except OSError:
            return False

    def _warm(self) -> None:
        """Each kind of call often enough for the server's JVM: its first PUT takes more than a second, and after these
        one takes some milliseconds.
        """
        body = b"x" * 100_000
        for number in range(WARM_ROUNDS):
            key = f"/{BUCKET}/warm-up/{number}"
            self._call("PUT", key, body)
            self._call("HEAD", key)
            self._call("GET", key)
            upload = re.search(rb"<UploadId>([^<]+)", self._call("POST", f"{key}?uploads"))
            if upload:
                self._call("PUT", f"{key}?partNumber=1&uploadId={upload[1].decode()}", body)
                self._call("DELETE", f"{key}?uploadId={upload[1].decode()}")
            self._call("GET", f"/{BUCKET}?list-type=2&prefix=warm-up")
            self._call("DELETE", key)

    def _call(self, method: str, target: str, body: bytes | None = None) -> bytes:
        """What it answers, after an error too: warming up decides nothing."""
        request = urllib.request.Request(f"{self.url}{target}", data=body, method=method)  # noqa: S310 -- as above
        try:
            with urllib.request.urlopen(request, timeout=10.0) as answer:  # noqa: S310 -- as above
                said: bytes = answer.read()
        except OSError:
            return b""
        return said

    def check(self) -> None:
        """JobError with its log when one of its processes has ended."""
        for child in self._children:
            if child.poll() is not None:
                raise JobError(f"the object store's {child.name} ended (exit code {child.poll()})\n{child.log_tail()}")

    def pace(self, latency_ms: float, bandwidth_mb_s: float | None) -> None:
        body = json.dumps({"latency_ms": latency_ms, "bandwidth_mb_s": bandwidth_mb_s}).encode()
        self._control("PUT", "pace", body)

    def requests(self, since_ns: int) -> pd.DataFrame:
        return pd.DataFrame(json.loads(self._control("GET", f"requests?since={since_ns}")), columns=list(FIELDS))

    def _control(self, method: str, what: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self.url}/-/{what}", data=body, method=method)  # noqa: S310 -- as above
        try:
            with urllib.request.urlopen(request, timeout=10.0) as answer:  # noqa: S310 -- as above
                said: bytes = answer.read()
        except OSError as error:
            self.check()
            raise HostError(f"the object store's door does not answer: {error}") from error
        return said

    def _tails(self) -> str:
        return "\n".join(child.log_tail() for child in self._children)
