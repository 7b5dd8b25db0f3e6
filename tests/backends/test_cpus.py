"""A job told to make do with a quarter of a core must not get a whole one; nobody's core is taken for good."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from bench import campaign, study
from bench.backends import ClusterSpec, Limits, cpus, not_testable
from bench.backends.accounting import Ledger
from bench.backends.cpus import Place, apart, make_group, only_on, why_no_quota
from bench.backends.subtree import Subtree
from bench.errors import HostError

BUSY = "while True: pass"
has_quotas = pytest.mark.skipif(bool(why_no_quota()), reason=why_no_quota() or "has quotas")


def hierarchy(folder: Path, own: str, mount: str) -> Path:
    (folder / "self").mkdir(parents=True)
    (folder / "self" / "cgroup").write_text(own)
    (folder / "self" / "mountinfo").write_text(mount)
    return folder


@has_quotas
def test_a_quota_holds_a_process_back_changes_while_it_runs_and_leaves_nothing() -> None:
    """A quota that is written and does not bind would make the held-out measurement the same as the others."""
    group = make_group(f"streamgauge-test-{os.getpid()}")
    core = max(os.sched_getaffinity(0))
    with Subtree() as subtree:
        subtree.remove_group_at_end(group.folder)
        child = subtree.spawn("busy", [sys.executable, "-c", BUSY], place=Place(str(group.folder), (core,)))
        ledger = Ledger()

        def periods() -> tuple[int, int]:
            """The kernel's own count: periods that began, and those whose quota was used up."""
            counts = dict(line.split() for line in (group.folder / "cpu.stat").read_text().splitlines())
            return int(counts["nr_periods"]), int(counts["nr_throttled"])

        def held_back(times: int) -> None:
            _, until = periods()
            until += times
            while periods()[1] < until:  # pytest's timeout ends it where a quota does not bind
                time.sleep(0.02)

        def used_over(times: int) -> tuple[float, int]:
            """(CPU-seconds, periods) until it was held back so often."""
            (began, _), before = periods(), ledger.account([child.pid]).cpu_s
            held_back(times)
            used = ledger.account([child.pid]).cpu_s - before
            return used, periods()[0] - began

        for cpus_ in (0.2, 0.1):
            group.hold(cpus_)
            held_back(2)
            used, over = used_over(8)
            assert 0 < used <= cpus_ * 0.1 * (over + 1) + 0.02  # a period began before, and a tick
        assert os.sched_getaffinity(child.pid) == {core}
        assert (group.folder / "cgroup.procs").read_text().split() == [str(child.pid)]
    assert not group.folder.exists()


def test_a_place_that_cannot_be_taken_is_said_and_nothing_starts(tmp_path: Path) -> None:
    with Subtree() as subtree, pytest.raises(HostError, match="busy: "):
        subtree.spawn("busy", [sys.executable, "-c", BUSY], place=Place(str(tmp_path / "no-such-group")))


def test_cores_apart_are_the_last_ones_and_somebody_keeps_the_others() -> None:
    cores = sorted(os.sched_getaffinity(0))
    with pytest.raises(HostError, match=f"{len(cores)} cores of {len(cores)} for TaskManagers alone leave none"):
        apart(len(cores))
    if len(cores) > 1:
        theirs, ours = apart(1)
        assert theirs == (cores[-1],) and ours == tuple(cores[:-1])
        with only_on(ours):
            assert os.sched_getaffinity(0) == set(ours)
            assert apart(1) == (theirs, ours)  # the next trial asks while this one's cluster is open
        assert os.sched_getaffinity(0) == set(cores)


@pytest.mark.parametrize(
    ("own", "mount", "said"),
    [
        ("1:cpuset:/\n", "1 0 0:1 / {at} rw - cgroup2 none rw\n", "no control groups for CPU are mounted"),
        ("1:cpu:/mine\n", "1 0 0:1 / {at} rw - cgroup cgroup rw,cpu\n", "probe: No such file"),
        ("1:cpu:/\n", "1 0 0:1 / {at} rw - cgroup cgroup rw,cpu\n", "does not give CPU on"),
        ("0::/\n", "1 0 0:1 / {at} rw - cgroup2 none rw\n", "does not give CPU on"),
    ],
)
def test_where_no_quota_can_be_had_the_reason_is_said(tmp_path: Path, own: str, mount: str, said: str) -> None:
    """`Not testable here` without a reason sends its reader to look for one."""
    at = tmp_path / "cgroup"
    if "mine" not in own:
        at.mkdir()
    proc = hierarchy(tmp_path / "proc", own, mount.format(at=at))
    with pytest.raises(HostError, match=said):
        make_group("probe", proc=proc)
    assert not (at / "probe").exists()  # what was tried is gone


def test_a_run_that_wants_a_quota_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "why_no_quota", lambda: "no control group could be made: it says no")
    limited = ClusterSpec(task_managers=1, limits=Limits(task_manager_cpus=0.5))
    crowded = ClusterSpec(task_managers=10_000, limits=Limits(task_manager_cpus=0.5))

    assert not_testable("local", limited).endswith("and no control group could be made: it says no")
    assert not_testable("compose", limited) == not_testable("local", ClusterSpec(task_managers=1)) == ""
    monkeypatch.setattr(cpus, "why_no_quota", lambda: "")
    assert "leave none for the broker" in not_testable("local", crowded)


def test_quotas_share_a_cluster_as_far_as_they_share_cores(tmp_path: Path) -> None:
    """Another quota on another JVM would compare two JVMs."""
    asked = study.Asked("prediction", ("cluster.limits.task_manager_cpus=0.5",))
    (first, *_) = study.trials(study.scenario(asked), "local")
    assert campaign.cluster_spec(first.settings).limits == Limits(task_manager_cpus=0.5)
    assert len({trial.shape_key for trial in study.trials(study.scenario(study.Asked("prediction")), "local")}) == 1
    assert len({trial.shape_key for trial in study.trials(study.scenario(study.Asked("prediction")), "compose")}) == 4
