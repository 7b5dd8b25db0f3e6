"""How the cost model writes numbers in a sentence: as many digits as mean something."""

from __future__ import annotations


def digits(value: float) -> str:
    """Three digits below a thousand, whole numbers above: 0.125, 26.7, 1,500."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def times(value: float) -> str:
    """How many times as much: "1.5 x", "1,500 x"."""
    return f"{digits(value)} x"
