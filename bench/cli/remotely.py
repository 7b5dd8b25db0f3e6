"""--backend remote: how somebody else's cluster is named on the command line, looked at, and told of."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from bench.cli import say
from bench.errors import ScenarioError
from bench.keyring import CONFIG

if TYPE_CHECKING:
    from bench.backends.reach import Reached
    from bench.backends.remote import Remote
    from bench.scenario import Trial

WORDS = ("bootstrap", "flink_url", "command_config", "broker_metrics", "prefix", "owned")


def remote_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a cluster is reached; `remote_of` takes them out of the words again."""
    for option in reversed(
        [
            click.option("--bootstrap", metavar="HOST:PORT", help="remote: the brokers."),
            click.option("--flink-url", metavar="URL", help="remote: Flink's REST interface; without it Kafka only."),
            click.option(
                "--command-config", type=click.Path(exists=True, dir_okay=False, path_type=Path),
                envvar=CONFIG,
                help="remote: librdkafka settings, a KEY=VALUE a line; STREAMGAUGE_KAFKA_PASSWORD goes before it.",
            ),
            click.option("--broker-metrics", metavar="URL", multiple=True,
                         help="remote: a JMX exporter's page a broker, or a Prometheus query that sums their CPU up."),
            click.option("--prefix", default="sg-", show_default=True,
                         help="remote: of topics, groups and transactional ids."),
            click.option("--i-own-this-cluster", "owned", is_flag=True,
                         help="remote: load it beyond a small rate."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


def remote_of(words: dict[str, Any], backends: Sequence[str] = ("remote",)) -> Remote | None:
    """The cluster that the words name, its secrets kept; None without one. ScenarioError says what is off."""
    told = {name: words.pop(name) for name in WORDS}
    os.environ.pop(CONFIG, None)  # click has read it; a worker of ours would take it for the way to any broker
    wanted = "remote" in backends
    if not wanted or not told["bootstrap"]:
        if wanted:
            raise ScenarioError("--backend remote: expected --bootstrap HOST:PORT, the address of its brokers")
        given = [name for name in ("bootstrap", "flink_url", "broker_metrics") if told[name]]
        if given:
            raise ScenarioError(f"--{given[0].replace('_', '-')}: expected it with --backend remote only")
        return None
    from bench import keyring
    from bench.backends.remote import Remote

    flink = (told["flink_url"] or "").rstrip("/")
    if flink and (urlsplit(flink).scheme != "http" or urlsplit(flink).path):
        raise ScenarioError(
            f"--flink-url {flink}: expected http://HOST:PORT; behind TLS or a path, forward its port (docs/remote.md)"
        )
    for url in told["broker_metrics"]:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ScenarioError(f"--broker-metrics {url}: expected http://HOST:PORT/metrics")
    found = Remote(told["bootstrap"], flink, tuple(told["broker_metrics"]), told["prefix"], owned=told["owned"])
    keyring.keep(found.bootstrap, keyring.settings(told["command_config"]))
    return found


def look(remote: Remote, trials: Sequence[Trial], *, remove_leftovers: bool = False) -> Reached:
    """The preflight of these trials, said to a person. What a run left is removed where that is wished."""
    from bench.backends.reach import reach, remove
    from bench.trial.guard import needs_of, refusal

    for one in trials:
        if why := refusal(one, remote):
            raise ScenarioError(f"{one.scenario}: {why}")
    found = reach(remote, needs_of(trials))
    for line in found.lines:
        say(line)
    if found.leftovers:
        count, named = len(found.leftovers), ", ".join(found.leftovers[:3])
        more = ", …" if count > 3 else ""
        if remove_leftovers:
            remove(remote, found.leftovers)
            say(f"removed {count} topics that an earlier run left: {named}{more}")
        else:
            say(
                f"{count} topics of an earlier run are still there ({named}{more}): --remove-leftovers removes them, "
                f"unless a run with the prefix {remote.prefix} goes on elsewhere"
            )
    return found
