"""Ceilings that were measured on this host, kept beside the results and held against what a run is about to ask."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import environment
from bench.loadgen.ceiling import Ceiling, beyond
from bench.loadgen.shapes import peak_eps
from bench.scenario import Settings, Trial

FILE = "ceilings.json"
SCHEMA = 1


def kind_of(settings: Settings) -> dict[str, Any]:
    """What a ceiling depends on, beside engine, workers and partitions: event, routing, batching, and this host."""
    producer = settings.producer.model_dump(mode="json", exclude={"engine"})
    return {
        "host_class": environment.host_class(),
        "workload": settings.workload.model_dump(mode="json"),
        "producer": producer,
    }


def keep(found: Sequence[Ceiling], settings: Settings, out: Path) -> Path:
    """Write them to `out`; older ones of the same arrangement are replaced."""
    path, kind = out / FILE, kind_of(settings)
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    new = {_key(one): {**asdict(one), "measured_utc": stamp} for one in found}
    others = [entry for entry in _entries(path) if entry["of"] != kind]
    same = [one for entry in _entries(path) if entry["of"] == kind for one in entry["ceilings"]]
    merged = {**{_key(Ceiling(**_plain(one))): one for one in same}, **new}
    out.mkdir(parents=True, exist_ok=True)
    document = {"schema": SCHEMA, "entries": [*others, {"of": kind, "ceilings": list(merged.values())}]}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document, indent=1) + "\n")
    part.replace(path)
    return path


def recall(settings: Settings, out: Path) -> list[Ceiling]:
    """Those of the same kind; [] if none were measured."""
    kind = kind_of(settings)
    entries = [entry for entry in _entries(out / FILE) if entry["of"] == kind]
    return [Ceiling(**_plain(one)) for entry in entries for one in entry["ceilings"]]


def said_before(trials: Sequence[Trial], out: Path) -> list[str]:
    """A sentence for each rate that this host's generator cannot be expected to hold; [] where nothing was measured."""
    if not (out / FILE).exists():
        return []
    said = []
    for trial in trials:
        settings, peak = trial.settings, peak_eps(trial.load.model_dump(mode="json"))
        if peak is None:
            continue
        text = beyond(
            peak,
            recall(settings, out),
            workers=trial.load.workers,
            engine=settings.producer.engine,
            partitions=settings.topic.partitions,
        )
        said += [text] if text else []
    return list(dict.fromkeys(said))


def _key(one: Ceiling) -> tuple[str, str, int, int]:
    return one.sink, one.engine, one.workers, one.partitions


def _plain(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kept.items() if name != "measured_utc"}


def _entries(path: Path) -> list[dict[str, Any]]:
    """What was kept; nothing where the file is not there, is damaged or of another schema: it can be measured again."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    return list(document["entries"]) if isinstance(document, dict) and document.get("schema") == SCHEMA else []
