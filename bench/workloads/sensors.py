"""Readings of IoT devices: a daily curve of each device's own, noise, and labelled anomalies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.workloads import POOL_ROWS, Draw, Field, Workload
from bench.workloads.draws import bits, counter_hash

I64 = npt.NDArray[np.int64]

DAY_NS = 86_400_000_000_000
CURVE_POINTS = 1 << 10
ANOMALIES = 0.002  # share of readings
MEAN_MK, SWING_MK, NOISE_MK = 293_150, 6_000, 400  # millikelvin: never negative, never a fraction
FEVER_MK = 9_000


class Sensors(Workload):
    """The day is a day of event time, so `event_time_speed` decides how fast it passes."""

    name = "sensors"
    version = 1
    summary = "readings of IoT devices, keyed by device"
    key_field = Field("device", "string", "which device, d0000000 being the busiest (Zipf)")
    key_letter = "d"
    live_fields = (
        Field("temp_mk", "int", "temperature in millikelvin", 6),
        Field("humidity_pm", "int", "relative humidity in per mille", 4),
    )
    pool_fields = (
        Field("model", "string", "a property of the device"),
        Field("site", "string", "s and four digits, a property of the device"),
        Field("firmware", "string", "a property of the device"),
    )
    filler = Field("tags", "string", "free text; brings the event to event_bytes")

    _curve = np.rint(np.sin(2 * np.pi * np.arange(CURVE_POINTS) / CURVE_POINTS) * SWING_MK).astype(np.int64)

    def pool(self, rng: np.random.Generator, rows: int) -> Mapping[str, npt.NDArray[Any]]:
        return {
            "model": rng.choice(["TX1", "TX2", "TX2-pro", "Q40"], rows, p=[0.5, 0.25, 0.15, 0.1]),
            "site": np.char.add("s", np.char.zfill(rng.integers(0, 2_000, rows).astype(str), 4)),
            "firmware": rng.choice(["1.8.3", "1.9.0", "2.0.1", "2.1.0-rc1"], rows, p=[0.2, 0.3, 0.45, 0.05]),
        }

    def place(self, origin: I64, h: npt.NDArray[np.uint64]) -> tuple[I64, I64]:
        device, _ = super().place(origin, h)
        return device, bits(counter_hash(device, self.seed + 3), 0, 15) & (POOL_ROWS - 1)

    def live(self, draw: Draw) -> Mapping[str, I64]:
        phase = bits(counter_hash(draw.key, self.seed + 4), 0, 10)
        at = (draw.event_ns % DAY_NS) // (DAY_NS // CURVE_POINTS)
        noise = bits(draw.h, 51, 10) * (2 * NOISE_MK) // 1024 - NOISE_MK
        temp = MEAN_MK + self._curve[(at + phase) % CURVE_POINTS] + noise
        humidity = 450 - self._curve[(at + phase) % CURVE_POINTS] // 20 + bits(draw.h, 20, 5)
        return {"temp_mk": temp + FEVER_MK * self._anomalous(draw), "humidity_pm": humidity}

    def _anomalous(self, draw: Draw) -> npt.NDArray[np.bool_]:
        return bits(counter_hash(draw.origin, self.seed + 5), 0, 30) < ANOMALIES * (1 << 30)

    def truth(self, draw: Draw) -> Mapping[str, npt.NDArray[Any]]:
        """`anomaly`: readings that are nine kelvin too warm, within what another device may well show."""
        return {"anomaly": self._anomalous(draw)}
