"""The oracle of the revenue job against answers worked out by hand: it must see every way of being wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from bench.jobs import Output, Terms, Verified
from bench.jobs.revenue import JOB, MINUTE_MS, WINDOW_MINUTES, expected_windows
from bench.record import Check

WRONG_ROWS = "clean: rows with a wrong field"

# seq, type, country, cents of the order, event time in minutes, malformed
EVENTS = [
    (0, "view", "DE", 0, 100.0, False),
    (1, "order", "DE", 500, 100.2, False),
    (2, "order", "FR", 300, 100.9, False),
    (3, "order", "DE", 250, 101.0, False),  # on the boundary: the next minute's
    (4, "order", "DE", 9_999, 101.5, True),  # cannot be read: belongs nowhere
    (5, "order", "XX", 70, 101.7, False),  # a country without a region
    (6, "cart", "FR", 0, 111.4, False),  # carries the watermark on
]
WATERMARK_MS = 111 * MINUTE_MS  # closes what ends at minute 111, and nothing after it


def truth() -> pd.DataFrame:
    table = pd.DataFrame(EVENTS, columns=["seq", "type", "country", "amount_cents", "ts", "malformed"])
    table["ts"] = (table["ts"] * MINUTE_MS).astype("int64")
    table["due_ns"] = table["seq"] * 1_000_000
    table["user"] = [f"u{seq:07}" for seq in table["seq"]]
    return table.astype({"type": "category", "country": "category", "user": "category"})


def clean() -> pd.DataFrame:
    regions = {0: "dach", 1: "dach", 2: "france", 3: "dach", 5: "other", 6: "france"}
    cents = {1: 500, 2: 300, 3: 250, 5: 70}
    table = pd.DataFrame(
        [{"seq": s, "due_ns": s * 1_000_000, "region": r, "cents": cents.get(s, 0)} for s, r in regions.items()]
    )
    minutes = {seq: minute for seq, _, _, _, minute, _ in EVENTS}
    kinds = {seq: kind.upper() for seq, kind, *_ in EVENTS}
    return table.assign(
        ts=(table["seq"].map(minutes) * MINUTE_MS).astype("int64"), user=[f"u{seq:07}" for seq in table["seq"]],
        type=table["seq"].map(kinds),
    )  # fmt: skip


def revenue() -> pd.DataFrame:
    """By hand: minute 100 is in the windows ending 101 to 110, minute 101 in those ending 102 to 111."""
    rows = [(101, "DE", 1, 500), (101, "FR", 1, 300)]
    for end in range(102, 111):
        rows += [(end, "DE", 2, 750), (end, "FR", 1, 300), (end, "XX", 1, 70)]
    rows += [(111, "DE", 1, 250), (111, "XX", 1, 70)]
    table = pd.DataFrame(rows, columns=["window_end_ms", "country", "orders", "cents"])
    return table.assign(window_end_ms=table["window_end_ms"] * MINUTE_MS)


def judge(
    clean_rows: pd.DataFrame | None = None,
    revenue_rows: pd.DataFrame | None = None,
    mark_ms: int = WATERMARK_MS,
    **terms: bool,
) -> Verified:
    rows = {"clean": clean() if clean_rows is None else clean_rows,
            "revenue": revenue() if revenue_rows is None else revenue_rows}  # fmt: skip
    return JOB.verify(
        truth(), {k: Output(v, np.zeros(len(v), dtype=np.int64)) for k, v in rows.items()}, Terms(mark_ms, **terms)
    )


def wrong(verified: Verified) -> list[Check]:
    return [check for check in verified.checks if not check.ok]


def test_the_right_answer_is_right() -> None:
    """An oracle that refuses a right answer makes every run invalid; one that agrees with nothing at all is as bad."""
    verified = judge()
    assert wrong(verified) == []
    assert len(verified.checks) == 4
    assert verified.counts == {"lost_events": 0, "duplicated_events": 0, "output_share": 1, "window_missing_share": 0}
    windows = verified.checks[-1]
    assert windows.expected == windows.actual == len(revenue()) == 31


@pytest.mark.parametrize(
    ("change", "check", "found"),
    [
        (lambda rows: rows[rows.seq != 3], "clean: events lost", 1),
        (lambda rows: rows[:0], "clean: events lost", 6),
        (lambda rows: rows.replace({"seq": {6: 4}}), "clean: events nobody sent", 1),  # the malformed one came through
        (lambda rows: rows.replace({"cents": {250: 251}}), WRONG_ROWS, 1),
        (lambda rows: rows.replace({"region": {"dach": "cee"}}), WRONG_ROWS, 3),
        (lambda rows: rows.assign(due_ns=rows.due_ns + 1), WRONG_ROWS, 6),
        (lambda rows: rows.assign(ts=rows.ts - 1), WRONG_ROWS, 6),
        (lambda rows: rows.replace({"type": {"VIEW": "view"}}), WRONG_ROWS, 1),
        (lambda rows: rows.assign(user=rows.user.shift(fill_value="u0000009")), WRONG_ROWS, 6),
    ],
)
def test_a_wrong_row_is_seen(change: Callable[[pd.DataFrame], pd.DataFrame], check: str, found: float) -> None:
    """A job that loses, invents or alters events must not be praised for its latency."""
    seen = {one.name: one for one in wrong(judge(change(clean())))}
    assert seen[check].actual == found
    assert seen[check].expected == 0


def test_a_repeated_row_is_counted_and_is_no_error() -> None:
    """At-least-once may repeat after a failure: it is a number of its own, neither hidden nor called a loss."""
    verified = judge(pd.concat([clean(), clean()[:2]]))
    assert verified.counts == {"lost_events": 0, "duplicated_events": 2, "output_share": 1, "window_missing_share": 0}
    assert wrong(verified) == []
    (check,) = wrong(judge(pd.concat([clean(), clean()[:1].assign(cents=1)])))  # repeated, and not even alike
    assert check.actual == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.replace({"cents": {250: 251}}), "expected 1 orders 250 cents, found 1 and 251"),
        (lambda rows: rows.replace({"orders": {2: 3}}), "expected 2 orders 750 cents, found 3 and 750"),
        (lambda rows: rows.drop(index=0), "window ending 6060000 DE: expected 1 orders 500 cents, found nan and nan"),
        (lambda rows: pd.concat([rows, rows[-1:].replace({"country": {"XX": "FR"}})]), "FR: expected nan orders"),
        # the same window twice with two different sums: one of the two is a lie
        (lambda rows: pd.concat([rows, rows[:1].assign(cents=499)]), "found 1 and 499"),
    ],
)
def test_a_wrong_window_is_seen_and_named(change: Callable[[pd.DataFrame], pd.DataFrame], says: str) -> None:
    """One cent too many in one window of thirty is a wrong job; which one helps to find why."""
    (check,) = wrong(judge(revenue_rows=change(revenue())))
    assert check.name == "revenue: windows that agree"
    assert says in check.detail


def test_a_window_written_twice_alike_is_no_error() -> None:
    """At-least-once repeats results after a restart: refusing them would make every fault experiment invalid."""
    assert wrong(judge(revenue_rows=pd.concat([revenue(), revenue()[:3]]))) == []


def test_a_window_that_is_not_due_is_not_missed_but_must_not_be_there() -> None:
    """A window held open by the watermark is no loss; one that came out too early has not seen all of its events."""
    one_ms_early = 111 * MINUTE_MS - 2  # a window closes when the watermark reaches its last millisecond
    until_110 = revenue()[revenue().window_end_ms <= 110 * MINUTE_MS]
    assert wrong(judge(revenue_rows=until_110, mark_ms=one_ms_early)) == []
    assert wrong(judge(revenue_rows=revenue(), mark_ms=one_ms_early))
    assert wrong(judge(revenue_rows=until_110, mark_ms=one_ms_early + 1))


def test_no_window_at_all_proves_nothing() -> None:
    """A run too short for any window to close has not tested the windows: agreement of nothing is not a pass."""
    (check,) = wrong(judge(revenue_rows=revenue()[:0], mark_ms=-1))
    assert (check.name, check.detail) == ("revenue: windows that agree", "no window was due before the end")


def test_expected_windows_agree_with_counting_one_by_one() -> None:
    """The oracle sums minutes; a slow and obvious count over a random stream must come to the same windows."""
    rng, n = np.random.default_rng(3), 400
    stream = pd.DataFrame({
        "type": pd.Categorical(rng.choice(["view", "order"], n)),
        "country": pd.Categorical(rng.choice(["DE", "FR"], n)),
        "amount_cents": rng.integers(1, 999, n), "ts": rng.integers(0, 30 * MINUTE_MS, n),
    })  # fmt: skip
    mark_ms, found = 25 * MINUTE_MS, {}
    orders = stream[stream.type == "order"]
    for end in range(MINUTE_MS, 60 * MINUTE_MS, MINUTE_MS):
        inside = orders[(orders.ts >= end - WINDOW_MINUTES * MINUTE_MS) & (orders.ts < end)]
        for country, part in inside.groupby("country", observed=True):
            if end - 1 <= mark_ms:
                found[end, country] = (len(part), int(part.amount_cents.sum()))
    table = expected_windows(stream, mark_ms)
    assert {key: (int(row.orders), int(row.cents)) for key, row in table.iterrows()} == found


def test_what_came_too_late_for_its_window_is_told_as_a_share_where_it_may_be_missing() -> None:
    """A watermark that goes on without a silent source drops what it brings later: a finding, and no wrong job."""
    less, orders = revenue(), revenue()["orders"].sum()
    less.loc[less.index[0], ["orders", "cents"]] = [less["orders"].iloc[0] - 1, less["cents"].iloc[0] - 100]
    assert wrong(judge(revenue_rows=less))
    found = judge(revenue_rows=less, may_drop=True)
    assert wrong(found) == []
    assert found.counts["window_missing_share"] == pytest.approx(1 / orders)
    gone = judge(revenue_rows=revenue().iloc[1:], may_drop=True)
    assert wrong(gone) == []
    assert gone.counts["window_missing_share"] == pytest.approx(revenue()["orders"].iloc[0] / orders)
    assert wrong(judge(revenue_rows=revenue()[:0], may_drop=True))  # all of them is too many
    more = revenue().assign(orders=revenue()["orders"] + 1)
    assert wrong(judge(revenue_rows=more, may_drop=True))  # nothing that comes late makes a number higher


def test_no_window_may_be_there_while_a_partition_has_never_had_an_event() -> None:
    """The prediction is tested, too: one window, and the job is wrong."""
    assert wrong(judge(revenue_rows=revenue()[:0], mark_ms=-1))
    assert wrong(judge(revenue_rows=revenue()[:0], mark_ms=-1, none_due=True)) == []
    assert wrong(judge(revenue_rows=revenue()[:1], mark_ms=-1, none_due=True))
