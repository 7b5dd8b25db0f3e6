"""Turns what was measured into dollars.

    usage = costmodel.load("usage.yaml")                  # or a deployment.yaml, or costmodel.usage_from_runs(rows, …)
    options = costmodel.price(usage, ["self-ec2", "msk-standard+flink-managed-aws"])
    costmodel.to_json(options)                            # the document of `cost --json`
    costmodel.rows(options)                               # rows of a table, cheapest first; a * has notes(option)

`Usage` (what a platform must carry) and `Catalog` (dated, sourced prices) -> a platform's `size` -> `Deployment` or
`Infeasible` -> `Bill` -> `Option`. Pure but for reading files. Bad input raises ScenarioError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from costmodel.formats import notes, rows, to_json
from costmodel.option import Option, price
from costmodel.usage import AsBuilt, Usage, load

if TYPE_CHECKING:
    from costmodel.cluster import usage_from_cluster
    from costmodel.measured import usage_from_runs

__all__ = [
    "AsBuilt",
    "Option",
    "Usage",
    "load",
    "notes",
    "price",
    "rows",
    "to_json",
    "usage_from_cluster",
    "usage_from_runs",
]


def __getattr__(name: str) -> Any:
    # these bring scipy and librdkafka, which a hand-written usage does not need
    if name == "usage_from_runs":
        from costmodel.measured import usage_from_runs

        return usage_from_runs
    if name == "usage_from_cluster":
        from costmodel.cluster import usage_from_cluster

        return usage_from_cluster
    raise AttributeError(name)
