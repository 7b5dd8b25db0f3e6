"""Google Cloud Pub/Sub: a price a TiB published and a TiB delivered to each subscription."""

from __future__ import annotations

from costmodel.platforms import Platform, measured
from costmodel.prices import Catalog
from costmodel.sizing import Binding, Charge, Deployment, Infeasible, Part, flow
from costmodel.usage import Usage

NEAREST = {"us-east-1": "us-central1"}  # a region named as AWS does -> where Google's prices are catalogued


def size(usage: Usage, prices: Catalog) -> Deployment | Infeasible:
    """Raw bytes: the service sees single messages. Retention is the topic's, for every day of it."""
    f, days = flow(usage), usage.retention.days.value
    most = prices.quota("pubsub.retention_days_max")
    if days > most:
        return Infeasible("pubsub", f"retention: {days:f} days over the quota of {most}", f"retention of {most} days")
    region = NEAREST.get(usage.region, usage.region)
    tib = f.gib(f.gb_month(f.raw_mb_s)) / 1024
    charges = (
        Charge("published and delivered", "ingress", tib * (1 + f.groups), "TiB", "gcp.pubsub.throughput"),
        Charge(
            "retained messages", "storage", f.gib(f.raw_mb_s * days * 86_400 / f.k), "GiB-month", "gcp.pubsub.storage"
        ),
    )
    usd = prices.usd("gcp.pubsub.storage", region)
    days_usd = None if usd is None else usd * f.gib(f.raw_mb_s * 86_400 / f.k)
    bound = Binding("none: billed by use", f"retention quota {most} days", days_usd, "day of retention")
    rules = ("raw bytes: the service does not see batches", f"priced in {region}", "subscribers in the same region")
    return Deployment("pubsub", region, (Part("topic", f.topics, "serverless"),), charges, bound, rules)


PLATFORMS = [
    Platform(
        "pubsub",
        "kafka",
        "Google Cloud Pub/Sub",
        size,
        {
            "throughput": measured("published and delivered", "ingress", "gcp.pubsub.throughput", "TiB", "tib"),
            "storage": measured("retained messages", "storage", "gcp.pubsub.storage", "GiB-month", "gib"),
        },
        speaks="Pub/Sub",
        cloud="google",
        serverless=True,
        copies=2,  # "Publish message overview": replicated over several zones; the least that this can mean
    )
]
