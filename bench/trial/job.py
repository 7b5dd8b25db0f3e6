"""The Flink job as reader: submitted, watched through Flink's REST interface, its outputs held against the oracle."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench import measure, topics, verify
from bench.backends import ObjectStore
from bench.backends.flink import OWN_STORE
from bench.errors import HostError
from bench.jobs import find, function_of, functions, groups, in_our_store, job_params
from bench.jobs.session import JobSession
from bench.probes import Probe, Samples
from bench.probes.flink import (
    Checkpoints,
    checkpoint_tasks,
    checkpoints,
    job_probe,
    late_events,
    restart,
    source_records,
)
from bench.scenario import Trial
from bench.toolchain import provision
from bench.topics import Names
from bench.trial import readback, stores
from bench.trial.notes import Notes, Seen
from bench.trial.stage import Stage
from bench.trial.visibility import Visibility

MOST_DETAILS = 60  # checkpoints whose tasks are asked for, the newest: a question each
REST_S = 1.0  # longer than a watermark's interval (200 ms) and a sink's linger: the last windows and rows are out


class JobReader:
    """See `bench.trial.readers.Reader`."""

    component = "flink"
    counter = "source_events"

    def __init__(self, trial: Trial, session: JobSession, names: Names, stage: Stage) -> None:
        assert trial.settings.pipeline is not None
        self._trial, self._session, self._names, self._bootstrap = trial, session, names, stage.cluster.bootstrap
        self._cluster = stage.cluster
        self._pipeline, self._url = trial.settings.pipeline, session.flink_url
        self._job = find(self._pipeline.job)
        self._exactly_once = self._pipeline.guarantee == "exactly-once"
        self._seen: Visibility | None = None
        if self._exactly_once and self._job.per_event and trial.load.kind != "drain":
            topic = names.outputs[self._job.per_event]
            self._seen = Visibility(trial, stage, names.run, topic, self._pipeline.parallelism)
        self._id = ""
        self._told: Mapping[str, str] = {}
        self._submitted: Mapping[str, str] = {}
        self._store: ObjectStore | None = None  # where its checkpoints go, if that is ours
        self._store_since_ns = 0
        self._caught_up = False  # it has read every event, and its outputs are complete
        self._written, self._rests_since = -1, 0.0
        # the last windows come when sources that have gone silent count as idle, a few watermarks after their timeout
        idle_s = self._pipeline.idle_timeout_s
        self._rest_s = REST_S + (idle_s + REST_S if idle_s else 0.0)
        self._barrier = ""  # the checkpoint that was asked for when its outputs had come to rest
        self._asked = ""  # the one that was asked for so that it says how far it has read

    def start(self) -> None:
        if self._seen is not None:
            self._seen.start()
        names = self._names
        params = job_params(self._trial.settings, self._bootstrap, names.run, names.input, names.outputs)
        self._pace_store()
        self._id = self._session.submit(self._pipeline.job, params)
        self._told, self._submitted = params.settings, self._session.submitted

    def prove(self) -> None:
        """Where checkpoints go to a place that may not be writable, that one can be made there."""
        folder = self._told.get("execution.checkpointing.dir")  # none: the session cluster's own, or a heap
        if folder is None:
            return
        where = f"in {folder}"
        if folder.startswith("s3:"):
            where += f" at {self._store.url if self._store else self._pipeline.flink[OWN_STORE]}"
        self._session.prove_checkpoint(self._id, where)

    def _pace_store(self) -> None:
        """Have the cluster's store answer as slowly as this trial wants it."""
        if not in_our_store(self._trial.settings):
            return
        assert self._pipeline.checkpoint is not None
        told, self._store = self._pipeline.checkpoint.s3, self._cluster.object_store()
        if self._store is None:
            raise HostError(f"the backend {self._cluster.backend} has no object store that could be metered")
        self._store.pace(told.latency_ms, told.bandwidth_mb_s)
        self._store_since_ns = time.time_ns()

    def probes(self) -> list[Probe]:
        return [job_probe(self._url, self._id)]

    def check(self) -> None:
        self._session.check(self._id)

    def caught_up(self, samples: Samples, events: int) -> bool:
        if not self._has_read(samples, events):
            return False
        outputs = self._names.outputs.values()
        now, written = time.monotonic(), topics.written(self._bootstrap, outputs)
        if self._exactly_once and topics.written(self._bootstrap, outputs, committed=True) < written:
            written = -1  # what no checkpoint has committed yet would read as lost
        if written < 0 or written != self._written:
            self._written, self._rests_since, self._barrier = written, now, ""
        self._caught_up = now - self._rests_since >= self._rest_s and self._is_through()
        return self._caught_up

    def _is_through(self) -> bool:
        """Whether a checkpoint begun at rest has completed: its barrier passes behind every record, and flushes sinks.

        Rest alone is not enough: on a busy host a sink's producer waited for more than a second, with 6 % of a million
        events in its buffer.
        """
        if self._pipeline.checkpoint is None:
            return True
        if not self._barrier:
            self._barrier = self._session.begin_checkpoint(self._id)
            return False
        done = self._session.checkpoint_done(self._id, self._barrier)
        if done is False:
            self._barrier = ""
        return bool(done)

    def _has_read(self, samples: Samples, events: int) -> bool:
        """By Flink's count; where tasks may have begun anew, and their counts with them, by what it has committed."""
        if not self._trial.settings.faults:
            read = samples.series(self.counter).value.dropna()
            return len(read) > 0 and read.iloc[-1] >= events
        self._commit()
        topic, names = self._names.input, self._names
        ends = {p: end for p, end in topics.end_offsets(self._bootstrap, topic).items() if end > 0}
        said = [topics.committed_offsets(self._bootstrap, one, topic) for one in groups(names.run, names.outputs)]
        return all(committed.get(p, 0) >= end for committed in said for p, end in ends.items())

    def _commit(self) -> None:
        """Have a checkpoint made where none is due in time: offsets are committed with one."""
        checkpoint, patience_s = self._pipeline.checkpoint, self._trial.settings.phases.settle_s
        if checkpoint is None or checkpoint.interval_s <= patience_s:
            return
        if not self._asked or self._session.checkpoint_done(self._id, self._asked) is not None:
            self._asked = self._session.begin_checkpoint(self._id)

    def ended(self, samples: Samples) -> None:
        """What becomes visible from now on comes too late; Flink itself was asked once a second."""
        del samples
        if self._seen is not None:
            self._seen.stop()

    def measure(self, seen: Seen, notes: Notes) -> None:
        self._read_back(notes)
        self._measure(seen, notes)
        if self._caught_up:
            self._hold_against_oracle(seen, notes)
        else:  # an output that is not complete is neither right nor wrong, and its latencies are the lucky ones
            notes.invalid.append("the job had not caught up when the run ended: its outputs could not be compared")

    def tear_down(self) -> None:
        """Cancel the trial's jobs: also one whose submission failed half-way."""
        if self._seen is not None:
            self._seen.stop()
        for job_id in self._session.jobs_named(self._names.run):
            self._session.cancel(job_id)

    def _measure(self, seen: Seen, notes: Notes) -> None:
        found, samples, zero_ns = notes.found, seen.samples, seen.samples.zero_ns
        measure.job_metrics(found, samples, seen.window)
        measure.capacity_metrics(found, samples, seen.window)
        self._leave_out_python(notes)
        found.put("late_events", late_events(self._url, self._id))
        measure.source_metrics(found, source_records(self._url, self._id))
        self._judge_restarts(notes)
        if "faults" in notes.series:
            self._measure_recovery(seen, notes)
        done: Checkpoints = checkpoints(self._url, self._id)
        measure.checkpoint_metrics(found, done, seen.window, zero_ns)
        self._measure_parts(done, seen, notes)
        if self._store is not None:
            assert self._pipeline.checkpoint is not None
            paced = self._pipeline.checkpoint.s3.latency_ms
            stores.measure_store(self._store.requests(self._store_since_ns), seen, notes, latency_ms=paced)
        for name in ("duration_ms", "size_bytes"):
            at_s = done.completed["trigger_ms"] / 1e3 - zero_ns / 1e9
            notes.series[f"checkpoint_{name}"] = pd.DataFrame({"t_s": at_s, "value": done.completed[name]})
        if seen.on_schedule:
            speed = self._trial.settings.workload.event_time_speed
            measure.watermark_lag(found, samples, seen.window, seen.sent.t0_ns, speed)

    def _judge_restarts(self, notes: Notes) -> None:
        """Nobody asked for them: a checkpoint too large for its storage, a function that raises, a broker's answer."""
        restarts = notes.found.metrics.get("restarts")
        if restarts is not None and restarts.value > 0 and not self._trial.settings.faults:
            why = self._session.failure(self._id)
            notes.invalid.append(f"the job restarted {restarts.value:.0f} times, and no fault was asked for: {why}")

    def _leave_out_python(self, notes: Notes) -> None:
        """Where processes for Python are not seen, Flink's CPU is not known: a part of it is no measurement."""
        python = function_of(self._pipeline) in readback.PYTHON_FORMS and self._pipeline.python.mode != "thread"
        if python and not self._cluster.ours:
            for name in ("flink_cpu_s_per_million_events", "system_cpu_s_per_million_events", "flink_cores"):
                if notes.found.metrics.pop(name, None) is not None:
                    notes.found.missing.append(name)

    def _read_back(self, notes: Notes) -> None:
        """What it really ran with; before it is cancelled, with its Python workers still there."""
        pipeline, python, function = self._pipeline, self._cluster.python_use(), function_of(self._pipeline)
        told = readback.ask(self._url, self._id)
        notes.ran_with = readback.recorded(told, pipeline, self._submitted, function, python)
        # somebody else's cluster is told nothing of its size
        whole = not self._trial.settings.faults and self._cluster.ours
        notes.warnings += readback.differences(told, self._told, self._submitted, pipeline, whole=whole)
        if pipeline.flink:
            notes.warnings += readback.misspelt(pipeline, provision(progress=False).flink_classpath)
        asked = {**pipeline.job_flink, **pipeline.cluster_flink}
        varied = self._trial.knobs
        forms = functions(pipeline.job) if "pipeline.function" in varied else (function,)
        threads = pipeline.python.mode == "thread" and "pipeline.python.mode" not in varied
        notes.warnings += readback.without_effect(asked, forms, standalone=self._cluster.ours, threads=threads)
        notes.warnings += [*readback.of_another_storage(pipeline, varied), *readback.unseen(function, python)]
        if why := readback.python_refusal(function, pipeline.python.mode or "process", python):
            notes.invalid.append(why)

    def _measure_parts(self, done: Checkpoints, seen: Seen, notes: Notes) -> None:
        """Where the time of the window's checkpoints went, and each task's part of them."""
        at_s = (done.completed["trigger_ms"] - seen.samples.zero_ns / 1e6) / 1e3
        inside = done.completed[(at_s >= seen.window.from_s) & (at_s < seen.window.to_s)]
        if not len(inside):
            return
        asked = inside["id"].astype(int).tolist()[-MOST_DETAILS:]
        tasks = checkpoint_tasks(self._url, self._id, asked)
        measure.checkpoint_part_metrics(notes.found, tasks)
        when_s = dict(zip(inside["id"], at_s[inside.index], strict=True))
        for task, rows in tasks.groupby("task"):
            for part in rows.columns.drop(["id", "task"]):
                notes.series[f"checkpoint_task_{part}:{task:.0f}"] = pd.DataFrame(
                    {"t_s": rows["id"].map(when_s), "value": rows[part]}
                ).reset_index(drop=True)

    def _measure_recovery(self, seen: Seen, notes: Notes) -> None:
        """The phases of coming back, if the job was brought down at all."""
        faults = notes.series["faults"]
        began_s = float(faults.t_s[np.diff(faults.value, prepend=0.0) > 0].max())
        back = restart(self._url, self._id, since_ms=seen.samples.zero_ns / 1e6 + began_s * 1e3)
        if back is not None:
            zero_ms = seen.samples.zero_ns / 1e6
            times_s = [(at_ms - zero_ms) / 1e3 for at_ms in (back.noticed_ms, back.deployed_ms, back.running_ms)]
            measure.recovery_phases(notes.found, began_s, *times_s)

    def _hold_against_oracle(self, seen: Seen, notes: Notes) -> None:
        """Read the outputs back; a job that answers wrongly has no latency."""
        found, sent = notes.found, seen.sent
        marks = seen.samples.series("watermark_ms").value.dropna()
        compared = verify.compare(
            self._trial,
            self._job,
            sent,
            self._bootstrap,
            output_topics=self._names.outputs,
            watermark_seen_ms=float(marks.iloc[-1]) if len(marks) else float("nan"),
            failed=bool(self._trial.settings.faults),
            stamps_ahead_ms=notes.ahead.ms if notes.ahead else 0.0,
        )
        if notes.ahead is not None and seen.on_schedule:
            notes.warnings.append(
                f"latencies end with a broker's stamp: its clock was ahead of this one by {notes.ahead}, which is "
                "taken out, and they are as uncertain as that"
            )
        notes.checks += compared.verified.checks
        for name, count in compared.verified.counts.items():
            found.put(name, count)
        if "window_missing_share" in compared.verified.counts:  # its oracle knows of windows
            measure.windows_closed(found, compared.outputs)
            if compared.none_due:
                notes.warnings.append(
                    "no window was due: a partition without an event holds the watermark back (pipeline.idle_timeout_s)"
                )
        per_event = compared.outputs.get(self._job.per_event)
        if per_event is not None and len(per_event.rows):
            zero_ns = sent.t0_ns if seen.on_schedule else seen.samples.zero_ns  # of a drain: since it is read
            notes.series["output_eps"] = verify.append_rate(per_event, zero_ns)
        if seen.on_schedule:  # else its due times are nominal
            self._latencies(compared, seen, notes)

    def _latencies(self, compared: verify.Compared, seen: Seen, notes: Notes) -> None:
        found, sent = notes.found, seen.sent
        speed = self._trial.settings.workload.event_time_speed
        for output in compared.outputs.values():
            measure.window_latency(found, output, sent.t0_ns, speed, seen.window)
        measure.oracle_waits(found, compared.verified.waits, sent.t0_ns, seen.window)
        per_event = compared.outputs.get(self._job.per_event)
        if per_event is None or not len(per_event.rows):
            return
        if self._exactly_once:
            self._visible(seen, notes, len(per_event.rows))
        else:
            measure.latency_metrics(found, per_event, sent, seen.window)
            notes.series["e2e_latency_ms"] = measure.latency_by_second(per_event, sent.t0_ns)

    def _visible(self, seen: Seen, notes: Notes, rows: int) -> None:
        """End to end ends where a reader of committed rows sees the row; without such a reader there is no latency."""
        assert self._seen is not None
        if why := self._seen.check(rows):
            notes.warnings.append(f"{why}: there is no end-to-end latency")
            notes.found.missing.append("e2e_latency_ms")
            return
        notes.found.put_latency("e2e_latency_ms", self._seen.latency(seen.sent.t0_ns, seen.window))
        notes.series["e2e_latency_ms"] = self._seen.by_second(seen.sent.t0_ns)
