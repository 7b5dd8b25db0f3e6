"""What the two fraud jobs share: their view of a payment, and how their alarms are held against the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.workloads.payments import HOME, ONLINE

Flags = npt.NDArray[np.bool_]

VIEW = f"""CREATE TEMPORARY VIEW paid AS SELECT *,
  CASE WHEN country <> {HOME} THEN 1 ELSE 0 END AS abroad, CASE WHEN channel = {ONLINE} THEN 1 ELSE 0 END AS online
FROM payments WHERE seq IS NOT NULL"""  # noqa: S608 -- every word is ours


def paid(truth: pd.DataFrame) -> pd.DataFrame:
    """The same view of the readable events: `abroad` and `online` are 0 or 1."""
    good = truth[~truth.malformed]
    abroad, online = (good["country"] != HOME).astype("int64"), (good["channel"] == ONLINE).astype("int64")
    return good.assign(abroad=abroad, online=online)


def quality(alarmed: Flags, fraud: Flags) -> dict[str, float]:
    """precision, recall and f1_score of alarms against labels; NaN where nothing was alarmed, or nothing was fraud."""
    right = float((alarmed & fraud).sum())
    precision = right / alarmed.sum() if alarmed.any() else float("nan")
    recall = right / fraud.sum() if fraud.any() else float("nan")
    return {"precision": float(precision), "recall": float(recall), "f1_score": f1(right, alarmed.sum(), fraud.sum())}


def f1(right: Any, alarmed: Any, fraud: Any) -> float:
    """Harmonic mean of precision and recall from counts; NaN without any."""
    return float(2 * right / (alarmed + fraud)) if alarmed + fraud else float("nan")


def best_threshold_f1(amount_cents: npt.NDArray[np.int64], fraud: Flags) -> float:
    """F1 of the best rule `amount_cents >= x`, its x chosen in hindsight on these events: no such rule does better."""
    order = np.argsort(-amount_cents, kind="stable")
    right, alarmed = np.cumsum(fraud[order]), np.arange(1, len(order) + 1)
    last = np.append(np.diff(amount_cents[order]) != 0, True)  # equal amounts are alarmed together
    scores = 2 * right / (alarmed + fraud.sum())
    return float(scores[last].max()) if len(order) and fraud.any() else float("nan")
