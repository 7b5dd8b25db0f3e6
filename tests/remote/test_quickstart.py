"""The quickstart as it is, on a broker with TLS, SCRAM and ACLs and on a Flink that is only known by its address.

And the password that it was given: in no file, no argument, no answer, and in the environment of none but who sends.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import command
import psutil
import pytest
import secured
from confluent_kafka.admin import AclOperation, ResourcePatternType, ResourceType
from secured import Secured
from sessions import session_cluster

pytestmark = [pytest.mark.platform, pytest.mark.timeout(900)]

USER, CORE = "bench", "Nightingale-7fQ2"  # the second: of the password, what no quoting changes
PASSWORD = f"'{CORE}\""
LOOK_S = 0.3
CLIENTS = ("bench.loadgen.worker ", "bench.loadgen.reader ")  # who opens connections of its own
ITSELF = "-m bench.cli run "  # what a child of the command is until it becomes another program: the command, in memory


@dataclass
class Watch:
    """What was ever seen of processes while a command ran."""

    arguments: set[str] = field(default_factory=set)  # of whose arguments the password is a part
    environments: set[str] = field(default_factory=set)  # of whose environment
    processes: int = 0

    def look(self, below: list[psutil.Process]) -> None:
        self.processes = max(self.processes, len(below))
        for process in below:
            folder = Path("/proc") / str(process.pid)
            try:
                argv = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it has ended
            if CORE in argv:
                self.arguments.add(argv)
            if CORE in environment:
                self.environments.add(argv)


@dataclass
class Done:
    """The run, and where it ran."""

    command: command.Command
    watch: Watch
    broker: Secured
    flink_folder: Path
    topics_left: list[str]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("quickstart")
    try:
        with (
            secured.secured(folder / "broker", {USER: PASSWORD}, heap_mb=1024) as broker,
            session_cluster(folder / "flink") as flink,
            pytest.MonkeyPatch.context() as patch,
        ):
            prefixed, exact = ResourcePatternType.PREFIXED, ResourcePatternType.LITERAL
            may = AclOperation
            topics = (may.CREATE, may.DELETE, may.READ, may.WRITE, may.DESCRIBE)
            broker.allow(
                USER, (ResourceType.TOPIC, "sg-", prefixed, topics),
                (ResourceType.GROUP, "sg-", prefixed, (may.READ,)),
                (ResourceType.BROKER, "kafka-cluster", exact, (may.DESCRIBE,)),
            )  # fmt: skip
            config = broker.config(folder / "client.properties", USER)
            patch.setenv("STREAMGAUGE_KAFKA_PASSWORD", PASSWORD)
            watch, out = Watch(), folder / "results"
            with command.started(
                "run", "quickstart", "--quick", "--backend", "remote", "--bootstrap", broker.bootstrap,
                "--flink-url", flink.plan.url, "--command-config", str(config), "--broker-metrics", broker.jmx_url,
                "--i-own-this-cluster", "--json", out=out,
            ) as ran:  # fmt: skip
                while ran.process.poll() is None:
                    watch.look(psutil.Process(ran.process.pid).children(recursive=True))
                    time.sleep(LOOK_S)
            left = [topic for topic in broker.admin.list_topics(timeout=10).topics if topic.startswith("sg-")]
            yield Done(ran, watch, broker, folder / "flink", left)
    except secured.MissingToolError as error:
        pytest.skip(str(error))


def test_every_trial_is_finished_and_right(done: Done) -> None:
    """As on a cluster of our own: the oracle agrees, nothing is lost, and no topic is left."""
    assert done.command.process.returncode == 0, done.command.stderr
    runs = done.command.document["runs"]
    assert len(runs) == 3
    for run in runs:
        command.assert_ran(run)
        assert run["backend"] == "remote"
        names = {check["name"] for check in run["checks"]}
        assert {"acknowledged events are in the topic", "clean: events lost", "revenue: windows that agree"} <= names
        assert all(check["ok"] for check in run["checks"]), run["checks"]
        assert run["metrics"]["lost_events"]["value"] == 0
    assert done.topics_left == []


def test_what_can_be_seen_is_measured_and_what_cannot_is_missing(done: Done) -> None:
    """A zero would be a price of nothing."""
    for run in (run for run in done.command.document["runs"] if run["load"] == "steady"):
        metrics = {name: one["value"] for name, one in run["metrics"].items()}
        assert metrics["broker_cpu_s_per_million_events"] > 0, "by the exporter's page"
        assert metrics["flink_cpu_s_per_million_events"] > 0, "by Flink's REST interface"
        assert 40 < metrics["log_bytes_per_event"] < 800, "by DescribeLogDirs over TLS and SCRAM"
        assert {"disk_bytes_per_event", "flink_rss_bytes", "topic_index_bytes"} & metrics.keys() == set()
        assert metrics["clock_error_ms"] < 50
        assert abs(metrics["clock_offset_ms"]) <= metrics["clock_error_ms"], "broker and generator share a clock here"


def test_it_has_a_bill(done: Done) -> None:
    """One for each cell that is evidence; on a busy machine a late generator is none, and prices nothing."""
    runs = [run for run in done.command.document["runs"] if run["load"] == "steady"]
    finished = [run for run in runs if run["outcome"] == "finished"]
    if not finished:
        pytest.skip(f"nothing to price: {runs[0]['reason']}")
    bills = done.command.document["bills"]
    assert len(bills) == len(finished)
    for bill in bills.values():
        assert any(option["feasible"] and option["usd_month"]["p50"] > 0 for option in bill["options"])


def test_the_password_is_nowhere(done: Done) -> None:
    """Neither in what was written, nor said, nor to be seen in a process list."""
    ran = done.command
    assert CORE not in ran.stdout + ran.stderr
    roots = (ran.out, ran.folder, done.flink_folder)
    files = [path for root in roots for path in root.rglob("*") if path.is_file()]
    files += [path for path in Path(tempfile.gettempdir()).glob("flink*") if path.is_file()]  # of Flink's client
    assert len(files) > 20
    assert [str(path) for path in files if CORE.encode() in path.read_bytes()] == []
    assert done.watch.processes > 2
    assert done.watch.arguments == set()
    entrusted = (*CLIENTS, ITSELF)
    assert [argv for argv in done.watch.environments if not any(one in argv for one in entrusted)] == []
    assert any(one in argv for argv in done.watch.environments for one in CLIENTS), "else nothing was seen"
