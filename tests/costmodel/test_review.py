"""Topics that exist: verdicts on a broker whose limits are known, files with mistakes, clusters that hide something."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import keyring
from bench.errors import BrokerError, ScenarioError
from costmodel import access
from costmodel.inventory import Topic, read
from costmodel.ladder import Ladder
from costmodel.prices import built_in
from costmodel.review import Judged, Kind, Rules, review
from costmodel.reviewed import far_fills, headline, to_json
from costmodel.topicbills import less, prices_of
from costmodel.watch import Watched, watch
from tests.simulated.ladder import Broker, doubling, recorded

RULES = Rules(peak=1.0)


@functools.cache
def known() -> Ladder:
    """5 MB/s a partition shown, 10 ruled out."""
    return recorded(Broker(partition_mb_s=5.05), doubling(512), (40.0,))


def test_growth_far_beyond_the_runs_leaves_what_they_say_of_today() -> None:
    """A topic that is too narrow today is so, whatever nobody measured of the day after growth."""
    found = judged(topic(4, 300.0))
    assert (found.kind, found.later) == (Kind.UNDER, None)
    assert found.advised == 60


def topic(partitions: int, mb_s: float | None = 20.0, **more: Any) -> Topic:
    events = None if mb_s is None else mb_s * 5000
    return replace(Topic("orders", partitions, mb_s, events, 200.0), **more)


def judged(one: Topic, rules: Rules = RULES) -> Judged:
    return review([one], known(), rules)[0]


@pytest.mark.parametrize(
    ("one", "kind", "advised", "said"),
    [
        (topic(1), Kind.UNDER, 4, "20 MB/s on the busiest partition at peak; runs rule out 10 MB/s"),
        (topic(3), Kind.NOT_SHOWN, 3, "6.67 MB/s on the busiest partition at peak; runs show 5"),
        (topic(4), Kind.WELL, 4, "5 MB/s on the busiest partition at peak, of 5 that runs show"),
        (topic(16), Kind.WELL, 16, ""),  # 8 after growth, and twice that is not too much
        (topic(17), Kind.OVER, 8, "8 would do after growing 2 x"),
        (topic(17, growth=4.0), Kind.WELL, 17, ""),
        (topic(6, 0.001), Kind.WELL, 6, ""),  # a start of 6 is never too much
        (topic(7, 0.001), Kind.OVER, 1, ""),
        (topic(8, consumers=12), Kind.UNDER, 12, "4 of 12 consumers have no partition"),
        (topic(96, consumers=40), Kind.OVER, 40, ""),
        (topic(8, top_key=0.6), Kind.UNDER, 8, "the busiest key alone brings 12"),
        (topic(8, top_key=0.6, keyed=False), Kind.WELL, 8, ""),  # no key decides where its records go
        (topic(4, consumer_mb_s=1.0), Kind.UNDER, 20, "one of its consumers reads 1 MB/s"),
        (topic(4, growing_lag_eps=6000.0, consumers=4), Kind.UNDER, 5, "no partition is left for another consumer"),
        (topic(4, growing_lag_eps=60_000.0, consumers=4), Kind.UNDER, 10, "no partition is left for another consumer"),
        (topic(4, growing_lag_eps=100_000.0, consumers=4), Kind.WELL, 4, "100,000 events/s, for it reads nothing"),
        (topic(4, 4.0, growing_lag_eps=2000.0, consumers=4, top_key=0.5), Kind.UNDER, 8,
         "no partition is left for another consumer"),
        (topic(4, growing_lag_eps=6000.0, consumers=2), Kind.WELL, 4, "2 more consumers would each have a partition"),
        (topic(4, growing_lag_eps=4000.0, consumers=4), Kind.WELL, 4, ""),
        (topic(4, 5000.0), Kind.NOT_SHOWN, 4, "125 times the 40 MB/s that met the limit"),
        (topic(4, 5000.0, consumers=9), Kind.UNDER, 9, "5 of 9 consumers have no partition"),
        (topic(48, 0.0), Kind.OVER, 1, "nothing was written to it"),
        (topic(2, 0.0, consumers=3), Kind.UNDER, 3, "1 of 3 consumers have no partition; nothing was written to it"),
        (topic(4, None), Kind.NOT_SHOWN, 4, "its rate is not known"),
        (topic(1, None, rate_eps=100_000.0), Kind.UNDER, 4, "by events/s, its records taken to be as the runs' 200"),
    ],
)  # fmt: skip
def test_a_topic_is_judged_by_what_partitions_carry(one: Topic, kind: Kind, advised: int, said: str) -> None:
    """A wrong verdict sends somebody to move keys, or to pay on, for nothing."""
    found = judged(one)
    assert (found.kind, found.advised) == (kind, advised), found.why
    assert said in found.why


ORDER = [Kind.UNDER, Kind.NOT_SHOWN, Kind.WELL, Kind.OVER]


@settings(max_examples=60, deadline=None)
@given(
    mb_s=st.floats(0.01, 390), consumers=st.integers(0, 40), top_key=st.floats(0, 0.3), growth=st.floats(1, 4),
    record=st.floats(25, 1900),
)  # fmt: skip
def test_more_partitions_never_turn_a_topic_from_well_to_under(
    mb_s: float, consumers: int, top_key: float, growth: float, record: float
) -> None:
    """Who adds partitions on this advice must not be told afterwards that there are too few."""
    rows = [
        judged(Topic("t", count, mb_s, mb_s * 1e6 / record, record, consumers, top_key=top_key, growth=growth))
        for count in (1, 2, 3, 6, 7, 12, 24, 50, 100, 384, 2000)
    ]
    places = [ORDER.index(row.kind) for row in rows]
    assert places == sorted(places), [(row.topic.partitions, row.kind, row.why) for row in rows]
    for row in rows:
        again = judged(replace(row.topic, partitions=row.advised))
        unknown = Kind.NOT_SHOWN if row.beyond is None else Kind.WELL  # past the runs only its consumers speak
        assert again.kind in (row.kind, Kind.WELL, unknown)  # as advised it is well, or as little known as before


def test_over_partitioning_is_priced_by_bytes_and_by_partitions() -> None:
    """384 partitions where 8 would do: a platform that bills them charges the hours, all of them the worse batches."""
    many, fine = topic(384), replace(topic(4, 10.0), name="fine")
    found = review([many, fine], known(), RULES)
    costs = prices_of(found, known(), ["msk-serverless", "self-ec2"], built_in(), RULES)
    assert set(costs.by_topic) == {"orders"}
    wasted = costs.by_topic["orders"]
    assert wasted["msk-serverless"] is not None
    assert wasted["self-ec2"] is not None
    assert wasted["msk-serverless"] > (384 - 8) * 730 * 0.0015
    assert wasted["self-ec2"] > 0
    assert less(costs, "self-ec2") == pytest.approx(wasted["self-ec2"])
    assert "msk-serverless" in headline(found, costs)
    without_keys = review([replace(many, keyed=False)], known(), RULES)
    same = prices_of(without_keys, known(), ["self-ec2"], built_in(), RULES).by_topic["orders"]
    assert same["self-ec2"] == pytest.approx(0)


def test_what_is_kept_long_in_many_copies_is_not_averaged_away() -> None:
    """Half of the bytes for 30 days in three copies, half for a day in one: 45.5 copy-days a byte, not 15.5 x 2."""
    long = topic(4, retention_days=30.0, replication_factor=3, groups=1, peak=1.0)
    short = replace(topic(4, retention_days=1.0, replication_factor=1, groups=1, peak=1.0), name="short")
    disk = 20 * 2 * 86_400 / 1000 * float(known().at("disk", 5.0).number.value)  # type: ignore[union-attr] -- GB a day

    def stored_gb(topics: list[Topic], platform: str) -> float:
        option = prices_of(review(topics, known(), RULES), known(), [platform], built_in(), RULES).now[platform]
        assert option.bill is not None
        kinds = ("storage",)
        return float(sum(line.quantity for line in option.bill.lines if line.kind in kinds))

    assert stored_gb([long, short], "self-ec2") == pytest.approx(disk / 2 * (30 * 3 + 1) / 0.6, rel=1e-3)
    assert stored_gb([long, short], "msk-serverless") == pytest.approx(disk / 2 * (30 + 1), rel=1e-3)


def test_bytes_far_outside_the_runs_are_told() -> None:
    """A saving that rests on bytes of batches that no run had reads like one that was measured."""
    quiet, fine = topic(384, 0.02), replace(topic(4, 10.0), name="fine")  # 0.00005 MB/s in a batch, 0.08 the least
    costs = prices_of(review([quiet, fine], known(), RULES), known(), ["self-ec2"], built_in(), RULES)
    assert costs.beyond == {"orders": pytest.approx(40 / 512 / (0.02 / 384), rel=1e-3), "fine": 1.0}
    assert far_fills(costs).endswith("2 times in orders 1,500 x")
    assert far_fills(replace(costs, beyond={"fine": 1.0})) == ""
    many = replace(costs, beyond=dict.fromkeys("abcd", 3.0))
    assert far_fills(many).endswith("d 3 x, c 3 x, b 3 x and 1 more")


def test_the_peak_that_was_asked_for_is_the_peak_that_is_priced() -> None:
    """A number that a reader gave and that only half of the answer uses makes the other half wrong."""
    usd = []
    for peak in (1.5, 4.0):
        rules = Rules(peak=peak)
        costs = prices_of(review([topic(64, 200.0)], known(), rules), known(), ["self-ec2"], built_in(), rules)
        usd.append(costs.now["self-ec2"].usd_month or 0)
    assert usd[1] > usd[0]


def test_what_has_no_bytes_has_no_price() -> None:
    """Zero dollars for a topic that could not be seen would read as free."""
    found = review([topic(384, None, rate_eps=1000.0)], known(), RULES)
    costs = prices_of(found, known(), ["self-ec2"], built_in(), RULES)
    assert costs.unpriced == ("orders",)
    assert not costs.now
    document = to_json(found, costs, known(), RULES, ())
    assert document["usd_month"] == {}
    assert document["unpriced"] == ["orders"]


# ---- files


def test_both_kinds_of_file_say_the_same(tmp_path: Path) -> None:
    table, tree = tmp_path / "topics.csv", tmp_path / "topics.yaml"
    table.write_text("topic,partitions,mb_s,record_bytes,consumers,keyed\norders,24,12,400,12,true\nlogs,6,3,,,false\n")
    tree.write_text(
        "schema: 1\ntopics:\n- {topic: orders, partitions: 24, mb_s: 12, record_bytes: 400, consumers: 12}\n"
        "- {topic: logs, partitions: 6, mb_s: 3, keyed: false}\n"
    )
    assert read(table) == read(tree)
    assert read(table)[0].rate_eps == pytest.approx(30_000)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "topic,partition,mb_s\na,1,2\n", r"t\.csv:1: partition: unknown column; did you mean partitions\?"),
        ("t.csv", "topic,partitions,mb_s\na,1,2\nb,many,2\n", r"t\.csv:3: partitions: .*integer.*got 'many'"),
        ("t.csv", "topic,partitions,mb_s\na,0,2\n", r"t\.csv:2: partitions: .*greater than or equal to 1"),
        ("t.csv", "topic,partitions,mb_s\na,1\n", r"t\.csv:2: expected 3 columns"),
        ("t.csv", "topic,partitions,mb_s\na,,2\n", r"t\.csv:2: partitions: missing; expected how many partitions"),
        ("t.csv", "topic,partitions,mb_s\na,1,nan\n", r"t\.csv:2: mb_s: .*finite"),
        ("t.csv", "topic,partitions,mb_s\na,1,2\na,1,2\n", r"the topic 'a' stands twice"),
        ("t.csv", "", r"t\.csv:1: expected a header"),
        ("t.yaml", "schema: 1\ntopics:\n- {topic: a, partitons: 3, mb_s: 1}\n", r"t\.yaml:3: .*mean partitions\?"),
        ("t.yaml", "schema: 1\ntopics: []\n", r"t\.yaml:2: topics"),
        ("t.txt", "a", r"ends in \.yaml or \.csv"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_its_line_and_the_nearest_word(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match=said):
        read(file)


# ---- a live cluster


def done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def refused() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(PermissionError("authorization failed"))
    return future


class Cluster:
    """Two brokers; `orders` with four partitions gets 1,000 records/s of 200 B at RF 2, half of them on partition 0.

    `billing` reads `reads` records/s of it with two members and commits every `commits_s`; a third member has no
    partition. `hides`: what may not be described.
    """

    def __init__(self, *hides: str, reads: float = 900.0, commits_s: float = 5.0) -> None:
        self.hides, self.now, self.reads, self.commits_s = hides, 0.0, reads, commits_s
        self.kept_ms = 3 * 86_400_000
        self.shares = (0.5, 0.5 / 3, 0.5 / 3, 0.5 / 3)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def list_topics(self, timeout: float) -> Any:
        assert timeout
        partitions = {p: SimpleNamespace(replicas=[0, 1]) for p in range(4)}
        topics = {name: SimpleNamespace(partitions=partitions) for name in ("orders", "quiet")}
        topics["__consumer_offsets"] = SimpleNamespace(partitions={0: SimpleNamespace(replicas=[0])})
        brokers = {i: SimpleNamespace(host=f"b{i}", port=9092) for i in range(2)}
        return SimpleNamespace(topics=topics, brokers=brokers)

    def offset(self, name: str, partition: int, rate: float = 1000.0) -> int:
        return round(rate * (1000 + self.now) * self.shares[partition]) if name == "orders" else 0

    def list_offsets(self, wanted: Mapping[Any, Any]) -> Mapping[Any, Future[Any]]:
        return {one: done(SimpleNamespace(offset=self.offset(one.topic, one.partition))) for one in wanted}

    def describe_configs(self, asked: list[Any]) -> Mapping[Any, Future[Any]]:
        answer = {"retention.ms": SimpleNamespace(value=str(self.kept_ms))}
        return {one: refused() if "settings" in self.hides else done(answer) for one in asked}

    def list_consumer_groups(self, states: Any) -> Future[Any]:
        assert states
        seen = [] if "groups, without a word" in self.hides else [SimpleNamespace(group_id="billing")]
        return refused() if "groups" in self.hides else done(SimpleNamespace(valid=seen))

    def list_consumer_group_offsets(self, asked: list[Any]) -> Mapping[str, Future[Any]]:
        read_s = 1000 + self.now - (1000 + self.now) % self.commits_s
        behind = {p: round(self.reads * read_s * self.shares[p]) for p in range(4)}
        found = [SimpleNamespace(topic="orders", partition=p, offset=offset) for p, offset in behind.items()]
        return {asked[0].group_id: done(SimpleNamespace(topic_partitions=found))}

    def describe_consumer_groups(self, groups: list[str]) -> Mapping[str, Future[Any]]:
        held = [SimpleNamespace(topic_partitions=[SimpleNamespace(topic="orders", partition=p)] * bool(p < 2))
                for p in range(3)]  # fmt: skip
        members = [SimpleNamespace(assignment=one) for one in held]
        return {group: done(SimpleNamespace(members=members)) for group in groups}

    def log_dirs(self, host: str, port: int) -> dict[tuple[str, int], int]:
        assert port
        if "log directories" in self.hides or (host == "b1" and "one broker" in self.hides):
            raise BrokerError(f"{host}: log directories: Kafka error 31")
        if "log directories, without a word" in self.hides:
            return {}
        return {("orders", p): self.offset("orders", p) * 200 for p in range(4)}

    def seen(self, **how: Any) -> Watched:
        return watch("fake:1", window_s=60, admin=self, log_dirs=self.log_dirs, sleep=self.sleep,
                     clock=lambda: self.now, **how)  # fmt: skip


def test_a_live_topic_is_seen_as_it_is() -> None:
    """Rates, copies counted once, the busiest key, who reads it and whether they keep up: all that a verdict needs."""
    found = Cluster().seen()
    orders, quiet = found.topics
    assert not found.unseen
    assert (orders.name, orders.partitions, orders.replication_factor, orders.retention_days) == ("orders", 4, 2, 3)
    assert orders.rate_eps == pytest.approx(1000, rel=1e-3)
    assert orders.record_bytes == pytest.approx(200, rel=1e-3)
    assert orders.mb_s == pytest.approx(0.2, rel=1e-3)
    assert orders.top_key == pytest.approx(1 / 3, rel=1e-2)  # 1/3 + 2/3 / 4 = 1/2
    assert (orders.consumers, orders.groups) == (3, 1)
    assert orders.growing_lag_eps == pytest.approx(100, rel=0.1)
    assert (quiet.mb_s, quiet.rate_eps) == (0.0, 0.0)


def test_a_topic_that_was_made_anew_meanwhile_has_no_rate() -> None:
    """Its offsets fell: a rate below zero would be judged, and take dollars off the bill of all others."""
    cluster = Cluster()
    since, cluster.now = cluster.offset, 10.0
    cluster.offset = lambda name, p, rate=1000.0: since(name, p) if cluster.now < 40 else 7  # type: ignore[method-assign]
    orders = cluster.seen().topics[0]
    assert (orders.mb_s, orders.rate_eps) == (None, None)
    one = next(j for j in review([orders], known(), RULES))
    assert (one.kind, one.why) == (Kind.NOT_SHOWN, "its rate is not known; it was made anew while it was watched")
    assert prices_of([one], known(), ["self-ec2"], built_in(), RULES).unpriced == ("orders",)


def test_a_topic_that_is_kept_for_ever_is_as_old_as_it_is() -> None:
    """Not a week old, which is what a study assumes of topics that do not say."""
    cluster = Cluster()
    cluster.kept_ms = -1
    orders, quiet = cluster.seen().topics
    assert orders.retention_days == pytest.approx(1060 / 86_400, rel=1e-2)
    assert "kept for ever, counted by its age so far" in orders.notes[0]
    assert (quiet.retention_days, quiet.notes) == (None, ())


@pytest.mark.parametrize("commits_s", [0.5, 5.0, 7.0, 11.0, 25.0])
def test_a_group_that_keeps_up_is_not_told_to_fall_behind_between_its_commits(commits_s: float) -> None:
    """Lag by committed offsets is a saw; an alarm at every tooth would send people to move keys."""
    growing = Cluster(reads=1000.0, commits_s=commits_s).seen().topics[0].growing_lag_eps
    assert growing is not None
    assert abs(growing) < 0.05 * 1000
    slow = Cluster(reads=850.0, commits_s=commits_s).seen().topics[0].growing_lag_eps
    assert slow is not None
    assert slow > 0.05 * 1000


def test_a_group_that_commits_too_seldom_to_be_judged_is_not() -> None:
    assert Cluster(reads=1000.0, commits_s=300.0).seen().topics[0].growing_lag_eps is None


def test_raw_bytes_are_what_is_stored_times_what_the_user_says() -> None:
    orders = Cluster().seen(compression_ratio=3.0).topics[0]
    assert orders.record_bytes == pytest.approx(600, rel=1e-3)
    assert orders.wire_mb_s == pytest.approx(0.2, rel=1e-3)


@pytest.mark.parametrize("hidden", ["log directories", "one broker"])
def test_without_log_directories_events_still_speak_and_bytes_do_not(hidden: str) -> None:
    """A sum over the brokers that answered would make every record look smaller than it is."""
    found = Cluster(hidden).seen()
    assert found.topics[0].mb_s is None
    assert found.topics[0].rate_eps == pytest.approx(1000, rel=1e-3)
    assert "log directories cannot be described here" in found.unseen[0]
    one = review(found.topics, known(), RULES)
    assert next(j for j in one if j.topic.name == "orders").kind is Kind.WELL
    assert prices_of(one, known(), ["self-ec2"], built_in(), RULES).unpriced == ("orders",)
    stated = Cluster(hidden).seen(record_bytes=500.0).topics[0]
    assert stated.mb_s == pytest.approx(0.5, rel=1e-3)
    assert "assumed (--record-bytes)" in stated.notes[0]


def test_what_a_broker_leaves_out_without_a_word_is_said_all_the_same() -> None:
    """Without DESCRIBE, Kafka lists no groups and no directories and reports no error: that is not nobody."""
    found = Cluster("log directories, without a word", "groups, without a word").seen()
    assert found.topics[0].mb_s is None
    assert found.topics[0].consumers is None
    assert [text.split(":")[0] for text in found.unseen] == ["log directories", "consumer groups"]


def test_without_permission_for_settings_and_groups_the_rest_is_told() -> None:
    found = Cluster("settings", "groups").seen()
    assert found.topics[0].retention_days is None
    assert found.topics[0].consumers is None
    assert [text.split(" cannot")[0] for text in found.unseen] == ["consumer groups", "topic settings"]
    assert all("authorization failed" in text for text in found.unseen)
    assert review(found.topics, known(), RULES)[0].topic.mb_s is not None


# ---- how it is reached


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("security.protocol\n", r"c\.properties:1: expected KEY=VALUE"),
        ("# ours\n\nsasl.jaas.config=org.Plain s3cret;\n", r"c\.properties:3: .* librdkafka's sasl\.username and"),
    ],
)
def test_client_settings_are_checked_and_never_shown(tmp_path: Path, text: str, said: str) -> None:
    """A Java client's file is what most people have at hand; its password must not end up in a build's log."""
    file = tmp_path / "c.properties"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match=said) as raised:
        keyring.read(file)
    assert "s3cret" not in str(raised.value)


def test_a_setting_that_does_not_exist_is_the_users_mistake(tmp_path: Path) -> None:
    file = tmp_path / "c.properties"
    file.write_text("securty.protocol = SASL_SSL\n", encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"securty\.protocol"):
        access.client("localhost:1", keyring.read(file))


def test_by_a_login_that_is_not_known_log_directories_are_not_asked_for_and_that_is_said() -> None:
    """Plain bytes sent to a SASL port would hang, or tell nothing."""
    cluster = Cluster()
    found = watch("fake:1", window_s=60, admin=cluster, sleep=cluster.sleep, clock=lambda: cluster.now,
                  config={"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"})  # fmt: skip
    assert found.topics[0].mb_s is None
    assert "not by GSSAPI" in found.unseen[0]
