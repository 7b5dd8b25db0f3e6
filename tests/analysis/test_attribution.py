"""How much of an increase is batching: known answers, coverage, and what must stay unsaid."""

from __future__ import annotations

import numpy as np
import pytest

from bench.analysis.attribution import attribute


def test_parts_add_up_and_the_share_is_theirs() -> None:
    """A part counted twice would make partitions cost what batches cost."""
    found = attribute([80, 81, 79], [180, 181, 179], [80, 81, 79], [90, 91, 89])
    assert found is not None and found.share is not None
    assert (found.few, found.many, found.n) == (80, 180, 3)
    assert found.whole.value == pytest.approx(100)
    assert found.own.value == pytest.approx(10)
    assert found.batching.value == pytest.approx(90)
    assert found.share.value == pytest.approx(0.9)
    assert found.share.low == pytest.approx(0.9) and found.share.high == pytest.approx(0.9)


def test_a_control_that_costs_less_than_it_started_with_leaves_more_than_the_whole_to_batching() -> None:
    """Cut at 100 %, the interval would hide that the control is not exact."""
    found = attribute([1.0, 1.1, 1.05], [3.0, 3.2, 3.1], [1.0, 1.1, 1.05], [0.9, 1.0, 0.95])
    assert found is not None and found.share is not None
    assert found.share.value > 1
    assert found.own.value == pytest.approx(-0.1)


def test_no_increase_has_no_shares() -> None:
    """100 % of nothing would be repeated as a finding."""
    rng = np.random.default_rng(3)
    few, many, control = (list(10 + rng.normal(0, 1, 5)) for _ in range(3))
    found = attribute(few, many, few, control)
    assert found is not None and found.share is None
    falls = attribute([10, 11, 12], [5, 6, 7], [10, 11, 12], [10, 11, 12])
    assert falls is not None and falls.share is None


def test_two_repetitions_say_nothing_and_unequal_ones_are_refused() -> None:
    """An interval of two pairs, or pairs of different repetitions, would look like one that rests on something."""
    assert attribute([1, 2], [3, 4], [1, 2], [1, 2]) is None
    with pytest.raises(ValueError, match="3, 3, 3, 2"):
        attribute([1, 2, 3], [3, 4, 5], [1, 2, 3], [1, 2])


def test_the_interval_covers_the_true_share_as_often_as_it_says() -> None:
    """An interval that is too narrow would decide with four repetitions what ten cannot."""
    rng = np.random.default_rng(11)
    rounds, inside = 2_000, 0
    for _ in range(rounds):
        block = rng.normal(0, 3, 4)  # the host's mood, the same for a block's runs
        few, many, control = (level + block + rng.normal(0, 4, 4) for level in (100.0, 160.0, 118.0))
        found = attribute(few, many, few, control)
        assert found is not None and found.share is not None
        assert found.share.low is not None and found.share.high is not None
        inside += found.share.low <= 1 - 18 / 60 <= found.share.high
    assert 0.935 <= inside / rounds <= 0.965
