"""Settings that are each fine and cannot be right together, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from bench.scenario.sections import Fault, Names, Pipeline, Settings, Shape
from bench.scenario.words import nearest

TRANSACTION_S = 60.0  # the sinks' transaction.timeout.ms: as long may pass between two checkpoints of exactly-once


def incoherences(settings: Settings, *, has_slo: bool, folder: Path | None, names: Names) -> Iterator[tuple[str, str]]:
    """(path, sentence) for each thing these settings cannot do together.

    `folder` is where the files are looked for that they name; None: nobody needs them any more. `names`: what each job
    reads, and the forms of its function.
    """
    yield from _cluster_incoherences(settings)
    yield from _rack_incoherences(settings)
    yield from _load_incoherences(settings, has_slo=has_slo, folder=folder)
    yield from _pipeline_incoherences(settings, names.reads)
    yield from _function_incoherences(settings, names.functions)
    yield from _fault_incoherences(settings)


def _cluster_incoherences(settings: Settings) -> Iterator[tuple[str, str]]:
    topic, cluster, producer = settings.topic, settings.cluster, settings.producer
    if topic.replication_factor > cluster.brokers:
        yield (
            "topic.replication_factor",
            (
                f"was {topic.replication_factor}, expected at most {cluster.brokers}: "
                f"a copy needs a broker of its own (cluster.brokers)"
            ),
        )
    if topic.min_insync > topic.replication_factor:
        yield (
            "topic.min_insync",
            (
                f"was {topic.min_insync}, expected at most {topic.replication_factor}: "
                f"there are no more copies (topic.replication_factor)"
            ),
        )
    if topic.local_retention_s is not None and not cluster.tiered:
        yield (
            "topic.local_retention_s",
            "is given, expected cluster.tiered: true: nowhere else is a place to keep it",
        )
    if len(cluster.racks) > cluster.brokers:
        yield (
            "cluster.racks",
            (
                f"has {len(cluster.racks)}, expected at most {cluster.brokers}: "
                f"a rack without a broker (cluster.brokers)"
            ),
        )
    if producer.idempotent and producer.acks != "all":
        yield (
            "producer.acks",
            (
                f"was {producer.acks}, expected all: an idempotent producer waits for every copy "
                f"(or producer.idempotent: false)"
            ),
        )


def _rack_incoherences(settings: Settings) -> Iterator[tuple[str, str]]:
    racks = settings.cluster.racks
    stands = {"producer.racks": settings.producer.racks}
    stands |= {f"consumers.{i}.racks": one.racks for i, one in enumerate(settings.consumers)}
    for path, those in stands.items():
        for rack in those:
            if rack not in racks:
                some = ", ".join(racks)
                yield path, f"has '{rack}', expected one of {some} (cluster.racks){nearest(rack, racks)}"
    for i, one in enumerate(settings.consumers):
        if one.fetch_from_follower and not one.racks:
            yield f"consumers.{i}.fetch_from_follower", "was true, expected racks: where its members stand"


def _load_incoherences(settings: Settings, *, has_slo: bool, folder: Path | None) -> Iterator[tuple[str, str]]:
    load = settings.load
    if load.kind == "search" and not has_slo:
        yield "load.rate_eps", "is a search without an SLO, expected thresholds: ['e2e_latency_ms p99 < 500'] or such"
    if load.kind == "drain" and settings.pipeline is None and not settings.consumers:
        yield "load.drain", "has nobody to read it, expected a pipeline or consumers"
    if load.kind == "maximum" and settings.pipeline is not None:
        yield (
            "load.rate_eps",
            (
                "was maximum with a pipeline, which answers for due times that a maximum does not have; "
                "expected drain (the most a job reads), search, or a rate"
            ),
        )
    if load.shape is not None:
        yield from _shape_incoherences(load.shape, settings)
        yield from _replay_incoherences(load.shape, settings, folder)


def _shape_incoherences(shape: Shape, settings: Settings) -> Iterator[tuple[str, str]]:
    spike, diurnal = shape.spike, shape.diurnal
    if shape.ramp is not None and shape.ramp.from_eps + shape.ramp.to_eps == 0:
        yield "load.shape.ramp.to_eps", "never sends an event, expected a rate above 0"
    if spike is not None and spike.at_s + spike.for_s > settings.phases.measure_s:
        yield (
            "load.shape.spike.at_s",
            (
                f"ends {spike.at_s + spike.for_s:g} s into the run, expected within "
                f"phases.measure_s = {settings.phases.measure_s:g}"
            ),
        )
    if diurnal is not None and diurnal.low_eps > diurnal.high_eps:
        yield "load.shape.diurnal.low_eps", "is above high_eps, expected the lower of the two"
    if shape.steps is not None and not any(step.rate_eps for step in shape.steps):
        yield "load.shape.steps", "never sends an event, expected a rate above 0 in one of them"


def _replay_incoherences(shape: Shape, settings: Settings, folder: Path | None) -> Iterator[tuple[str, str]]:
    replay = shape.replay
    if replay is None:
        return
    if settings.pipeline is not None:
        yield "load.shape.replay", "has no truth to hold a job's output against, expected pipeline: none"
    if folder is not None and not (folder / replay.file).is_file():
        yield "load.shape.replay.file", f"no file '{replay.file}' in {folder}, expected a recorded stream"
    if replay.speed is not None and replay.rate_eps is not None:
        yield "load.shape.replay.rate_eps", "is given beside speed, expected one of them"


def _pipeline_incoherences(settings: Settings, reads: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    groups = [c.group for c in settings.consumers]
    for i, group in enumerate(groups):
        if group in groups[:i]:
            yield f"consumers.{i}.group", f"'{group}' is given twice, expected a name of its own (members: 2 for more)"
    pipeline = settings.pipeline
    if pipeline is None:
        return
    needed = reads.get(pipeline.job, settings.workload.name)
    if needed != settings.workload.name:
        yield "pipeline.job", f"'{pipeline.job}' reads {needed}, expected workload.name: {needed} or another job"
    total = pipeline.slots_each * pipeline.task_managers
    if total < pipeline.parallelism:
        yield (
            "pipeline.slots",
            (f"makes {total} slots in all, expected at least {pipeline.parallelism} (pipeline.parallelism)"),
        )
    if pipeline.checkpoint is None:
        if pipeline.guarantee == "exactly-once":
            yield "pipeline.checkpoint", "is none, expected an interval: exactly-once commits at checkpoints"
    elif pipeline.checkpoint.incremental and pipeline.checkpoint.backend != "rocksdb":
        yield "pipeline.checkpoint.incremental", "was true, expected backend: rocksdb (hashmap has no increments)"
    yield from _store_incoherences(pipeline)


def _store_incoherences(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """What a checkpoint cannot have: Flink would leave it out without a word."""
    checkpoint = pipeline.checkpoint
    if checkpoint is None:
        return
    if pipeline.guarantee == "exactly-once" and checkpoint.interval_s >= TRANSACTION_S:
        yield (
            "pipeline.checkpoint.interval_s",
            (
                f"was {checkpoint.interval_s:g}, expected less than {TRANSACTION_S:g}: exactly-once commits at "
                "checkpoints, and brokers end a transaction that is open for longer (or guarantee: at-least-once)"
            ),
        )
    if pipeline.guarantee == "exactly-once" and not pipeline.exact_state:
        yield "pipeline.checkpoint.mode", "was 'at-least-once', expected exactly-once, as pipeline.guarantee is"
    if checkpoint.unaligned and not pipeline.exact_state:
        yield (
            "pipeline.checkpoint.unaligned",
            "was true, expected mode: exactly-once (at-least-once checkpoints align nothing anyway)",
        )
    if checkpoint.working_directory is not None and checkpoint.backend != "rocksdb":
        yield (
            "pipeline.checkpoint.working_directory",
            "is of RocksDB, expected backend: rocksdb (hashmap keeps its state in memory)",
        )


def _function_incoherences(settings: Settings, functions: Mapping[str, Collection[str]]) -> Iterator[tuple[str, str]]:
    """Forms of a job's function, and where Python runs them: Flink itself falls back without a word."""
    pipeline = settings.pipeline
    if pipeline is None:
        return
    forms, form = tuple(functions.get(pipeline.job, ())), str(pipeline.function or "")
    if form and form not in forms:
        if forms:
            yield (
                "pipeline.function",
                f"was '{form}', expected one of {', '.join(forms)} (pipeline.job){nearest(form, forms)}",
            )
        else:
            with_one = ", ".join(job for job, some in sorted(functions.items()) if form in some) or "(none exist)"
            yield (
                "pipeline.function",
                f"'{pipeline.job}' has no function of its own, expected a job with '{form}': {with_one}",
            )
        return
    form = form or "".join(forms[:1])
    if pipeline.python.mode == "thread" and form != "row":
        why = (
            "Flink runs pandas functions in processes, whatever it is told"
            if form == "pandas"
            else "nothing of it is Python"
        )
        valid = "process or pipeline.function: row" if "row" in forms else "process"
        whose = f"pipeline.function {form}" if form else f"pipeline.job {pipeline.job}"
        yield "pipeline.python.mode", f"was 'thread', expected {valid}: {why} ({whose})"


def _fault_incoherences(settings: Settings) -> Iterator[tuple[str, str]]:
    yield from _leaver_incoherences(settings)
    for i, fault in enumerate(settings.faults):
        path = f"faults.{i}"
        yield from _victim_incoherences(path, fault, settings)
        if fault.do in ("stop", "fill-disk") and fault.for_s is None:
            yield f"{path}.for_s", f"is missing, expected how many seconds the {fault.do} lasts"
        if settings.load.kind == "drain":
            continue  # its window is as long as the reading takes
        if fault.at_s + (fault.for_s or 0) > settings.phases.measure_s:
            yield (
                f"{path}.at_s",
                (
                    f"ends {fault.at_s + (fault.for_s or 0):g} s into the measured window, "
                    f"expected within phases.measure_s = {settings.phases.measure_s:g}"
                ),
            )


def _leaver_incoherences(settings: Settings) -> Iterator[tuple[str, str]]:
    """Of the first group, in the order of time; who leaves as another joins, leaves first."""
    staying = settings.consumers[0].members if settings.consumers else 0
    in_time = sorted(enumerate(settings.faults), key=lambda of: (of[1].at_s, of[1].do != "leave"))
    for i, fault in in_time:
        staying += (fault.do == "join") - (fault.do == "leave")
        if settings.consumers and fault.do == "leave" and staying < 0:
            yield f"faults.{i}.do", "was leave, expected a member that is still there (consumers.0.members, or a join)"
            return


def _victim_incoherences(path: str, fault: Fault, settings: Settings) -> Iterator[tuple[str, str]]:
    pipeline = settings.pipeline
    if fault.do in ("fill-disk", "lose-disk") and fault.target != "broker":
        done = "filled" if fault.do == "fill-disk" else "lost"
        yield f"{path}.target", f"was '{fault.target}', expected broker: only its disk is {done}"
    if (fault.target == "consumer") != (fault.do in ("join", "leave")):
        yield f"{path}.do", f"was '{fault.do}' of a {fault.target}: join and leave, and nothing else, are a consumer's"
    elif fault.target == "consumer" and not settings.consumers:
        yield f"{path}.target", "was 'consumer', expected consumers to have one"
    there = {"broker": settings.cluster.brokers, "taskmanager": pipeline.task_managers if pipeline else 1}
    most = there.get(fault.target, 1)
    if fault.which > most:
        yield f"{path}.which", f"was {fault.which}, expected at most {most}: there is no other {fault.target}"
    if fault.target == "loadworker" and fault.do == "restart":
        yield f"{path}.do", "was 'restart', expected stop or kill: a load worker cannot go on where another ended"
    if fault.target == "taskmanager" and pipeline is None:
        yield f"{path}.target", "was 'taskmanager', expected a pipeline to have one"
