"""A real broker with TLS, SASL and ACLs: what a login may not do is one sentence, and what is left is found."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import command
import pytest
import secured
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AclOperation, NewTopic, ResourcePatternType, ResourceType
from secured import Secured

from bench import keyring, logdirs, topics
from bench.analysis.clock import Offset
from bench.backends.permits import Preflight, connected
from bench.backends.reach import leftovers
from bench.errors import BrokerError
from bench.trial import guard

pytestmark = [pytest.mark.platform, pytest.mark.timeout(300)]

ALICE, NOBODY = "alice", "nobody"
PASSWORDS = {ALICE: "alices'own\"word", NOBODY: "nobodys-word"}
WITHIN_S = 15.0
EVERYTHING = (AclOperation.CREATE, AclOperation.DELETE, AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    try:
        with secured.secured(tmp_path_factory.mktemp("secured"), PASSWORDS, {"plain": "plains-word"}) as found:
            prefixed = ResourcePatternType.PREFIXED
            found.allow(
                "plain", (ResourceType.TOPIC, "sg-", prefixed, EVERYTHING),
                (ResourceType.GROUP, "sg-", prefixed, (AclOperation.READ,)),
            )  # fmt: skip
            found.allow(
                ALICE, (ResourceType.TOPIC, "sg-", prefixed, EVERYTHING),
                (ResourceType.GROUP, "sg-", prefixed, (AclOperation.READ,)),
            )  # fmt: skip
            yield found
    except secured.MissingToolError as error:
        pytest.skip(str(error))


@pytest.fixture
def config(broker: Secured, tmp_path: Path) -> Path:
    return broker.config(tmp_path / "client.properties", ALICE, PASSWORDS[ALICE])


def doctor(broker: Secured, config: Path, *more: str, out: Path) -> tuple[command.Command, float]:
    """What is said of a cluster before it is used, and how long that takes."""
    began = time.monotonic()
    done = command.run(
        "doctor", "--bootstrap", broker.bootstrap, "--command-config", str(config), *more, out=out
    )  # fmt: skip
    return done, time.monotonic() - began


def refused(done: tuple[command.Command, float]) -> str:
    """The one sentence of a command that found that it cannot."""
    ended, took_s = done
    assert ended.process.returncode == 4, ended.stdout + ended.stderr
    assert took_s < WITHIN_S
    said = ended.stderr.strip()
    assert said.startswith("streamgauge: ")
    assert "\n" not in said
    assert "docs/remote.md" in said
    assert not any(password in said for password in PASSWORDS.values())
    return said


def test_what_can_and_cannot_be_measured_is_said(broker: Secured, config: Path, tmp_path: Path) -> None:
    """Without DESCRIBE on the cluster nobody tells bytes on disk; with an exporter's page CPU is told."""
    done, took_s = doctor(broker, config, "--broker-metrics", broker.jmx_url, out=tmp_path / "out")
    assert done.process.returncode == 0, done.stderr
    assert took_s < WITHIN_S
    assert "MISS bytes on disk" in done.stdout
    assert "DESCRIBE on the cluster" in done.stdout
    assert "ok   the brokers' CPU" in done.stdout
    assert "ok   latencies across machines" in done.stdout
    assert topics_with(broker, "sg-preflight") == []


@pytest.mark.parametrize(("mechanism", "user", "password"), [
    ("PLAIN", "plain", "plains-word"), ("SCRAM-SHA-256", ALICE, PASSWORDS[ALICE]),
])  # fmt: skip
def test_every_login_gets_in(broker: Secured, tmp_path: Path, mechanism: str, user: str, password: str) -> None:
    """Written, read and removed: what the preflight does is what a run does."""
    keyring.keep(broker.bootstrap, keyring.read(broker.config(tmp_path / "c", user, password, mechanism=mechanism)))
    admin, _ = connected(broker.bootstrap)
    assert Preflight(admin, broker.bootstrap, "sg-").perform(1, transactions=False) is not None


def test_exactly_once_takes_one_more(broker: Secured, config: Path) -> None:
    keyring.keep(broker.bootstrap, keyring.read(config))
    admin, _ = connected(broker.bootstrap)
    with pytest.raises(BrokerError, match="alice has no ACL for WRITE on transactional ids that begin with 'sg-'"):
        Preflight(admin, broker.bootstrap, "sg-").perform(1, transactions=True)
    assert topics_with(broker, "sg-preflight") == []


def topics_with(broker: Secured, prefix: str) -> list[str]:
    """On the broker, once what is being deleted is gone."""
    end = time.monotonic() + 10
    while (found := [t for t in broker.admin.list_topics(timeout=10).topics if t.startswith(prefix)]) and (
        time.monotonic() < end
    ):
        time.sleep(0.1)
    return found


def test_a_wrong_password(broker: Secured, tmp_path: Path) -> None:
    config = broker.config(tmp_path / "c", ALICE, "wrong")
    said = refused(doctor(broker, config, out=tmp_path / "out"))
    assert f"refuses the login of {ALICE}" in said
    assert "correct sasl.username, its password" in said


def test_an_untrusted_certificate(broker: Secured, tmp_path: Path) -> None:
    config = broker.config(tmp_path / "c", ALICE, PASSWORDS[ALICE], **{"ssl.ca.location": str(broker.stranger)})
    said = refused(doctor(broker, config, out=tmp_path / "out"))
    assert "is not trusted" in said
    assert "ssl.ca.location" in said


def test_plain_text_to_a_port_of_tls(broker: Secured, tmp_path: Path) -> None:
    (tmp_path / "c").write_text("security.protocol=PLAINTEXT\n")
    said = refused(doctor(broker, tmp_path / "c", out=tmp_path / "out"))
    assert "security.protocol" in said


@pytest.mark.parametrize(
    ("missing", "operation"),
    [(AclOperation.CREATE, "CREATE on topics"), (AclOperation.WRITE, "WRITE on topics"),
     (AclOperation.READ, "READ on topics and groups"), (AclOperation.DELETE, "DELETE on topics")],
)  # fmt: skip
def test_a_missing_acl(broker: Secured, tmp_path: Path, missing: AclOperation, operation: str) -> None:
    """Each with a prefix of its own, on which everything but one operation is allowed."""
    prefix = f"no-{missing.name.lower()}-"
    allowed = [one for one in EVERYTHING if one is not missing]
    broker.allow(
        NOBODY, (ResourceType.TOPIC, prefix, ResourcePatternType.PREFIXED, allowed),
        (ResourceType.GROUP, prefix, ResourcePatternType.PREFIXED, (AclOperation.READ,)),
    )  # fmt: skip
    config = broker.config(tmp_path / "c", NOBODY, PASSWORDS[NOBODY])
    said = refused(doctor(broker, config, "--prefix", prefix, out=tmp_path / "out"))
    assert f"{NOBODY} has no ACL for {operation} that begin with '{prefix}'" in said


def test_an_unreachable_flink(broker: Secured, config: Path, tmp_path: Path) -> None:
    said = refused(doctor(broker, config, "--flink-url", "http://127.0.0.1:9", out=tmp_path / "out"))
    assert "no Flink answers at http://127.0.0.1:9/overview" in said
    assert "--flink-url" in said


def test_the_clock_that_is_told_has_the_offset_that_was_injected(broker: Secured, config: Path) -> None:
    """Our own clock is set back by a known amount: the broker's is then ahead by as much."""
    keyring.keep(broker.bootstrap, keyring.read(config))
    admin, _ = connected(broker.bootstrap)
    ahead_ms = 1_234.5
    for injected_ms in (0.0, ahead_ms):
        found = Preflight(admin, broker.bootstrap, "sg-").perform(
            1, transactions=False, clock=lambda by=injected_ms: time.time_ns() - int(by * 1e6)
        )  # fmt: skip
        assert isinstance(found, Offset)
        assert abs(found.ms - injected_ms) <= found.error_ms, "one machine, one clock: else it is ahead by nothing"
        assert found.error_ms < 50


def test_log_directories_are_described_over_tls_by_every_login(broker: Secured, config: Path) -> None:
    """As the brokers tell them: by SCRAM of both kinds, by PLAIN; and a login that may not is told so."""
    host, _, port = broker.bootstrap.partition(":")
    own = keyring.read(config)
    keyring.keep(broker.bootstrap, own)
    topics.create(broker.bootstrap, "sg-described", partitions=3)
    admin = {**own, "sasl.username": secured.ADMIN, "sasl.password": secured.ADMIN_PASSWORD}
    for mechanism in ("SCRAM-SHA-512", "SCRAM-SHA-256"):
        told = logdirs.describing({**admin, "sasl.mechanism": mechanism})(host, int(port))
        assert {p for topic, p in told if topic == "sg-described"} == {0, 1, 2}
    topics.delete(broker.bootstrap, "sg-described")
    plain = {**own, "sasl.mechanism": "PLAIN", "sasl.username": "plain", "sasl.password": "plains-word"}
    with pytest.raises(BrokerError, match="DESCRIBE"):
        logdirs.describing(plain)(host, int(port))
    with pytest.raises(BrokerError, match=r"does not let alice in.*[Aa]uthentication failed"):
        logdirs.describing({**own, "sasl.password": "wrong"})(host, int(port))


def test_only_topics_of_ours_are_leftovers(broker: Secured) -> None:
    """A name that only begins alike is somebody else's."""
    ours = ["sg-0123456789ab-12-00000001-in", "sg-prime0123456789ab-12-00000001-clean", "sg-preflight-1-00000001"]
    theirs = ["sg-orders", "sg-0123456789ab", "other-0123456789ab-12-00000001-in", "xsg-0123456789ab-1-00000001-in"]
    assert leftovers([*ours, *theirs], "sg-") == tuple(sorted(ours))


def test_the_lag_of_others_is_told_as_far_as_it_may_be_seen(broker: Secured, config: Path) -> None:
    """Seven records behind; to a login that may not see their group there is nobody, and no error."""
    broker.admin.create_topics([NewTopic("theirs", 1, 1)])["theirs"].result(10)
    own = keyring.read(config)
    owner = {**own, "bootstrap.servers": broker.bootstrap, "sasl.username": secured.ADMIN,
             "sasl.password": secured.ADMIN_PASSWORD, "log_level": 0}  # fmt: skip
    producer = Producer(owner)
    for _ in range(10):
        producer.produce("theirs", b"x")
    assert producer.flush(10) == 0
    consumer = Consumer({**owner, "group.id": "their-group"})
    consumer.commit(offsets=[TopicPartition("theirs", 0, 3)], asynchronous=False)
    consumer.close()
    assert guard.lags_of_others(broker.admin, "sg-")["their-group"] == 7.0
    assert "their-group" not in guard.lags_of_others(broker.admin, "their-")  # whose prefix it is, sees no other there
    keyring.keep(broker.bootstrap, own)
    alices, _ = connected(broker.bootstrap)
    assert guard.lags_of_others(alices, "sg-") == {}
    broker.admin.delete_topics(["theirs"])["theirs"].result(10)


def small(broker: Secured, config: Path, *more: str) -> tuple[str, ...]:
    """A run without a job, at a rate that nobody minds."""
    return (
        "run", str(command.ROOT / "tests" / "remote" / "small.yaml"), "--backend", "remote", "--bootstrap",
        broker.bootstrap, "--command-config", str(config), *more,
    )  # fmt: skip


def test_a_run_at_a_small_rate_needs_no_word_of_ownership(broker: Secured, config: Path, tmp_path: Path) -> None:
    """Kafka only: produced, counted by an independent reader, topics gone; what cannot be seen there is missing."""
    done = command.run(*small(broker, config, "--json"), out=tmp_path / "results")
    assert done.process.returncode == 0, done.stderr
    (run,) = done.document["runs"]
    command.assert_ran(run)
    assert run["backend"] == "remote"
    assert all(check["ok"] for check in run["checks"])
    assert run["metrics"]["acknowledged_events"]["value"] > 0
    unseen = {"broker_cpu_s_per_million_events", "log_bytes_per_event", "disk_bytes_per_event", "broker_rss_bytes"}
    assert unseen & run["metrics"].keys() == set()
    assert topics_with(broker, "sg-") == []


def test_a_larger_one_does(broker: Secured, config: Path, tmp_path: Path) -> None:
    done = command.run(*small(broker, config, "--set", "load.rate_eps=5000"), out=tmp_path / "results")
    assert done.process.returncode == 2
    assert "5,000 events/s are more than 1,000" in done.stderr
    assert "--i-own-this-cluster" in done.stderr
    assert topics_with(broker, "sg-") == []


def test_what_a_killed_run_leaves_the_next_one_finds_and_removes(broker: Secured, config: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    with command.started(*small(broker, config), out=out) as killed:
        killed.until(lambda: [t for t in broker.admin.list_topics(timeout=5).topics if t.endswith("-in")])
        below = killed.below()
        os.kill(killed.process.pid, 9)
        killed.process.wait()
        command.assert_gone(below, killed)
    left = [t for t in broker.admin.list_topics(timeout=5).topics if t.startswith("sg-")]
    assert left
    broker.admin.create_topics([NewTopic("sg-somebodys", 1, 1)])["sg-somebodys"].result(10)
    said = command.run(*small(broker, config), out=out)
    assert said.process.returncode == 0, said.stderr
    assert left[0] in said.stderr
    assert "--remove-leftovers removes them" in said.stderr
    assert set(left) <= set(broker.admin.list_topics(timeout=5).topics), "offered, not done"
    done = command.run(*small(broker, config, "--fresh", "--remove-leftovers"), out=out)
    assert f"removed {len(left)} topics" in done.stderr
    assert topics_with(broker, left[0]) == []
    assert "sg-somebodys" in broker.admin.list_topics(timeout=5).topics
    broker.admin.delete_topics(["sg-somebodys"])["sg-somebodys"].result(10)
