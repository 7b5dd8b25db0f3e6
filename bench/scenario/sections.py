"""What a scenario file may say: one frozen model a section, with its ranges and defaults. Shapes only, no reading.

Every key, its unit and its default stand here and nowhere else; `bench.scenario` reads files into these models.
Units are the last part of a name: `_s` seconds, `_ms` milliseconds, `_eps` events per second, `_bytes`, `_mb` MiB.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from bench.scenario.options import Sets, declared, options
from bench.scenario.words import nearest, one_of, parse_threshold, shown

LOADS = ("rate_eps", "drain", "shape", "of_drain")
SHAPES = ("steps", "ramp", "spike", "diurnal", "poisson", "replay")

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Word = Annotated[str, Field(min_length=1)]
Axes = Mapping[str, Annotated[tuple[Any, ...], Field(min_length=1)]]


@dataclass(frozen=True)
class Names:
    """The words a scenario may use for things that are files elsewhere; what validation compares against."""

    workload: Collection[str]
    job: Collection[str]
    claim: Collection[str]
    metric: Collection[str] | None = None  # None: not checked here
    reads: Mapping[str, str] = field(default_factory=dict)  # job -> the workload that it understands
    functions: Mapping[str, Collection[str]] = field(default_factory=dict)  # job -> the forms its function has

    def check(self, kind: str, word: str) -> str:
        """`word`, if it names a `kind`; ValueError with the nearest one otherwise."""
        valid: Collection[str] = getattr(self, kind)
        if word in valid:
            return word
        raise ValueError(
            f"unknown {kind} '{word}', expected one of {', '.join(sorted(valid)) or '(none exist)'}"
            + nearest(word, valid)
        )


def _known(kind: str) -> AfterValidator:
    def check(word: str, info: ValidationInfo) -> str:
        return info.context.check(kind, word) if isinstance(info.context, Names) else word

    return AfterValidator(check)


def _off(value: object) -> object:
    return None if value == "none" else value


def _no_pipeline(value: object) -> object:
    """`none`, or `pipeline.job: none`: so that no job at all can be one arm of a comparison."""
    return None if value == "none" or (isinstance(value, dict) and value.get("job") == "none") else value


def _rate(value: object) -> object:
    if value in ("search", "maximum", None):
        return value
    rate = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0 < rate < math.inf:
        hint = nearest(str(value), ("search", "maximum"))
        raise ValueError(f"was {shown(value)}, expected events per second above 0, search or maximum{hint}")
    return rate


def _threshold(text: str, info: ValidationInfo) -> str:
    parse_threshold(text, info.context.metric if isinstance(info.context, Names) else None)
    return text


class Section(BaseModel):
    """Frozen, no unknown key, no silent conversion ("6" is not 6), no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


_JOB_OPTIONS = ("execution.", "table.", "pipeline.", "state.", "python.", "restart-strategy")
_TYPED = {  # options whose key is more than a setting; those of `Sets` are added. Said in two places, one would lie
    "parallelism.default": "pipeline.parallelism",
    "taskmanager.numberOfTaskSlots": "pipeline.slots",
    "execution.checkpointing.interval": "pipeline.checkpoint.interval_s",
    "execution.checkpointing.mode": "pipeline.checkpoint.mode",
    "execution.checkpointing.incremental": "pipeline.checkpoint.incremental",
    "state.backend.type": "pipeline.checkpoint.backend",
    "execution.checkpointing.storage": "pipeline.checkpoint.storage",
    "execution.checkpointing.dir": "pipeline.checkpoint.directory",
}
_FORMER = {  # names that Flink still takes for one of these: beside today's name such a setting would be passed over
    "state.backend": "state.backend.type",
    "state.backend.incremental": "execution.checkpointing.incremental",
    "state.checkpoint-storage": "execution.checkpointing.storage",
    "state.checkpoints.dir": "execution.checkpointing.dir",
    "state.backend.fs.checkpointdir": "execution.checkpointing.dir",
    "execution.checkpointing.unaligned": "execution.checkpointing.unaligned.enabled",
    "execution.buffer-timeout": "execution.buffer-timeout.interval",
    "slotmanager.taskmanager-timeout": "resourcemanager.taskmanager-timeout",
}


def typed() -> Mapping[str, str]:
    """Every Flink option that has a key of its own -> that key; former names of such options too."""
    now = _TYPED | {one.option: key for key, one in declared(Pipeline, "pipeline")}
    return now | {former: now[option] for former, option in _FORMER.items()}


# Most of Flink's own words for what it hides in its log (GlobalConfiguration), and the public half of S3's pair
_SECRET = ("password", "secret", "apikey", "account.key", "service-key", "session-token", "access-key")
AWS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


def _raw(value: object) -> object:
    if not isinstance(value, dict):
        return value
    keys = typed()
    for key, setting in value.items():
        if key in keys:
            raise ValueError(f"{key} has a key of its own, expected {keys[key]} instead")
        if any(word in key.lower() for word in _SECRET):
            raise ValueError(f"{key} is a secret, which no bundle may keep; for S3 expected {AWS} in the environment")
        if isinstance(setting, dict | tuple):
            raise ValueError(f"{key} was {shown(setting)}, expected one word, number, true or false")  # noqa: TRY004
    return {key: setting for key, setting in value.items() if setting is not None}  # null in an axis: left unset


def _exactly_one(section: Section, keys: tuple[str, ...]) -> None:
    if problem := one_of([k for k in keys if getattr(section, k) is not None], keys):
        raise ValueError(problem)


class Keys(Section):
    """How many different keys, and how skewed: Zipf exponent, 0 is uniform."""

    distinct: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    zipf: Annotated[float, Field(ge=0, le=10)] = 1.05


class Workload(Section):
    """What an event is. `disorder_s`: bound of event-time disorder; `event_time_speed`: event seconds per second.

    `event_bytes` is the mean size, `event_bytes_sigma` the sigma of its log-normal (0: all alike); `malformed` and
    `duplicates` are shares of the events; `entropy` is the share of random words in the filler text.
    """

    name: Annotated[Word, _known("workload")]
    format: Literal["json", "csv", "avro"] = "json"
    event_bytes: Annotated[int, Field(ge=32, le=1_000_000)] = 200
    keys: Keys = Keys()
    disorder_s: NotNegative = 0.0
    event_time_speed: Positive = 1.0
    event_bytes_sigma: Annotated[float, Field(ge=0, le=2)] = 0.0
    malformed: Share = 0.0
    duplicates: Share = 0.0
    entropy: Share = 0.5


class Step(Section):
    """One step of `steps`: a constant rate for a while."""

    rate_eps: NotNegative
    for_s: Positive


class Ramp(Section):
    """A straight line between two rates, then the last rate held."""

    from_eps: NotNegative
    to_eps: NotNegative
    over_s: Positive


class Spike(Section):
    """A base rate with one plateau. `at_s` counts from the start of the measured window."""

    base_eps: Positive
    peak_eps: Positive
    at_s: NotNegative
    for_s: Positive


class Diurnal(Section):
    """A sine between two rates; a day lasts `period_s`."""

    low_eps: NotNegative
    high_eps: Positive
    period_s: Positive = 60.0


class Poisson(Section):
    """Seeded Poisson arrivals of this mean rate."""

    rate_eps: Positive


class Replay(Section):
    """A recorded NDJSON, CSV or Parquet file (relative to the scenario), `speed` times its pace or at a rate."""

    file: Word
    time: Word = "time"
    key: Word = "key"
    speed: Positive | None = None
    rate_eps: Positive | None = None


class Shape(Section):
    """A rate that changes over time; exactly one of the keys."""

    steps: Annotated[tuple[Step, ...], Field(min_length=1)] | None = None
    ramp: Ramp | None = None
    spike: Spike | None = None
    diurnal: Diurnal | None = None
    poisson: Poisson | None = None
    replay: Replay | None = None

    @model_validator(mode="after")
    def _one(self) -> Shape:
        _exactly_one(self, SHAPES)
        return self


class Load(Section):
    """How events arrive; exactly one of `rate_eps`, `drain`, `shape`, `of_drain`.

    `rate_eps` is open loop at that rate; `search` finds the sustainable rate under the thresholds; `maximum` is closed
    by back-pressure. `drain` prefills that many events and then reads them flat out. `of_drain`
    is open loop at this share of what the same cell drained in an earlier load: cells of different speed, equally busy.
    """

    rate_eps: Annotated[float | Literal["search", "maximum"] | None, BeforeValidator(_rate)] = None
    drain: Count | None = None
    shape: Shape | None = None
    of_drain: Annotated[float, Field(gt=0, lt=1)] | None = None
    workers: Annotated[int, Field(ge=1, le=64)] = 1

    @model_validator(mode="after")
    def _one(self) -> Load:
        _exactly_one(self, LOADS)
        return self

    @property
    def kind(self) -> Literal["rate", "search", "maximum", "drain", "shape"]:
        """Which of the loads this is."""
        if self.drain is not None:
            return "drain"
        if self.shape is not None:
            return "shape"
        return self.rate_eps if isinstance(self.rate_eps, str) else "rate"


class Producer(Section):
    """How events are sent. `routing`: keyed (Java's murmur2) or sticky; `engine`: native is librdkafka's batch call.

    `racks`: where the load workers stand, dealt to them in turn as `cluster.racks` are to brokers; none: nowhere.
    """

    acks: Literal[0, 1, "all"] = "all"
    idempotent: bool = True
    linger_ms: NotNegative = 10.0
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "lz4"
    routing: Literal["keyed", "sticky"] = "keyed"
    engine: Literal["native", "produce_batch", "produce"] = "native"
    racks: tuple[Word, ...] = ()


class Topic(Section):
    """The input topic; it is made fresh for every trial.

    `segment_mb`: when a segment is closed (none: Kafka's GiB). `local_retention_s`: how long closed segments stay on
    the brokers' disks once they are in the remote store of `cluster.tiered`; none: the topic is not tiered.
    """

    partitions: Annotated[int, Field(ge=1, le=100_000)] = 6
    replication_factor: Count = 1
    min_insync: Count = 1
    segment_mb: Annotated[int, Field(ge=1, le=1024)] | None = None
    local_retention_s: Positive | None = None


class Limits(Section):
    """What each container may use; without, all of the machine. Needs a backend of containers (--backend compose).

    `task_manager_cpus` works on local processes too (as root, with control groups): a quota, on cores of their own.
    """

    broker_cpus: Positive | None = None
    broker_memory_mb: Annotated[int, Field(ge=384)] | None = None
    task_manager_cpus: Positive | None = None
    task_manager_memory_mb: Annotated[int, Field(ge=512)] | None = None


class Cluster(Section):
    """The brokers. Racks are dealt to them in turn: broker i stands in `racks[i % len(racks)]`.

    `tiered`: they have a remote store for topics with a local retention (KIP-405), a folder of this machine.
    `prime_s`: what reads the topic runs under load for so long once, before the first trial of a cluster just started;
    where nobody reads, nothing runs, but on a cluster of somebody else's. At 12 s the first runs still paid for Java's
    compiler (p50 520 ms where later ones had 15): a shorter one is for trying out whether a scenario runs.
    """

    brokers: Annotated[int, Field(ge=1, le=100)] = 1
    racks: Annotated[tuple[Word, ...], Field(min_length=1)] = ("a",)
    broker_heap_mb: Annotated[int, Field(ge=256)] = 1500
    tiered: bool = False
    prime_s: Annotated[float, Field(ge=1, le=600)] = 20.0
    limits: Limits = Limits()


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"was {shown(path)}, expected a folder's whole path, as in /mnt/ebs/checkpoints")
    return path


Folder = Annotated[Word, AfterValidator(_absolute)]


class S3(Section):
    """The S3-compatible store of `checkpoint.storage: s3`: what each call takes, and the link that all calls share."""

    latency_ms: NotNegative = 0.0
    bandwidth_mb_s: Positive | None = None


class Checkpoint(Section):
    """`storage`: where checkpoints go (a disk, an object store, the JobManager's heap); `backend`: where state lives in
    between.

    `min_pause_s`: between the end of one and the start of the next. `mode`: whether barriers are aligned so that state
    holds each event once; none: as the pipeline's guarantee wants it. `unaligned`: barriers overtake what is in flight.
    `directory`: of local storage, none: below the run's folder. `working_directory`: where RocksDB works, apart from
    both; none: Flink's temporary folder.
    """

    interval_s: Positive = 10.0
    min_pause_s: Annotated[NotNegative, Sets("execution.checkpointing.min-pause", "ms", 1000)] = 0.0
    mode: Literal["at-least-once", "exactly-once"] | None = None
    unaligned: Annotated[bool, Sets("execution.checkpointing.unaligned.enabled")] = False
    storage: Literal["local", "s3", "jobmanager"] = "local"
    directory: Folder | None = None
    s3: S3 = S3()
    backend: Literal["hashmap", "rocksdb"] = "hashmap"
    incremental: bool = False
    working_directory: Annotated[Folder | None, Sets("state.backend.rocksdb.localdir")] = None


class Python(Section):
    """How Flink runs Python functions. `mode`: in processes beside the TaskManager (Flink's own), or in threads in it.

    On their way to a process rows wait for company until a bundle has `bundle_rows` or is `bundle_ms` old.
    """

    mode: Annotated[Literal["process", "thread"] | None, Sets("python.execution-mode")] = None
    bundle_rows: Annotated[Count | None, Sets("python.fn-execution.bundle.size")] = None
    bundle_ms: Annotated[Count | None, Sets("python.fn-execution.bundle.time")] = None


class Pipeline(Section):
    """The Flink job; `job: none` is no pipeline. A key without a value leaves Flink its own, or the job's.

    `function`: in which form the job's function runs, of those the job has. `disorder_bound_s`: how far behind the
    newest event its watermark stays (none: the workload's disorder); less than the disorder drops events.
    `idle_timeout_s`: a source that says nothing for so long holds no watermark back any more, 0 is off.
    `task_manager_idle_timeout_s`, `slot_idle_timeout_s`: of capacity without work. `mini_batch_ms`: how long sums wait
    for company. `partition_discovery_s`: how often it looks for new partitions, 0 never. `flink` passes any other
    option through as it stands.
    """

    job: Annotated[Word, _known("job")]
    parallelism: Count = 1
    task_managers: Count = 1
    slots: Count | None = None
    guarantee: Literal["at-least-once", "exactly-once"] = "at-least-once"
    checkpoint: Annotated[Checkpoint | None, BeforeValidator(_off)] = Checkpoint()
    function: Literal["sql", "java", "row", "pandas"] | None = None
    python: Python = Python()
    disorder_bound_s: NotNegative | None = None
    watermark_interval_ms: Annotated[Positive | None, Sets("pipeline.auto-watermark-interval", "ms")] = None
    idle_timeout_s: Annotated[NotNegative, Sets("table.exec.source.idle-timeout", "ms", 1000)] = 0.0
    task_manager_idle_timeout_s: Annotated[
        Positive | None, Sets("resourcemanager.taskmanager-timeout", "ms", 1000, of_cluster=True)
    ] = None
    slot_idle_timeout_s: Annotated[Positive | None, Sets("slot.idle.timeout", "ms", 1000, of_cluster=True)] = None
    buffer_timeout_ms: Annotated[NotNegative | None, Sets("execution.buffer-timeout.interval", "ms")] = None
    mini_batch_ms: Annotated[
        Positive | None,
        Sets(
            "table.exec.mini-batch.allow-latency", "ms",
            beside=(("table.exec.mini-batch.enabled", "true"), ("table.exec.mini-batch.size", "5000")),
        ),
    ] = None  # fmt: skip
    object_reuse: Annotated[bool | None, Sets("pipeline.object-reuse")] = None
    partition_discovery_s: NotNegative = 0.0
    flink: Annotated[Mapping[str, str | int | float | bool], BeforeValidator(_raw)] = Field(default_factory=dict)

    @property
    def slots_each(self) -> int:
        """Slots of one TaskManager: as given, else just enough for the parallelism."""
        return self.slots or -(-self.parallelism // self.task_managers)

    @property
    def exact_state(self) -> bool:
        """Whether checkpoints align their barriers, so that state holds each event once."""
        return ((self.checkpoint and self.checkpoint.mode) or self.guarantee) == "exactly-once"

    @property
    def own_s3(self) -> bool:
        """Whether checkpoints go into an object store that this scenario names (`s3.endpoint`), and we don't meter."""
        return "s3.endpoint" in self.flink

    @property
    def job_flink(self) -> dict[str, str]:
        """The options that a job brings along, of keys and raw ones."""
        return options(self, of_cluster=False) | self._passed(of_cluster=False)

    @property
    def cluster_flink(self) -> dict[str, str]:
        """The other options: trials that differ in them need clusters of their own."""
        return options(self, of_cluster=True) | self._passed(of_cluster=True)

    def _passed(self, *, of_cluster: bool) -> dict[str, str]:
        return {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in self.flink.items()
            if of_cluster != (key.startswith(_JOB_OPTIONS) and not key.endswith("per-tm"))
        }


class Consumers(Section):
    """One consumer group of the consuming engine, beside the pipeline.

    `protocol`: how members share the partitions; `consumer` is KIP-848's, in which the broker assigns them.
    `racks`: where its members stand, dealt to them in turn; none: nowhere. `fetch_from_follower`: a member tells the
    brokers its rack (client.rack) and is sent to a copy there; otherwise it reads from leaders, wherever they are.
    """

    group: Word
    members: Count = 1
    protocol: Literal["classic", "consumer"] = "classic"
    racks: tuple[Word, ...] = ()
    fetch_from_follower: bool = False


class Fault(Section):
    """Something that goes wrong `at_s` seconds into the measured window. `stop` and `fill-disk` last `for_s`;
    after a `kill`, `for_s` is how long the victim stays away (none: it is started again at once). `lose-disk` is a kill
    after which what the broker had stored of topics is gone. `which`: of several brokers or TaskManagers, from 1. A
    consumer may `join` the first group, or its newest `leave`.
    """

    at_s: NotNegative
    do: Literal["kill", "stop", "restart", "fill-disk", "lose-disk", "join", "leave"]
    target: Literal["broker", "taskmanager", "loadworker", "consumer"]
    which: Count = 1
    for_s: Positive | None = None


class Phases(Section):
    """Seconds of a trial: cut as warm-up, measured, and waited for the backlog to settle."""

    warmup_s: NotNegative = 10.0
    measure_s: Positive = 30.0
    settle_s: NotNegative = 10.0


class Quick(Section):
    """What `--quick` changes: the axes it names, the repeats, single phases. The rest stays."""

    axes: Axes | None = None
    repeats: Count | None = None
    phases: Phases | None = None


class NamedLoad(Load):
    """An entry of `loads`: a load with its own cells. What it leaves out is the scenario's; its axes replace those."""

    axes: Axes | None = None
    design: Literal["full", "one-at-a-time"] | None = None
    repeats: Count | None = None
    phases: Phases | None = None
    claims: tuple[Annotated[str, _known("claim")], ...] | None = None
    faults: tuple[Fault, ...] | None = None
    consumers: tuple[Consumers, ...] | None = None
    quick: Quick | None = None


class Pricing(Section):
    """What a bill assumes since no run can know it; printed as assumed. Without `scale_to_mb_s`: the measured rate."""

    region: Word = "us-east-1"
    retention_days: Positive = 7.0
    replication_factor: Count = 3
    zones: Annotated[int, Field(ge=1, le=6)] = 3
    groups: Annotated[int, Field(ge=0)] = 3
    scale_to_mb_s: Positive | None = None


class Document(Section):
    """A scenario file. Only `schema`, `workload` and one of `load`, `loads` are needed.

    `label` changes nothing: as an axis it makes arms that are the same, whose differences are the host's noise (A/A).
    """

    schema_: Annotated[Literal[1], Field(alias="schema")]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    question: str = ""
    label: str = ""
    workload: Workload
    load: Load | None = None
    loads: Annotated[Mapping[str, NamedLoad], Field(min_length=1)] | None = None
    producer: Producer = Producer()
    topic: Topic = Topic()
    cluster: Cluster = Cluster()
    pipeline: Annotated[Pipeline | None, BeforeValidator(_no_pipeline)] = None
    consumers: tuple[Consumers, ...] = ()
    faults: tuple[Fault, ...] = ()
    axes: Axes = Field(default_factory=dict)
    design: Literal["full", "one-at-a-time"] = "full"
    phases: Phases = Phases()
    repeats: Count = 3
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 7
    quick: Quick | None = None
    claims: tuple[Annotated[str, _known("claim")], ...] = ()
    thresholds: tuple[Annotated[str, AfterValidator(_threshold)], ...] = ()
    pricing: Pricing = Pricing()

    @model_validator(mode="after")
    def _one(self) -> Document:
        _exactly_one(self, ("load", "loads"))
        return self


class Settings(Section):
    """The resolved sections of one trial: what it ran with, as a Run records it (`model_dump(mode="json")`)."""

    label: str = ""
    workload: Workload
    load: Load
    producer: Producer
    topic: Topic
    cluster: Cluster
    pipeline: Annotated[Pipeline | None, BeforeValidator(_no_pipeline)]
    consumers: tuple[Consumers, ...]
    faults: tuple[Fault, ...]
    phases: Phases
    seed: int
