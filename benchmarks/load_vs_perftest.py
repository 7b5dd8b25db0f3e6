# noqa: INP001  # scripts, not a package
"""Our generator against Kafka's own: paired rounds on one local broker, the same events, the same producer settings.

    python benchmarks/load_vs_perftest.py [--rounds 5] [--seconds 8] [--event-bytes 100] [--format csv] [--out FILE]

Each round runs every contender once, in turn, in an order that is reversed from round to round, each on a fresh topic:

    perf-test       kafka-producer-perf-test with --payload-file of our events, null keys (its own way)
    sticky, keyed   bench.loadgen, engine native: null keys; keys with the partition of Java's murmur2
    produce_batch   confluent-kafka's batch call      } sticky, the same events, to show what the engine is worth
    produce         confluent-kafka's single call     }

Printed: events/s and client CPU of each, ratios to perf-test of the same round with their spread, and the compressed
bytes of an event, which must lie within 5 % of each other among those with null keys, or the comparison says so.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # not re-exported

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.backends import ClusterSpec  # noqa: E402
from bench.backends.local import open_local  # noqa: E402
from bench.loadgen import Schedule, drive  # noqa: E402
from bench.toolchain import provision  # noqa: E402
from bench.workloads import Knobs, open_workload  # noqa: E402

LINGER_MS, BATCH_BYTES, COMPRESSION = 20, 900_000, "lz4"
PAYLOADS = 1_500  # lines of the payload file. perf-test draws from them at random, which costs compression (stamps of
# far-off events differ in more digits) and regains it by repeats within lz4's 64 KiB window: here both cancel out.
WARMUP_S = 3.0
RATE = re.compile(r"(\d+) records sent, ([\d.]+) records/sec")
METRIC = re.compile(r"(producer-topic-metrics|producer-metrics):(\S+):\{.*?\}\s*:\s*([\d.]+)")
CONTENDERS = ("perf-test", "sticky", "keyed", "produce_batch", "produce")


@dataclass(frozen=True)
class Result:
    """One contender in one round. `batch_bytes` of an event are compressed; NaN where the tool does not say."""

    contender: str
    round: int
    rate_eps: float
    cpu_us_per_event: float
    batch_bytes_per_event: float


@dataclass(frozen=True)
class Setup:
    """What all rounds share."""

    bootstrap: str
    folder: Path
    payloads: Path
    workload: dict[str, Any]
    partitions: int
    workers: int
    seconds: float


def fresh_topic(setup: Setup) -> str:
    """A new topic of its own for every run; old data must not cost anybody."""
    admin = AdminClient({"bootstrap.servers": setup.bootstrap})
    for old in [t for t in admin.list_topics(timeout=20).topics if t.startswith("vs-")]:
        admin.delete_topics([old])[old].result(30)
    name = f"vs-{time.time_ns()}"
    admin.create_topics([NewTopic(name, setup.partitions, 1)])[name].result(30)
    time.sleep(1.0)
    return name


def ours(setup: Setup, round_: int, contender: str) -> Result:
    """A maximum load through Locust workers, everything included."""
    native = contender in ("sticky", "keyed")
    producer = {
        "routing": "keyed" if contender == "keyed" else "sticky", "engine": "native" if native else contender,
        "linger_ms": LINGER_MS, "batch_bytes": BATCH_BYTES, "compression": COMPRESSION,
    }  # fmt: skip
    sent = drive(
        {"workload": setup.workload, "producer": producer, "load": {"rate_eps": "maximum", "workers": setup.workers}},
        bootstrap=setup.bootstrap, topic=fresh_topic(setup), partitions=setup.partitions,
        duration_s=setup.seconds + WARMUP_S, warmup_s=WARMUP_S, run_dir=setup.folder, seed=round_,
    )  # fmt: skip
    if sent.worker_failures or sent.failed:
        raise SystemExit(f"{contender}: {sent.worker_failures} {dict(sent.failed)}")
    per_event = sent.in_window("batch_bytes") / sent.in_window("batch_records")
    return Result(contender, round_, sent.in_window("acked") / sent.window_s, sent.cpu_s_per_million_events, per_event)


def perf_test(setup: Setup, round_: int, records: int) -> Result:
    """kafka-producer-perf-test; its JIT gets a warm-up of its own that it reports apart (steady state is taken)."""
    tools = provision()
    properties = {
        "bootstrap.servers": setup.bootstrap, "acks": "all", "enable.idempotence": "true", "linger.ms": LINGER_MS,
        "batch.size": BATCH_BYTES, "compression.type": COMPRESSION, "buffer.memory": 268_435_456,
    }  # fmt: skip
    argv = [
        str(tools.java), "-Xms1g", "-Xmx1g", "-cp", ":".join(map(str, tools.kafka_tools)),
        "org.apache.kafka.tools.ProducerPerformance", "--topic", fresh_topic(setup), "--num-records", str(records),
        "--warmup-records", str(records // 3), "--throughput", "-1", "--payload-file", str(setup.payloads),
        "--print-metrics", "--producer-props", *(f"{k}={v}" for k, v in properties.items()),
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    rates = RATE.findall(done.stdout)
    if done.returncode or not rates:
        raise SystemExit(f"perf-test failed ({done.returncode}): {done.stdout[-500:]} {done.stderr[-500:]}")
    metrics = {name: float(value) for _, name, value in METRIC.findall(done.stdout)}
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    bytes_each = metrics.get("byte-total", float("nan")) / metrics.get("record-send-total", float("nan"))
    return Result("perf-test", round_, float(rates[-1][1]), cpu / records * 1e6, bytes_each)


def write_payloads(setup: Setup) -> None:
    """Our own events, one a line."""
    knobs = Knobs(setup.workload["name"], format=setup.workload["format"], event_bytes=setup.workload["event_bytes"])
    schedule = Schedule.constant(time.time_ns(), 1e6, 1)
    workload = open_workload(knobs, 1, schedule.t0_ns, schedule)
    batch = workload.encode(0, schedule.due_ns(np.arange(PAYLOADS, dtype=np.int64)))
    setup.payloads.write_bytes(b"\n".join(batch.value(i) for i in range(PAYLOADS)) + b"\n")


def told(results: list[Result]) -> list[str]:
    """The table: medians, ratios of the same round with their range, compressed bytes."""
    base = {r.round: r for r in results if r.contender == "perf-test"}
    lines = [f"{'contender':<14}{'events/s':>12}{'CPU us/event':>14}{'bytes/event':>13}   ratio to perf-test (range)"]
    sizes = []
    for name in CONTENDERS:
        mine = [r for r in results if r.contender == name]
        if not mine:
            continue
        ratios = sorted(r.rate_eps / base[r.round].rate_eps for r in mine)
        size = statistics.median(r.batch_bytes_per_event for r in mine)
        if name != "keyed":  # its events carry their key besides
            sizes.append(size)
        lines.append(
            f"{name:<14}{statistics.median(r.rate_eps for r in mine):>12,.0f}"
            f"{statistics.median(r.cpu_us_per_event for r in mine):>14.2f}{size:>13.1f}"
            f"   {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    spread = max(sizes) / min(sizes) - 1
    verdict = "comparable" if spread <= 0.05 else "NOT comparable: one compresses better than the other"
    lines.append(f"compressed bytes of an event (null keys) differ by {spread:.1%}, at most 5 % expected: {verdict}")
    return lines


def main() -> int:
    """Start a broker, run the rounds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--event-bytes", type=int, default=110)
    parser.add_argument("--format", choices=("json", "csv", "avro"), default="csv")
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--records", type=int, default=5_000_000, help="of a perf-test run, a third of them warm-up")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--out", type=Path, help="results as JSON")
    args = parser.parse_args()
    workload = {
        "name": "clicks", "format": args.format, "event_bytes": args.event_bytes,
        "keys": {"distinct": 100_000, "zipf": 1.05},
    }  # fmt: skip
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_local(ClusterSpec(task_managers=0), run_dir=folder / "run", log_dir=folder / "log") as cluster:
            setup = Setup(
                cluster.bootstrap, folder, folder / "payloads", workload, args.partitions, args.workers, args.seconds
            )
            write_payloads(setup)
            for round_ in range(args.rounds):
                for contender in [c for c in CONTENDERS if c in args.only][:: 1 if round_ % 2 == 0 else -1]:
                    java = contender == "perf-test"
                    results.append(perf_test(setup, round_, args.records) if java else ours(setup, round_, contender))
                    print(json.dumps(asdict(results[-1])), file=sys.stderr, flush=True)
    print("\n".join(told(results)))
    if args.out:
        args.out.write_text(json.dumps([asdict(r) for r in results], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
