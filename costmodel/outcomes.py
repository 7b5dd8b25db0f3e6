"""What a simulated policy came to: dollars and lag, together or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from costmodel.sizing import ScalingUnit


@dataclass(frozen=True)
class Lag:
    """How far results were behind: the share of minutes over the limit, and percentiles over minutes, in seconds."""

    over_limit: float
    p50_s: float
    p99_s: float
    max_s: float


@dataclass(frozen=True)
class Saving:
    """Against the first policy. Never without its lag, nor without the most that any policy could have saved."""

    usd_month: Decimal
    share: float
    lag: Lag
    most: float  # 1 - mean / provisioned: what is left when not a minute of a unit is idle, at the same price a unit


@dataclass(frozen=True)
class Outcome:
    """One policy. `usd_month` and `saving` are None where it does not keep up: `reason` says since when.

    `unit_eps`: events a second that one unit carries at full use. A band of restart times is uncertainty about the lag.
    """

    policy: str
    kind: str
    platform: str
    unit: ScalingUnit
    unit_eps: float
    usd_month: Decimal | None
    saving: Saving | None
    lag: Lag
    slow_restart_s: float  # the upper end of how long a restart may take, and the lag it would make
    slow_lag: Lag
    units: tuple[int, float, int]  # least, mean, most that were paid
    restarts_month: float
    reason: str
    notes: tuple[str, ...]


def sentence(outcome: Outcome, first: Outcome, limit_s: float) -> str:
    """What a reader takes away of a policy: its saving with its lag, or why it has no price."""
    if outcome.usd_month is None:
        return f"{outcome.policy}: {outcome.reason}; it has no price."
    lag = outcome.lag
    behind = f"over {limit_s:g} s behind in {lag.over_limit:.2%} of the minutes ({lag.max_s:,.0f} s at most)"
    if outcome.slow_lag.over_limit > lag.over_limit:
        behind += f", in {outcome.slow_lag.over_limit:.2%} if a restart takes {outcome.slow_restart_s:g} s"
    if outcome is first or outcome.saving is None:
        return f"{outcome.policy} costs {outcome.usd_month:,.2f} USD a month and is {behind}."
    saved = outcome.saving
    verb = "saves" if saved.usd_month >= 0 else "costs"
    more = "" if saved.usd_month >= 0 else " more"
    most = f"of at most {saved.most:.0%}" if saved.usd_month >= 0 else f"than {first.policy}"
    return (
        f"{outcome.policy} {verb} {abs(saved.usd_month):,.2f} USD a month{more} ({abs(saved.share):.0%} {most}), "
        f"{behind}, against {first.lag.over_limit:.2%} with {first.policy}."
    )


def to_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Each policy's outcome. A saving carries its lag: there is no other place to read one from."""
    return [
        {
            "policy": each.policy,
            "kind": each.kind,
            "platform": each.platform,
            "unit": {
                "what": each.unit.what,
                "rate_eps": each.unit_eps,
                "usd_hour": float(each.unit.usd_hour),
                "always_usd_hour": float(each.unit.always_usd_hour),
                "running_usd_hour": float(each.unit.running_usd_hour),
                "prices": list(each.unit.prices),
            },
            "keeps_up": each.usd_month is not None,
            "reason": each.reason,
            "usd_month": None if each.usd_month is None else float(each.usd_month),
            "lag": asdict(each.lag),
            "lag_if_slow": {"restart_s": each.slow_restart_s, **asdict(each.slow_lag)},
            "saving": saving_json(each.saving),
            "units": dict(zip(("least", "mean", "most"), each.units, strict=True)),
            "restarts_month": each.restarts_month,
            "notes": list(each.notes),
        }
        for each in outcomes
    ]


def saving_json(saving: Saving | None) -> dict[str, Any] | None:
    """A saving with its lag; None where there is none."""
    if saving is None:
        return None
    return {
        "usd_month": float(saving.usd_month),
        "share": saving.share,
        "most": saving.most,
        "lag": asdict(saving.lag),
    }
