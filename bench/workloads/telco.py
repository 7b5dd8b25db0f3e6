"""Network events of cell towers with labelled outages: a tower that is down drops calls, and a busy one does too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.workloads import POOL_ROWS, Draw, Field, Workload
from bench.workloads.draws import bits, counter_hash

I64 = npt.NDArray[np.int64]

BLOCK_BITS = 16  # an outage lasts about 65,000 events of the whole network
OUTAGES = 0.02  # share of (cell, block) pairs
ATTACH, CALL, DATA, HANDOVER, DROP = range(5)
DROPS, DROPS_IN_OUTAGE = 0.015, 0.5


class Telco(Workload):
    """`keys.distinct` cells. In an outage half of the events are drops and the signal is weak, elsewhere 1.5 % are."""

    name = "telco"
    version = 1
    summary = "network events of cell towers with labelled outages, keyed by cell"
    key_field = Field("cell", "string", "which cell, t0000000 being the busiest (Zipf)")
    key_letter = "t"
    live_fields = (
        Field("event", "int", "0 attach, 1 call, 2 data session, 3 handover, 4 drop", 1),
        Field("weakness_db", "int", "signal below 0 dBm: 70 is good, 120 is none", 3),
        Field("duration_ms", "int", "of the call or session", 7),
    )
    pool_fields = (
        Field("technology", "string", "4G, 5G or 5G-SA, a property of the cell"),
        Field("region", "string", "r and two digits, a property of the cell"),
        Field("vendor", "string", "a property of the cell"),
    )
    filler = Field("detail", "string", "free text; brings the event to event_bytes")

    def pool(self, rng: np.random.Generator, rows: int) -> Mapping[str, npt.NDArray[Any]]:
        return {
            "technology": rng.choice(["4G", "5G", "5G-SA"], rows, p=[0.55, 0.35, 0.1]),
            "region": np.char.add("r", np.char.zfill(rng.integers(0, 60, rows).astype(str), 2)),
            "vendor": rng.choice(["north", "delta", "acme"], rows, p=[0.45, 0.35, 0.2]),
        }

    def place(self, origin: I64, h: npt.NDArray[np.uint64]) -> tuple[I64, I64]:
        cell, _ = super().place(origin, h)
        return cell, bits(counter_hash(cell, self.seed + 3), 0, 15) & (POOL_ROWS - 1)

    def _outage(self, draw: Draw) -> npt.NDArray[np.bool_]:
        where = (draw.origin >> BLOCK_BITS) * 10_000_019 + draw.key
        return bits(counter_hash(where, self.seed + 5), 0, 30) < OUTAGES * (1 << 30)

    def live(self, draw: Draw) -> Mapping[str, I64]:
        outage, more = self._outage(draw), counter_hash(draw.origin, self.seed + 6)
        dropped = bits(more, 0, 20) < np.where(outage, DROPS_IN_OUTAGE, DROPS) * (1 << 20)
        weakness = 68 + (bits(more, 20, 6) * bits(more, 26, 5) >> 6) + np.where(outage, 18, 0)
        duration = bits(more, 32, 10) * bits(more, 42, 10) >> np.where(dropped, 3, 0)
        return {
            "event": np.where(dropped, DROP, bits(more, 52, 2)),
            "weakness_db": weakness,
            "duration_ms": duration,
        }

    def truth(self, draw: Draw) -> Mapping[str, npt.NDArray[Any]]:
        """`outage`: whether the cell was down at the time."""
        return {"outage": self._outage(draw)}
