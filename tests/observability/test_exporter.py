"""The page that Prometheus reads: what is on it, where it listens, and what it does with what Flink pushes."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from bench.backends.local import free_ports
from bench.errors import HostError
from bench.probes import watch
from bench.probes.exporter import Exporter, labelled
from bench.probes.kafka import parse_exporter


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    with Exporter(free_ports(1)[0]) as opened:
        yield opened


def page(exporter: Exporter) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{exporter.port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def ask(exporter: Exporter, method: str, path: str, body: bytes = b"") -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{exporter.port}{path}", data=body or None, method=method)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return int(answer.status)


def test_a_trial_is_shown_only_while_it_goes_on(exporter: Exporter) -> None:
    """An intended rate that stays on the page after its load reads as a generator that has stopped."""
    assert page(exporter) == ""
    labels = {"scenario": "s", "load": 'a "quoted"\\ name'}
    exporter.trial({**labels, "phase": "load"}, intended_eps=5000.0, event_time_speed=1.0)
    with watch([lambda: {"backlog_events": 7.0, "busy_ms:0": 3.0, "missing": float("nan")}]):
        shown = {(name, labels.get("vertex", "")): value for name, labels, value in parse_exporter(page(exporter))}
    assert shown["streamgauge_intended_eps", ""] == 5000
    assert shown["streamgauge_backlog_events", ""] == 7
    assert shown["streamgauge_busy_ms", "0"] == 3
    assert not any("missing" in name for name, _ in shown), "missing is not zero"
    exporter.result(labels, {("e2e_latency_ms", "p99"): 12.5})
    assert page(exporter).splitlines() == [
        'streamgauge_result{scenario="s",load="a \\"quoted\\"\\\\ name",metric="e2e_latency_ms",stat="p99"} 12.5'
    ]


def test_what_flink_pushes_is_served_until_it_goes(exporter: Exporter) -> None:
    """Two processes tell of one family: each keeps its own samples, and the last word of each counts."""
    first, second = "/metrics/job/flink1", "/metrics/job/flink2"
    assert ask(exporter, "PUT", first, b'# HELP f x\n# TYPE f gauge\nf{tm="1",} 1.0\n') == 202
    assert ask(exporter, "POST", second, b'# TYPE f gauge\nf{tm="2",} 5.0\n') == 202
    assert ask(exporter, "PUT", first, b'# TYPE f gauge\nf{tm="1",} 2.0\n') == 202
    assert page(exporter).splitlines() == ["# TYPE f gauge", 'f{tm="1"} 2.0', 'f{tm="2"} 5.0']
    assert ask(exporter, "DELETE", second) == 202
    assert page(exporter).splitlines() == ["# TYPE f gauge", 'f{tm="1"} 2.0']
    for method, path in (("PUT", "/elsewhere"), ("GET", "/")):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(exporter, method, path, b"x" if method == "PUT" else b"")
        refused.value.close()


def test_equal_series_of_two_brokers_are_told_apart() -> None:
    """Two series of one name and no difference: Prometheus keeps one of them, by chance."""
    told = '# TYPE k untyped\n# HELP k x\nk 1.0\nk{name="a",topic="t",} 2.0\n'
    assert list(labelled(told, {"broker": "2"})) == [
        "# TYPE k untyped", 'k{broker="2"} 1.0', 'k{broker="2",name="a",topic="t"} 2.0',
    ]  # fmt: skip


def test_a_taken_port_is_one_sentence(exporter: Exporter) -> None:
    """Two studies at once want the same default."""
    with (
        pytest.raises(HostError, match=rf"127\.0\.0\.1:{exporter.port} cannot serve metrics .* --metrics PORT$"),
        Exporter(exporter.port),
    ):
        pytest.fail("opened")
