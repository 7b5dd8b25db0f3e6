"""Bytes between zones against sums done by hand, and the bill's formula against the one that runs are held against."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bench.analysis.crossing import Placed, Standing, by_formula, by_places, by_settings, rack_of


def test_three_zones_three_copies_as_the_published_example_counts_them() -> None:
    """A leg that is wrong by a third turns the largest line of most bills."""
    one = by_formula(3.0, 3.0, 3.0)
    assert (one.produce, one.replicate, one.consume) == pytest.approx((2 / 3, 2, 2))
    assert by_formula(3.0, 3.0, 3.0, fetch_from_follower=True).consume == 0
    assert by_formula(3.0, 3.0, 3.0, zone_aware=True).produce == 0


@pytest.mark.parametrize(
    ("zones", "copies", "replicate", "consume", "from_followers"),
    [
        (1, 3, 0, 0, 0),  # nowhere to cross to
        (2, 3, Decimal("1.5"), Decimal("0.5"), 0),  # of three copies in two zones one or two are elsewhere
        (3, 2, 1, Decimal(2) / 3, Decimal(1) / 3),  # the third zone has no copy, and reads across all the same
        (3, 1, 0, Decimal(2) / 3, Decimal(2) / 3),
    ],
)
def test_zones_without_a_copy_and_copies_without_a_zone(
    zones: int, copies: int, replicate: Decimal, consume: Decimal, from_followers: Decimal
) -> None:
    plain = by_formula(Decimal(zones), Decimal(copies), Decimal(1))
    nearby = by_formula(Decimal(zones), Decimal(copies), Decimal(1), fetch_from_follower=True)
    assert plain.replicate == nearby.replicate == replicate
    assert (plain.consume, nearby.consume) == (consume, from_followers)


def test_settings_of_a_run_are_the_formulas_arguments() -> None:
    groups = [{"racks": ["a"], "fetch_from_follower": True}, {"racks": ["b"]}]
    found = by_settings(
        {"cluster": {"racks": ["a", "b", "c"]}, "topic": {"replication_factor": 3}, "consumers": groups}
    )
    assert (found.produce, found.replicate, found.consume) == pytest.approx((2 / 3, 2, 2 / 3))


def test_busy_partitions_shift_the_legs_with_their_leaders() -> None:
    """A formula that knows no leaders is off by as much as one key is busy: it must be told, not averaged away."""
    placed = {0: Placed("a", ("a", "b", "c")), 1: Placed("b", ("b", "c", "a"))}
    events = {0: 900.0, 1: 100.0}
    reader = Standing("a", fetch_from_follower=False, read=events)
    found = by_places(events, placed, ["a"], [reader])
    assert (found.produce, found.replicate, found.consume) == (0.1, 2.0, 0.1)
    assert by_places(events, placed, ["a", "b"], [reader]).produce == pytest.approx(0.05 + 0.45)
    assert by_places(events, placed, ["b"], [Standing("c", True, events)]).consume == 0
    assert by_places(events, placed, ["b"], [Standing("c", False, events)]).consume == 1


def test_without_a_copy_in_its_rack_a_consumer_reads_across_however_it_asks() -> None:
    placed = {0: Placed("a", ("a", "b"))}
    found = by_places({0: 10.0}, placed, ["a"], [Standing("c", True, {0: 10.0}), Standing("b", True, {0: 0.0})])
    assert (found.produce, found.replicate, found.consume) == (0, 1, 1)


def test_racks_are_dealt_in_turn() -> None:
    assert [rack_of(("a", "b"), index) for index in range(3)] == ["a", "b", "a"]
