"""What oracles of different jobs have in common: rows for each event, and tables of counts by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.jobs import Output, Terms
from bench.record import Check


def rows_of(output: Output, columns: Mapping[str, str]) -> pd.DataFrame:
    """An output's rows; one that nobody wrote to has none, but has its columns (name -> dtype)."""
    return output.rows if len(output.rows) else pd.DataFrame(columns=[*columns]).astype(columns)


def per_event(
    name: str, wanted: pd.DataFrame, rows: pd.DataFrame, what: str, terms: Terms
) -> tuple[tuple[Check, ...], dict[str, float]]:
    """A row for every event in `wanted`, and for nothing else, with the values that stand there.

    `wanted` has `seq` and the columns to compare, named as in `rows`; `what` names these columns in a sentence.
    """
    due, found = wanted["seq"].to_numpy(), rows["seq"].to_numpy()
    order = np.argsort(due, kind="stable")
    due = due[order]  # each event is due once
    unique = np.unique(found)
    lost = float(len(np.setdiff1d(due, unique, assume_unique=True)))
    repeated = float(len(found) - len(unique))
    strangers = float(len(np.setdiff1d(unique, due, assume_unique=True)))
    at = np.minimum(np.searchsorted(due, found), max(len(due) - 1, 0))
    known = due[at] == found if len(due) else np.zeros(len(found), dtype=bool)
    wrong = np.zeros(int(known.sum()), dtype=bool)  # a repeated row has to be right too
    true = order[at[known]]
    for column in wanted.columns.drop("seq"):
        wrong |= _taken(rows[column], np.flatnonzero(known)) != _taken(wanted[column], true)
    checks = [
        # agreement of nothing is not a pass
        Check(f"{name}: events lost", 0, lost, lost == 0 and len(due) > 0, "" if len(due) else "no event was due"),
        Check(f"{name}: events nobody sent", 0, strangers, strangers == 0),
        Check(f"{name}: rows with a wrong {what}", 0, float(wrong.sum()), not bool(wrong.any())),
    ]
    if not terms.may_repeat:
        checks.append(Check(f"{name}: events twice", 0, repeated, repeated == 0))
    share = 1 - lost / len(due) if len(due) else float("nan")
    return tuple(checks), {"lost_events": lost, "duplicated_events": repeated, "output_share": share}


def counted(
    name: str, expected: pd.DataFrame, rows: pd.DataFrame, terms: Terms, *, window: str = "window ending"
) -> tuple[Check, dict[str, float]]:
    """The same keys with the same numbers: `expected` has the keys as index, its first column counts events.

    A row may be repeated where a failure may repeat it, but alike: the same key with two different numbers is wrong,
    unless events may have been counted again. Then a number may be too high, and by how much is counted as duplicates.
    Where events may have come too late for their windows a number may be too low; by which share is told.
    """
    keys, columns = [str(name) for name in expected.index.names], [str(name) for name in expected.columns]
    once = rows[[*keys, *columns]].drop_duplicates()
    if terms.may_recount:
        once = once.groupby(keys, as_index=False, observed=True).max()
    both = _plain(expected.reset_index(), keys).merge(
        _plain(once, keys), on=keys, how="outer", suffixes=("", "_found"), indicator=True
    )
    agree = both["_merge"] != "right_only" if terms.may_drop else both["_merge"] == "both"
    for column in columns:
        found = both[f"{column}_found"].fillna(0) if terms.may_drop else both[f"{column}_found"]
        right = found == both[column]
        if terms.may_recount:
            right |= found > both[column]
        if terms.may_drop:
            right |= found < both[column]
        agree &= right
    count = both[columns[0]].fillna(0), both[f"{columns[0]}_found"].fillna(0)
    missing = float((count[0] - count[1]).clip(lower=0).sum())
    beyond = float((count[1] - count[0]).clip(lower=0).sum())
    detail = "" if len(expected) else "no window was due before the end"
    if not agree.all():
        first = both[~agree].iloc[0]
        detail = (
            f"{window} {' '.join(str(first[key]) for key in keys)}: "
            f"expected {' '.join(f'{first[column]} {column}' for column in columns)}, "
            f"found {' and '.join(str(first[f'{column}_found']) for column in columns)}"
        )
    # agreement of nothing is not a pass, and what may lack events may not lack all of them
    ok = bool(agree.all()) and (len(expected) > 0 or terms.none_due) and (len(once) > 0 or not len(expected))
    repeats = float(len(rows) - len(rows.drop_duplicates()))
    if repeats and not terms.may_repeat:
        ok, detail = False, detail or f"{repeats:.0f} rows are there twice"
    check = Check(f"{name}: windows that agree", float(len(expected)), float(agree.sum()), ok, detail)
    due = float(count[0].sum())
    share = missing / due if due else float("nan")
    return check, {"lost_events": missing, "duplicated_events": beyond, "window_missing_share": share}


def _taken(column: pd.Series[Any], at: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """Values at these places, categories as what they stand for."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray(column.cat.categories, dtype=object).take(column.cat.codes.to_numpy()[at])
    return column.to_numpy()[at]


def _plain(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Categories as the strings they stand for: those of a truth and of an output never merge."""
    return table.astype({key: str for key in keys if isinstance(table[key].dtype, pd.CategoricalDtype)})
