"""Card payments with injected fraud that overlaps legitimate traffic: a limit on the amount alone catches little."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.workloads import Draw, Field, Workload
from bench.workloads.draws import bits, counter_hash

I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

BLOCK = 256  # an episode of fraud: one stolen card, some payments among these many events
EPISODES = 0.3  # of the blocks have one
PAYMENTS = 8  # of an episode: 0.94 % of all events
HOME = 276  # ISO 3166-1 numeric
ABROAD = (250, 840, 826, 616, 528, 356, 76, 392, 792)
ONLINE, CHIP, CONTACTLESS = 0, 1, 2
QUANTILES = 1 << 10  # amounts are drawn by table: log-normal, cut at its ends


def _amounts(median_cents: float, sigma: float) -> I64:
    # the standard library's: Flink's workers import this module for its constants, and have no scipy
    normal = np.array([NormalDist().inv_cdf((k + 0.5) / QUANTILES) for k in range(QUANTILES)])
    cents: I64 = np.clip(median_cents * np.exp(sigma * normal), 50, 9_999_999).astype(np.int64)
    return cents


class Payments(Workload):
    """Fraud pays somewhat more, mostly online, often abroad and in quick succession; legitimate travellers do too."""

    name = "payments"
    version = 1
    summary = "card payments with labelled fraud, keyed by card"
    key_field = Field("card", "string", "which card, c0000000 being the busiest (Zipf)")
    key_letter = "c"
    live_fields = (
        Field("amount_cents", "int", "what was paid", 7),
        Field("country", "int", "where, ISO 3166-1 numeric; 276 is home", 3),
        Field("channel", "int", "0 online, 1 chip, 2 contactless", 1),
    )
    pool_fields = (
        Field("merchant", "string", "m and five digits"),
        Field("category", "string", "groceries, fuel, travel, fashion, electronics, food or games"),
        Field("terminal", "string", "eight hexadecimal digits"),
    )
    filler = Field("reference", "string", "free text; brings the event to event_bytes")

    _legitimate = _amounts(2_800, 1.0)
    _fraudulent = _amounts(6_500, 0.9)

    def pool(self, rng: np.random.Generator, rows: int) -> Mapping[str, npt.NDArray[Any]]:
        merchant = np.minimum((rng.pareto(0.8, rows) * 6).astype(np.int64), 19_999)
        kinds = np.array(["groceries", "fuel", "travel", "fashion", "electronics", "food", "games"])
        return {
            "merchant": np.char.add("m", np.char.zfill(merchant.astype(str), 5)),
            "category": kinds[merchant % len(kinds)],
            "terminal": np.array([f"{t:08x}" for t in rng.integers(0, 1 << 32, rows).tolist()]),
        }

    def _fraud(self, origin: I64) -> tuple[Flags, npt.NDArray[np.uint64]]:
        """(whether each event is fraud, the hash of its block): positions in a block are scattered by an odd factor."""
        block = counter_hash(origin // BLOCK, self.seed + 5)
        scattered = ((origin % BLOCK) * 167 + bits(block, 30, 8)) % BLOCK
        return (bits(block, 0, 30) < EPISODES * (1 << 30)) & (scattered < PAYMENTS), block

    def place(self, origin: I64, h: npt.NDArray[np.uint64]) -> tuple[I64, I64]:
        card, row = super().place(origin, h)
        fraud, block = self._fraud(origin)
        return np.where(fraud, (block >> np.uint64(40)).astype(np.int64) % self.knobs.distinct, card), row

    def live(self, draw: Draw) -> Mapping[str, I64]:
        fraud, _ = self._fraud(draw.origin)
        more = counter_hash(draw.origin, self.seed + 6)
        amount = np.where(fraud, self._fraudulent[bits(more, 0, 10)], self._legitimate[bits(more, 0, 10)])
        abroad = bits(more, 10, 10) < np.where(fraud, 460, 60)  # of 1024: 45 % and 6 %
        country = np.where(abroad, np.array(ABROAD)[bits(more, 20, 16) % len(ABROAD)], HOME)
        luck = bits(more, 36, 10)
        online = luck < np.where(fraud, 700, 340)  # 68 % and 33 %
        channel = np.where(online, ONLINE, np.where(bits(more, 46, 4) < 6, CHIP, CONTACTLESS))
        return {"amount_cents": amount, "country": country, "channel": channel}

    def truth(self, draw: Draw) -> Mapping[str, npt.NDArray[Any]]:
        """`fraud`: the label."""
        return {"fraud": self._fraud(draw.origin)[0]}
