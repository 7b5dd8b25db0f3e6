# noqa: INP001  # scripts, not a package
"""What an idempotent librdkafka does while acknowledgements are slow: requests in flight, and CPU.

    python benchmarks/idempotent_polling.py

One partition of librdkafka's own mock broker, about 1,800 messages a second for five seconds, linger 5 ms; with
acknowledgements after 1 ms and after 200 ms, each with and without idempotence. No broker is needed.
"""

from __future__ import annotations

import json
import resource
import time

from confluent_kafka import Producer

SECONDS, LINGER_MS = 5.0, 5


def cpu_s() -> float:
    """Of this process so far."""
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def tried(rtt_ms: int, *, idempotent: bool) -> str:
    """A row: CPU, most requests waiting for an answer at once."""
    waiting: list[int] = []

    def on_stats(document: str) -> None:
        brokers = json.loads(document)["brokers"].values()
        waiting.extend(broker["waitresp_cnt"] for broker in brokers if broker["nodeid"] >= 0)

    producer = Producer({
        "test.mock.num.brokers": 1, "test.mock.broker.rtt": rtt_ms, "enable.idempotence": idempotent, "acks": "all",
        "linger.ms": LINGER_MS, "statistics.interval.ms": 20, "stats_cb": on_stats, "log_level": 0,
    })  # fmt: skip
    producer.produce("t", b"first", partition=0)
    producer.flush(10)
    waiting.clear()
    before, end = cpu_s(), time.monotonic() + SECONDS
    while time.monotonic() < end:
        for _ in range(2):
            producer.produce("t", b"x" * 100, partition=0)
        producer.poll(0)
        time.sleep(0.001)
    cores = (cpu_s() - before) / SECONDS
    producer.flush(10)
    kind = "idempotent" if idempotent else "not idempotent"
    return f"acknowledged after {rtt_ms:3} ms, {kind:14}: {cores:.2f} cores, at most {max(waiting)} requests in flight"


if __name__ == "__main__":
    for rtt_ms in (1, 200):
        for idempotent in (True, False):
            print(tried(rtt_ms, idempotent=idempotent))
