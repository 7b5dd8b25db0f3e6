"""What a run measures, for Prometheus, while it goes on: one page on loopback for everything there is to scrape.

    streamgauge_...     what the probes sampled last, the trial under way, the results of those that ended
    flink_...           Flink's own reporter: pushed to this page by a local cluster (a reporter that is scraped would
                        listen on every interface), fetched from containers
    kafka_..., java_... each broker's JMX exporter, labelled with its broker

Watching costs the host some milliseconds a scrape; the figures of a run that was watched say nothing of it.
"""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from bench.backends.flink import reporter
from bench.errors import HostError
from bench.probes import Samples, current

PUSH_PATH = "/metrics/job/"
FETCH_S = 2.0
LARGEST_PUSH_BYTES = 16 << 20  # 2 MB from a TaskManager with a hundred subtasks
STALE_S = 15.0  # a process that has not pushed for so long is gone, or as good as


class Exporter:
    """Serves /metrics on 127.0.0.1 from `with` to its end. What it shows is told to it as it happens."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._lock = threading.Lock()
        self._pushed: dict[str, tuple[float, str]] = {}
        self._urls: Callable[[], Sequence[tuple[Mapping[str, str], str]]] = tuple
        self._trial: dict[str, str] = {}
        self._speed = 1.0
        self._intended_eps: float | None = None
        self._results: dict[tuple[tuple[str, str], ...], float] = {}

    def __enter__(self) -> Self:
        exporter = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path == "/metrics"
                body = exporter.text().encode() if known else b"only /metrics\n"
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_PUT(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                known = self.path.startswith(PUSH_PATH) and 0 < length <= LARGEST_PUSH_BYTES
                if known:
                    exporter.push(self.path, self.rfile.read(length).decode())
                self.send_response(202 if known else 400)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_PUT  # noqa: N815 -- as above

            def do_DELETE(self) -> None:
                exporter.forget(self.path)
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass  # a line a second on stderr would hide the progress

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Page)
        except OSError as error:
            raise HostError(
                f"127.0.0.1:{self.port} cannot serve metrics ({error.strerror}): give another port, --metrics PORT"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)

    @property
    def push_settings(self) -> dict[str, str]:
        """What makes a Flink on this machine push here once a second."""
        options = {
            "hostUrl": f"http://127.0.0.1:{self.port}",
            "jobName": "flink",
            "randomJobNameSuffix": "true",  # JobManager and TaskManagers would overwrite each other
            "deleteOnShutdown": "true",
            "interval": "1 SECONDS",
        }
        return reporter("push", "PrometheusPushGatewayReporterFactory", options)

    def push(self, group: str, text: str) -> None:
        """The whole state of one process, replacing its last."""
        with self._lock:
            self._pushed[group] = (time.monotonic(), text)

    def forget(self, group: str) -> None:
        """A process that has ended as it should."""
        with self._lock:
            self._pushed.pop(group, None)

    def cluster(self, urls: Callable[[], Sequence[tuple[Mapping[str, str], str]]]) -> None:
        """Where the open cluster's own exporters are: (labels to add, URL) each; asked at every scrape."""
        self._urls = urls

    def trial(self, labels: Mapping[str, str], *, intended_eps: float | None, event_time_speed: float) -> None:
        """The trial under way, its phase among the labels; `intended_eps` only while a constant load goes on."""
        self._trial, self._intended_eps, self._speed = dict(labels), intended_eps, event_time_speed

    def result(self, labels: Mapping[str, str], values: Mapping[tuple[str, str], float]) -> None:
        """(metric, stat) -> value of a trial that ended."""
        self._trial, self._intended_eps = {}, None
        for (metric, stat), value in values.items():
            self._results[tuple({**labels, "metric": metric, "stat": stat}.items())] = value

    def text(self) -> str:
        """The page."""
        lines = [*self._own()]
        for labels, url in self._urls():
            try:
                with urllib.request.urlopen(url, timeout=FETCH_S) as answer:  # noqa: S310 -- http on loopback, built by us
                    lines += labelled(answer.read().decode(), labels)
            except OSError:
                continue  # it is starting or gone: its series end, which is what a reader should see
        with self._lock:
            fresh = [text for at, text in self._pushed.values() if time.monotonic() - at < STALE_S]
        for text in fresh:
            lines += labelled(text, {})
        return "".join(f"{line}\n" for line in dict.fromkeys(lines))  # a family's TYPE once, whoever tells of it

    def _own(self) -> Iterator[str]:
        if self._trial:
            yield sample("streamgauge_trial", self._trial, 1)
        if self._intended_eps is not None:
            yield sample("streamgauge_intended_eps", {}, self._intended_eps)
        samples = current()
        if samples is not None and self._trial:
            yield from _sampled(samples, self._speed)
        for labels, value in self._results.items():
            yield sample("streamgauge_result", dict(labels), value)


def _sampled(samples: Samples, speed: float) -> Iterator[str]:
    last = samples.newest()
    for name, value in last.items():
        metric, _, vertex = name.partition(":")
        yield sample(f"streamgauge_{metric}", {"vertex": vertex} if vertex else {}, value)
    if "watermark_ms" in last:
        zero_ms = samples.zero_ns / 1e6
        event_now_ms = zero_ms + speed * (time.time_ns() / 1e6 - zero_ms)
        yield sample("streamgauge_watermark_lag_ms", {}, event_now_ms - last["watermark_ms"])


def sample(name: str, labels: Mapping[str, str], value: float) -> str:
    """One line of the text format."""
    told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{told}}} {value}" if told else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


_METRIC = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")


def labelled(text: str, labels: Mapping[str, str]) -> Iterator[str]:
    """The samples of a page with `labels` added, and its TYPE lines; help texts are left out."""
    extra = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            yield line
        elif found := _METRIC.match(line):
            name, inside, value = found.groups()
            both = ",".join(part for part in (extra, (inside or "").rstrip(",")) if part)
            yield f"{name}{{{both}}} {value}" if both else f"{name} {value}"
