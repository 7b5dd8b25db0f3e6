"""What of a scenario's `workload:` section shapes the events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.errors import ScenarioError
from bench.workloads.encoding import Format

MAX_KEYS = 10_000_000  # a key is a letter and seven digits


@dataclass(frozen=True)
class Knobs:
    """Documented with defaults; `of` reads any object with these attributes."""

    name: str
    format: Format = "json"
    event_bytes: int = 200  # mean size of a value
    event_bytes_sigma: float = 0.0  # sigma of the log-normal sizes; 0: all alike
    distinct: int = 100_000
    zipf: float = 1.05
    disorder_s: float = 0.0  # event-time seconds: the bound a watermark needs
    event_time_speed: float = 1.0
    malformed: float = 0.0  # share of events that do not parse
    duplicates: float = 0.0  # share of events that repeat one of the 64 before them
    entropy: float = 0.5  # share of random tokens in the filler text; the rest are dictionary words

    @classmethod
    def of(cls, spec: Any) -> Knobs:
        """Knobs from a scenario's section (attributes), absent ones at their defaults."""
        own = {f: getattr(spec, f) for f in cls.__dataclass_fields__ if getattr(spec, f, None) is not None}
        keys = getattr(spec, "keys", None)
        if keys is not None and not callable(keys):
            own |= {"distinct": keys.distinct, "zipf": keys.zipf}
        return cls(**own)


def check(knobs: Knobs) -> None:
    """ScenarioError for what no workload can be."""
    if not 1 <= knobs.distinct <= MAX_KEYS:
        raise ScenarioError(f"workload.keys.distinct: {knobs.distinct} is not within 1 and {MAX_KEYS:,}")
    if knobs.format not in ("json", "csv", "avro"):
        raise ScenarioError(f"workload.format: {knobs.format!r} is none of json, csv, avro")
    for name in ("malformed", "duplicates", "entropy"):
        if not 0 <= getattr(knobs, name) <= 1:
            raise ScenarioError(f"workload.{name}: {getattr(knobs, name)} is not a share within 0 and 1")
    if knobs.format == "avro" and knobs.malformed:
        raise ScenarioError("workload.malformed: Flink's Avro format cannot skip an unreadable record; use json or csv")
