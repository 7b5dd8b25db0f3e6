"""Faults as they are done: to whom, in which order, nothing stays down; a broker that returns without its disk."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.backends.kafka import METADATA, Broker, BrokerPlan
from bench.backends.subtree import Child, Subtree
from bench.errors import BrokerError
from bench.scenario.sections import Fault, Settings
from bench.trial import faults
from bench.trial.faults import Happening, hits_a_broker


class Clock(threading.local):
    """Seconds of each thread for itself: a wait takes what was asked, to the nanosecond, and no time at all."""

    now_s = 0.0

    def now_ns(self) -> int:
        return round(self.now_s * 1e9)

    def wait(self, _over: object, seconds: float | None) -> bool:
        assert seconds is not None
        self.now_s += seconds
        return False


@dataclass
class Watched:
    """A broker that only notes what is done to it, and when."""

    number: int
    clock: Clock = field(default_factory=Clock)
    done: list[tuple[float, int, str]] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return lambda: self.done.append((self.clock.now_s, self.number, name))


def under_way(
    steps: Sequence[Fault],
    choose: Callable[[Fault], Watched],
    clock: Clock,
    await_ready: Callable[[], None] | None = None,
    led_within: Callable[[float], bool] | None = None,
) -> Happening:
    """Faults of a measured window that began at 0 s, ended."""
    with Happening(steps, choose, 0, 0.0, await_ready, led_within, clock.now_ns, clock.wait) as happening:
        for thread in happening._threads:
            thread.join(10.0)
    return happening


def happened(*steps: Fault) -> list[tuple[int, str]]:
    """What was done to whom, in order."""
    clock, done = Clock(), list[tuple[float, int, str]]()
    brokers = [Watched(number, clock, done) for number in (1, 2, 3)]
    assert len(under_way(steps, lambda fault: brokers[fault.which - 1], clock).times_s) == len(steps)
    return [(number, name) for _, number, name in sorted(done)]


def test_each_broker_is_hit_by_its_number() -> None:
    """Followers that were meant to lag, and did not, make acks=1 look safe."""
    done = happened(
        Fault(at_s=0.0, do="stop", target="broker", which=2, for_s=1.6),
        Fault(at_s=0.4, do="stop", target="broker", which=3, for_s=1.6),
        Fault(at_s=0.8, do="kill", target="broker", for_s=1.6),
    )
    assert done == [(2, "pause"), (3, "pause"), (1, "kill"), (2, "resume"), (3, "resume"), (1, "start")]


@pytest.mark.parametrize(("do", "first"), [("kill", "kill"), ("lose-disk", "lose_disk"), ("restart", "end")])
def test_what_goes_down_comes_back(do: str, first: str) -> None:
    step = Fault.model_validate({"at_s": 0.0, "do": do, "target": "broker", "which": 3, "for_s": 0.05})
    assert happened(step) == [(3, first), (3, "start")]


def settings(*steps: Fault) -> Settings:
    plain = {
        "workload": {"name": "clicks"}, "load": {"rate_eps": 1000.0}, "producer": {}, "topic": {},
        "cluster": {"brokers": 3, "racks": ("a",)}, "pipeline": None, "consumers": (), "phases": {}, "seed": 7,
        "faults": [step.model_dump() for step in steps],
    }  # fmt: skip
    return Settings.model_validate({**plain, "faults": tuple(steps)})


def test_losses_are_a_finding_only_where_a_broker_is_hit() -> None:
    """A load worker's death must not excuse events that a broker lost."""
    assert hits_a_broker(settings(Fault(at_s=1.0, do="kill", target="broker")))
    assert not hits_a_broker(settings(Fault(at_s=1.0, do="kill", target="loadworker")))
    assert list(faults.unsupported(settings(Fault(at_s=1.0, do="lose-disk", target="broker")))) == []


class Sleeper(Broker):
    """A broker whose process only sleeps."""

    def spawn(self) -> Child:
        return self.subtree.spawn("broker-1", [sys.executable, "-c", "import time; time.sleep(60)"])


def test_a_lost_disk_takes_the_topics_and_leaves_who_the_broker_is(tmp_path: Path) -> None:
    """Without its part of the quorum it would not come back; with its topics nothing would have been lost."""
    plan = BrokerPlan(1, "a", 1, 2, 3, tmp_path)
    for folder in ("clicks-0", "clicks-1", METADATA):
        (plan.data / folder).mkdir(parents=True)
        (plan.data / folder / "00000000000000000000.log").write_bytes(b"x")
    (plan.data / "meta.properties").write_text("node.id=1")
    with Subtree() as subtree:
        broker = Sleeper(plan, 256, None, subtree, tmp_path / "log")  # type: ignore[arg-type]  # no Java is started
        child = broker.start()
        broker.lose_disk()
        assert child.poll() is not None
        broker.check()  # nobody wonders that it is gone
        assert sorted(path.name for path in plan.data.iterdir()) == [METADATA, "meta.properties"]
        assert broker.start().poll() is None


@pytest.mark.parametrize("do", ["restart", "kill"])
def test_a_broker_is_back_when_it_answers(do: str) -> None:
    """A process that runs and serves nobody would be a restart of no time; a kill has no clean stop to be timed."""
    step = Fault.model_validate({"at_s": 0.0, "do": do, "target": "broker"})
    clock = Clock()

    def answers() -> None:
        clock.now_s += 0.2

    happening = under_way([step], lambda _: Watched(1), clock, answers)
    [replaced] = happening.replaced
    assert replaced.ready_s == 0.2
    assert replaced.stop_s == (0.0 if do == "restart" else None)
    assert replaced.failover_missed is None  # nobody waited for others
    assert happening.times_s == [(0.0, 0.2)]


def test_what_goes_wrong_in_a_faults_thread_is_raised() -> None:
    """A thread dies silently: a broker that nobody waited for would be a run without that fault."""
    step = Fault.model_validate({"at_s": 0.0, "do": "kill", "target": "broker"})

    def nobody() -> None:
        raise ValueError("no such setting")

    with pytest.raises(BrokerError, match="ValueError: no such setting"):
        under_way([step], lambda _: Watched(1), Clock(), nobody)


def test_a_fault_that_does_not_end_is_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it hit may still be down, and the run would tell of a fault that it does not have in its series."""
    monkeypatch.setattr(faults, "END_S", 0.05)
    step = Fault.model_validate({"at_s": 0.0, "do": "kill", "target": "broker"})
    begun, let_go, clock = threading.Event(), threading.Event(), Clock()

    def never() -> None:
        begun.set()
        let_go.wait(10.0)

    with (
        pytest.raises(BrokerError, match="was not over"),
        Happening([step], lambda _: Watched(1), 0, 0.0, never, None, clock.now_ns, clock.wait),
    ):
        assert begun.wait(10.0)
    let_go.set()


def test_a_failover_counts_from_the_kill_and_takes_nothing_from_the_time_down() -> None:
    """Waited for on top of the time down, it would measure a broker that stays away longer than asked."""
    clock, asked = Clock(), list[float]()

    def led_within(seconds: float) -> bool:
        asked.append(seconds)
        clock.now_s += 0.4
        return True

    step = Fault(at_s=0.0, do="kill", target="broker", for_s=1.0)
    happening = under_way([step], lambda _: Watched(1), clock, lambda: None, led_within)
    [replaced] = happening.replaced
    assert asked == [1.0]
    assert replaced.stop_s is None
    assert (replaced.failover_s, replaced.failover_missed) == (0.4, False)
    assert happening.times_s == [(0.0, 1.0)]


def test_no_failover_is_told_where_the_broker_came_back_first() -> None:
    """It has no time, but it is no gap either: missing alone, it would leave its claim undecided for ever."""
    step = Fault(at_s=0.0, do="kill", target="broker", for_s=0.1)
    happening = under_way([step], lambda _: Watched(1), Clock(), lambda: None, lambda _: False)
    assert [(one.failover_s, one.failover_missed) for one in happening.replaced] == [(None, True)]
