"""What each workload promises about its own contents: labels that a job or a model can be judged by."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from bench.loadgen.schedule import Schedule
from bench.workloads import Knobs, open_workload

T0_NS = 1_790_000_000_000_000_000
SCHEDULE = Schedule.constant(T0_NS, 50_000.0, 60)


def truth(name: str, events: int, **knobs: Any) -> pd.DataFrame:
    seq = np.arange(events, dtype=np.int64)
    return open_workload(Knobs(name, **knobs), 7, T0_NS, SCHEDULE).columns(seq, SCHEDULE.due_ns(seq))


def test_clicks_amounts_add_up() -> None:
    """Revenue is summed from the payload by the job and from this column by the oracle."""
    t = truth("clicks", 200_000)
    orders = t[t["type"] == "order"]
    assert len(orders) / len(t) == pytest.approx(0.1, abs=0.01)
    assert (t["amount_cents"] == np.where(t["type"] == "order", t["price_cents"] * t["qty"], 0)).all()
    prices = t.groupby("item", observed=True)["price_cents"]
    assert (prices.min() == prices.max()).all()


def test_a_visitor_converts_once_in_order_and_as_far_as_labelled() -> None:
    """A funnel that counts someone twice, or out of order, is wrong by itself; the job would be blamed."""
    t = truth("signups", 200_000, distinct=1_000_000)
    steps = t[t["step"] > 0]
    assert not steps.duplicated(["visitor_number", "step"]).any()
    settled = t["visitor_number"] < 40_000  # whose last lag has passed
    reached = steps[settled.loc[steps.index]].groupby("visitor_number")["step"].agg(["max", "count"])
    assert (reached["max"] == reached["count"]).all()
    label = t[settled].groupby("visitor_number")["reached"].first()
    assert (reached["max"] == label.loc[reached.index]).all()
    rates = [(label >= s + 1).sum() / (label >= s).sum() for s in (1, 2, 3)]
    assert rates == pytest.approx([0.40, 0.65, 0.50], abs=0.02)
    assert len(t.drop_duplicates(["visitor", "country"])) == t["visitor"].nunique()


def _best_f1(score: npt.NDArray[np.float64], fraud: npt.NDArray[np.bool_]) -> float:
    hits = np.cumsum(fraud[np.argsort(-score, kind="stable")])
    n = np.arange(1, len(score) + 1)
    return float((2 * hits / (n + fraud.sum())).max())


def test_a_limit_on_the_amount_does_measurably_worse_than_a_model() -> None:
    """If one `if` found the fraud, a benchmark of fraud detection would measure nothing."""
    t = truth("payments", 400_000, distinct=20_000)
    fraud = t["fraud"].to_numpy()
    assert fraud.mean() == pytest.approx(0.0094, abs=0.003)
    recent = t.groupby([t["seq"] // 256, "card"], observed=True)["seq"].transform("size").to_numpy()
    features = [pd.qcut(t["amount_cents"], 20, labels=False).to_numpy(), t["channel"].to_numpy(),
                (t["country"] != 276).to_numpy().astype(int), np.minimum(recent, 6)]  # fmt: skip
    learn = np.arange(len(t)) < len(t) // 2
    score = np.zeros(len(t))
    for f in features:  # naive Bayes
        good, bad = (np.bincount(f[learn & (fraud == y)], minlength=f.max() + 1) + 1.0 for y in (False, True))
        score += np.log((bad / bad.sum()) / (good / good.sum()))[f]
    model = _best_f1(score[~learn], fraud[~learn])
    limit = _best_f1(t["amount_cents"].to_numpy(dtype=float)[~learn], fraud[~learn])
    assert limit < 0.1
    assert model > 3 * limit
    low, high = np.quantile(t["amount_cents"][fraud], [0.1, 0.9])
    assert t["amount_cents"][~fraud].between(low, high).mean() > 0.3  # the patterns overlap


def test_labelled_failures_are_seen_in_the_events() -> None:
    """A detector is scored against these labels."""
    logs = truth("logs", 400_000, distinct=50)
    errors = logs.groupby("incident")["level"].apply(lambda level: (level == "ERROR").mean())
    assert errors[True] == pytest.approx(0.4, abs=0.05)
    assert errors[False] == pytest.approx(0.01, abs=0.005)
    telco = truth("telco", 800_000, distinct=200)
    drops = telco.groupby("outage")["event"].apply(lambda event: (event == 4).mean())
    assert drops[True] == pytest.approx(0.5, abs=0.05)
    assert drops[False] == pytest.approx(0.015, abs=0.005)
    assert 0.001 < telco["outage"].mean() < 0.1
    sensors = truth("sensors", 400_000, distinct=500)
    assert sensors["anomaly"].mean() == pytest.approx(0.002, abs=0.0005)
    assert sensors["temp_mk"].between(280_000, 310_000).all()
