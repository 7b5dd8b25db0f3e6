"""The whole chain on systems whose truth is known; `python -m tests.simulated` does the same at full size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bench.analysis.search import Status
from tests.simulated import __main__ as full
from tests.simulated import studies
from tests.simulated.system import BLIND, STARVED, SYSTEMS, System


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_a_search_ends_within_five_percent_of_the_truth(system: System) -> None:
    """Prevents a rate from being published that the system does not carry, or far below what it does."""
    found = studies.searches(system, 14)
    assert len(found.errors) >= 12
    assert found.within >= 0.9


def test_a_starved_generator_gives_a_lower_bound_and_no_more() -> None:
    """Prevents the generator's limit from being published as the system's."""
    found = studies.searches(STARVED, 7)
    assert set(found.statuses) == {Status.AT_LEAST}
    assert max(found.errors) <= studies.generator_error(STARVED)


def test_missing_samples_never_confirm_a_rate() -> None:
    """Prevents missing lag from being read as no lag."""
    assert studies.searches(BLIND, 7).errors == ()


@pytest.mark.parametrize(
    "part", [full.steadiness, full.tails, full.bundles, full.intervals, full.words, full.as_recorded]
)
def test_promises_hold(part: Callable[[], Iterator[full.Line]]) -> None:
    """Prevents intervals that do not cover, verdicts that are too sure, and a plan that promises too much."""
    assert [line for line in part() if line.kept is False] == []
