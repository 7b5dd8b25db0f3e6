"""Words <-> functions, and exit codes. The one place that looks right (costmodel, reports), and only inside commands.

0 done · 1 a threshold, gate or refuted claim fails · 2 usage or scenario error · 3 inconclusive under --fail-on ·
4 host or platform failed, or no run finished · 5 plan has work to do · 130 interrupted, what was measured is kept.

    __init__   the group, what commands share, exit codes
    studies    doctor, list, plan, run, show
    remotely   how somebody else's cluster is named, looked at and told of
    reporting  report
    comparing  compare
    money      cost, prices
    runcosts   what a study's runs cost: usages of its cells, a report's bills
    live       usage
    bills      how a bill looks on a terminal
    forecasts  simulate
    advising   advise
    validating validate
    instrument ceiling
    claims     claims
    gallery    gallery
    rendering  render
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from bench import keyring
from bench.errors import ScenarioError, StreamgaugeError

if TYPE_CHECKING:
    from rich.console import Console

RESULTS = Path("results")
# each registers its commands with `cli`
MODULES = (
    "studies",
    "reporting",
    "comparing",
    "money",
    "live",
    "forecasts",
    "advising",
    "validating",
    "instrument",
    "claims",
    "gallery",
    "rendering",
)


class Span(click.FloatRange):
    """Numbers between two ends, without nan, which no comparison refuses, and without infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or a usage error that names the option."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return found


def say(text: str) -> None:
    """Chatter and progress go to stderr; stdout is for answers."""
    click.echo(text, err=True)


def answer(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """A machine-readable answer; a number that is none is null, for JSON knows neither NaN nor infinity."""
    click.echo(json.dumps(_finite(document), indent=1, default=str, allow_nan=False))


def _finite(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def wide_console() -> Console:
    """Standard output for tables: as wide as the terminal, and never folded at 80 columns in a file or a pipe."""
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=140)


def share(word: str, option: str) -> float:
    """`5%` or `0.05` as a share between 0 and 1; ScenarioError otherwise."""
    try:
        found = float(word.removesuffix("%")) / (100 if word.endswith("%") else 1)
    except ValueError:
        found = -1.0
    if not 0 < found < 1:
        raise ScenarioError(f"{option} {word}: expected a share between 0 and 1, such as 5% or 0.05")
    return found


def leave(code: int) -> NoReturn:
    """End the command with this exit code."""
    raise click.exceptions.Exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option("0.1.0", prog_name="streamgauge")
def cli() -> None:
    """Measures what a Kafka + Flink pipeline carries, which guidance about it holds, and what it costs in a cloud.

    Start with `streamgauge run quickstart`.
    """


as_json = click.option("--json", "json_", is_flag=True, help="The answer as JSON on stdout.")


def main() -> int:
    """Run the command line; returns the exit code."""
    keyring.take(os.environ)
    for name in MODULES:
        import_module(f"{__name__}.{name}")
    try:
        result = cli.main(standalone_mode=False, prog_name="streamgauge")
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        say("interrupted; what was measured is kept, and running again resumes")
        return 130
    except StreamgaugeError as error:
        say(f"streamgauge: {error}")
        return error.exit_code
    return result if isinstance(result, int) else 0
