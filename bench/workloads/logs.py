"""Application logs: mostly harmless lines, and labelled incidents in which one service fails for a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.workloads import POOL_ROWS, Draw, Field, Workload
from bench.workloads.draws import bits, counter_hash

I64 = npt.NDArray[np.int64]

BLOCK_BITS = 14  # an incident lasts about 16,000 events of the whole stream
INCIDENTS = 0.05  # share of (service, block) pairs
GOOD_ROWS = POOL_ROWS * 3 // 4  # the pool's last quarter are errors
ERRORS, ERRORS_IN_INCIDENT = 0.01, 0.4


class Logs(Workload):
    """`keys.distinct` services; the busiest write most of the lines."""

    name = "logs"
    version = 1
    summary = "application logs with labelled incidents, keyed by service"
    key_field = Field("service", "string", "which service, s0000000 being the most talkative (Zipf)")
    key_letter = "s"
    live_fields = (Field("took_us", "int", "how long the request took", 8),)
    pool_fields = (
        Field("level", "string", "INFO, WARN or ERROR"),
        Field("status", "int", "HTTP status"),
        Field("method", "string", "GET, POST, PUT or DELETE"),
        Field("host", "string", "h and three digits"),
        Field("trace", "string", "sixteen hexadecimal digits"),
    )
    filler = Field("message", "string", "what happened; brings the event to event_bytes")

    def pool(self, rng: np.random.Generator, rows: int) -> Mapping[str, npt.NDArray[Any]]:
        bad = np.arange(rows) >= GOOD_ROWS
        level = np.where(bad, "ERROR", rng.choice(["INFO", "WARN"], rows, p=[0.93, 0.07]))
        good_status = rng.choice([200, 201, 204, 304, 404], rows, p=[0.8, 0.05, 0.05, 0.06, 0.04])
        return {
            "level": level,
            "status": np.where(bad, rng.choice([500, 502, 503, 504], rows), good_status),
            "method": rng.choice(["GET", "POST", "PUT", "DELETE"], rows, p=[0.7, 0.2, 0.07, 0.03]),
            "host": np.char.add("h", np.char.zfill(rng.integers(0, 400, rows).astype(str), 3)),
            "trace": np.array([f"{t:016x}" for t in rng.integers(0, 1 << 63, rows).tolist()]),
        }

    def _incident(self, service: I64, origin: I64) -> npt.NDArray[np.bool_]:
        where = (origin >> BLOCK_BITS) * 10_000_019 + service
        return bits(counter_hash(where, self.seed + 5), 0, 30) < INCIDENTS * (1 << 30)

    def place(self, origin: I64, h: npt.NDArray[np.uint64]) -> tuple[I64, I64]:
        service, row = super().place(origin, h)
        share = np.where(self._incident(service, origin), ERRORS_IN_INCIDENT, ERRORS)
        failed = bits(counter_hash(origin, self.seed + 6), 0, 30) < share * (1 << 30)
        return service, np.where(failed, GOOD_ROWS + row % (POOL_ROWS - GOOD_ROWS), row % GOOD_ROWS)

    def live(self, draw: Draw) -> Mapping[str, I64]:
        fast = 200 + (bits(draw.h, 51, 13) ** 2 >> 10)  # 0.2 to 65 ms, mostly short
        return {"took_us": fast * np.where(self._incident(draw.key, draw.origin), 12, 1)}

    def truth(self, draw: Draw) -> Mapping[str, npt.NDArray[Any]]:
        """`incident`: whether the service was failing at the time."""
        return {"incident": self._incident(draw.key, draw.origin)}
