"""What faults do to a process of the platform, and what is still known of it afterwards."""

from __future__ import annotations

import errno
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.backends import disk, replaceable
from bench.backends.accounting import Ledger
from bench.backends.replaceable import Replaceable
from bench.backends.subtree import Child, Subtree, await_true
from bench.errors import BrokerError, HostError

PATIENCE_S = 30.0
BUSY = "n = 0\nwhile True: n += 1"


class Victim(Replaceable):
    """A process that only burns CPU."""

    def __init__(self, subtree: Subtree, program: str = BUSY) -> None:
        super().__init__("broker 1", BrokerError)
        self.subtree, self.program = subtree, program

    def spawn(self) -> Child:
        return self.subtree.spawn("busy", [sys.executable, "-c", self.program])


@pytest.fixture
def subtree() -> Iterator[Subtree]:
    with Subtree() as subtree:
        yield subtree


@pytest.fixture
def victim(subtree: Subtree) -> Victim:
    return Victim(subtree)


def test_who_was_killed_on_purpose_is_not_missed_and_who_died_is(victim: Victim) -> None:
    """A fault that ends its own trial measures no recovery; a death that nobody asked for must end it at once."""
    with pytest.raises(BrokerError, match="broker 1 was never started"):
        victim.kill()
    first = victim.start()
    victim.check()
    victim.kill()
    victim.check()
    second = victim.start()
    assert second.pid != first.pid
    victim.pause()
    await_true(lambda: psutil.Process(second.pid).status() == psutil.STATUS_STOPPED, PATIENCE_S, "stopped")
    victim.resume()
    second.kill()
    second.wait(PATIENCE_S)
    with pytest.raises(BrokerError, match=r"broker 1 ended \(exit code -9\)"):
        victim.check()


def test_one_that_had_to_be_killed_did_not_end(subtree: Subtree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The patience before SIGKILL would be told as the time that a clean stop takes."""
    monkeypatch.setattr(replaceable, "END_TIMEOUT_S", 0.2)
    deaf = Victim(subtree, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + BUSY)
    status = Path(f"/proc/{deaf.start().pid}/status")
    ignored = re.compile(r"SigIgn:\s+(\w+)")

    def heard_nothing() -> bool:
        found = ignored.search(status.read_text())
        return found is not None and bool(int(found[1], 16) >> (signal.SIGTERM - 1) & 1)

    await_true(heard_nothing, PATIENCE_S, "deaf to SIGTERM")
    with pytest.raises(BrokerError, match="did not end within 0 s of SIGTERM and was killed"):
        deaf.end()


def test_cpu_of_a_replaced_process_stays_in_the_sum(victim: Victim) -> None:
    """Otherwise a killed TaskManager gives its CPU back, and recovering from faults looks cheaper than none."""
    ledger, first = Ledger(), victim.start()
    end = time.monotonic() + PATIENCE_S
    while (before := ledger.account([first.pid])).cpu_s < 0.3 and time.monotonic() < end:
        time.sleep(0.05)
    assert before.cpu_s >= 0.3
    assert before.rss_bytes > 1 << 20
    victim.kill()
    after = ledger.account([victim.start().pid])
    assert after.cpu_s >= before.cpu_s


def test_a_disk_that_is_not_bounded_is_never_filled(victim: Victim) -> None:
    """It would be this machine's own."""
    victim.start()
    for act in (victim.fill, victim.free):
        with pytest.raises(HostError, match="no disk of its own"):
            act()


@pytest.mark.skipif(bool(disk.why_not()), reason=f"no bounded disk here: {disk.why_not()}")
def test_a_bounded_disk_is_full_then_free_and_gone_with_the_command(tmp_path: Path) -> None:
    """A disk that is only nearly full tests nothing; one that stays mounted keeps its memory for ever."""
    run_dir = tmp_path / "run"
    data = run_dir / "broker-1" / "disk"
    with Subtree() as subtree:
        subtree.remove_at_end(run_dir)
        disk.mount(data, 4)
        (data / "log").write_bytes(b"x" * 1000)
        disk.fill(data)
        with pytest.raises(OSError, match="No space left") as full:
            (data / "more").write_bytes(b"x" * 10_000)
        assert full.value.errno == errno.ENOSPC
        disk.free(data)
        (data / "more").write_bytes(b"x" * 10_000)
    assert not run_dir.exists()
    assert str(run_dir) not in Path("/proc/self/mounts").read_text()
