"""Loads on a cluster that others use: how much is a little, and when to stop.

Beyond a small rate the caller has to say that the cluster is theirs. A load stops by itself when events are not taken,
and when the lag of a group that is not ours keeps growing while it is on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # not re-exported

from bench import keyring, topics
from bench.backends.reach import Needs
from bench.backends.remote import Remote, RemoteCluster
from bench.loadgen.shapes import peak_eps
from bench.scenario import Trial
from bench.scenario.sections import Limits, typed

SMALL_EPS, SMALL_BYTES_S, SMALL_REPLICAS = 1_000.0, 1_000_000.0, 64
OWN = "--i-own-this-cluster"
LOOK_S = 5.0
LOOKS = 3  # so many in a row grew: a busy moment of somebody's is no harm of ours
FEWEST_BEHIND = 1_000.0  # events by which a lag has to have grown: less is what any group is behind now and then
ASK_S = 5.0
MOST_PARTITIONS = 2_000  # asked for at each look

FIXED = ("pipeline.task_managers", "pipeline.slots")  # as that cluster has them: every arm would be the same
NO_LIMITS = Limits()
Lags = Mapping[str, float]


def too_much(trial: Trial) -> str:
    """Why a trial is more than a little, "" if it is not."""
    settings = trial.settings
    replicas = settings.topic.partitions * settings.topic.replication_factor
    if replicas > SMALL_REPLICAS:
        return f"{replicas:,} partitions with their copies are more than {SMALL_REPLICAS}"
    eps = peak_eps(settings.load.model_dump(mode="json"))
    if eps is None:
        return f"a load of the kind {settings.load.kind} goes as fast as the brokers take it"
    if eps > SMALL_EPS:
        return f"{eps:,.0f} events/s are more than {SMALL_EPS:,.0f}"
    size = eps * settings.workload.event_bytes
    return f"{size / 1e6:.1f} MB/s are more than {SMALL_BYTES_S / 1e6:g}" if size > SMALL_BYTES_S else ""


def refusal(trial: Trial, remote: Remote | None) -> str:
    """Why a trial cannot be, or should not be, on this cluster; "" if it may."""
    if remote is None:
        return "--backend remote: expected --bootstrap HOST:PORT, the address of its brokers"
    if why := _impossible(trial, remote):
        return why
    if not remote.owned and (why := too_much(trial)):
        return f"{why}, on a cluster that others may use: {OWN} says that nobody else minds"
    return ""


def _impossible(trial: Trial, remote: Remote) -> str:
    settings = trial.settings
    if settings.pipeline is not None and not remote.flink_url:
        return f"its job {settings.pipeline.job} needs a Flink, expected --flink-url URL with --backend remote"
    if fixed := [knob for knob in trial.knobs if knob.startswith("cluster.") or knob in FIXED]:
        return f"{fixed[0]} is no axis of a cluster that is there already: vary it on another backend"
    if settings.pipeline is not None and settings.pipeline.cluster_flink:
        option = min(settings.pipeline.cluster_flink)
        key = typed().get(option, f"pipeline.flink.{option}")
        return f"{key} is the session cluster's own, which --backend remote does not start"
    if settings.topic.local_retention_s is not None or settings.cluster.limits != NO_LIMITS:
        return "cluster.limits and topic.local_retention_s need a backend that starts its own brokers"
    return ""


def needs_of(trials: Sequence[Trial]) -> Needs:
    """What the preflight has to find for these trials."""
    pipelines = [one.settings.pipeline for one in trials if one.settings.pipeline is not None]
    return Needs(
        max((one.settings.topic.replication_factor for one in trials), default=1),
        max((pipeline.parallelism for pipeline in pipelines), default=0),
        any(pipeline.guarantee == "exactly-once" for pipeline in pipelines),
    )


def growing(looks: Sequence[Lags]) -> str:
    """The group whose lag grew at each of the last looks, and by how much; "" without one."""
    last = looks[-LOOKS - 1 :]
    if len(last) <= LOOKS:
        return ""
    for group in last[-1]:
        lags = [look[group] for look in last if group in look]
        rose = len(lags) == len(last) and all(b > a for a, b in pairwise(lags))
        if rose and lags[-1] - lags[0] > FEWEST_BEHIND:
            return f"{group} from {lags[0]:,.0f} to {lags[-1]:,.0f} events"
    return ""


def lags_of_others(admin: Any, prefix: str) -> dict[str, float]:
    """Group -> events it is behind, of every group that is not ours and may be described."""
    listed = admin.list_consumer_groups(request_timeout=ASK_S).result().valid
    committed = {}
    for group in (one.group_id for one in listed if not one.group_id.startswith(prefix)):
        asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=ASK_S)
        try:
            told = asked[group].result().topic_partitions or ()
        except KafkaException:
            continue  # not for our eyes
        committed[group] = [one for one in told if one.offset >= 0]
    wanted = {one for found in committed.values() for one in found}
    wanted = set(list(wanted)[:MOST_PARTITIONS])
    ends, newest = {}, OffsetSpec.latest()  # type: ignore[no-untyped-call]
    if wanted:
        for one, answer in admin.list_offsets(dict.fromkeys(wanted, newest), request_timeout=ASK_S).items():
            try:
                ends[one.topic, one.partition] = topics.offset_of(answer.result())
            except KafkaException:
                continue
    return {
        group: float(
            sum(max(0, ends[p.topic, p.partition] - p.offset) for p in found if (p.topic, p.partition) in ends)
        )
        for group, found in committed.items()
    }


@contextmanager
def watched(cluster: RemoteCluster, stop: Callable[[str], None], every_s: float = LOOK_S) -> Iterator[None]:
    """Look after other groups while a load is on; the cluster's `check` then says why it has to end; so is `stop`."""
    admin = AdminClient({**keyring.client(cluster.bootstrap), "log_level": 0})
    ended, looks = threading.Event(), list[Lags]()

    def harm() -> str:
        """Why the load has to end now, "" if it may go on."""
        try:
            looks.append(lags_of_others(admin, cluster.remote.prefix))
        except KafkaException:
            looks.clear()  # not told this time: what follows is no longer a row
        except Exception as error:  # noqa: BLE001 -- a guard that died unseen would guard nothing
            return f"stopped, for the lag of others could no longer be looked at: {error!r}"
        if not (group := growing(looks)):
            return ""
        return (
            f"stopped, for the lag of others grew while the load was on: {group} within {LOOKS * every_s:.0f} s; try a "
            "lower rate, or when the cluster is less busy"
        )

    def look() -> None:
        while not (why := harm()):
            if ended.wait(every_s):
                return
        cluster.stopped = why
        stop(why)

    thread = threading.Thread(target=look, name="guard", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(ASK_S)
        cluster.stopped = ""


def refused(failed: int) -> str:
    """Why a load has to end with so many events that were not taken; "" with none."""
    return f"stopped, for {failed:,} events were not taken by the brokers" if failed else ""


__all__ = ["growing", "lags_of_others", "needs_of", "refusal", "refused", "too_much", "watched"]
