"""compare: two results against each other, as a gate for CI or to see what a setting changes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import answer, as_json, cli, leave, say, share, wide_console
from bench.errors import ScenarioError

if TYPE_CHECKING:
    from bench.analysis.compare import Compared
    from bench.sides import Side


@cli.command()
@click.argument("base")
@click.argument("new")
@click.option("--allow", multiple=True, metavar="FIELD", help="A field that may differ, such as workload.event_bytes.")
@click.option("--across-environments", is_flag=True, help="Other machines or versions are the question.")
@click.option("--floor", metavar="SHARE", help="Least change that counts, such as 3%. Each metric's own without it.")
@click.option("--metric", "metrics", multiple=True, help="Only this metric; may be repeated.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write the gate as JUnit XML.")
@click.option("--report", type=click.Path(file_okay=False, path_type=Path), help="Write HTML, Markdown, CSV and JUnit.")
@click.option("--fail-on", type=click.Choice(["inconclusive"]), multiple=True, help="Exit 3 when nothing can be said.")
@as_json
def compare(base: str, new: str, json_: bool, fail_on: tuple[str, ...], **how: Any) -> None:
    """NEW against BASE, metric by metric: better, worse, no difference, or inconclusive. Exit 1 if something got worse.

    Each is results/SCENARIO, one bundle, or one arm of a study, such as results/noise:producer.linger_ms=5.
    """
    from bench.analysis.compare import Change
    from bench.analysis.compare import compare as judged
    from bench.sides import side

    sides = side(base), side(new)
    unreadable = [sentence for one in sides for sentence in one.unreadable]
    for text in unreadable:
        say(text)
    allow = {*how["allow"], *(path for one in sides for path in one.where)}
    allow |= {"environment"} if how["across_environments"] else set()
    found = judged(sides[0].runs, sides[1].runs, allow=allow,
                   floor=share(how["floor"], "--floor") if how["floor"] else None,
                   metrics=_metrics(how["metrics"], how["floor"]), unreadable=unreadable)  # fmt: skip
    _tell(found, sides, junit=how["junit"], folder=how["report"], json_=json_)
    undecided = any(row.change is Change.UNDECIDED for row in found.rows)
    leave(1 if not found.passes else 3 if undecided and "inconclusive" in fail_on else 0)


def _tell(found: Compared, sides: tuple[Side, Side], *, junit: Path | None, folder: Path | None, json_: bool) -> None:
    from datetime import UTC, datetime

    from reports import comparison, render

    told = comparison.tell(found, *sides, generated_utc=datetime.now(UTC).isoformat(timespec="seconds"))
    if json_:
        answer(_document(found, sides))
    else:
        render.terminal(told, wide_console())
    if junit is not None:
        junit.parent.mkdir(parents=True, exist_ok=True)
        junit.write_text(render.junit(told), encoding="utf-8")
        say(str(junit))
    if folder is not None:
        for path in render.write(told, folder):
            if path.suffix in (".html", ".md", ".xml"):
                say(str(path))


def _document(found: Compared, sides: tuple[Side, Side]) -> dict[str, Any]:
    about = [{"from": one.word, "runs": len(one.runs), "left_out": left}
             for one, left in zip(sides, found.left_out, strict=True)]  # fmt: skip
    return {
        "schema": 1,
        "base": about[0],
        "new": about[1],
        "passes": found.passes,
        "differing": {field: {"base": values[0], "new": values[1]} for field, values in found.told.items()},
        "unreadable": list(found.unreadable),
        "rows": [asdict(row) for row in found.rows],
    }


def _metrics(names: tuple[str, ...], floor: str | None) -> tuple[str, ...]:
    from bench.metrics import METRICS
    from bench.scenario.words import nearest

    for name in names:
        if name not in METRICS:
            raise ScenarioError(f"--metric {name}: expected a metric of docs/metrics.md{nearest(name, METRICS)}")
        if not METRICS[name].min_effect and floor is None:
            raise ScenarioError(f"--metric {name}: it has no smallest effect of its own, expected --floor beside it")
    return names
