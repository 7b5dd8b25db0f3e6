"""One measured number of a bill, from its runs."""

from __future__ import annotations

import pytest

from costmodel.measured import number


def test_few_runs_of_what_cannot_be_nothing_can_be_priced() -> None:
    """Two runs of a job at 140 and 300 CPU-seconds had an interval that began at zero, and no bill at all."""
    found = number([140.0, 300.0], "flink_cpu_s_per_million_events")
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 140
    assert found.value == 220
    assert float(found.high) == pytest.approx(220 + 12.706 * 80, rel=1e-3)  # t of one degree of freedom, as ever


def test_what_may_be_nothing_keeps_its_zero() -> None:
    assert number([0.0, 9.0], "late_events").low == 0
    assert float(number([5.0, 5.1, 5.2], "x").low or 0) == pytest.approx(5.1 - 4.303 * 0.1 / 3**0.5, rel=1e-3)
