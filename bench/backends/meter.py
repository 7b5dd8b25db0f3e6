"""The door of the object store: passes S3 requests on, counts and times each, and has them take as long as it is told.

    python -m bench.backends.meter PORT UPSTREAM_PORT        both on loopback

    GET /-/requests?since=NS    every request that ended since then: a JSON list of the fields of `Request`
    PUT /-/pace                 {"latency_ms": 30, "bandwidth_mb_s": 50 or null}; holds for what begins from then on

"-" can be no bucket's name. A request's answer leaves when it is due: `latency_ms` after its body came, plus what its
bytes take on a link that all requests share. Waiting *until* then, rather than in addition, hides the server behind the
door as long as it is quicker; where it is not, `took_ms` is above `due_ms` and the run says so. How fast a client hands
its body over is the client's own: a busy one is no slow store.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEPT = 200_000  # requests; a checkpoint makes some tens
UPSTREAM_TIMEOUT_S = 60.0
CONTROL = "/-/"
_OF_THE_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "content-length", "expect", "date", "server")


@dataclass(frozen=True)
class Request:
    """One that was answered. `in_bytes`: of the body that came; `out_bytes`: of the body that went."""

    end_ns: int  # time.time_ns()
    operation: str  # as S3 calls it
    status: int
    took_ms: float  # from the last byte of its body to the last of its answer
    due_ms: float  # what it should take
    in_bytes: int
    out_bytes: int


def operation(method: str, target: str, headers: Mapping[str, str]) -> str:
    """What S3's reference calls a path-style request."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    has_key = "/" in parts.path.strip("/")
    copies = "x-amz-copy-source" in {name.lower() for name in headers}
    known = {
        "GET": "GetObject" if has_key else "ListObjects",
        "HEAD": "HeadObject" if has_key else "HeadBucket",
        "PUT": ("CopyObject" if copies else "PutObject") if has_key else "CreateBucket",
        "DELETE": "DeleteObject" if has_key else "DeleteBucket",
        "POST": "PostObject",
    }
    if "uploads" in query:
        return "CreateMultipartUpload" if method == "POST" else "ListMultipartUploads"
    if "uploadId" in query:
        return {
            "PUT": "UploadPartCopy" if copies else "UploadPart",
            "POST": "CompleteMultipartUpload",
            "DELETE": "AbortMultipartUpload",
        }.get(method, "ListParts")
    if "delete" in query and method == "POST":
        return "DeleteObjects"
    return known.get(method, method)


class Pace:
    """When an answer is due: a latency for each, and one link for the bytes of all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latency_s, self._bytes_s, self._free_s = 0.0, 0.0, 0.0

    def set(self, latency_ms: float, bandwidth_mb_s: float | None) -> None:
        """From now on; a bandwidth of None is as fast as it goes. MB are 10^6 bytes."""
        with self._lock:
            self._latency_s, self._bytes_s = latency_ms / 1e3, (bandwidth_mb_s or 0.0) * 1e6

    def due_s(self, came_s: float, size_bytes: int) -> float:
        """When what came then, with so many bytes both ways, has to be over."""
        with self._lock:
            if not self._bytes_s:
                return came_s + self._latency_s
            self._free_s = max(self._free_s, came_s) + size_bytes / self._bytes_s
            return self._free_s + self._latency_s


class Door(ThreadingHTTPServer):
    """Listens on loopback for as long as the process lives."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, upstream_port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.upstream_port = upstream_port
        self.pace = Pace()
        self.requests: deque[Request] = deque(maxlen=KEPT)


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, with one of its own to the server behind."""

    server: Door
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else an answer in two packets waits 40 ms for an acknowledgement
    wbufsize = -1
    _upstream: http.client.HTTPConnection | None = None

    def handle_expect_100(self) -> bool:
        """Answered at once: a client that waits for it holds its body back, S3's own for three seconds a request."""
        answered = super().handle_expect_100()
        self.wfile.flush()
        return answered

    def finish(self) -> None:
        if self._upstream is not None:
            self._upstream.close()
        super().finish()

    def relay(self) -> None:
        body = self._body()
        came_s = time.perf_counter()
        if self.path.startswith(CONTROL):
            self._control(body)
            return
        try:
            status, headers, answer = self._ask(body)
        except (OSError, http.client.HTTPException) as error:
            self.close_connection = True
            status, headers, answer = 502, [], f"the store behind the door does not answer: {error}".encode()
        due_s = self.server.pace.due_s(came_s, len(body) + len(answer))
        time.sleep(max(0.0, due_s - time.perf_counter()))
        self._answer(status, headers, answer)
        took_ms = (time.perf_counter() - came_s) * 1e3
        kind = operation(self.command, self.path, dict(self.headers))
        due_ms = (due_s - came_s) * 1e3
        self.server.requests.append(Request(time.time_ns(), kind, status, took_ms, due_ms, len(body), len(answer)))

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = relay  # noqa: N815 -- http.server's names

    def _body(self) -> bytes:
        if "chunked" not in (self.headers.get("Transfer-Encoding") or "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return found

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """The server's answer; once more on a new connection, where it had closed the one that was kept."""
        kept = self._upstream is not None and self._upstream.sock is not None
        try:
            return self._pass(body)
        except ConnectionError:  # of http.client too, when a connection ends before an answer begins
            if not kept:
                raise
            return self._pass(body)

    def _pass(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        if self._upstream is None:
            self._upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream_port, UPSTREAM_TIMEOUT_S)
        passed = {name: text for name, text in self.headers.items() if name.lower() not in _OF_THE_CONNECTION}
        if body or self.command in ("PUT", "POST"):
            passed["Content-Length"] = str(len(body))
        try:
            self._upstream.request(self.command, self.path, body=body or None, headers=passed)
            answer = self._upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except (OSError, http.client.HTTPException):
            self._upstream.close()  # the next request finds a new connection
            raise

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        told = {name.lower(): text for name, text in headers}
        for name, text in headers:
            if name.lower() not in _OF_THE_CONNECTION:
                self.send_header(name, text)
        if status != 204:
            length = told.get("content-length", "0") if self.command == "HEAD" else str(len(body))
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _control(self, body: bytes) -> None:
        if self.command == "PUT":
            told = json.loads(body)
            self.server.pace.set(float(told["latency_ms"]), told["bandwidth_mb_s"])
            answer: list[Any] = []
        else:
            since, kept = int(parse_qs(urlsplit(self.path).query).get("since", ["0"])[0]), list(self.server.requests)
            answer = [asdict(one) for one in kept if one.end_ns >= since]
            if len(answer) == KEPT:  # older ones may be forgotten: a count of what is left would be too low
                self._answer(507, [], b"")
                return
        self._answer(200, [("Content-Type", "application/json")], json.dumps(answer).encode())

    def log_message(self, *_: Any) -> None:
        """A line a request would be the store's largest cost."""


def main() -> None:
    """Serve until killed."""
    port, upstream_port = int(sys.argv[1]), int(sys.argv[2])
    Door(port, upstream_port).serve_forever()


if __name__ == "__main__":
    main()
