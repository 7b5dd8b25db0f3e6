"""What arrives in each minute of a simulated time: drawn from a shape, or read from somebody's CSV.

A shape is a day (a sine, highest at 14:00) x a weekend x correlated noise x spikes, with hours in which nothing comes;
it is scaled so that its mean is the usage's. The first day is a Monday.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from bench.errors import ScenarioError

DAY = 24 * 60
PEAK_HOUR = 14
NOISE_MINUTES = 10  # noise forgets itself within about as long
LEAST_MINUTES = 60

PerMinute = npt.NDArray[np.float64]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spikes(_Section):
    """`a_month` times the load is `factor` x as high for `minutes`, at random (seeded) times."""

    a_month: float = Field(default=0, ge=0)
    factor: float = Field(default=3, ge=1)
    minutes: int = Field(default=15, ge=1)


class Shape(_Section):
    """A load profile, or `csv`: a file with `minute,rate_eps` (or `time,rate_eps`, ISO 8601), relative to the plan."""

    daily_peak_to_mean: float = Field(default=1.5, ge=1, le=2)
    weekend: float = Field(default=1.0, ge=0, le=1)  # Saturday and Sunday, as a share of a weekday
    idle_hours: float = Field(default=0, ge=0, lt=24)  # of each day, around the sine's lowest hour
    noise: float = Field(default=0, ge=0, le=1)  # coefficient of variation
    spikes: Spikes = Spikes()
    csv: str | None = None


@dataclass(frozen=True)
class Load:
    """Events that arrive in each minute, never negative; at least one arrives."""

    events: PerMinute

    @property
    def minutes(self) -> int:
        """How long it is."""
        return len(self.events)

    @property
    def mean_eps(self) -> float:
        """Events a second over all of it."""
        return float(self.events.mean()) / 60

    @property
    def peak_eps(self) -> float:
        """Events a second in its busiest minute."""
        return float(self.events.max()) / 60

    def scaled(self, factor: float) -> Load:
        """The same shape, `factor` x as high."""
        return Load(self.events * factor)


def drawn(shape: Shape, mean_eps: float, minutes: int, seed: int) -> Load:
    """A load of this shape whose mean is `mean_eps`. The same seed gives the same load."""
    rng = np.random.default_rng(seed)
    at = np.arange(minutes)
    hour, day = at % DAY / 60, at // DAY
    swing = shape.daily_peak_to_mean - 1
    relative = 1 + swing * np.cos((hour - PEAK_HOUR) / 24 * 2 * np.pi)
    relative *= np.where(day % 7 >= 5, shape.weekend, 1.0)
    relative *= _noise(rng, minutes, shape.noise)
    relative *= _spikes(rng, minutes, shape.spikes)
    from_lowest = np.abs((hour - PEAK_HOUR + 24) % 24 - 12)
    relative[from_lowest * 2 < shape.idle_hours] = 0
    if not relative.any():
        raise ScenarioError("load: nothing ever arrives; expected fewer idle_hours or a weekend above 0")
    return Load(relative / relative.mean() * mean_eps * 60)


def _noise(rng: np.random.Generator, minutes: int, cv: float) -> PerMinute:
    """Lognormal factors of mean 1 that are correlated over `NOISE_MINUTES`."""
    keep = np.exp(-1 / NOISE_MINUTES)
    fresh = rng.standard_normal(minutes) * np.sqrt(1 - keep**2)
    level, found = 0.0, np.empty(minutes)
    for minute, step in enumerate(fresh):
        level = keep * level + step
        found[minute] = level
    sigma = np.sqrt(np.log1p(cv**2))
    return np.asarray(np.exp(sigma * found - sigma**2 / 2), dtype=np.float64)


def _spikes(rng: np.random.Generator, minutes: int, spikes: Spikes) -> PerMinute:
    found = np.ones(minutes)
    for start in rng.integers(0, minutes, round(spikes.a_month * minutes / (730 * 60))):
        found[start : start + spikes.minutes] = spikes.factor
    return found


def read(path: Path) -> Load:
    """A load from a CSV with a header: `minute` (whole, from 0) or `time` (ISO 8601), and `rate_eps`, the mean since.

    A row holds until the next; all steps are equal. Raises ScenarioError with the line for a gap, a time that does not
    rise, a negative or unreadable number, or less than an hour.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from None
    rows = csv.reader(text.splitlines())
    header = [name.strip() for name in next(rows, [])]
    if header not in (["minute", "rate_eps"], ["time", "rate_eps"]):
        raise ScenarioError(f"{path}:1: expected the header minute,rate_eps or time,rate_eps, got {','.join(header)!r}")
    times: list[int] = []
    rates: list[float] = []
    for line, minute, rate in _rows(path, rows, is_time=header[0] == "time"):
        if times and minute <= times[-1]:
            raise ScenarioError(f"{path}:{line}: {header[0]} does not rise, expected later than the line before")
        if len(times) > 1 and minute - times[-1] != times[1] - times[0]:
            step, gap = times[1] - times[0], minute - times[-1]
            raise ScenarioError(f"{path}:{line}: a step of {gap} min, expected {step} as in the first lines: a gap?")
        times.append(minute)
        rates.append(rate)
    if not times or times[0] != 0:
        raise ScenarioError(f"{path}:2: expected the first minute to be 0, got {times[0] if times else 'no rows'}")
    step = times[1] - times[0] if len(times) > 1 else 1
    load = Load(np.repeat(np.array(rates, dtype=np.float64), step) * 60)
    if load.minutes < LEAST_MINUTES:
        raise ScenarioError(f"{path}: {load.minutes} minutes, expected at least {LEAST_MINUTES}")
    if not load.events.any():
        raise ScenarioError(f"{path}: nothing ever arrives, expected a rate above 0 somewhere")
    return load


def _rows(path: Path, rows: Iterator[list[str]], *, is_time: bool) -> Iterator[tuple[int, int, float]]:
    """(line, minute since the first row, events a second)."""
    first: dt.datetime | None = None
    for line, row in enumerate(rows, start=2):
        if len(row) != 2:
            raise ScenarioError(f"{path}:{line}: {len(row)} values, expected 2")
        if is_time:
            at = _time(path, line, row[0])
            first = first or at
            if (at.tzinfo is None) != (first.tzinfo is None):
                raise ScenarioError(f"{path}:{line}: time {row[0]!r}: expected a UTC offset on all lines or on none")
            since_s = (at - first).total_seconds()
            minute = round(since_s / 60)
            if since_s % 60:
                raise ScenarioError(f"{path}:{line}: time {row[0]!r}: expected whole minutes since the first row")
        else:
            minute = int(_number(path, line, "minute", row[0], whole=True))
        yield line, minute, _number(path, line, "rate_eps", row[1])


def _time(path: Path, line: int, text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text.strip())
    except ValueError:
        message = f"{path}:{line}: time {text!r}: expected ISO 8601, like 2026-11-23T14:05:00Z"
        raise ScenarioError(message) from None


def _number(path: Path, line: int, name: str, text: str, *, whole: bool = False) -> float:
    expected = "a whole number" if whole else "a number"
    try:
        value = float(text)
    except ValueError:
        raise ScenarioError(f"{path}:{line}: {name} {text.strip()!r}: expected {expected}") from None
    if not np.isfinite(value) or (whole and value != int(value)):
        raise ScenarioError(f"{path}:{line}: {name} {text.strip()!r}: expected {expected}")
    if value < 0:
        raise ScenarioError(f"{path}:{line}: {name} {text.strip()}: expected at least 0")
    return value
