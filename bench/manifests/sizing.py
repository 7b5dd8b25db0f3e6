"""How many workers, brokers and TaskManagers a rate needs, by CPU-seconds per million events as they were measured.

The rules are the cost model's, handed in: CPU is filled to a share, what is left when one zone is gone must still carry
the load, a follower takes a share of what a leader takes. A rate far from the measured one is an extrapolation, and
`Size.carried` says by how much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import ValidationError

from bench.campaign import JVM_OVERHEAD_MB
from bench.errors import ScenarioError
from bench.manifests.skew import busiest_share
from bench.scenario import Settings

ZONES = ("a", "b", "c")
REPLICAS = 3
UNIT = "CPU-s a million events"
MOST_CPUS = 16  # of a broker: the largest machine that the cost model rents for one
CORE_MB = 4096  # of memory beside a core, as the machines have that the cost model rents for Flink (m7g)
WORKER_MB = 1536  # 0.81 GiB behind a full queue, which all workers share (docs/load.md): one alone may have all of it
SIZES: dict[str, float] = {"small": 50_000.0, "medium": 250_000.0, "large": 1_000_000.0}


@dataclass(frozen=True)
class Measured:
    """CPU-seconds per million events of one kind of runs, and the rate they ran at.

    `broker` is of one copy; None where nobody measured it (`flink` of a scenario without a job).
    """

    generator: float
    broker: float
    flink: float | None
    rate_eps: float
    runs: int
    source: str  # the folder of the runs


@dataclass(frozen=True)
class Rules:
    """The cost model's: how full CPU may be at the load, and what a follower takes of a leader's CPU."""

    cpu_fill: float
    follower_share: float


@dataclass(frozen=True)
class Size:
    """One size of everything: counts, whole CPUs and MiB of each. `because`: a sentence for each."""

    name: str
    rate_eps: float
    workers: int
    brokers: int
    broker_cpus: int
    broker_mb: int
    task_managers: int
    slots: int
    partitions: int
    busiest_slot_cores: float  # what the slot with the busiest keys would use; over 1, the rate is not reached
    carried: float  # times the rate that was measured
    because: tuple[str, ...]

    @property
    def is_reached(self) -> bool:
        """Whether the busiest slot keeps up: it reads with one thread, whatever its neighbours have left."""
        return self.busiest_slot_cores <= 1

    @property
    def racks(self) -> tuple[str, ...]:
        return ZONES[: min(len(ZONES), self.brokers)]


def size(name: str, rate_eps: float, settings: Settings, measured: Measured, rules: Rules) -> Size:
    """What carries `rate_eps` in three zones. ScenarioError where a job's CPU per event is not known."""
    pipeline = settings.pipeline
    load_cores = rate_eps * measured.generator / 1e6 / rules.cpu_fill
    workers = math.ceil(load_cores)
    kept = min(rules.cpu_fill, 1 - 1 / len(ZONES))
    copies = 1 + (REPLICAS - 1) * rules.follower_share
    broker_cores = rate_eps * measured.broker * copies / 1e6 / kept
    brokers = len(ZONES) * math.ceil(broker_cores / len(ZONES) / MOST_CPUS)
    broker_cpus = math.ceil(broker_cores / brokers)
    because = [
        f"{_many(workers, 'load worker')} of one CPU: {_cores(load_cores)} of {measured.generator:.2f} {UNIT}",
        (
            f"{brokers} brokers of {_many(broker_cpus, 'CPU')}: {_cores(broker_cores)} of {measured.broker:.2f} {UNIT} "
            f"and copy, {REPLICAS} copies, one zone gone"
        ),
    ]
    task_managers = slots = 0
    busiest = 0.0
    partitions = settings.topic.partitions
    if pipeline is not None:
        if measured.flink is None:
            raise ScenarioError(
                f"{measured.source}: no run measured flink_cpu_s_per_million_events, so no job has a size"
            )
        flink_cores = rate_eps * measured.flink / 1e6 / rules.cpu_fill
        slots = pipeline.slots_each
        task_managers = math.ceil(flink_cores / slots)
        parallelism = task_managers * slots
        partitions = math.ceil(partitions / parallelism) * parallelism  # each source reads as many
        share = busiest_share(settings, parallelism, partitions)
        busiest = share * rate_eps * measured.flink / 1e6
        because.append(
            f"{_many(task_managers, 'TaskManager')} of {slots} slots and CPUs: {_cores(flink_cores)} of "
            f"{measured.flink:.2f} {UNIT}; {partitions} partitions, as many for each slot"
        )
        because.append(f"the busiest slot reads {share:.1%} of the events: {_cores(busiest)}")
    return Size(
        name, rate_eps, workers, brokers, broker_cpus, _broker_mb(settings, broker_cpus), task_managers, slots,
        partitions, busiest, rate_eps / measured.rate_eps, tuple(because),
    )  # fmt: skip


def _broker_mb(settings: Settings, cpus: int) -> int:
    """A core's share of a machine's memory for each, and never less than its JVM holds."""
    return max(cpus * CORE_MB, settings.cluster.broker_heap_mb + JVM_OVERHEAD_MB)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _cores(cores: float) -> str:
    return f"{cores:.1f} cores"


def constant(settings: Settings, measured: Measured) -> Settings:
    """The scenario at one rate: its own, or where it searches for one, what the runs have found."""
    load = settings.load
    if load.kind == "search":
        return settings.model_copy(
            update={"load": load.model_copy(update={"rate_eps": float(round(measured.rate_eps))})}
        )
    if load.kind != "rate":
        raise ScenarioError(
            f"load: was {load.kind}, expected a constant rate_eps or a search: a cluster is sized for one rate (--load "
            "names another load of the scenario)"
        )
    return settings


def own(settings: Settings, measured: Measured, rules: Rules) -> Size:
    """The scenario as it stands, at a constant rate: its own counts, and CPUs for what each then carries."""
    rate = settings.load.rate_eps
    assert isinstance(rate, float)
    cluster, limits, pipeline = settings.cluster, settings.cluster.limits, settings.pipeline
    copies = 1 + (settings.topic.replication_factor - 1) * rules.follower_share
    cores = rate * measured.broker * copies / 1e6 / rules.cpu_fill
    cpus = math.ceil(limits.broker_cpus or cores / cluster.brokers)
    memory_mb = limits.broker_memory_mb or _broker_mb(settings, cpus)
    share = busiest_share(settings, pipeline.parallelism, settings.topic.partitions) if pipeline else 0.0
    return Size(
        "base", rate, settings.load.workers, cluster.brokers, cpus, memory_mb,
        pipeline.task_managers if pipeline else 0, pipeline.slots_each if pipeline else 0, settings.topic.partitions,
        share * rate * (measured.flink or 0.0) / 1e6, rate / measured.rate_eps, (),
    )  # fmt: skip


def settings_at(settings: Settings, wanted: Size) -> Settings:
    """The scenario at that size: the same question with more of everything, three copies in three zones.

    ScenarioError for counts that no scenario may have.
    """
    pipeline = settings.pipeline
    topic = {"partitions": wanted.partitions, "replication_factor": REPLICAS, "min_insync": REPLICAS - 1}
    changed: dict[str, object] = {
        "load": settings.load.model_copy(
            update={
                "rate_eps": wanted.rate_eps,
                "workers": wanted.workers,
                "drain": None,
                "shape": None,
                "of_drain": None,
            }
        ),
        "topic": settings.topic.model_copy(update=topic),
        "cluster": settings.cluster.model_copy(update={"brokers": wanted.brokers, "racks": wanted.racks}),
    }
    if pipeline is not None:
        many = {"task_managers": wanted.task_managers, "parallelism": wanted.task_managers * wanted.slots}
        changed["pipeline"] = pipeline.model_copy(update={**many, "slots": wanted.slots})
    found = settings.model_copy(update=changed)
    try:
        return Settings.model_validate(found.model_dump())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(word) for word in first["loc"])
        raise ScenarioError(
            f"{wanted.name}, {wanted.rate_eps:,.0f} events/s: {where} would be {first['input']}: {first['msg']}"
        ) from error
