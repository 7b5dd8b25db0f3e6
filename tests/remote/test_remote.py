"""What is read of a cluster from afar, and what is not done to it unasked: against answers that are known."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from bench import keyring, study
from bench.backends.permits import refusal as login_refusal
from bench.backends.permits import unreachable
from bench.backends.remote import Connector, Remote, broker_account, connector, flink_account
from bench.cli.remotely import remote_of
from bench.errors import ScenarioError
from bench.scenario import Trial
from bench.trial import guard

Serve = Callable[[Mapping[str, Any]], str]
ROOT = Path(__file__).resolve().parents[2]
SMALL = str(ROOT / "tests" / "remote" / "small.yaml")


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server whose paths answer these; its address."""
    servers = []

    def start(pages: Mapping[str, Any]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                said = pages.get(self.path)
                self.send_response(404 if said is None else 200)
                self.end_headers()
                self.wfile.write((said if isinstance(said, str) else json.dumps(said)).encode())

            def log_message(self, *_: object) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def exporter(cpu_s: float, rss: float) -> str:
    return f'process_cpu_seconds_total {cpu_s}\nprocess_resident_memory_bytes {rss}\nother{{a="b"}} 1\n'


def test_brokers_cpu_is_the_sum_of_their_exporters(serve: Serve) -> None:
    urls = [serve({"/metrics": exporter(10.5, 2e9)}) + "/metrics", serve({"/metrics": exporter(1.5, 1e9)}) + "/metrics"]
    found = broker_account(urls)
    assert found is not None
    assert (found.cpu_s, found.rss_bytes) == (12.0, 3e9)


def test_one_broker_that_does_not_say_leaves_no_sum(serve: Serve) -> None:
    """What the others used would pass for what all of them did."""
    good = serve({"/metrics": exporter(10.5, 2e9)}) + "/metrics"
    assert broker_account([good, serve({"/metrics": "up 1\n"}) + "/metrics"]) is None
    assert broker_account([good, serve({}) + "/metrics"]) is None
    assert broker_account([good, "http://127.0.0.1:9/metrics"]) is None
    assert broker_account([]) is None


def test_a_prometheus_sums_them_up_and_tells_no_memory(serve: Serve) -> None:
    path = "/api/v1/query?query=sum(process_cpu_seconds_total)"
    url = serve({path: {"status": "success", "data": {"result": [{"metric": {}, "value": [1.0, "42.5"]}]}}}) + path
    found = broker_account([url])
    assert found is not None
    assert found.cpu_s == 42.5
    assert math.isnan(found.rss_bytes)
    assert Remote("b:1", broker_metrics=(url,)).jmx_urls == (), "no page to read topics' bytes from"
    empty = serve({path: {"status": "success", "data": {"result": []}}}) + path
    assert broker_account([empty]) is None


CPU = "/metrics?get=Status.JVM.CPU.Time"


def flink(*managers: str, **pages: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"/taskmanagers": {"taskmanagers": [{"id": one} for one in managers]}}
    return told | {f"/jobmanager{CPU}": [{"id": "Status.JVM.CPU.Time", "value": "1000000000"}]} | pages


def test_flinks_cpu_is_that_of_everybody(serve: Serve) -> None:
    two = {f"/taskmanagers/{one}{CPU}": [{"id": "x", "value": str(ns)}] for one, ns in (("a", 2 * 10**9), ("b", 10**9))}
    found = flink_account(serve(flink("a", "b", **two)))
    assert found is not None
    assert found.cpu_s == 4.0
    assert math.isnan(found.rss_bytes)
    assert flink_account(serve(flink("a", "b", "c", **two))) is None, "one of them does not say"
    assert flink_account(serve(flink("a", **{f"/taskmanagers/a{CPU}": []}))) is None


@pytest.mark.parametrize(
    ("classpath", "expected"),
    [
        (["/opt/flink/lib/flink-sql-connector-kafka-5.0.0.jar"], Connector()),
        (["/opt/flink/lib/flink-connector-kafka-5.0.0.jar"], Connector(package=keyring.KAFKA)),
        (["/opt/flink/lib/flink-dist-2.3.0.jar"], Connector((Path("/l/flink-sql-connector-kafka-5.jar"),))),
    ],
)
def test_a_job_brings_the_connector_where_there_is_none(
    serve: Serve, classpath: list[str], expected: Connector
) -> None:
    jars = (Path("/l/flink-dist.jar"), Path("/l/flink-sql-connector-kafka-5.jar"))
    tools: Any = SimpleNamespace(flink_classpath=jars)
    assert connector(serve({"/jobmanager/environment": {"classpath": classpath}}), tools) == expected


def test_what_librdkafka_says_becomes_the_cause() -> None:
    """Its sentences as of 2.16: an address first, what it was doing last."""
    login = (
        "sasl_ssl://k:9093/bootstrap: SASL authentication error: Invalid credentials (after 312ms in state AUTH_REQ)"
    )
    refused = login_refusal("k:9093", [KafkaError(KafkaError._AUTHENTICATION, login)])
    assert refused.startswith(
        "k:9093 refuses the login of this client: SASL authentication error: Invalid credentials;"
    )
    assert "state AUTH" not in refused
    refusing = "Connect to ipv4#10.0.0.1:9093 failed: Connection refused"
    told = [KafkaError(KafkaError._TRANSPORT, f"k:9093/bootstrap: {refusing} (after 0ms in state CONNECT)"),
            KafkaError(KafkaError._TRANSPORT, "Failed to get metadata")]  # fmt: skip
    assert login_refusal("k:9093", told) == "", "it may come up"
    assert unreachable("k:9093", told).startswith(f"no broker answers at k:9093: {refusing}; check the address")


def trial(*overrides: str) -> Trial:
    return study.trials(study.scenario(study.Asked(SMALL, overrides)), "remote", remote="k:9093")[0]


OTHERS, OURS = Remote("k:9093"), Remote("k:9093", owned=True)


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("load.rate_eps=1001", "1,001 events/s are more than 1,000"),
        ("load.rate_eps=maximum", "goes as fast as the brokers take it"),
        ("topic.partitions=65", "65 partitions with their copies are more than 64"),
        ("workload.event_bytes=5000", "2.5 MB/s are more than 1"),
    ],
)
def test_more_than_a_little_wants_the_owners_word(override: str, why: str) -> None:
    assert guard.refusal(trial(), OTHERS) == ""
    said = guard.refusal(trial(override), OTHERS)
    assert why in said
    assert "--i-own-this-cluster" in said
    assert guard.refusal(trial(override), OURS) == ""


def test_what_only_a_cluster_of_ours_has_is_refused_whoever_owns_it() -> None:
    assert "no axis" in guard.refusal(trial("axes.cluster.brokers=[1, 3]"), OURS)
    quickstart = study.trials(study.scenario(study.Asked("quickstart")), "remote", remote="k")[0]
    assert "--flink-url" in guard.refusal(quickstart, OURS)
    with_flink = Remote("k", "http://f:8081", owned=True)
    assert guard.refusal(quickstart, with_flink) == ""
    for axis in ("pipeline.task_managers=[1, 2]", "pipeline.slots=[2, 4]"):  # arms that would all be the same
        varied = study.scenario(study.Asked("quickstart", (f"axes.{axis}",)))
        assert "is no axis" in guard.refusal(study.trials(varied, "remote", remote="k")[0], with_flink)
    idle = study.scenario(study.Asked("quickstart", ("pipeline.task_manager_idle_timeout_s=3",)))
    said = guard.refusal(study.trials(idle, "remote", remote="k")[0], with_flink)
    assert said.startswith("pipeline.task_manager_idle_timeout_s is the session cluster's own")  # as it was written


def test_trials_on_another_cluster_are_other_trials() -> None:
    """Results of one would be resumed from on the other."""
    scenario = study.scenario(study.Asked(SMALL))
    ids = {where: study.trials(scenario, "remote", remote=where)[0].id for where in ("a:1", "b:1", "")}
    assert len(set(ids.values())) == 3
    assert study.trials(scenario, "local", remote="a:1")[0].id == study.trials(scenario, "local")[0].id


def test_a_lag_that_keeps_growing_is_harm_and_one_that_comes_and_goes_is_not() -> None:
    def looks(*lags: float) -> list[dict[str, float]]:
        return [{"theirs": lag, "calm": 5.0} for lag in lags]

    assert guard.growing(looks(0, 900, 1_500, 2_500)) == "theirs from 0 to 2,500 events"
    assert guard.growing(looks(0, 900, 1_500)) == "", "too short to tell"
    assert guard.growing(looks(0, 5_000, 4_000, 9_000)) == "", "it caught up in between"
    assert guard.growing(looks(0, 300, 600, 900)) == "", "what any group is behind now and then"
    assert guard.growing([{}, *looks(1_000, 2_000, 3_000)]) == "", "not there from the beginning"
    assert guard.growing(looks(9_000, 0, 900, 1_500, 2_500)) != "", "the last looks count"


def ended_by_the_guard(cluster: Any) -> list[str]:
    """What a load was told by the one who watches, who says the same to its cluster."""
    told: list[str] = []
    with guard.watched(cluster, told.append, every_s=0.01):
        end = time.monotonic() + 10
        while not told and time.monotonic() < end:
            time.sleep(0.01)
        assert told == [cluster.stopped]
    return told


def test_who_watches_says_why_the_load_ends_and_is_done_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial under way ends by its cluster's check, the rest of the study by what was told."""
    lags = iter(range(0, 1_000_000, 700))
    monkeypatch.setattr(guard, "lags_of_others", lambda admin, prefix: {"theirs": float(next(lags))})
    cluster: Any = SimpleNamespace(bootstrap="127.0.0.1:1", remote=OTHERS, stopped="")
    told = ended_by_the_guard(cluster)
    assert "the lag of others grew while the load was on: theirs from 0 to 2,100 events" in told[0]
    assert cluster.stopped == ""


def test_who_can_no_longer_watch_ends_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that died in a thread of its own would let a load go on for hours with nobody looking."""

    def broken(admin: object, prefix: str) -> dict[str, float]:
        raise KeyError("their-group")

    monkeypatch.setattr(guard, "lags_of_others", broken)
    cluster: Any = SimpleNamespace(bootstrap="127.0.0.1:1", remote=OTHERS, stopped="")
    told = ended_by_the_guard(cluster)
    assert told == ["stopped, for the lag of others could no longer be looked at: KeyError('their-group')"]


def test_a_local_run_hands_no_worker_the_way_to_another_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own brokers would be asked for a login that they do not know."""
    monkeypatch.setenv(keyring.CONFIG, "/etc/client.properties")
    assert remote_of(words(command_config="/etc/client.properties"), ("local",)) is None
    assert keyring.CONFIG not in os.environ


def test_an_event_that_is_not_taken_ends_a_load() -> None:
    assert guard.refused(0) == ""
    assert "3 events" in guard.refused(3)


def words(**told: Any) -> dict[str, Any]:
    empty = {"bootstrap": None, "flink_url": None, "command_config": None, "broker_metrics": (), "prefix": "sg-"}
    return {**empty, "owned": False, **told}


@pytest.mark.parametrize(
    ("told", "backends", "why"),
    [
        ({}, ("remote",), "expected --bootstrap"),
        ({"bootstrap": "k:1"}, ("local",), "--bootstrap: expected it with --backend remote only"),
        ({"bootstrap": "k:1", "flink_url": "https://f"}, ("remote",), "expected http://HOST:PORT"),
        ({"bootstrap": "k:1", "broker_metrics": ("f:1",)}, ("remote",), "--broker-metrics f:1: expected http"),
    ],
)
def test_words_that_cannot_be_right(told: dict[str, Any], backends: tuple[str, ...], why: str) -> None:
    with pytest.raises(ScenarioError, match=why.replace("(", r"\(")):
        remote_of(words(**told), backends)


def test_the_words_of_a_cluster_are_taken_from_those_of_the_study() -> None:
    told = words(bootstrap="k:1", flink_url="http://f:8081/", repeats=2)
    assert remote_of(told) == Remote("k:1", "http://f:8081")
    assert told == {"repeats": 2}
