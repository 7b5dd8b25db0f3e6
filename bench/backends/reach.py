"""Before anything is loaded on a cluster of somebody else's: what answers, what may be done, and what can be measured.

Whatever a run needs and does not find is one sentence that names the cause and the next step, within seconds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException

from bench import keyring, logdirs
from bench.analysis.clock import Offset
from bench.backends.flink import get_json
from bench.backends.permits import PAGE, STEP_S, Preflight, connected
from bench.backends.remote import Remote, broker_account, connector, flink_account
from bench.errors import BrokerError, JobError
from bench.toolchain import provision

FETCHER = "metrics.fetcher.update-interval"
OFTEN_MS = 1000.0  # probes ask Flink as often while something is to happen
MOST_NAMED = 3


@dataclass(frozen=True)
class Sight:
    """Something that a run would tell: whether it can there, and how."""

    what: str
    ok: bool
    found: str


@dataclass(frozen=True)
class Needs:
    """What the trials ask of a cluster."""

    copies: int = 1  # of a topic
    slots: int = 0  # of Flink; 0: no job
    transactions: bool = False


@dataclass(frozen=True)
class Reached:
    """What the preflight found. `leftovers`: topics of runs that did not clean up, or that go on elsewhere now."""

    brokers: int
    sights: tuple[Sight, ...]
    offset: Offset | None
    leftovers: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """For a person."""
        return tuple(f"{'can ' if one.ok else 'CANNOT'} measure {one.what}: {one.found}" for one in self.sights)


def reach(remote: Remote, needs: Needs) -> Reached:
    """Try everything once. BrokerError or JobError with the cause and what to do."""
    admin, told = connected(remote.bootstrap)
    brokers = len(told.brokers)
    if brokers < needs.copies:
        raise BrokerError(
            f"{remote.bootstrap} has {brokers} broker{'s' * (brokers > 1)}, and topic.replication_factor asks for "
            f"{needs.copies}: lower it (--set topic.replication_factor={brokers})"
        )
    flink = tuple(_flink(remote.flink_url, needs.slots)) if needs.slots else ()
    offset = Preflight(admin, remote.bootstrap, remote.prefix).perform(brokers, transactions=needs.transactions)
    sights = (*_kafka(remote, told), _clock(offset), _others(admin, remote.prefix), *flink)
    return Reached(brokers, sights, offset, leftovers(told.topics, remote.prefix))


def leftovers(topics: Any, prefix: str) -> tuple[str, ...]:
    """Of all topics those that a run of ours has made: PREFIX, an id, a process, a time."""
    ours = re.compile(rf"{re.escape(prefix)}(prime)?([0-9a-f]{{12}}|preflight)-\d+-\d{{8}}(-.+)?")
    return tuple(sorted(name for name in topics if ours.fullmatch(name)))


def _kafka(remote: Remote, told: Any) -> Iterator[Sight]:
    describe = logdirs.describing(keyring.security(remote.bootstrap))
    try:
        for one in told.brokers.values():
            describe(one.host, one.port)
    except BrokerError as error:
        yield Sight("bytes on disk", False, f"{error} (DESCRIBE on the cluster, {PAGE})")
    else:
        yield Sight("bytes on disk", True, "of records, by DescribeLogDirs; not of indexes")
    if broker_account(remote.broker_metrics) is not None:
        yield Sight("the brokers' CPU", True, f"by {', '.join(remote.broker_metrics)}")
    else:
        lacks = "does not tell it" if remote.broker_metrics else "name a JMX exporter or a Prometheus"
        yield Sight("the brokers' CPU", False, f"{' '.join(remote.broker_metrics) or '--broker-metrics'}: {lacks}")


def _clock(offset: Offset | None) -> Sight:
    if offset is None:
        return Sight("how far the brokers' clocks are ahead", False, "one of them was set meanwhile: try again")
    return Sight("latencies across machines", True, f"the brokers' clocks are ahead by {offset}")


def _others(admin: Any, prefix: str) -> Sight:
    what = "other groups' lag"
    try:
        found = admin.list_consumer_groups(request_timeout=STEP_S).result()
    except KafkaException as error:
        return Sight(what, False, error.args[0].str())
    if found.errors:
        return Sight(what, False, found.errors[0].args[0].str())
    others = [one.group_id for one in found.valid if not one.group_id.startswith(prefix)]
    return Sight(what, True, f"{len(others)} group{'s' * (len(others) != 1)} to be seen")


def _flink(url: str, slots: int) -> Iterator[Sight]:
    overview = get_json(f"{url}/overview", timeout_s=5.0)
    if overview is None or "slots-available" not in overview:
        raise JobError(
            f"no Flink answers at {url}/overview: check --flink-url, the address of its REST interface (port 8081 "
            f"unless changed), and that it can be reached from here ({PAGE})"
        )
    theirs, ours = str(overview.get("flink-version", "")), provision(progress=False).versions["flink"]
    if theirs.split(".")[:2] != ours.split(".")[:2]:
        raise JobError(
            f"Flink at {url} is {theirs}, and jobs are submitted with {ours}: a session cluster of "
            f"{'.'.join(ours.split('.')[:2])} is needed ({PAGE})"
        )
    if overview["slots-available"] < slots:
        raise JobError(
            f"Flink at {url} has {overview['slots-available']} of {overview['slots-total']} slots free, and a job "
            f"needs {slots}: end other jobs, add TaskManagers, or lower pipeline.parallelism"
        )
    if _told_in_time(url):
        running = int(overview.get("jobs-running", 0))
        with_others = f", with {running} other job{'s' * (running > 1)} in it" if running else ""
        yield Sight("Flink's CPU", True, f"by its REST interface, Python processes left out{with_others}")
    else:
        yield Sight("Flink's CPU", False, f"{url} does not tell Status.JVM.CPU.Time of everybody")
    yield Sight("Flink's memory", False, "its REST interface does not tell resident memory")
    settings = {one["key"]: one["value"] for one in get_json(f"{url}/jobmanager/config") or ()}
    if (interval := _ms(settings.get(FETCHER, "10000"))) > OFTEN_MS:
        grain = f"it collects them every {interval / 1000:g} s: {FETCHER}: 500 there would show what changes faster"
        yield Sight("Flink's own metrics by the second", False, grain)
    if jars := connector(url, provision(progress=False)).jars:
        names = ", ".join(jar.name for jar in jars)
        yield Sight("a job on Kafka", True, f"it brings {names} along, for Flink's class path has no connector")


def _told_in_time(url: str) -> bool:
    """Flink collects its metrics once somebody asks for one, and has none to tell until then."""
    end = time.monotonic() + STEP_S
    while flink_account(url) is None:
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def _ms(text: str) -> float:
    found = re.fullmatch(r"(\d+)\s*(ms|s|min)?", str(text).strip())
    return float(found[1]) * {"s": 1e3, "min": 6e4}.get(found[2] or "ms", 1.0) if found else 0.0


def remove(remote: Remote, topics: Sequence[str]) -> None:
    """Remove what an earlier run left."""
    from bench.topics import delete

    if topics:
        delete(remote.bootstrap, *topics)
