"""Prices from AWS's Price List, as a reviewable change of the catalogue. Never at report time.

Only here is boto3 imported. A row is found by rule from its id; exactly one product must match it, in USD, on demand.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.errors import HostError, StreamgaugeError
from costmodel.prices import ANYWHERE, FOLDER, Catalog, Price, Tier, load

ENDPOINT_REGION = "us-east-1"  # the Price List lives in few regions; its answers cover all
USAGE_PREFIX = {
    "us-east-1": "USE1",
    "eu-west-1": "EU",
    "eu-west-2": "EUW2",
    "eu-central-1": "EUC1",
    "ap-south-1": "APS3",
}


class RefreshError(StreamgaugeError):
    """The Price List did not answer a row with exactly one on-demand price in USD."""


@dataclass(frozen=True)
class Rule:
    """Ids matching `pattern` are this service's; `filters` may hold {1} (the pattern's group) and {prefix}.

    `times` turns the list's unit into the catalogue's (1000 requests, a million units).
    """

    pattern: str
    service: str
    filters: Mapping[str, str]
    times: int = 1
    bare_us_east_1: bool = False  # us-east-1 usage types carry no prefix in the older services


_LINUX = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}
RULES = (
    Rule(r"ec2\.([a-z0-9]+\.[a-z0-9]+)", "AmazonEC2", {"instanceType": "{1}", **_LINUX}),
    Rule(r"ebs\.(gp2|gp3|st1|sc1|io2)\.gb", "AmazonEC2", {"volumeApiName": "{1}", "productFamily": "Storage"}),
    Rule(r"s3\.std\.gb", "AmazonS3", {"usagetype": "{prefix}TimedStorage-ByteHrs"}, bare_us_east_1=True),
    Rule(r"s3\.put_1k", "AmazonS3", {"usagetype": "{prefix}Requests-Tier1"}, 1000, bare_us_east_1=True),
    Rule(r"msk\.std\.([tm]\d+g?\.\w+)", "AmazonMSK", {"usagetype": "{prefix}Kafka.{1}", "operation": "RunBroker"}),
    Rule(r"msk\.std\.storage", "AmazonMSK", {"usagetype": "{prefix}Kafka.Storage.GP2"}),
    Rule(r"msk\.tiered\.storage", "AmazonMSK", {"usagetype": "{prefix}Kafka.Storage.Tiered"}),
    Rule(r"msk\.serverless\.cluster", "AmazonMSK", {"usagetype": "{prefix}KafkaServerless-ClusterHours"}),
    Rule(r"kinesis\.shard", "AmazonKinesis", {"usagetype": "{prefix}Storage-ShardHour"}, bare_us_east_1=True),
    Rule(
        r"kinesis\.put_units",
        "AmazonKinesis",
        {"usagetype": "{prefix}PutRequestPayloadUnits"},
        1_000_000,
        bare_us_east_1=True,
    ),
    Rule(
        r"kinesis\.ondemand\.in",
        "AmazonKinesis",
        {"usagetype": "{prefix}OnDemand-BilledIncomingBytes"},
        bare_us_east_1=True,
    ),
    Rule(r"msf\.kpu", "AmazonKinesisAnalytics", {"usagetype": "{prefix}KPU-Hour-Java"}, bare_us_east_1=True),
)


@dataclass(frozen=True)
class Listed:
    """What the Price List says of one row of the catalogue."""

    id: str
    region: str
    usd: Decimal
    tiers: tuple[Tier, ...]
    sku: str
    rate_code: str
    effective: dt.date
    published: dt.date


@dataclass(frozen=True)
class Change:
    """One price that differs: None where it is missing on that side."""

    id: str
    region: str
    old: Decimal | None
    new: Decimal | None

    @property
    def percent(self) -> Decimal | None:
        return None if not self.old or self.new is None else (self.new / self.old - 1) * 100


def client() -> Any:
    """boto3's pricing client, with the credentials of the environment. Raises HostError if there are none."""
    import boto3

    session = boto3.Session()
    if session.get_credentials() is None:
        raise HostError(
            "no AWS credentials found (environment, shared configuration, instance role), expected some that may call "
            "pricing:GetProducts; the catalogues in costmodel/prices work without"
        )
    return session.client("pricing", region_name=ENDPOINT_REGION)


def refreshable(catalog: Catalog) -> list[tuple[Price, Rule]]:
    """The rows a rule finds in the Price List."""
    found = []
    for price in catalog.prices.values():
        rule = next((rule for rule in RULES if re.fullmatch(rule.pattern, price.id)), None)
        if rule is not None and price.region in USAGE_PREFIX:
            found.append((price, rule))
    return found


def fetch(pricing: Any, price: Price, rule: Rule) -> Listed:
    """The row's current price. Raises RefreshError unless exactly one product matches, on demand, in USD."""
    from botocore.exceptions import BotoCoreError, ClientError

    filters = _filters(price, rule)
    where = f"{price.id} in {price.region} ({rule.service}, {filters})"
    pages = pricing.get_paginator("get_products").paginate(
        ServiceCode=rule.service,
        Filters=[{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in filters.items()],
        FormatVersion="aws_v1",
    )
    try:
        products = [json.loads(text, parse_float=Decimal) for page in pages for text in page["PriceList"]]
    except (BotoCoreError, ClientError) as error:
        raise RefreshError(f"{where}: the Price List did not answer: {error}") from error
    if len(products) != 1:
        raise RefreshError(f"{where}: {len(products)} products match, expected exactly one")
    return _listed(price, rule, products[0], where)


def changes(old: Catalog, new: Catalog) -> list[Change]:
    """Prices that differ between two catalogues, new and gone ones included, by id and region."""
    found = []
    for key in sorted(old.prices.keys() | new.prices.keys()):
        before, after = old.prices.get(key), new.prices.get(key)
        if before is None or after is None or (before.usd, before.tiers) != (after.usd, after.tiers):
            found.append(Change(*key, before.usd if before else None, after.usd if after else None))
    return found


def listing(catalog: Catalog, word: str = "", region: str | None = None) -> list[dict[str, str]]:
    """The catalogue as a table: prices whose id holds `word`, in `region` (or priced the same anywhere)."""
    return [
        {
            "id": price.id,
            "region": price.region,
            "usd": _told(price),
            "unit": price.unit,
            "as of": price.as_of.isoformat(),
            "confidence": price.confidence,
            "source": price.source,
        }
        for key, price in sorted(catalog.prices.items())
        if word in key[0] and (region is None or key[1] in (region, ANYWHERE))
    ]


def _told(price: Price) -> str:
    """0.1, with its band 0.1 (0.05 - 0.2), or tier by tier."""
    if price.tiers:
        return "; ".join(
            f"{tier.usd:f} {'beyond' if tier.up_to is None else f'to {tier.up_to:f}'}" for tier in price.tiers
        )
    return f"{price.usd:f}" + (f" ({price.low:f} - {price.high:f})" if price.low is not None else "")


def refresh(pricing: Any, folder: Path = FOLDER, *, write: bool = False) -> str:
    """A unified diff of the catalogue files against the Price List ("" if all agree); written only if asked.

    `pricing`: a boto3 pricing client. A row that cannot be found raises, and nothing is written.
    """
    catalog = load(folder)
    listed = {(found.id, found.region): found for found in (fetch(pricing, *row) for row in refreshable(catalog))}
    new_texts = {path: rewritten(path.read_text("utf-8"), listed, catalog) for path in sorted(folder.glob("*.yaml"))}
    diff: list[str] = []
    for path, text in new_texts.items():
        old = path.read_text("utf-8")
        diff += difflib.unified_diff(old.splitlines(True), text.splitlines(True), path.name, path.name)
        if write and text != old:
            path.write_text(text, "utf-8")
    return "".join(diff)


def rewritten(text: str, listed: Mapping[tuple[str, str], Listed], catalog: Catalog) -> str:
    """A catalogue's text with the changed prices replaced, row by row: comments and order stay."""
    return "".join(_row(line, listed, catalog) for line in text.splitlines(keepends=True))


def _row(line: str, listed: Mapping[tuple[str, str], Listed], catalog: Catalog) -> str:
    match = re.match(r"- \{id: ([^,]+), region: ([^,]+), usd: [^,]+,", line)
    found = listed.get((match[1], match[2])) if match else None
    if found is None or _agrees(catalog.prices[found.id, found.region], found):
        return line
    unit = catalog.prices[found.id, found.region].unit
    source = f"'AWS Price List, rate code {found.rate_code}'"
    row = [f"id: {found.id}", f"region: {found.region}", f"usd: {found.usd:f}", f"unit: {unit}"]
    if found.tiers:
        bounds = (f"[{'null' if tier.up_to is None else f'{tier.up_to:f}'}, {tier.usd:f}]" for tier in found.tiers)
        row.append(f"tiers: [{', '.join(bounds)}]")
    row += [f"source: {source}", f"as_of: '{found.published}'", "confidence: vendor"]
    return f"- {{{', '.join(row)}}}\n"


def _agrees(price: Price, found: Listed) -> bool:
    return price.usd == found.usd and (not found.tiers or price.tiers == found.tiers) and price.low is None


def _filters(price: Price, rule: Rule) -> dict[str, str]:
    match = re.fullmatch(rule.pattern, price.id)
    assert match is not None
    groups = match.groups() or ("",)
    bare = rule.bare_us_east_1 and price.region == "us-east-1"
    prefix = "" if bare else f"{USAGE_PREFIX[price.region]}-"
    named = {
        field: value.replace("{1}", groups[0]).replace("{prefix}", prefix) for field, value in rule.filters.items()
    }
    return {"regionCode": price.region, **named}


def _listed(price: Price, rule: Rule, product: Mapping[str, Any], where: str) -> Listed:
    terms = list(product["terms"].get("OnDemand", {}).values())  # Reserved ones are other prices for the same thing
    if len(terms) != 1:
        raise RefreshError(f"{where}: {len(terms)} on-demand terms, expected exactly one")
    dimensions = sorted(terms[0]["priceDimensions"].values(), key=lambda item: Decimal(item["beginRange"]))
    if not dimensions:
        raise RefreshError(f"{where}: no price in the answer")
    tiers = tuple(_tier(dimension, rule, where) for dimension in dimensions)
    return Listed(
        price.id,
        price.region,
        tiers[0].usd,
        tiers if len(tiers) > 1 else (),
        str(product["product"]["sku"]),
        str(dimensions[0]["rateCode"]),
        _date(terms[0]["effectiveDate"]),
        _date(product["publicationDate"]),
    )


def _tier(dimension: Mapping[str, Any], rule: Rule, where: str) -> Tier:
    amounts: Mapping[str, str] = dimension["pricePerUnit"]
    if "USD" not in amounts:
        raise RefreshError(f"{where}: priced in {', '.join(amounts) or 'nothing'}, expected USD")
    end = dimension["endRange"]
    usd = (Decimal(amounts["USD"]) * rule.times).normalize()
    return Tier(None if end == "Inf" else Decimal(end) / rule.times, usd)


def _date(text: str) -> dt.date:
    return dt.datetime.fromisoformat(text).date()
