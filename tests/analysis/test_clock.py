"""Another machine's clock: the bound holds whatever the network does, and is as narrow as the fastest exchange."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.clock import Exchange, Offset, hull, offset

NOW_NS = 1_700_000_000_000_000_000


def exchanges(ahead_ms: float, ways_ms: list[tuple[float, float]]) -> list[Exchange]:
    """What is seen of a clock that is ahead, when requests and answers take these."""
    found, at = [], float(NOW_NS)
    for there, back in ways_ms:
        stamp_ns = at + (there + ahead_ms) * 1e6
        found.append(Exchange(int(at), int(stamp_ns // 1e6), int(at + (there + back) * 1e6)))
        at += (there + back) * 1e6 + 5e6
    return found


@given(
    st.floats(-5_000, 5_000),
    st.lists(st.tuples(st.floats(0.01, 500), st.floats(0.01, 500)), min_size=1, max_size=30),
)
def test_the_truth_is_within_the_error_also_on_ways_that_differ(
    ahead_ms: float, ways: list[tuple[float, float]]
) -> None:
    found = offset(exchanges(ahead_ms, ways))
    assert found is not None
    assert abs(found.ms - ahead_ms) <= found.error_ms + 1e-3
    fastest = min(there + back for there, back in ways)
    assert found.error_ms <= (fastest + 1) / 2 + 1e-3, "no wider than the fastest exchange and the stamp's millisecond"


def test_many_exchanges_are_narrower_than_one() -> None:
    draw = random.Random(7)
    ways = [(draw.expovariate(1) + 0.2, draw.expovariate(1) + 0.2) for _ in range(40)]
    many, one = offset(exchanges(37.4, ways)), offset(exchanges(37.4, ways[:1]))
    assert many is not None
    assert one is not None
    assert many.error_ms < one.error_ms / 2
    assert many.ms == pytest.approx(37.4, abs=many.error_ms)


def test_a_clock_that_was_set_meanwhile_has_no_offset() -> None:
    before, after = exchanges(0, [(1, 1)]), exchanges(500, [(1, 1)])
    assert offset([*before, *after]) is None
    assert offset([]) is None


def test_several_clocks_are_told_by_what_holds_them_all() -> None:
    assert hull([Offset(10, 1, 5), Offset(-4, 2, 5)]) == Offset(2.5, 8.5, 10)
    assert hull([]) is None
    assert str(Offset(2.5, 8.5, 10)) == "+2.5 ± 8.5 ms"
