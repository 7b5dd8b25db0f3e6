"""docs/past-one-machine.md: what it prints is printed, and what it says of studies is in them.

python -m tests.manifests.test_document         writes what its commands print into the page anew
"""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import record
from bench.cli import cli
from bench.manifests.evidence import measured
from bench.manifests.sizing import size
from bench.manifests.skew import busiest_share
from bench.record import Run
from tests.manifests.scene import RULES, settings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "past-one-machine.md"
PAGE = FILE.read_text(encoding="utf-8")
CUT, MORE = "Priced at ", "…\n"  # below a bill, what rests on a study that is another's to keep
BLOCKS = re.findall(r"```console\n\$ streamgauge ([^\n]*)\n(.*?)```", PAGE, re.DOTALL)


def said(words: str, folder: Path) -> str:
    """What the command prints, from the checkout's root; what it writes goes to `folder`."""
    for module in ("rendering", "money"):
        import_module(f"bench.cli.{module}")  # registers its commands
    argv = [str(folder) if word == "deploy/k8s" else word for word in shlex.split(words)]
    done = CliRunner().invoke(cli, argv, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return "\n".join(line.rstrip() for line in done.stdout.rstrip().splitlines()) + "\n"


def shown(words: str, before: str, folder: Path) -> str:
    """The same as far as the page shows it."""
    whole = said(words, folder)
    return f"{whole[: whole.index(CUT)]}{MORE}" if before.endswith(MORE) else whole


@pytest.mark.parametrize(("command", "printed"), BLOCKS, ids=[words.split()[0] for words, _ in BLOCKS])
def test_each_command_prints_what_stands_below_it(
    command: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bill that has changed since would be believed."""
    monkeypatch.chdir(ROOT)
    assert shown(command, printed, tmp_path) == printed


def test_there_is_a_block_for_sizes_for_an_hour_and_for_a_month() -> None:
    assert [words.split()[0] for words, _ in BLOCKS] == ["render", "cost", "cost"]


def values(study: str, metric: str, *, load: str = "") -> list[float]:
    runs: list[Run] = [record.load(bundle) for bundle in record.find(ROOT / "studies" / study)]
    return sorted(
        float(run.metrics[metric].value)
        for run in runs
        if metric in run.metrics and run.outcome == "finished" and (not load or run.load == load)
    )


def test_what_it_says_of_the_studies_is_in_them() -> None:
    """Each size and the bill rest on these."""
    per_event = [
        f"{values('sustainable-rate', f'{who}_cpu_s_per_million_events')[0]:.2f}"
        for who in ("generator", "broker", "flink")
    ]
    assert f"| {', '.join(per_event)} |" in PAGE
    assert f"{values('sustainable-rate', 'sustainable_rate_eps')[0]:,.0f} events/s through Flink" in PAGE
    assert f"take {sum(map(float, per_event)):.1f} cores" in PAGE
    low, high = values("quickstart", "drain_eps", load="drain")
    assert f"{round(low, -3):,.0f} and {round(high, -3):,.0f} events/s" in PAGE
    for who, load, study in (("broker", "drain", "quickstart"), ("flink", "drain", "quickstart")):
        span = values(study, f"{who}_cpu_s_per_million_events", load=load)
        assert f"{span[0]:.1f} to {span[-1]:.1f}" in PAGE
    for who in ("generator", "broker"):
        span = values("ingest-1m", f"{who}_cpu_s_per_million_events", load="million")
        assert len(span) == 5
        assert f"{span[0]:.2f} to {span[-1]:.2f}" in PAGE
    most = values("ingest-1m", "broker_cpu_s_per_million_events", load="million")[-1]
    assert round(values("sustainable-rate", "broker_cpu_s_per_million_events")[0] / most) == 14


def test_what_it_says_of_the_keys_is_computed() -> None:
    """The reason why the page's own command says `sticky`."""
    one = settings()
    known = measured(ROOT / "studies" / "sustainable-rate", "steady", one, RULES)
    large = size("large", 1_000_000.0, one, known, RULES)
    assert not large.is_reached
    assert f"{large.busiest_slot_cores:.1f} cores; a slot reads" in PAGE
    share = busiest_share(one, 14, 14)
    assert large.because[-1].startswith(f"the busiest slot reads {share:.1%}")
    assert f"would read {share * 100:.1f} %" in PAGE
    drained, half = values("quickstart", "drain_eps", load="drain")[-1], busiest_share(one, 2, 6)
    assert f"of {round(drained, -3):,.0f} events/s the busier of two slots read {half * 100:.1f} %" in PAGE
    assert f"which is {round(drained * half, -3):,.0f}/s" in PAGE
    assert f"asked for {round(share * 1e6, -3):,.0f}/s" in PAGE


def test_what_it_says_of_followers_and_retention_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are assumed, and move the answer."""
    monkeypatch.chdir(ROOT)
    one = values("sustainable-rate", "broker_cpu_s_per_million_events")[0]
    low, middle, high = (one * (1 + 2 * share) / (2 / 3) for share in (0.2, 0.5, 1.0))
    assert f"brokers {low:.1f} to {high:.1f} cores instead of {middle:.1f}" in PAGE
    month = next(words for words, _ in BLOCKS if "scale_to_mb_s" in words)
    rows = ("msk-standard+flink-managed-aws", "self-ec2+flink-ec2")
    short = said(f"{month} --set retention_days=1", tmp_path)
    totals = [re.findall(rf"{re.escape(row)} +│ +([\d,]+) │", short)[0] for row in rows]
    assert f"`--set retention_days=1` leaves {' and '.join(totals)}" in PAGE
    options = {one["platform"]: one["lines"] for one in json.loads(said(f"{month} --json", tmp_path))["options"]}
    rest = [
        sum(line["usd_month"] for line in options[row] if line["kind"] not in ("storage", "cross-zone")) for row in rows
    ]
    # "all but 3,500 dollars of the first and a thousand of the second"
    assert [round(rest[0] / 500) * 500, round(rest[1], -3)] == [3500, 1000]


def write_anew() -> None:
    """After prices or studies have changed: look at what the page says around the blocks, too."""
    page = PAGE
    with tempfile.TemporaryDirectory() as folder:
        for words, before in BLOCKS:
            page = page.replace(
                f"$ streamgauge {words}\n{before}", f"$ streamgauge {words}\n{said(words, Path(folder))}"
            )
    FILE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    write_anew()
