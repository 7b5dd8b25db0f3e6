"""User signups with a conversion funnel: visit, form, verified, first purchase; each visitor gets as far as it gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.workloads import POOL_ROWS, Draw, Field, Workload
from bench.workloads.draws import bits, counter_hash

I64 = npt.NDArray[np.int64]

LANES = 4  # of four events, one begins a visit and one may be each later step
CONVERSION = (0.40, 0.65, 0.50)  # of those who reached the step before: form, verified, purchase
LAG_VISITORS = (0, 64, 512, 4_096)  # how many visitors later a step comes
BROWSE, VISIT, FORM, VERIFIED, PURCHASE = range(5)


class Signups(Workload):
    """Visitor v visits once; whether it converts, and how far, is a property of v. Nobody converts twice.

    `keys.distinct` is when visitor ids come round again; `keys.zipf` does not apply. What is no step is browsing.
    """

    name = "signups"
    version = 1
    summary = "user signups with a conversion funnel, keyed by visitor"
    key_field = Field("visitor", "string", "who; a visitor's attributes never change")
    key_letter = "v"
    live_fields = (Field("step", "int", "0 browse, 1 visit, 2 form sent, 3 verified, 4 first purchase", 1),)
    pool_fields = (
        Field("country", "string", "two letters"),
        Field("channel", "string", "ads, search, mail, direct or partner: where the visitor came from"),
        Field("device", "string", "phone, tablet or desktop"),
        Field("plan", "string", "free, team or business: what the visitor looked at"),
    )
    filler = Field("page", "string", "path; brings the event to event_bytes")

    def pool(self, rng: np.random.Generator, rows: int) -> Mapping[str, npt.NDArray[Any]]:
        return {
            "country": rng.choice(["DE", "FR", "US", "GB", "PL", "NL"], rows, p=[0.3, 0.15, 0.3, 0.1, 0.1, 0.05]),
            "channel": rng.choice(["ads", "search", "mail", "direct", "partner"], rows, p=[0.3, 0.35, 0.1, 0.2, 0.05]),
            "device": rng.choice(["phone", "tablet", "desktop"], rows, p=[0.6, 0.08, 0.32]),
            "plan": rng.choice(["free", "team", "business"], rows, p=[0.7, 0.2, 0.1]),
        }

    def place(self, origin: I64, h: npt.NDArray[np.uint64]) -> tuple[I64, I64]:
        del h
        visitor = self._visitor(origin)
        row = bits(counter_hash(visitor, self.seed + 3), 0, 15) & (POOL_ROWS - 1)
        return visitor % self.knobs.distinct, row

    def _visitor(self, origin: I64) -> I64:
        lane = origin % LANES
        visitor: I64 = np.maximum(origin // LANES - np.array(LAG_VISITORS)[lane], 0)
        return visitor

    def _reached(self, visitor: I64) -> I64:
        """The furthest step each visitor gets to."""
        luck = bits(counter_hash(visitor, self.seed + 4), 0, 30) / (1 << 30)
        shares = np.cumprod(CONVERSION)
        reached: I64 = VISIT + (luck[:, None] < shares).sum(axis=1)
        return reached

    def live(self, draw: Draw) -> Mapping[str, I64]:
        lane = draw.origin % LANES
        begun = draw.origin // LANES >= np.array(LAG_VISITORS)[lane]
        step = lane + 1
        reached = self._reached(self._visitor(draw.origin))
        return {"step": np.where(begun & (step <= reached), step, BROWSE)}

    def truth(self, draw: Draw) -> Mapping[str, npt.NDArray[Any]]:
        """`visitor_number`: unique, where `visitor` comes round again. `reached`: how far that visitor will get."""
        visitor = self._visitor(draw.origin)
        return {"visitor_number": visitor, "reached": self._reached(visitor)}
