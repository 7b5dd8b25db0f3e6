"""A band somebody stands for, or a measured interval, as a distribution to draw from."""

from __future__ import annotations

from decimal import Decimal

HALF = Decimal("0.5")


def between(low: Decimal, value: Decimal, high: Decimal, quantile: Decimal) -> Decimal:
    """Where `quantile` (0..1) falls: half the chance below `value`, half above, uniform in each half.

    Flat halves and not a bell: a band has no shape, and a t-interval over few runs has fat tails.
    """
    return low + (value - low) * 2 * quantile if quantile < HALF else value + (high - value) * (2 * quantile - 1)
