"""Redpanda Serverless: billed by use, each partition by the hour."""

from __future__ import annotations

from decimal import Decimal

from costmodel.platforms import Platform, measured, timed
from costmodel.prices import Catalog
from costmodel.sizing import Binding, Charge, Deployment, Infeasible, Part, flow
from costmodel.usage import Usage


def size(usage: Usage, prices: Catalog) -> Deployment | Infeasible:
    """Nothing to size: no quota is catalogued, so none is checked, and the bill says so."""
    f = flow(usage)
    charges = (
        Charge("cluster", "fixed", f.month_hours, "hour", "redpanda.serverless.hour"),
        Charge(
            "partitions",
            "partitions",
            f.partitions * f.month_hours,
            "partition-hour",
            "redpanda.serverless.partition_hour",
        ),
        Charge("data in", "ingress", f.gb_month(f.wire_mb_s), "GB", "redpanda.serverless.gb_in"),
        Charge("data out", "egress", f.gb_month(f.egress_mb_s), "GB", "redpanda.serverless.gb_out"),
        Charge("storage", "storage", f.kept_gb(usage.retention.days.value), "GB-month", "redpanda.serverless.gb_month"),
    )
    usd = prices.usd("redpanda.serverless.partition_hour", usage.region)
    bound = Binding(
        "none: billed by use, each partition by the hour",
        None,
        None if usd is None else usd * f.month_hours,
        "partition",
    )
    parts = (Part("cluster", Decimal(1), "serverless"), Part("partition", f.partitions, "as described"))
    rules = (
        "no quota is catalogued: whether so large a stream is accepted is not checked",
        "storage counted as one copy",
    )
    return Deployment("redpanda-serverless", usage.region, parts, charges, bound, rules)


PLATFORMS = [
    Platform(
        "redpanda-serverless",
        "kafka",
        "Redpanda Serverless",
        size,
        {
            "cluster": timed("cluster", "fixed", "redpanda.serverless.hour", "hour"),
            "partition": timed("partitions", "partitions", "redpanda.serverless.partition_hour", "partition-hour"),
            "data-in": measured("data in", "ingress", "redpanda.serverless.gb_in", "GB", "gb"),
            "data-out": measured("data out", "egress", "redpanda.serverless.gb_out", "GB", "gb"),
            "storage": measured("storage", "storage", "redpanda.serverless.gb_month", "GB-month", "gb"),
        },
        serverless=True,
        copies=3,  # "Topics overview" of Redpanda Cloud: three, also where fewer are asked for
    )
]
