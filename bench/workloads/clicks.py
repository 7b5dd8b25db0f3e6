"""Clicks and orders of a web shop: users look, put into the cart, and one event in ten is an order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.workloads import Field, Workload

ITEMS = 5_000
TYPES = ("view", "cart", "order")
TYPE_SHARES = (0.8, 0.1, 0.1)
COUNTRIES = ("DE", "FR", "US", "GB", "PL", "NL", "IN", "BR", "JP", "SE")
COUNTRY_SHARES = (0.24, 0.14, 0.2, 0.1, 0.08, 0.06, 0.08, 0.05, 0.03, 0.02)


class Clicks(Workload):
    """Amounts are integers in cents, so that sums in a job and in the oracle agree exactly."""

    name = "clicks"
    version = 1
    summary = "clicks and orders of a web shop, keyed by user"
    key_field = Field("user", "string", "who, u0000000 being the busiest (Zipf)")
    key_letter = "u"
    pool_fields = (
        Field("type", "string", "view 80 %, cart 10 %, order 10 %"),
        Field("item", "string", "what, i00000 being the most looked at"),
        Field("price_cents", "int", "price of one; every item has one price"),
        Field("qty", "int", "how many, 1 to 4"),
        Field("country", "string", "two letters"),
        Field("session", "string", "eight letters and digits"),
    )
    filler = Field("url", "string", "path of the page; brings the event to event_bytes")

    def pool(self, rng: np.random.Generator, rows: int) -> Mapping[str, npt.NDArray[Any]]:
        prices = np.clip(rng.lognormal(7.6, 0.9, ITEMS), 99, 99_999).astype(np.int64)
        item = np.minimum((rng.pareto(0.7, rows) * 4).astype(np.int64), ITEMS - 1)
        kind = rng.choice(len(TYPES), rows, p=TYPE_SHARES)
        qty = rng.choice([1, 2, 3, 4], rows, p=[0.7, 0.18, 0.08, 0.04])
        token = rng.choice(np.frombuffer(b"0123456789abcdef", dtype=np.uint8), (rows, 8)).view("S8").reshape(-1)
        return {
            "type": np.array(TYPES)[kind],
            "item": np.char.add("i", np.char.zfill(item.astype(str), 5)),
            "price_cents": prices[item],
            "qty": qty,
            "country": rng.choice(np.array(COUNTRIES), rows, p=COUNTRY_SHARES),
            "session": token.astype("U8"),
            "amount_cents": np.where(kind == 2, prices[item] * qty, 0),  # truth only: what an order brings in
        }
