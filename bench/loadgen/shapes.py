"""A scenario's `load:` section as a mode and a schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bench.errors import ScenarioError
from bench.loadgen.schedule import Schedule, Segment
from bench.loadgen.sender import Mode
from bench.workloads.recorded import Recording

NOMINAL_DRAIN_EPS = 100_000.0  # due times of a prefill: what its event times are spread over
DIURNAL_PIECES = 48  # straight lines to a day: within 0.2 % of the sine


def plan(
    load: Mapping[str, Any], *, duration_s: float, warmup_s: float, seed: int, recording: Recording | None = None
) -> tuple[Mode, Schedule]:
    """How events go out and when each is due, from t0 = 0 (see `Schedule.starting`).

    A shape runs from t0 to `duration_s`; what is shorter holds its last rate (diurnal: begins again), what is longer is
    cut. A spike's `at_s` counts from the end of the warm-up. Poisson arrivals are seeded.
    """
    if load.get("drain"):
        return "drain", Schedule.constant(0, NOMINAL_DRAIN_EPS, int(load["drain"]) / NOMINAL_DRAIN_EPS)
    rate, shape = load.get("rate_eps"), load.get("shape")
    if rate == "maximum":
        return "maximum", Schedule.constant(0, NOMINAL_DRAIN_EPS, duration_s)
    if isinstance(rate, int | float) and rate > 0:
        return "paced", Schedule.constant(0, float(rate), duration_s)
    if not shape:
        raise ScenarioError(f"load: {dict(load)!r} is no load to drive; expected rate_eps, drain or shape")
    kind, values = next((k, v) for k, v in shape.items() if v is not None)
    if kind == "replay":
        if recording is None:
            raise ScenarioError("load.shape.replay: the recording was not read")
        return "paced", _replayed(values, recording, duration_s)
    if kind == "poisson":
        rate = float(values["rate_eps"])
        return "paced", Schedule(0, (Segment(duration_s, rate, rate),), poisson_seed=seed)
    return "paced", Schedule(0, _cut(_segments(kind, values, duration_s, warmup_s), duration_s))


def peak_eps(load: Mapping[str, Any]) -> float | None:
    """The highest rate that a `load:` section asks for; None where it does not say (drain, maximum, search, replay)."""
    rate, shape = load.get("rate_eps"), load.get("shape")
    if isinstance(rate, int | float):
        return float(rate)
    if not shape or (shape.get("replay") and not shape["replay"].get("rate_eps")):
        return None
    values: Any = next(v for v in shape.values() if v is not None)
    many = values if isinstance(values, list | tuple) else [values]
    return float(max(v for one in many for name, v in one.items() if name.endswith("_eps")))


def _segments(kind: str, values: Any, duration_s: float, warmup_s: float) -> list[Segment]:
    if kind == "steps":
        return [Segment(s["for_s"], s["rate_eps"], s["rate_eps"]) for s in values]
    if kind == "ramp":
        return [Segment(values["over_s"], values["from_eps"], values["to_eps"])]
    if kind == "spike":
        base, peak = values["base_eps"], values["peak_eps"]
        start = warmup_s + values["at_s"]
        before = [Segment(start, base, base)] if start > 0 else []
        return [*before, Segment(values["for_s"], peak, peak), Segment(duration_s, base, base)]
    if kind == "diurnal":
        return _days(values["low_eps"], values["high_eps"], values["period_s"], duration_s)
    raise ScenarioError(f"load.shape: no shape {kind!r}, expected steps, ramp, spike, diurnal, poisson or replay")


def _days(low: float, high: float, period_s: float, duration_s: float) -> list[Segment]:
    """The low rate at midnight, the high one at noon."""

    def rate(k: int) -> float:
        return low + (high - low) * (1 - math.cos(2 * math.pi * k / DIURNAL_PIECES)) / 2

    pieces = math.ceil(duration_s / period_s * DIURNAL_PIECES)
    return [Segment(period_s / DIURNAL_PIECES, rate(k), rate(k + 1)) for k in range(pieces)]


def _cut(segments: list[Segment], duration_s: float) -> tuple[Segment, ...]:
    """Exactly `duration_s` long."""
    out, left = [], duration_s
    for s in segments:
        if left <= 1e-9:
            break
        share = min(1.0, left / s.seconds)
        out.append(Segment(s.seconds * share, s.from_eps, s.from_eps + (s.to_eps - s.from_eps) * share))
        left -= s.seconds * share
    if left > 1e-9:
        last = segments[-1].to_eps
        out.append(Segment(left, last, last))
    if sum(s.events for s in out) < 1:
        raise ScenarioError(f"load.shape: not one event is due within {duration_s:g} s")
    return tuple(out)


def _replayed(values: Mapping[str, Any], recording: Recording, duration_s: float) -> Schedule:
    if values.get("rate_eps"):
        return Schedule.constant(0, float(values["rate_eps"]), duration_s)
    offsets, period_ns = recording.pace(float(values.get("speed") or 1.0))
    return Schedule.recording(0, offsets, period_ns, duration_s)
