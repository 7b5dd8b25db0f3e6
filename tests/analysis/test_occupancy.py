"""Shares of a task's time, on accounts that Flink 2.3 gave of a drain on a busy machine."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench import measure
from bench.analysis import occupancy
from bench.measure import Findings, Window
from bench.probes import Samples

AT_S = (1.20, 2.17, 3.22, 4.11, 5.09, 6.09, 6.86)
SOURCE = {"busy_ms:0": (497, 2524, 4811, 6815, 7680, 7526, 7354), "backpressured_ms:0": (0,) * 7,
          "idle_ms:0": (51, 55, 63, 66, 1114, 2776, 4310)}  # fmt: skip
WRITER = {"busy_ms:1": (468, 33, 158, 131, 899, 345, 420), "backpressured_ms:1": (0,) * 7,
          "idle_ms:1": (106, 2478, 4772, 6760, 7904, 9966, 11251)}  # fmt: skip


def recorded(**changes: tuple[float, ...]) -> Samples:
    samples = Samples(0)
    for name, values in (SOURCE | WRITER | {name.replace("__", ":"): these for name, these in changes.items()}).items():
        for t_s, value in zip(AT_S, values, strict=True):
            samples.add(t_s, {name: float(value)})
    return samples


def shares(samples: Samples, window: Window) -> tuple[float, float]:
    found = Findings()
    measure.job_metrics(found, samples, window)
    return tuple(  # type: ignore[return-value]
        found.metrics[name].value if name in found.metrics else math.nan
        for name in ("busy_share", "backpressured_share")
    )


def test_a_share_is_of_the_time_by_flinks_clock_and_never_more_than_all_of_it() -> None:
    """By the sampler's clock this task was busy 109 % of 2 s: nobody believes the next number of such a report."""
    by_the_sampler = (6815 - 2524) / (4110 - 2170) / 2
    assert by_the_sampler > 1.09
    busy, waited = shares(recorded(), Window(2.17, 4.11))
    assert busy == pytest.approx((6815 - 2524) / (6815 + 66 - 2524 - 55))
    assert waited == 0


def test_a_wait_under_way_is_no_work() -> None:
    """Flink counts it as busy until it is over: a job that had finished would seem half busy."""
    busy, _ = shares(recorded(), Window(4.11, 5.09))
    assert busy == pytest.approx((7354 - 6815) / (7680 + 1114 - 6815 - 66))  # not (7680 - 6815)


@pytest.mark.parametrize("lost", ["idle_ms__0", "backpressured_ms__0"])
def test_without_the_whole_account_there_is_no_share(lost: str) -> None:
    """What is not told is not zero: the share would be of the busy time alone, always 100 %."""
    other = {"busy_ms__1": (math.nan,) * 7}
    busy, _ = shares(recorded(**{lost: (math.nan,) * 7}, **other), Window(2.17, 4.11))
    assert math.isnan(busy)


def test_an_account_that_began_anew_says_nothing_across_and_something_after() -> None:
    """After a restart Flink counts from zero: work of the attempt before must not be cut off by it."""
    anew = recorded(busy_ms__0=(497, 2524, 4811, 20, 500, 1000, 1500), idle_ms__0=(51, 55, 63, 0, 400, 900, 1400),
                    busy_ms__1=(math.nan,) * 7)  # fmt: skip
    assert math.isnan(shares(anew, Window(2.17, 5.09))[0])
    assert shares(anew, Window(4.11, 6.86))[0] == pytest.approx(1480 / 2880)
    assert shares(anew, Window(1.20, 3.22))[0] == pytest.approx((4811 - 497) / (4811 + 63 - 497 - 51))


def test_the_account_only_grows_and_no_faster_than_the_clock() -> None:
    """The picture over time is drawn from it: a line above 100 %, or below zero, is a line that nobody trusts."""
    told = occupancy.spent(recorded().tables(), "0")
    worked, passed = np.diff(told["busy_ms"]), np.diff(told["whole_ms"])
    assert len(worked) == len(AT_S) - 1
    assert (worked >= 0).all()
    assert (worked <= passed).all()


def test_only_answers_that_are_whole_count() -> None:
    """A sample of one state paired with the next second's of another would be an account that Flink never gave."""
    torn = recorded().tables()
    torn["busy_ms:0"] = torn["busy_ms:0"].drop(index=1)
    torn["idle_ms:0"].loc[4, "value"] = math.nan
    assert occupancy.spent(torn, "0")["t_s"].tolist() == [at for at in AT_S if at not in (2.17, 5.09)]
