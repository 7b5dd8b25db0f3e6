"""A question in YAML -> `Scenario` -> `Trial`s. All validation is here; errors name file, line, path and a remedy.

    scenario = load(find("quickstart"), overrides=["topic.partitions=12"])
    trials = scenario.trials(backend="local", workload_version=1, measurement_version=1, host_class="...")

Start with `sections` for what a file may say, `trials` for what becomes of it, `reading` for how it is checked.
"""

from __future__ import annotations

from bench.scenario.reading import find, load
from bench.scenario.sections import Load, Pricing, Settings
from bench.scenario.trials import BACKEND, LoadPlan, Scenario, Trial, beside, estimate_s, estimates_s, expected_events
from bench.scenario.words import Threshold, nearest, parse_threshold

__all__ = [
    "BACKEND",
    "Load",
    "LoadPlan",
    "Pricing",
    "Scenario",
    "Settings",
    "Threshold",
    "Trial",
    "beside",
    "estimate_s",
    "estimates_s",
    "expected_events",
    "find",
    "load",
    "nearest",
    "parse_threshold",
]
