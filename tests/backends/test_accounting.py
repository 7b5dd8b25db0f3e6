"""What trees of processes have used: nothing is lost with a process that nobody waits for, nothing counted twice."""

from __future__ import annotations

import pytest

from bench.backends import accounting
from bench.backends.accounting import TICK_S, Ledger, Stat

TASK_MANAGER, BOOT, WORKER = 10, 11, 12


class Machine:
    """Processes that run and end as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stats = {1: Stat(0, 5, 0, 0, 1)}
        monkeypatch.setattr(accounting, "_all_stats", lambda: dict(self.stats))

    def runs(self, pid: int, parent: int, own: int, *, reaped: int = 0, started: int = 7) -> None:
        self.stats[pid] = Stat(parent, own, reaped, started, 1)

    def ends(self, *pids: int) -> None:
        for pid in pids:
            del self.stats[pid]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(monkeypatch)
    found.runs(TASK_MANAGER, 1, 100)
    found.runs(BOOT, TASK_MANAGER, 2)
    found.runs(WORKER, BOOT, 900)
    return found


def ticks(ledger: Ledger) -> float:
    return ledger.account([TASK_MANAGER]).cpu_s / TICK_S


def test_workers_that_nobody_waits_for_stay_in_the_sum(machine: Machine) -> None:
    """Prevents the job after one in Python from using nothing, until it has used more than they had."""
    ledger = Ledger()
    assert ticks(ledger) == pytest.approx(1002)
    machine.ends(BOOT, WORKER)
    machine.runs(TASK_MANAGER, 1, 100, reaped=2)  # of the first one its parent knows; the other went to init
    assert ticks(ledger) == pytest.approx(1002)
    machine.runs(TASK_MANAGER, 1, 350, reaped=2)
    assert ticks(ledger) == pytest.approx(1252)


def test_what_a_parent_has_reaped_counts_once(machine: Machine) -> None:
    """A child is gone a moment before its parent has it: neither a hole nor its time twice."""
    ledger = Ledger()
    machine.runs(TASK_MANAGER, 1, 100, reaped=40)  # of children from before anybody looked
    assert ticks(ledger) == pytest.approx(1042)
    machine.ends(BOOT, WORKER)
    assert ticks(ledger) == pytest.approx(1042)
    machine.runs(TASK_MANAGER, 1, 100, reaped=40 + 902 + 5)  # it had used five more since it was looked at
    assert ticks(ledger) == pytest.approx(1047)


def test_a_child_that_moves_to_init_and_goes_on_is_no_longer_ours(machine: Machine) -> None:
    ledger = Ledger()
    ticks(ledger)
    machine.ends(BOOT)
    machine.runs(WORKER, 1, 5000)
    assert ticks(ledger) == pytest.approx(1002)


def test_a_number_that_is_given_again_is_another_process(machine: Machine) -> None:
    ledger = Ledger()
    ticks(ledger)
    machine.runs(WORKER, BOOT, 50, started=9)
    assert ticks(ledger) == pytest.approx(1052)
    machine.stats.clear()
    machine.runs(TASK_MANAGER, 1, 30, started=11)
    assert ticks(ledger) == pytest.approx(1082)
    assert ledger.account([]).rss_bytes == 0
