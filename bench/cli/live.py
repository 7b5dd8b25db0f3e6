"""usage: what a live cluster carries; and how such a cluster is reached."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli import Span, answer, as_json, cli, say
from bench.cli.money import number


def _settings(_: click.Context, __: click.Parameter, path: Path | None) -> dict[str, str]:
    from bench.keyring import read

    return read(path) if path else {}


command_config = click.option(
    "--command-config", "config", type=click.Path(exists=True, dir_okay=False, path_type=Path), callback=_settings,
    help="How to reach the cluster: librdkafka settings, a KEY=VALUE a line.",
)  # fmt: skip


@cli.command()
@click.option("--bootstrap", required=True, metavar="HOST:PORT", help="A live cluster; it is only read.")
@click.option("--region", required=True, help="Where it would be priced, such as us-east-1.")
@click.option("--window", "window_s", type=Span(3), default=60.0, show_default=True, help="Seconds to watch.")
@click.option("--compression-ratio", help="Raw over stored bytes, which Kafka cannot know; assumed 1.")
@command_config
@as_json
def usage(
    bootstrap: str, region: str, window_s: float, compression_ratio: str | None, config: dict[str, str], *, json_: bool
) -> None:
    """What a live cluster carries, as a usage.yaml for `cost`: offset and log-directory deltas, retention, groups."""
    from costmodel.cluster import usage_from_cluster

    ratio = number(compression_ratio, "--compression-ratio") if compression_ratio else None
    say(f"watching {bootstrap} for {window_s:.0f} s")
    found = usage_from_cluster(bootstrap, region=region, window_s=window_s, compression_ratio=ratio, config=config)
    if json_:
        answer(found.model_dump(mode="json", exclude_none=True, by_alias=True))
    else:
        click.echo(found.to_yaml(), nl=False)
