"""Options side by side: each platform or stack sized and billed for one usage, with the band its uncertainty makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from bench.errors import ScenarioError
from costmodel import bill as bills
from costmodel import documents, uncertainty
from costmodel import platforms as registry
from costmodel.bill import Bill
from costmodel.prices import Catalog, built_in
from costmodel.sizing import Binding, Charge, Deployment, Infeasible, Part, flow
from costmodel.usage import AsBuilt, Usage


@dataclass(frozen=True)
class Option:
    """One platform, or a stack "KAFKA+FLINK". Either `infeasible`, or a bill with the parts it is for.

    p10, p90: of the month's total over the draws; p50 is the bill itself, at central values, which its lines sum to.
    """

    platform: str
    infeasible: Infeasible | None = None
    role: str = "kafka"  # flink: processes a stream that something else carries; a stack has both
    bill: Bill | None = None
    parts: tuple[Part, ...] = ()
    bound_by: Binding | None = None
    assumptions: tuple[str, ...] = ()
    p10: Decimal | None = None
    p90: Decimal | None = None
    gb_in_month: Decimal | None = None
    million_events_month: Decimal | None = None
    unverified_quotas: tuple[str, ...] = ()

    @property
    def usd_month(self) -> Decimal | None:
        return self.bill.usd_month if self.bill else None

    @property
    def usd_gb_in(self) -> Decimal | None:
        return self.bill.usd_month / self.gb_in_month if self.bill and self.gb_in_month else None

    @property
    def usd_million_events(self) -> Decimal | None:
        return self.bill.usd_month / self.million_events_month if self.bill and self.million_events_month else None


def price(
    usage: Usage | AsBuilt,
    platforms: Sequence[str] | None = None,
    *,
    prices: Catalog | None = None,
    draws: int = uncertainty.DRAWS,
    seed: int = 7,
) -> list[Option]:
    """Every option for `usage`, in the order asked. `platforms`: ids, or stacks like "msk-standard+flink-ec2".

    None: all that the usage describes (Flink only if it has a `processing` section). A deployment.yaml is its own one
    option. Raises ScenarioError for an unknown platform or region. draws=0: no band.
    """
    catalog = prices or built_in()
    catalog.require_region(usage.region)
    if isinstance(usage, AsBuilt):
        return [_standing(usage, catalog, platforms)]
    names = list(platforms) if platforms is not None else described(usage)
    options = [size(usage, name, catalog) for name in names]
    if not draws:
        return options
    totals: list[list[Decimal]] = [[] for _ in options]
    for drawn_usage, drawn_prices in uncertainty.draws(usage, catalog, draws, seed):
        for option, found in zip(options, totals, strict=True):
            drawn = None if option.infeasible else size(drawn_usage, option.platform, drawn_prices)
            if drawn is not None and drawn.bill is not None:
                found.append(drawn.bill.usd_month)
    return [_with_band(option, found) for option, found in zip(options, totals, strict=True)]


def size(usage: Usage, name: str, prices: Catalog) -> Option:
    """One platform or stack, sized and billed at central values."""
    asked: set[str] = set()
    prices = replace(prices, asked=asked)
    found = [(registry.named(part), registry.named(part).size(usage, prices)) for part in name.split("+")]
    roles = [platform.role for platform, _ in found]
    if len(found) > 2 or len(set(roles)) != len(roles):
        raise ScenarioError(f"stack {name!r}: expected one Kafka and one Flink, like msk-standard+flink-managed-aws")
    broken = [sized for _, sized in found if isinstance(sized, Infeasible)]
    if broken:
        return Option(name, infeasible=broken[0], role=_role(roles))
    sized = [deployment for _, deployment in found if isinstance(deployment, Deployment)]
    lines = [line for deployment in sized for line in _billed(usage, deployment, prices)]
    f = flow(usage)
    return Option(
        name,
        None,
        _role(roles),
        Bill((*lines, *_shared(usage, roles, prices).lines)),
        tuple(part for deployment in sized for part in deployment.parts),
        _bound([deployment.bound_by for deployment in sized]),
        tuple(dict.fromkeys(text for deployment in sized for text in deployment.assumptions)),
        gb_in_month=f.gb_month(f.raw_mb_s),
        million_events_month=f.events_month / 1_000_000,
        unverified_quotas=tuple(sorted(name for name in asked if prices.quotas[name].confidence == "unverified")),
    )


def described(usage: Usage) -> list[str]:
    """Every platform that `usage` describes enough for: Flink only if it has a `processing` section."""
    rows = registry.found().values()
    return [row.id for row in rows if row.role == "kafka" or usage.processing is not None]


def _role(roles: Sequence[str]) -> str:
    return "stack" if len(roles) > 1 else roles[0]


def _billed(usage: Usage, deployment: Deployment, prices: Catalog) -> tuple[bills.LineItem, ...]:
    return bills.make(deployment.charges, deployment.region, prices, usage).lines


def _shared(usage: Usage, roles: Sequence[str], prices: Catalog) -> Bill:
    """Once an option, whatever it is made of: its sinks (if it carries the stream) and its people."""
    charges = bills.sinks(usage) if "kafka" in roles else ()
    shared = bills.make(charges, usage.region, prices, usage)
    return Bill((*shared.lines, *bills.people(usage)))


def _bound(bounds: Sequence[Binding]) -> Binding:
    if len(bounds) == 1:
        return bounds[0]
    names = ("Kafka", "Flink")
    text = "; ".join(f"{name}: {bound.constraint}" for name, bound in zip(names, bounds, strict=True))
    after = "; ".join(f"{name}: {bound.next}" for name, bound in zip(names, bounds, strict=True) if bound.next)
    felt = next((bound for bound in bounds if bound.shadow_usd_month != 0), bounds[0])  # None: bound, and not priced
    return Binding(text, after or None, felt.shadow_usd_month, felt.shadow_of)


def _with_band(option: Option, totals: Sequence[Decimal]) -> Option:
    if option.bill is None:
        return option
    centre = option.bill.usd_month
    ranked = sorted(totals) or [centre]
    p10, p90 = (ranked[round(share * (len(ranked) - 1))] for share in (0.1, 0.9))
    return replace(option, p10=min(p10, centre), p90=max(p90, centre))


def _standing(built: AsBuilt, prices: Catalog, platforms: Sequence[str] | None) -> Option:
    if platforms is not None and list(platforms) != [built.platform]:
        raise ScenarioError(
            f"this deployment is of {built.platform} and is priced as such, not as {', '.join(platforms)}"
        )
    platform = registry.named(built.platform)
    charges: list[Charge] = []
    for part in built.parts:
        if part.what not in platform.parts:
            raise ScenarioError(
                f"{built.platform} has no part {part.what!r}; {documents.nearest(part.what, platform.parts)}"
            )
        charges += platform.parts[part.what](part, built.units)
    made = bills.standing(charges, built.region, prices, built.units)
    parts = tuple(Part(f"{part.what} {part.type}".strip(), part.count, "as it stands") for part in built.parts)
    return Option(
        built.platform,
        None,
        platform.role,
        made,
        parts,
        Binding("as it stands: nothing was sized", None, None),
        (),
        made.usd_month,
        made.usd_month,
    )
