"""How a fleet's size follows its load: the kinds of policy that a simulation compares. Decisions only; no dollars.

A policy sees what an autoscaler sees: the arrivals of the last interval and the backlog, never the future.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SLACK = 1e-9  # a count is not rounded up for the last digit of a division


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Commit(_Section):
    """Units paid for at all times, used or not, at a discount; only where a savings plan covers the platform."""

    units: int | Literal["p5", "p10"] = "p10"  # or those that the load needs in all but 5 or 10 % of the minutes
    discount: Annotated[float, Field(gt=0, lt=1)]


class Spot(_Section):
    """All that is not committed is bought as spot: cheaper, and taken away at times."""

    discount: Annotated[float, Field(gt=0, lt=1)]
    interruptions_per_unit_month: Annotated[float, Field(ge=0)] = 1.0


class _Policy(_Section):
    platform: str | None = None  # another platform than the simulation's
    commit: Commit | None = None
    spot: Spot | None = None


class Fixed(_Policy):
    """As many units as the busiest minute needs, always; or `units`."""

    kind: Literal["fixed"]
    units: Annotated[int, Field(ge=1)] | None = None


class Autoscaled(_Policy):
    """As many as arrivals and backlog need at `target` utilisation (none: the usage's cpu_fill)."""

    kind: Literal["autoscaled"]
    target: Annotated[float, Field(gt=0, le=1)] | None = None
    least: Annotated[int, Field(ge=1)] = 1
    most: Annotated[int, Field(ge=1)] | None = None


class IdleTimeout(_Policy):
    """A fixed fleet, released when nothing came and nothing waited for `after_s`, fetched again when something does."""

    kind: Literal["idle-timeout"]
    after_s: Annotated[float, Field(ge=60)] = 600
    units: Annotated[int, Field(ge=1)] | None = None


class Serverless(_Policy):
    """Billed by what each minute needs: the vendor holds the capacity. No delay, no restart."""

    kind: Literal["serverless"]
    least: Annotated[int, Field(ge=0)] = 1


Policy = Annotated[Fixed | Autoscaled | IdleTimeout | Serverless, Field(discriminator="kind")]


Decides = Callable[[int, int, float, float], int]
"""(minute, units that run, events a second that came lately, events that wait) -> the size wanted at its start."""


def units_for(eps: float, unit_eps: float) -> int:
    """Whole units that carry `eps`."""
    return math.ceil(eps / unit_eps * (1 - SLACK))


def hold(units: int) -> Decides:
    """Always the same."""
    return lambda _minute, _running, _arrived_eps, _backlog: units


def follow(unit_eps: float, policy: Autoscaled, target: float, *, catch_up_s: float, stabilise_min: int) -> Decides:
    """Up at once; down only to the most that was wanted within the last `stabilise_min` minutes."""
    wanted: deque[tuple[int, int]] = deque()  # (minute, units), units falling: the first is the most of the window

    def decide(minute: int, running: int, arrived_eps: float, backlog: float) -> int:
        want = max(policy.least, units_for(arrived_eps + backlog / catch_up_s, unit_eps * target))
        if policy.most is not None:
            want = min(want, policy.most)
        while wanted and wanted[-1][1] <= want:
            wanted.pop()
        wanted.append((minute, want))
        while wanted[0][0] < minute - stabilise_min:
            wanted.popleft()
        return want if want >= running else min(running, wanted[0][1])

    return decide


def release_when_idle(units: int, after_min: int) -> Decides:
    """All or nothing."""
    idle_since: int | None = None

    def decide(minute: int, running: int, arrived_eps: float, backlog: float) -> int:
        nonlocal idle_since
        if arrived_eps > 0 or backlog > 0:
            idle_since = None
            return units
        idle_since = minute if idle_since is None else idle_since
        return running if minute - idle_since < after_min else 0

    return decide
