"""Text that brings events to their size, of realistic entropy: constant bytes flatter compression, random defy it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.errors import ScenarioError
from bench.workloads.knobs import Knobs

TEXT_BYTES = 1 << 21
_WORDS = (  # of the filler text
    *("red", "blue", "linen", "cotton", "kettle", "lamp", "desk", "garden", "winter", "summer", "classic", "urban"),
    *("trail", "nordic", "oak", "steel", "paper", "ceramic", "portable", "compact", "premium", "daily", "travel"),
    *("kids", "home", "office", "music", "sound", "light", "water", "stone", "river", "forest", "cloud", "signal"),
)
_BASE62 = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8)


def texts(rng: np.random.Generator, knobs: Knobs, without: npt.NDArray[np.int64]) -> list[str]:
    """One for each pool row, bringing it from `without` bytes to its size (log-normal about `event_bytes`)."""
    sigma, mean = knobs.event_bytes_sigma, knobs.event_bytes
    least = int(without.max()) + (2 if knobs.format == "avro" else 0)
    if mean < least:
        raise ScenarioError(
            f"workload.event_bytes: {mean} is too small for {knobs.name} as {knobs.format}; expected at least {least}"
        )
    want = np.full(len(without), mean)
    if sigma:
        want = rng.lognormal(np.log(mean) - sigma**2 / 2, sigma, len(without)).round().astype(np.int64)
    room = np.clip(want - without, 0, 64 * mean)
    if knobs.format == "avro":
        room -= (room >= 64).astype(np.int64)  # a second byte of length
    text = _text(rng, knobs.entropy, max(TEXT_BYTES, 4 * int(room.max())))
    starts = rng.integers(0, len(text) - int(room.max()), len(without))
    return [text[s : s + n] for s, n in zip(starts.tolist(), room.tolist(), strict=True)]


def _text(rng: np.random.Generator, entropy: float, size: int) -> str:
    """About `size` characters: dictionary words and, with probability `entropy`, random tokens, joined by '-'."""
    count = size // 5
    tokens = rng.choice(_BASE62, (count, 8)).view("S8").reshape(-1).astype("U8")
    words = np.where(rng.random(count) < entropy, tokens, rng.choice(np.array(_WORDS), count))
    return "-".join(words.tolist())[:size]
