"""Refreshing prices against answers of the shape that AWS's Price List gives; no network."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from bench.errors import HostError
from costmodel import prices, refresh

KAFKA = [
    {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1"},
    {"Type": "TERM_MATCH", "Field": "usagetype", "Value": "USE1-Kafka.m5.large"},
    {"Type": "TERM_MATCH", "Field": "operation", "Value": "RunBroker"},
]
S3 = [
    {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1"},
    {"Type": "TERM_MATCH", "Field": "usagetype", "Value": "TimedStorage-ByteHrs"},
]


def product(*tiers: tuple[str, str, str], currency: str = "USD", reserved: bool = False) -> str:
    """One entry of `PriceList`: a JSON string. Tiers are (begin, end, price), given out of order on purpose."""
    dimensions = {
        f"SKU1.JRTCKXETXF.{n}": {
            "unit": "Hrs",
            "beginRange": begin,
            "endRange": end,
            "rateCode": f"SKU1.JRTCKXETXF.{begin}",
            "description": "a price",
            "appliesTo": [],
            "pricePerUnit": {currency: price},
        }
        for n, (begin, end, price) in enumerate(reversed(tiers))
    }
    term = {
        "priceDimensions": dimensions,
        "sku": "SKU1",
        "effectiveDate": "2026-09-01T00:00:00Z",
        "offerTermCode": "JRTCKXETXF",
        "termAttributes": {},
    }
    bargain = {
        **term,
        "priceDimensions": {"SKU1.R": {**dimensions["SKU1.JRTCKXETXF.0"], "pricePerUnit": {"USD": "0.01"}}},
    }
    return json.dumps(
        {
            "product": {"productFamily": "x", "attributes": {}, "sku": "SKU1"},
            "serviceCode": "x",
            "terms": {"OnDemand": {"SKU1.JRTCKXETXF": term}, **({"Reserved": {"SKU1.R": bargain}} if reserved else {})},
            "version": "20261101",
            "publicationDate": "2026-11-01T10:20:30Z",
        }
    )


@pytest.fixture
def pricing() -> Any:
    return boto3.client("pricing", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


def answered(pricing: Any, service: str, filters: list[dict[str, str]], *pages: list[str]) -> Stubber:
    stub = Stubber(pricing)
    for number, page in enumerate(pages):
        more = {"NextToken": f"page{number + 1}"} if number + 1 < len(pages) else {}
        asked = {"ServiceCode": service, "Filters": filters, "FormatVersion": "aws_v1"}
        token = {"NextToken": f"page{number}"} if number else {}
        stub.add_response("get_products", {"PriceList": page, "FormatVersion": "aws_v1", **more}, {**asked, **token})
    stub.activate()
    return stub


def row(price_id: str) -> tuple[prices.Price, refresh.Rule]:
    return next(found for found in refresh.refreshable(prices.built_in()) if found[0].id == price_id)


def test_a_broker_hour_is_the_on_demand_price_and_never_a_reserved_bargain(pricing: Any) -> None:
    with answered(pricing, "AmazonMSK", KAFKA, [product(("0", "Inf", "0.2100000000"), reserved=True)]) as stub:
        found = refresh.fetch(pricing, *row("msk.std.m5.large"))
        stub.assert_no_pending_responses()

    assert found.usd == Decimal("0.21")
    assert found.tiers == ()
    assert (found.sku, found.rate_code) == ("SKU1", "SKU1.JRTCKXETXF.0")
    assert (found.effective, found.published) == (dt.date(2026, 9, 1), dt.date(2026, 11, 1))


def test_tiers_come_sorted_from_the_second_page_too(pricing: Any) -> None:
    tiers = product(("0", "51200", "0.023"), ("51200", "512000", "0.022"), ("512000", "Inf", "0.021"))
    with answered(pricing, "AmazonS3", S3, [], [tiers]):
        found = refresh.fetch(pricing, *row("s3.std.gb"))

    assert found.tiers == prices.built_in().prices["s3.std.gb", "us-east-1"].tiers


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ([], "0 products match"),
        ([product(("0", "Inf", "0.21")), product(("0", "Inf", "0.22"))], "2 products match"),
        ([product(("0", "Inf", "1.4"), currency="CNY")], "priced in CNY, expected USD"),
    ],
)
def test_an_ambiguous_or_foreign_answer_raises_instead_of_becoming_a_price(
    pricing: Any, page: list[str], said: str
) -> None:
    with answered(pricing, "AmazonMSK", KAFKA, page), pytest.raises(refresh.RefreshError, match=said):
        refresh.fetch(pricing, *row("msk.std.m5.large"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalogue of two refreshable rows."""
    text = (prices.FOLDER / "aws.yaml").read_text("utf-8").splitlines(keepends=True)
    kept = [
        line
        for line in text
        if not line.startswith("- {id")
        or line.startswith(("- {id: msk.std.m5.large, region: us", "- {id: s3.std.gb, region: us"))
    ]
    (tmp_path / "aws.yaml").write_text(
        "".join(kept).replace("usd: 0.21,", "usd: 0.2,").replace("quotas:\n", ""), "utf-8"
    )
    return tmp_path


def test_a_refresh_is_a_diff_to_review_that_changes_only_what_changed(pricing: Any, folder: Path) -> None:
    stub = Stubber(pricing)
    tiers = product(("0", "51200", "0.023"), ("51200", "512000", "0.022"), ("512000", "Inf", "0.021"))
    for _ in range(2):
        for page in (tiers, product(("0", "Inf", "0.21"))):
            stub.add_response("get_products", {"PriceList": [page], "FormatVersion": "aws_v1"})
    before = shutil.copytree(folder, folder.parent / "before")
    with stub:
        dry = refresh.refresh(pricing, folder)
        assert (folder / "aws.yaml").read_text("utf-8") == (before / "aws.yaml").read_text("utf-8")
        written = refresh.refresh(pricing, folder, write=True)

    assert dry == written
    changed = [line for line in dry.splitlines() if line.startswith(("+-", "--")) and "{id" in line]
    assert [line[0] for line in changed] == ["-", "+"]
    (change,) = refresh.changes(prices.load(before), prices.load(folder))
    assert (change.id, change.old, change.new) == ("msk.std.m5.large", Decimal("0.2"), Decimal("0.21"))
    assert change.percent == 5
    fresh = prices.load(folder).prices["msk.std.m5.large", "us-east-1"]
    assert (fresh.as_of, fresh.confidence) == (dt.date(2026, 11, 1), "vendor")


def test_without_credentials_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stack of botocore's frames sends somebody without an AWS account looking for a bug of ours."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(HostError, match="no AWS credentials found"):
        refresh.client()
