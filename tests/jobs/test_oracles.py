"""The oracles of the other jobs against slow and obvious counting, and against answers that are wrong in one place."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.jobs import Output, Terms, Verified, enrich, find, fraud_rules, outages, payments, scoring
from bench.jobs.conversions import STEPS, expected_funnel
from bench.workloads import Knobs, open_workload

EVENTS, EPS, SPEED = 12_000, 10_000, 300.0
MINUTE_MS = 60_000


@cache
def truth(name: str, **knobs: Any) -> pd.DataFrame:
    """A small stream with all that makes life hard: disorder, duplicates, unreadable events, busy keys."""
    speed = 30.0 if name == "telco" else SPEED  # an outage wants events within seconds, a funnel within minutes
    told = {"distinct": 200, "zipf": 0.8, "disorder_s": 2.0, "event_time_speed": speed, "malformed": 0.02,
            "duplicates": 0.05, "event_bytes": 300} | knobs  # fmt: skip
    seq = np.arange(EVENTS)
    return open_workload(Knobs(name, **told), 11, 10**15).columns(seq, 10**15 + seq * (10**9 // EPS))


def good(name: str) -> pd.DataFrame:
    table = truth(name)
    return table[~table.malformed]


def middle_ms(name: str) -> int:
    """A watermark that leaves a part of the stream not due."""
    return int(truth(name)["ts"].quantile(0.8))


# right answers, made by hand from the truth


def right(job: str) -> dict[str, pd.DataFrame]:  # noqa: PLR0911 -- one answer a job
    """What the job's outputs must be at `middle_ms`."""
    reads = find(job).reads or "clicks"
    rows, mark = good(reads), middle_ms(reads)
    due = rows[rows.ts <= mark]
    if job == "count-by-user":
        running = rows.assign(events=rows.groupby("user", observed=True).cumcount() + 1)
        return {"counts": running[["user", "events", "seq", "due_ns"]].astype({"user": str})}
    if job == "fan-out":
        return {name: rows[["seq", "due_ns", "ts", "user", "qty"]].astype({"user": str}) for name in find(job).outputs}
    if job == "conversions":
        return {"funnel": expected_funnel(rows, mark).reset_index()}
    if job == "outages":
        return {"alerts": outages.expected_alerts(rows, mark).drop(columns="outage").reset_index()}
    if job == "fraud-rules":
        return {"alerts": fraud_rules.expected_matches(payments.paid(due))}
    if job == "fraud-model":
        odds = scoring.load().score(scoring.features_of(payments.paid(due)))
        return {"scored": due[["seq", "due_ns"]].assign(log_odds=odds, alarm=odds >= scoring.load().threshold)}
    if job == "margin":
        cents = [price * qty * (10 + int(item[1:]) % 40) // 100
                 for item, price, qty in zip(rows["item"], rows["price_cents"], rows["qty"], strict=True)]  # fmt: skip
        return {"margins": rows[["seq", "due_ns"]].assign(cents=cents)}
    enriched = due[["seq", "due_ns"]].assign(
        category=enrich.category_of(due["item"]), margin_cents=enrich.margin_cents(due["item"], due["amount_cents"])
    )
    return {"enriched": enriched, "by_category": enrich.expected_orders(rows, mark).reset_index()}


def judge(job: str, answer: dict[str, pd.DataFrame], **terms: bool) -> Verified:
    reads = find(job).reads or "clicks"
    outputs = {k: Output(v.reset_index(drop=True), np.full(len(v), 10**9 + 500)) for k, v in answer.items()}
    return find(job).verify(truth(reads), outputs, Terms(middle_ms(reads), **terms))


JOBS = ("count-by-user", "fan-out", "conversions", "outages", "fraud-rules", "fraud-model", "enrich", "margin")
OUTPUTS = [(job, output) for job in JOBS for output in find(job).outputs]


@pytest.mark.parametrize("job", JOBS)
def test_the_right_answer_is_right(job: str) -> None:
    """An oracle that refuses a right answer makes every run invalid."""
    for terms in ({}, {"exactly_once": True}, {"failed": True}):
        verified = judge(job, right(job), **terms)
        assert [check for check in verified.checks if not check.ok] == []
        assert verified.counts["lost_events"] == verified.counts["duplicated_events"] == 0


@pytest.mark.parametrize(("job", "output"), OUTPUTS)
def test_a_missing_row_is_seen(job: str, output: str) -> None:
    """A job that loses events must not be praised for its latency; nor may a failure excuse it."""
    answer = right(job)
    last = answer[output].index[-1]
    for terms in ({}, {"failed": True}, {"exactly_once": True}):
        verified = judge(job, answer | {output: answer[output].drop(index=last)}, **terms)
        assert not all(check.ok for check in verified.checks)
        if output in (find(job).outputs[0], find(job).per_event):
            assert verified.counts["lost_events"] >= 1


@pytest.mark.parametrize(("job", "output"), OUTPUTS)
def test_a_wrong_number_is_seen(job: str, output: str) -> None:
    """One cent, one visitor, one alarm too few in thousands of rows is a wrong job."""
    answer = right(job)
    table = answer[output].reset_index(drop=True)
    column = {"scored": "alarm", "alerts": "events" if job == "outages" else "first_seq", "counts": "events",
              "enriched": "margin_cents", "by_category": "cents", "margins": "cents",
              "funnel": "visits"}.get(output, "qty")  # fmt: skip
    last = len(table) - 1
    table.loc[last, column] = not table.loc[last, column] if column == "alarm" else table.loc[last, column] - 1
    assert not all(check.ok for check in judge(job, answer | {output: table}).checks)


@pytest.mark.parametrize(("job", "output"), OUTPUTS)
def test_a_repeated_row_is_wrong_only_where_exactly_once_was_promised(job: str, output: str) -> None:
    """Counting repeats as errors would make every at-least-once run invalid; overlooking them, every promise kept."""
    answer = right(job)
    twice = judge(job, answer | {output: pd.concat([answer[output], answer[output][-3:]])})
    assert all(check.ok for check in twice.checks)
    if job == "count-by-user":
        return  # an update that is written again says the same again
    if output == find(job).per_event:
        assert twice.counts["duplicated_events"] == 3
    exact = judge(job, answer | {output: pd.concat([answer[output], answer[output][-3:]])}, exactly_once=True)
    assert not all(check.ok for check in exact.checks)


@pytest.mark.parametrize(("job", "output", "column"), [
    ("count-by-user", "counts", "events"), ("conversions", "funnel", "visits"), ("outages", "alerts", "events"),
    ("enrich", "by_category", "orders"),
])  # fmt: skip
def test_an_event_counted_again_is_a_duplicate_after_a_failure_and_an_error_without_one(
    job: str, output: str, column: str
) -> None:
    """At-least-once reads again what its state holds already; a job that miscounts by itself must not hide in it."""
    answer = right(job)
    table = answer[output].reset_index(drop=True)
    if job == "count-by-user":
        table["events"] += table["user"] == table["user"].iloc[0]
    else:
        table.loc[0, column] += 1
    more = answer | {output: table}
    assert not all(check.ok for check in judge(job, more).checks)
    assert not all(check.ok for check in judge(job, more, failed=True, exactly_once=True).checks)
    excused = judge(job, more, failed=True)
    assert all(check.ok for check in excused.checks)
    if output == find(job).outputs[0]:
        assert excused.counts["duplicated_events"] == 1


# expectations against slow and obvious counting


def test_the_funnel_counts_each_visitor_once_a_step() -> None:
    """COUNT(DISTINCT) in a window that grows: a duplicate, or a visitor of the minute before, must not count twice."""
    mark, found = middle_ms("signups"), defaultdict[tuple[int, str, int], set[str]](set)
    for row in good("signups").itertuples():
        begin = row.ts // (10 * MINUTE_MS) * 10 * MINUTE_MS
        for end in range(begin + MINUTE_MS, begin + 11 * MINUTE_MS, MINUTE_MS):
            if row.step and row.ts < end and end - 1 <= mark:
                found[end, row.channel, row.step].add(row.visitor)
    table = expected_funnel(good("signups"), mark)
    assert len(table) > 10
    for (end, channel), row in table.iterrows():
        assert [row[step] for step in STEPS] == [len(found[end, channel, at]) for at in (1, 2, 3, 4)]
    assert {key[:2] for key in found} == set(table.index)


def test_orders_are_counted_once_however_often_they_came() -> None:
    """A retry upstream must not become revenue."""
    mark, found, seen = middle_ms("clicks"), defaultdict[tuple[int, str], list[int]](list), set()
    for row in good("clicks").itertuples():
        content = (row.user, row.session, row.item, row.ts, row.qty)
        end = (row.ts // MINUTE_MS + 1) * MINUTE_MS
        if row.type != "order" or content in seen or end - 1 > mark:
            continue
        seen.add(content)
        number = int(row.item[1:])
        found[end, enrich.CATEGORIES[number * 7_919 % 8]].append(row.amount_cents)
    table = enrich.expected_orders(good("clicks"), mark)
    assert {key: (row.orders, row.cents) for key, row in table.iterrows()} == {
        key: (len(cents), sum(cents)) for key, cents in found.items()
    }
    assert len(seen) < int((good("clicks")["type"] == "order").sum())  # there were duplicates to be dropped


def test_matches_are_pairs_of_neighbours() -> None:
    """The pattern's fine print: in a row, within less than two seconds, and not the same payment twice."""
    found = []
    for card, rows in payments.paid(truth("payments")).groupby("card", observed=True):
        before: Any = None
        for row in rows.sort_values(["ts", "seq"]).itertuples():
            is_suspicious = row.abroad or (row.online and row.amount_cents >= 5_000)
            if is_suspicious and before is not None and row.ts - before.ts < 2_000:
                same = ("ts", "amount_cents", "merchant", "terminal")
                if any(getattr(row, name) != getattr(before, name) for name in same):
                    found.append((before.seq, row.seq, card))
            before = row if is_suspicious else None
    table = fraud_rules.expected_matches(payments.paid(truth("payments")))
    assert len(found) > 50
    assert sorted(zip(table.first_seq, table.seq, table.card, strict=True)) == sorted(found)


def test_looking_back_sees_the_cards_own_payments_within_reach() -> None:
    """A feature that sees other cards, or the future, makes a model that is right only in the laboratory."""
    rows = payments.paid(truth("payments")).iloc[:1_500]
    table = scoring.look_back(rows)
    for at in range(0, len(rows), 25):
        one = rows.iloc[at]
        back = rows[(rows.card == one.card) & (rows.ts <= one.ts)]
        short = back[back.ts >= one.ts - 2_000]
        wanted = [len(short), short.abroad.sum(), short.online.sum(), (back.ts >= one.ts - 60_000).sum()]
        assert table.iloc[at][["recent", "recent_abroad", "recent_online", "minute"]].tolist() == wanted


def test_alerts_are_those_of_the_rule() -> None:
    """A window too many or too few is a false alarm or a missed outage that nobody made."""
    rows, mark = good("telco"), middle_ms("telco")
    sums = defaultdict[tuple[int, str], list[int]](lambda: [0, 0, 0])
    for row in rows.itertuples():
        for ahead in (1, 2, 3):
            end = (row.ts // 1_000 + ahead) * 1_000
            if end - 1 <= mark:
                one = sums[end, row.cell]
                one[0], one[1], one[2] = one[0] + 1, one[1] + (row.event == 4), one[2] + row.weakness_db
    wanted = {key: tuple(v) for key, v in sums.items() if v[1] >= 4 and 5 * v[1] >= v[0] and v[2] >= 80 * v[0]}
    table = outages.expected_alerts(rows, mark)
    assert {key: (row.events, row.drops, row.weakness_db) for key, row in table.iterrows()} == wanted
    assert len(wanted) > 5


def test_an_outage_is_told_from_its_beginning_to_its_first_alert() -> None:
    """Latency from the alert's own window would call every detector instant."""
    block = 1 << 16
    table = pd.DataFrame({"seq": np.arange(4 * block, dtype=np.int64)})
    table["due_ns"], table["ts"] = table.seq * 1_000_000, table.seq
    table["cell"] = np.where(table.seq % 2 == 0, "a", "b")
    where = table.seq // block
    table["outage"] = (table.cell == "a") & where.isin([1, 2])
    began = outages.outages(table, 10**9)
    assert began[["cell", "due_ns", "until"]].to_numpy().tolist() == [["a", block * 1_000_000, 3 * block]]
    alerts = pd.DataFrame({
        "cell": ["a", "b", "a", "a"], "append_ms": [1.0, 2.0, 70_000.0, 71_000.0],
        "window_end_ms": [block - 1, block + 2_000, block + 2_000, block + 3_000],  # the first is too early
    })  # fmt: skip
    assert outages.first_alerts(began, alerts)["append_ms"].tolist() == [70_000.0]
    assert outages.first_alerts(began, alerts[:2])["append_ms"].isna().all()
    assert len(outages.outages(table, block + 7_000)) == 0  # too near the end to be called missed


# the model


def test_the_model_in_the_repository_is_what_training_gives_and_beats_any_limit_on_the_amount() -> None:
    """A stale file would score with features that are no more; and a model that a one-line rule matches is not worth
    its workers. The margin is that of the claim.
    """
    trained, kept = scoring.train(), scoring.load()
    for name in ("mean", "scale", "weights", "bias", "threshold"):
        assert getattr(kept, name) == pytest.approx(getattr(trained, name), rel=0.02, abs=0.02)
    knobs = Knobs("payments", distinct=100_000, zipf=0.8, disorder_s=2, event_time_speed=60)
    seq = np.arange(100_000)
    rows = payments.paid(open_workload(knobs, 7, 0).columns(seq, seq * 100_000))
    fraud = rows["fraud"].to_numpy()
    found = payments.quality(kept.score(scoring.features_of(rows)) >= kept.threshold, fraud)
    assert found["precision"] > 0.9
    assert found["recall"] > 0.7
    assert found["f1_score"] - payments.best_threshold_f1(rows["amount_cents"].to_numpy(), fraud) > 0.5


def test_no_limit_on_the_amount_does_better_than_the_best_one() -> None:
    """A straw man would make any model look good."""
    rows = truth("payments")
    amount, fraud = rows["amount_cents"].to_numpy(), rows["fraud"].to_numpy()
    alarmed = [amount >= x for x in np.unique(amount)]
    scores = [payments.f1((one & fraud).sum(), one.sum(), fraud.sum()) for one in alarmed]
    assert payments.best_threshold_f1(amount, fraud) == pytest.approx(max(scores))
    assert payments.quality(np.zeros(3, bool), np.ones(3, bool))["precision"] != 0  # nothing alarmed: unknown, not bad
