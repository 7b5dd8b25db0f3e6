# noqa: INP001  # scripts, not a package
"""Share groups (KIP-932) against consumer groups: throughput beyond P members, and the order that is lost for it.

    python benchmarks/share_groups.py [--partitions 2] [--members 1 2 4 6] [--seconds 40] [--out FILE]

Both are Kafka's own tools: VerifiableConsumer (group protocol CONSUMER) and VerifiableShareConsumer, which tell each
record with partition, offset and time. Every member is a slow one: the quota of the broker gives each client id so many
bytes a second, as work on each record would, and leaves the cores idle. So a member more is worth a member's rate, if
it gets anything to read at all.

Printed for each kind of group and number of members: records/s, members that read anything, and how many records were
read after a later one of the same partition, or of the same key, had been read (by anybody, at least a millisecond
before).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import topics  # noqa: E402
from bench.backends import ClusterSpec  # noqa: E402
from bench.backends.local import LocalCluster, open_local  # noqa: E402
from bench.loadgen import prefill  # noqa: E402
from bench.toolchain import provision  # noqa: E402

QUOTA_BYTES_S = 100_000  # a member's: some hundred records, told as JSON, are no work for it
FETCH_BYTES = 20_000  # a fifth of that: the quota then lets a fetch through several times a second, not in bursts
EVENTS = 120_000  # more than anybody reads here
START_S = 60.0  # for the slowest of so many Java processes
SETTINGS = {
    # small batches: a fetch cannot be smaller than one, whatever it asks for
    "producer": {"routing": "keyed", "compression": "none", "linger_ms": 1, "client": {"batch.num.messages": 20}},
    "workload": {"name": "clicks", "event_bytes": 200, "keys": {"distinct": 100, "zipf": 0.0}},
    "load": {},
}
KINDS, TOPIC = ("consumer", "share"), "shared"


@dataclass(frozen=True)
class Result:
    """One group: `behind_partition` and `behind_key` are shares of the records read."""

    kind: str
    partitions: int
    members: int
    records_s: float
    reading: int  # members that read anything
    behind_partition: float
    behind_key: float


def tool(cluster: LocalCluster, name: str, *arguments: str, log: Path | None = None) -> subprocess.Popen[bytes]:
    """One of Kafka's tools, its output into `log`."""
    tools = provision()
    argv = [
        str(tools.java), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp",
        ":".join(map(str, tools.kafka_tools)), name, "--bootstrap-server", cluster.bootstrap, *arguments,
    ]  # fmt: skip
    with (log or Path("/dev/null")).open("wb") as out:
        return subprocess.Popen(argv, stdout=out, stderr=subprocess.DEVNULL)


def limit_members(cluster: LocalCluster) -> None:
    """Each client id that has no quota of its own gets this one."""
    words = ("--alter", "--entity-type", "clients", "--entity-default", "--add-config")
    done = tool(cluster, "kafka.admin.ConfigCommand", *words, f"consumer_byte_rate={QUOTA_BYTES_S}").wait(60)
    if done:
        raise SystemExit(f"the quota was refused (exit {done})")


def run_group(cluster: LocalCluster, kind: str, members: int, *, seconds: float, folder: Path) -> Result:
    """Start so many members, give all of them time to join, and look at `seconds` of what they read."""
    group, started = f"{kind}-{members}", []
    logs = [folder / f"{group}-{k}.jsonl" for k in range(members)]
    try:
        for k, log in enumerate(logs):
            config = log.with_suffix(".properties")
            config.write_text(
                f"client.id={group}-{k}\nfetch.max.bytes={FETCH_BYTES}\nmax.partition.fetch.bytes={FETCH_BYTES}\n"
                "max.poll.records=50\n"
            )
            words = ["--topic", TOPIC, "--group-id", group, "--verbose", "--command-config", str(config)]
            if kind == "share":
                words += ["--offset-reset-strategy", "earliest"]
                started.append(tool(cluster, "org.apache.kafka.tools.VerifiableShareConsumer", *words, log=log))
            else:
                words += ["--group-protocol", "CONSUMER"]
                started.append(tool(cluster, "org.apache.kafka.tools.VerifiableConsumer", *words, log=log))
        await_started(logs)
        time.sleep(8.0)  # members join, and the quota's window of 11 s forgets their first fetch for the larger part
        from_ms = time.time() * 1000
        time.sleep(seconds)
        to_ms = time.time() * 1000
    finally:
        for process in started:
            process.kill()
            process.wait()
    table = records(logs)
    inside = table[(table.at_ms >= from_ms) & (table.at_ms < to_ms)]
    return Result(
        kind, cluster_partitions(table), members, len(inside) / seconds, int(inside.member.nunique()),
        behind(inside, "partition"), behind(inside, "key"),
    )  # fmt: skip


def await_started(logs: list[Path]) -> None:
    """Until every member has said that it runs."""
    end = time.monotonic() + START_S
    while not all(log.exists() and b"startup_complete" in log.read_bytes() for log in logs):
        if time.monotonic() > end:
            raise SystemExit("not every member started; see their output in --keep")
        time.sleep(0.2)


def cluster_partitions(table: pd.DataFrame) -> int:
    """Partitions from which anything was read."""
    return int(table.partition.nunique())


def records(logs: list[Path]) -> pd.DataFrame:
    """DataFrame(at_ms, partition, offset, key, member) of every record that a member told, in no order."""
    rows: list[Any] = []
    for member, log in enumerate(logs):
        for line in log.read_bytes().split(b"\n")[:-1]:
            if b'"record_data"' in line:
                one = json.loads(line)
                rows.append((one["timestamp"], one["partition"], one["offset"], one["key"], member))
    return pd.DataFrame(rows, columns=["at_ms", "partition", "offset", "key", "member"])


def behind(table: pd.DataFrame, what: str) -> float:
    """Share of records read after a later one of the same `what`; within a millisecond nobody knows who was first."""
    late = 0
    for _, mine in table.groupby(["partition", what] if what != "partition" else ["partition"]):
        newest = mine.groupby("at_ms").offset.max().sort_index().cummax()
        before = newest.shift(fill_value=-1)
        late += int((mine.offset.to_numpy() < before.loc[mine.at_ms].to_numpy()).sum())
    return late / len(table) if len(table) else float("nan")


def told(results: list[Result]) -> list[str]:
    """A line for each group."""
    head = f"{'group':9} {'P':>3} {'members':>7} {'reading':>7} {'records/s':>10} {'behind: partition':>18} {'key':>7}"
    return [
        head,
        *(
            f"{one.kind:9} {one.partitions:>3} {one.members:>7} {one.reading:>7} {one.records_s:>10,.0f} "
            f"{one.behind_partition:>18.1%} {one.behind_key:>7.1%}"
            for one in results
        ),
    ]


def main() -> None:
    """Each number of members, both kinds in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=2)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 4, 6])
    # in 12 s a share group of four was once seen reading nothing, in 40 s all of them read
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--out", type=Path, help="results as JSON")
    parser.add_argument("--keep", type=Path, help="keep what members told in this folder")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        spec = ClusterSpec(broker_heap_mb=512)
        with open_local(spec, run_dir=Path(scratch) / "cluster", log_dir=folder / "logs") as cluster:
            topics.create(cluster.bootstrap, TOPIC, partitions=options.partitions)
            prefill(
                SETTINGS, EVENTS, bootstrap=cluster.bootstrap, topic=TOPIC, partitions=options.partitions,
                run_dir=Path(scratch), seed=7, t0_ns=1_790_000_000_000_000_000,
            )  # fmt: skip
            limit_members(cluster)
            for members in options.members:
                for kind in KINDS:
                    results.append(run_group(cluster, kind, members, seconds=options.seconds, folder=folder))
                    print(told(results[-1:])[-1], file=sys.stderr)
    print("\n".join(told(results)))
    if options.out:
        options.out.write_text(json.dumps([asdict(one) for one in results], indent=1) + "\n")


if __name__ == "__main__":
    main()
