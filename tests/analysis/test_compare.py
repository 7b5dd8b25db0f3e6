"""The gate of a release: did it get slower?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.analysis.compare import Change, NotComparableError, Row, compare
from bench.analysis.decide import Answer, Direction, Reason, comparison, comparisons
from bench.analysis.ratio import RankRatio, holm, is_tail, paired, rank_level, unpaired
from bench.metrics import METRICS
from bench.record import Check, Measurement, Outcome, Run
from bench.verdict.wording import change

METRIC = "broker_cpu_s_per_million_events"


def result(level: float = 1.0, n: int = 8, seed: int = 1, cv: float = 0.02, **changes: Any) -> list[Run]:
    rng = np.random.default_rng(seed)
    runs = []
    for repetition in range(n):
        values = {METRIC: level * rng.lognormal(0, cv), "lost_events": 0.0}
        made = Run(
            scenario="quickstart", trial_id=f"t{repetition}", load="steady", repetition=repetition, order=repetition,
            outcome=Outcome.FINISHED, reason="", knobs={"topic.partitions": 6},
            settings={"workload": {"name": "clicks", "event_bytes": 200}, "topic": {"partitions": 6}},
            seed=repetition, backend="local", started_utc=f"2026-11-23T18:00:{repetition:02}Z", duration_s=40.0,
            environment={"cpu_model": "a", "kafka": "4.3.1"},
            metrics={name: Measurement(value, METRICS[name].unit) for name, value in values.items()},
        )  # fmt: skip
        runs.append(replace(made, **changes))
    return runs


def row(base: list[Run], new: list[Run], metric: str = METRIC, **options: Any) -> Row:
    return next(row for row in compare(base, new, **options).rows if row.metric == metric)


@pytest.mark.parametrize(
    ("level", "cv", "change"),
    [
        (1.20, 0.02, Change.WORSE),
        (0.80, 0.02, Change.BETTER),
        (1.00, 0.02, Change.SAME),
        (1.03, 0.005, Change.SAME),  # slower for sure, but by less than counts
        (1.15, 0.40, Change.UNDECIDED),
    ],
)
def test_worse_takes_both_size_and_certainty(level: float, cv: float, change: Change) -> None:
    """Prevents noise from failing a release, and a sure but tiny change from failing it."""
    base, new = result(seed=1, cv=cv), result(level, seed=2, cv=cv)
    assert row(base, new).change is change
    assert compare(base, new).passes is (change is not Change.WORSE)


def test_throughput_is_worse_when_it_falls() -> None:
    """Prevents a gate that fails releases for getting faster."""

    def eps(runs: list[Run], level: float) -> list[Run]:
        return [
            replace(r, metrics={"drain_eps": Measurement(level * r.metrics[METRIC].value, "events/s")}) for r in runs
        ]

    base, new = eps(result(seed=1), 1e6), eps(result(seed=2), 0.8e6)
    assert row(base, new, "drain_eps").change is Change.WORSE
    assert row(new, base, "drain_eps").change is Change.BETTER


def test_a_release_without_change_passes() -> None:
    """Prevents a gate that cries wolf: at most 5 % of A/A comparisons may fail it."""
    failed = sum(
        not compare(result(seed=i, cv=0.05, n=5), result(seed=9_000 + i, cv=0.05, n=5)).passes for i in range(300)
    )
    assert failed / 300 <= 0.05


def test_what_is_missing_does_not_pass() -> None:
    """Prevents a release whose metric vanished, or whose runs all failed, from passing."""
    base, new = result(seed=1), result(seed=2)
    bare = [replace(r, metrics={n: m for n, m in r.metrics.items() if n != METRIC}) for r in new]
    assert row(base, bare).change is Change.MISSING
    assert not compare(base, bare).passes
    half = [*new[:4], *bare[4:]]
    assert row(base, half).change is Change.MISSING
    crashed = [replace(r, outcome=Outcome.CRASHED) for r in new]
    with pytest.raises(NotComparableError, match=r"no cell .* with finished runs in common"):
        compare(base, crashed)
    assert compare(base, [*new[:7], *crashed[7:]]).left_out == (0, 1)


def test_an_interval_without_an_end_is_no_number() -> None:
    """Prevents "95% interval -100.0% to +inf%" of two runs that have nothing in common."""
    far = [
        replace(run, metrics={METRIC: Measurement(10.0**at, "s")})
        for at, run in zip((-90, 90), result(n=2), strict=True)
    ]
    found = row(result(n=2), far)
    assert found.change is Change.UNDECIDED
    assert "to any increase" in found.sentence and "inf" not in found.sentence
    assert change(float("inf")) == "any increase"
    assert Check("counts", float("nan"), 3.0, ok=False).sentence == "counts: expected nothing, found 3"


def test_one_lost_event_is_worse() -> None:
    """Prevents a loss from hiding behind a floor of 5 %."""
    new = result(seed=2)
    new[3] = replace(new[3], metrics={**new[3].metrics, "lost_events": Measurement(1.0, "events")})
    assert row(result(), new, "lost_events").change is Change.WORSE


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"environment": {"cpu_model": "a", "kafka": "4.4.0"}}, "environment.kafka"),
        ({"environment": {"kafka": "4.3.1"}}, "environment.cpu_model"),
        ({"backend": "compose"}, "backend"),
        (
            {"settings": {"workload": {"name": "orders", "event_bytes": 200}, "topic": {"partitions": 6}}},
            "workload.name",
        ),
    ],
)
def test_what_differs_is_refused_by_name_unless_told(changes: Mapping[str, Any], field: str) -> None:
    """Prevents two machines or two workloads from being compared as if a release had changed."""
    base, new = result(seed=1), result(seed=2, **changes)
    with pytest.raises(NotComparableError, match=field):
        compare(base, new)
    assert field in compare(base, new, allow=[field]).told
    assert compare(base, new, allow=["*"]).rows


def test_two_questions_are_told_apart_by_their_fields() -> None:
    """Prevents "no cell in common" from being all that is said of a click stream against a sensor stream."""
    other = result(
        load="burst", settings={"workload": {"name": "sensors", "event_bytes": 100}, "topic": {"partitions": 6}}
    )
    with pytest.raises(NotComparableError, match=r"workload.name: clicks against sensors\n.*200 against 100"):
        compare(result(), other)


def test_paired_ratio_and_its_bootstrap_agree() -> None:
    """Prevents a t interval that only holds for the normal distribution it assumes."""
    rng = np.random.default_rng(3)
    host = rng.lognormal(0, 0.2, 30)  # what pairs share cancels
    found = paired(list(host), list(host * 1.1 * rng.lognormal(0, 0.03, 30)))
    assert found is not None
    boot = found.bootstrap()
    assert boot is not None
    assert found.interval() == pytest.approx(boot, rel=0.01)
    assert found.value == pytest.approx(1.1, rel=0.02)
    loose = unpaired(list(host), list(host * 1.1))
    assert loose is not None and loose.se > 5 * found.se
    assert paired([1.0, 0.0], [1.0, 1.0]) is None and paired([1.0], [1.0]) is None


def test_a_tail_with_outliers_is_judged_by_ranks() -> None:
    """Prevents one stall in twenty runs from hiding what every pair shows."""
    base = [20.0, 21.0, 19.5, 20.2, 20.4, 19.8, 20.1, 20.3, 19.9, 18.9]  # one stall, in the last pair
    new = [x * by for x, by in zip(base, [1.5, 1.52, 1.48, 1.5, 1.49, 1.51, 1.47, 1.53, 1.5, 4.5], strict=True)]
    by_t, by_rank = paired(base, new), paired(base, new, "p99")
    assert by_t is not None and isinstance(by_rank, RankRatio)
    assert (by_t.how, by_rank.how) == ("10 pairs", "10 pairs, by ranks")
    assert by_rank.value == pytest.approx(1.5, rel=0.03)
    assert comparison(by_rank, "increases", 0.4).answer is Answer.SUPPORTED  # every pair shows it
    assert comparison(by_t, "increases", 0.4).answer is Answer.INCONCLUSIVE  # the stall hides it
    # exact: as tabulated for the signed-rank test, 10 pairs: 95.1 % leaves out eight means on each side
    means = sorted((a + b) / 2 for i, a in enumerate(by_rank.differences) for b in by_rank.differences[i:])
    assert by_rank.log_interval(0.95) == (means[8], means[-9])
    assert rank_level(8, 0.95) == 5 / 256 and rank_level(10, 0.95) == 25 / 1024
    # its p values are the other side of the same interval
    low, high = by_rank.log_interval(0.95)
    assert by_rank.p_above(low - 1e-9) <= 0.025 < by_rank.p_above(low + 1e-9)
    assert by_rank.p_below(high + 1e-9) <= 0.025 < by_rank.p_below(high - 1e-9)
    small = paired(base[:6], new[:6], "p99")
    assert small is not None and not isinstance(small, RankRatio)
    assert [is_tail(stat) for stat in ("value", "p50", "p90", "p99.9", "max", "upper")] == [
        False,
        False,
        True,
        True,
        True,
        False,
    ]


def test_holm_is_the_textbook_procedure() -> None:
    """Prevents a correction that corrects nothing, or everything."""
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]
    assert holm([], 0.05) == []


@pytest.mark.parametrize(
    ("ratio", "cv", "answer", "reason"),
    [
        (1.00, 0.01, Answer.SUPPORTED, Reason.NONE),
        (1.02, 0.005, Answer.SUPPORTED, Reason.NONE),  # a difference for sure, and one that does not count
        (1.20, 0.01, Answer.REFUTED, Reason.LARGER),
        (0.80, 0.01, Answer.REFUTED, Reason.LARGER),
        (1.00, 0.20, Answer.INCONCLUSIVE, Reason.TOO_FEW),  # nothing seen is not nothing there
    ],
)
def test_what_stays_is_shown_by_two_one_sided_tests(ratio: float, cv: float, answer: Answer, reason: Reason) -> None:
    """Prevents "no significant difference" from noisy runs from being read as "it vanishes"."""
    rng = np.random.default_rng(4)
    base = rng.lognormal(0, cv, 5)
    found = paired(list(base), list(ratio * rng.lognormal(0, cv, 5)))
    assert found is not None
    decision = comparison(found, "stays", 0.05)
    assert (decision.answer, decision.reason) == (answer, reason)
    assert comparisons([(found, "stays", 0.05)])[0] == decision


@pytest.mark.parametrize(
    ("ratio", "direction", "answer", "reason"),
    [
        (0.78, "stays", Answer.SUPPORTED, Reason.NONE),  # -22 % is within 25 %, though less than 1 / 1.25
        (0.72, "stays", Answer.REFUTED, Reason.LARGER),
        (1.22, "stays", Answer.SUPPORTED, Reason.NONE),
        (1.28, "stays", Answer.REFUTED, Reason.LARGER),
        (1.30, "decreases", Answer.REFUTED, Reason.OPPOSITE),  # less than 1 / 0.75, and no equal
        (1.20, "decreases", Answer.REFUTED, Reason.NO_DIFFERENCE),
    ],
)
def test_25_percent_is_25_percent_on_either_side(
    ratio: float, direction: Direction, answer: Answer, reason: Reason
) -> None:
    """A reader reads percents: an interval from -24 to -20 % that is "more than 25 %" is a false sentence."""
    rng = np.random.default_rng(4)
    found = paired(list(rng.lognormal(0, 0.005, 5)), list(ratio * rng.lognormal(0, 0.005, 5)))
    assert found is not None
    decision = comparison(found, direction, 0.25)
    assert (decision.answer, decision.reason) == (answer, reason)
    assert comparisons([(found, direction, 0.25)])[0] == decision
