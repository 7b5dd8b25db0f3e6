"""Calls in a row, against checkpoints whose calls are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.sequential import calls_in_a_row


@given(calls=st.integers(0, 200), work_ms=st.floats(1, 1e4), near=st.floats(0, 50), longer=st.floats(1, 200))
def test_what_a_checkpoint_was_made_of_is_found_again(calls: int, work_ms: float, near: float, longer: float) -> None:
    """The work that is the same in both stores must not be taken for calls."""
    far = near + longer
    found = calls_in_a_row([work_ms + calls * near] * 3, [work_ms + calls * far] * 3, [near] * 3, [far] * 3)
    assert found is not None
    assert found.calls == pytest.approx(calls, abs=1e-6 * (1 + work_ms + calls * far))
    assert found.n == 3
    assert found.call_ms == pytest.approx(longer)


def test_the_interval_is_over_repetitions() -> None:
    """11, 12 and 13 calls: Student's t with two degrees of freedom, 4.303 x 1 / sqrt(3)."""
    found = calls_in_a_row([100, 100, 100], [430, 460, 490], [0, 0, 0], [30, 30, 30])
    assert found is not None
    assert (found.calls, found.low, found.high) == pytest.approx((12, 12 - 2.484, 12 + 2.484), abs=1e-3)
    one = calls_in_a_row([100], [460], [0], [30])
    assert one is not None
    assert (one.calls, one.low, one.high) == (12, None, None)


def test_a_store_that_is_no_farther_says_nothing() -> None:
    """Divided by nothing, noise would be a thousand calls."""
    assert calls_in_a_row([100], [200], [30], [30]) is None
    assert calls_in_a_row([100, 100], [200, 200], [0, 30], [30, 20]) is None
    assert calls_in_a_row([], [], [], []) is None
    with pytest.raises(ValueError, match="do not pair up: 2, 1"):
        calls_in_a_row([1, 2], [1], [0], [30])
