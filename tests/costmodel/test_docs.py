"""docs/cost.md's reference case is what the code says today, line by line."""

from __future__ import annotations

from pathlib import Path

import costmodel
from costmodel.usage import Usage

ROOT = Path(__file__).parents[2]
SHOWN = ["self-ec2", "msk-tiered", "kinesis-provisioned"]
BEGIN, END = "<!-- reference: begin -->\n", "<!-- reference: end -->"


def reference_table() -> str:
    usage = costmodel.load(ROOT / "costmodel" / "examples" / "reference.yaml")
    assert isinstance(usage, Usage)
    rows = ["| option | line | quantity | USD | USD a month | price | source, as of |"]
    rows.append("|---|---|--:|--:|--:|---|---|")
    for option in costmodel.price(usage, SHOWN, draws=0):
        assert option.bill is not None
        for line in option.bill.lines:
            assert line.unit_price is not None
            assert line.usd_month is not None
            price = f"{line.unit_price:f} | {line.usd_month:,.2f} | `{line.price_id}`"
            origin = f"{line.source}, {line.as_of} ({line.confidence})"
            item = f"{line.item} ({line.kind}) | {line.quantity:,.0f} {line.unit}"
            rows.append(f"| {option.platform} | {item} | {price} | {origin} |")
        rows.append(f"| **{option.platform}** | | | | **{option.bill.usd_month:,.2f}** | | |")
    return "\n".join(rows) + "\n"


def test_the_documented_reference_case_is_traced_to_prices_and_sources_as_they_are() -> None:
    text = (ROOT / "docs" / "cost.md").read_text("utf-8")
    documented = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]

    assert documented == reference_table()


def test_the_documented_usage_is_one_that_loads_and_prices(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "cost.md").read_text("utf-8")
    file = tmp_path / "usage.yaml"
    file.write_text(text.split("```yaml\n")[1].split("```")[0], "utf-8")

    options = costmodel.price(costmodel.load(file), draws=0)
    assert sum(option.bill is not None for option in options) > 15


def test_the_reference_case_is_the_published_one() -> None:
    """$49.7k a month for 100 MB/s, fan-out 3, 7 days: compute 0.9k, disk 24.2k, traffic between zones 24.5k."""
    usage = costmodel.load(ROOT / "costmodel" / "examples" / "reference.yaml")
    (option,) = costmodel.price(usage, ["self-ec2"], draws=0)

    assert option.bill is not None
    thousands = {
        kind: round(float(option.bill.of(*kind.split())) / 1000, 1)
        for kind in ("compute idle", "storage", "cross-zone")
    }
    assert thousands == {"compute idle": 0.9, "storage": 24.2, "cross-zone": 24.5}
    assert round(float(option.bill.usd_month) / 1000, 1) == 49.7
