"""The model of the fraud job: a logistic regression on a payment and on what its card did shortly before.

    python -m bench.jobs.scoring        trains it on the workload's own labels and writes fraud_model.json

Trained on streams of other seeds than any trial's, so that it is judged on events that it has not seen.
`features` and `Model.score` are also what runs inside Flink's Python workers, on whole Arrow batches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

FILE = Path(__file__).with_name("fraud_model.json")
SHORT_MS, LONG_MS = 2_000, 60_000  # of event time: how far back the two looks go
INPUTS = ("amount_cents", "abroad", "online", "recent", "recent_abroad", "recent_online", "minute")

# What it is trained on: 10,000 payments a second, 60 times faster than the clock, 100,000 cards
TRAINING_EVENTS, TRAINING_EPS, TRAINING_SPEED, TRAINING_CARDS, TRAINING_ZIPF = 200_000, 10_000, 60.0, 100_000, 0.8
TRAINING_SEED, TUNING_SEED = 90_001, 90_002  # weights; the threshold
RIDGE = 1e-4


def look_back(payments: pd.DataFrame) -> pd.DataFrame:
    """What the job's OVER windows say of each payment, itself and others of its very millisecond included.

    recent, recent_abroad, recent_online: payments of the card within SHORT_MS; minute: within LONG_MS.
    """
    rows = payments[["card", "ts", "abroad", "online"]].sort_values(["card", "ts"], kind="stable")
    card = rows["card"].cat.codes.to_numpy(dtype=np.int64)
    ts = rows["ts"].to_numpy(dtype=np.int64)
    at = card * (int(np.ptp(ts)) + LONG_MS + 1 if len(ts) else 1) + ts  # cards further apart than any look
    to = np.searchsorted(at, at, side="right")
    since = np.searchsorted(at, at - SHORT_MS, side="left")

    def inside(column: str) -> I64:
        sums = np.concatenate([[0], np.cumsum(rows[column].to_numpy(dtype=np.int64))])
        difference: I64 = sums[to] - sums[since]
        return difference

    table = {"recent": to - since, "recent_abroad": inside("abroad"), "recent_online": inside("online")}
    table["minute"] = to - np.searchsorted(at, at - LONG_MS, side="left")
    return pd.DataFrame(table, index=rows.index).reindex(payments.index)


def features(given: Mapping[str, F64]) -> F64:
    """float64[n, 9], in the order of the model's weights, from the columns that INPUTS names."""
    amount_cents, abroad, online, recent, recent_abroad, recent_online, minute = (given[name] for name in INPUTS)
    others, usual = np.log1p(recent - 1), np.log1p(minute - recent)
    return np.column_stack(
        [
            np.log(amount_cents),
            abroad,
            online,
            abroad * online,
            others,
            usual,
            others * usual,
            np.log1p(recent_abroad - abroad),
            np.log1p(recent_online - online),
        ]
    )


@dataclass(frozen=True)
class Model:
    """Weights for standardised features; an alarm is raised from `threshold` (log odds) on."""

    mean: list[float]
    scale: list[float]
    weights: list[float]
    bias: float
    threshold: float

    def score(self, table: F64) -> F64:
        """Log odds of fraud for each row of features. One column after the other: a sum that is the same anywhere."""
        odds = np.full(len(table), self.bias)
        for at, weight in enumerate(self.weights):
            odds += weight * ((table[:, at] - self.mean[at]) / self.scale[at])
        return odds


def load(text: str | None = None) -> Model:
    """The trained model, from its file or the text of it."""
    return Model(**json.loads(FILE.read_text() if text is None else text))


def _sample(seed: int) -> tuple[F64, npt.NDArray[np.bool_]]:
    from bench.jobs.payments import paid
    from bench.workloads import Knobs, open_workload

    knobs = Knobs("payments", distinct=TRAINING_CARDS, zipf=TRAINING_ZIPF, disorder_s=2.0,
                  event_time_speed=TRAINING_SPEED)  # fmt: skip
    seq = np.arange(TRAINING_EVENTS, dtype=np.int64)
    payments = paid(open_workload(knobs, seed, 0).columns(seq, seq * (1_000_000_000 // TRAINING_EPS)))
    return features_of(payments), payments["fraud"].to_numpy()


def features_of(payments: pd.DataFrame) -> F64:
    """The features of a table of payments (`bench.jobs.payments.paid`)."""
    whole = payments.join(look_back(payments))
    return features({name: whole[name].to_numpy(dtype=np.float64) for name in INPUTS})


def train() -> Model:
    """Weights by maximum likelihood, then the threshold with the best F1 on a stream of another seed. About 6 s."""
    from scipy.optimize import minimize

    table, fraud = _sample(TRAINING_SEED)
    mean, scale = table.mean(axis=0), table.std(axis=0)
    known = np.column_stack([np.ones(len(table)), (table - mean) / scale])

    def loss(weights: F64) -> tuple[float, F64]:
        odds = known @ weights
        penalty = RIDGE * np.append(0.0, weights[1:])
        value = np.mean(np.logaddexp(0, odds) - fraud * odds) + penalty @ weights
        slope: F64 = known.T @ (1 / (1 + np.exp(-odds)) - fraud) / len(fraud) + 2 * penalty
        return float(value), slope

    best = minimize(loss, np.zeros(known.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    digits = [[round(float(x), 6) for x in row] for row in (mean, scale, best[1:])]
    model = Model(digits[0], digits[1], digits[2], bias=round(float(best[0]), 6), threshold=0.0)
    table, fraud = _sample(TUNING_SEED)
    odds = model.score(table)
    order = np.argsort(-odds, kind="stable")
    scores = 2 * np.cumsum(fraud[order]) / (np.arange(1, len(order) + 1) + fraud.sum())
    return replace(model, threshold=round(float(odds[order][int(np.argmax(scores))]), 3))


if __name__ == "__main__":
    FILE.write_text(json.dumps(asdict(train()), indent=1) + "\n")
    print(f"{FILE.name} written")
