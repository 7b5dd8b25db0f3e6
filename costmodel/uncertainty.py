"""Draws of what is uncertain: measured intervals, assumed bands, prices on which sources disagree.

Common random numbers: a quantity's quantile depends only on the seed, its name and the number of the draw, so that two
options are compared under the same draw of everything they share.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import numpy as np

from costmodel.prices import Catalog
from costmodel.usage import Usage

DRAWS = 64  # enough for P10 and P90 within a few percentiles; claims ask for more


def draws(usage: Usage, prices: Catalog, count: int = DRAWS, seed: int = 7) -> Iterator[tuple[Usage, Catalog]]:
    """`count` (usage, prices) with every band replaced by one value in it; Latin hypercube, one stratum a draw."""
    in_usage = {path: quantiles(path, count, seed) for path, number in usage.numbers() if number.uncertain}
    in_prices = {name: quantiles(name, count, seed) for name in prices.uncertain()}
    for draw in range(count):
        drawn_usage = usage.at({path: drawn[draw] for path, drawn in in_usage.items()})
        yield drawn_usage, replace(prices, draw={name: drawn[draw] for name, drawn in in_prices.items()})


def quantiles(name: str, count: int, seed: int) -> list[Decimal]:
    """Of the quantity `name` in each of `count` draws: in (0, 1), one a stratum."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    strata = (rng.permutation(count) + rng.random(count)) / count
    return [Decimal(repr(round(float(value), 6))) for value in strata]
