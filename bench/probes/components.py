"""CPU and memory per component, and what the host as a whole did meanwhile."""

from __future__ import annotations

import os
from collections.abc import Mapping

import psutil

from bench.backends import Cluster
from bench.backends.accounting import TICK_S
from bench.probes import Probe


def components(cluster: Cluster) -> Probe:
    """`broker_cpu_s`, `broker_rss_bytes`, `flink_cpu_s`, …: cumulative CPU seconds, resident bytes now."""

    def probe() -> Mapping[str, float]:
        found: dict[str, float] = {}
        for component, account in cluster.account().items():
            found[f"{component}_cpu_s"] = account.cpu_s
            found[f"{component}_rss_bytes"] = account.rss_bytes
        return found

    return probe


def tiers(cluster: Cluster, topic: str) -> Probe:
    """`local_log_bytes` on the brokers' disks (all copies), `tiered_log_bytes` in the remote store (once)."""

    def probe() -> Mapping[str, float]:
        return {"local_log_bytes": cluster.disk_bytes(topic)["log"], "tiered_log_bytes": cluster.tiered_bytes(topic)}

    return probe


def host() -> Probe:
    """`host_busy_s`, `host_steal_s` (all cores), `host_swap_bytes`, and `harness_cpu_s`: what watching costs."""

    def probe() -> Mapping[str, float]:
        times = psutil.cpu_times()
        own = os.times()
        return {
            "host_busy_s": sum(times) - times.idle - getattr(times, "iowait", 0.0) - times.guest - times.guest_nice,
            "host_steal_s": getattr(times, "steal", 0.0),
            "host_swap_bytes": psutil.swap_memory().used,
            "harness_cpu_s": own.user + own.system,
        }

    return probe


__all__ = ["TICK_S", "components", "host", "tiers"]
