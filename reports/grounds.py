"""Under which conditions a claim was decided, and what hangs on it a month: the small print of the claim book."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.analysis.cells import Cell
from bench.book import Entry
from bench.record import Run
from bench.verdict import Comparison, Cost, of_cell
from costmodel.odds import Compared
from costmodel.option import Option
from reports import dollars, wording
from reports.dollars import Bills, Priced
from reports.report import Number, Source, Words

StudyBills = Mapping[str, Bills]
"""Study (as the book calls it) -> its bills, arm by arm."""

# ---- conditions


_TOLD = (
    ("load.rate_eps", "events/s", "{}"),
    ("load.drain", "events read flat out", "{}"),
    ("workload.event_bytes", "", "of {} bytes"),
    ("topic.partitions", "", "partitions {}"),
    ("topic.replication_factor", "", "replication factor {}"),
    ("producer.acks", "", "acks {}"),
    ("producer.routing", "", "routing {}"),
    ("producer.compression", "", "compression {}"),
    ("pipeline.job", "", "job {}"),
    ("pipeline.parallelism", "", "parallelism {}"),
    ("pipeline.checkpoint.storage", "", "checkpoints {}"),
    ("pipeline.checkpoint.interval_s", "s", "every {}"),
)


def conditions(entry: Entry, odds: Mapping[str, Compared]) -> Words:
    """Under which settings it was decided: those of the runs that spoke, or of the usage that was billed."""
    primary = entry.claim.primary
    if isinstance(primary, Cost):
        found = odds.get(primary.probability)
        return _usage(primary.probability, found) if found is not None else ()
    if entry.source is None:
        return ()
    runs = of_cell(primary, entry.source.study.runs)
    words: list[Any] = []
    for path, unit, form in _TOLD:
        values = list(dict.fromkeys(str(value) for run in runs if (value := _setting(run, path)) is not None))
        if not values:
            continue
        before, after = form.split("{}")
        source = Source("setting", entry.source.name, path)
        many: list[Any] = []
        for value in values:
            many += [" and " if many else "", _told(value, unit, source)]
        words += [", " if words else "", before, *many, after]
    return (*words, ".") if words else ()


def _told(value: str, unit: str, source: Source) -> str | Number:
    try:
        return wording.number(float(value), unit, source)
    except ValueError:
        return value


def _setting(run: Run, path: str) -> Any:
    here: Any = run.settings
    for word in path.split("."):
        here = here.get(word) if isinstance(here, Mapping) else None
    return here


_USAGE = (
    ("ingest.mb_s", "{} MB/s"),
    ("ingest.record_bytes", "records of {} bytes"),
    ("retention.days", "kept {} days"),
    ("consumers.groups", "consumer groups {}"),
    ("topics.replication_factor", "copies {}"),
    ("zones", "zones {}"),
)


def _usage(name: str, found: Compared) -> Words:
    numbers = dict(found.usage.numbers())
    words: list[Any] = [f"{found.usage.region}: "]
    for path, form in _USAGE:
        if path in numbers:
            before, after = form.split("{}")
            value = wording.number(float(numbers[path].value), "", Source("odds", name, path))
            words += [", " if len(words) > 1 else "", before, value, after]
    return (*words, f"; the rest, with its bands, in costmodel/{found.sentence.usage}.")


# ---- dollars


def monthly(entry: Entry, bills: StudyBills, odds: Mapping[str, Compared], *, short: bool = False) -> Words:
    """What hangs on it a month; () where no bill does."""
    primary = entry.claim.primary
    if isinstance(primary, Cost):
        found = odds.get(primary.probability)
        return _both(primary.probability, found) if found is not None else ()
    if entry.source is None:
        return ()
    priced = dollars.priced(bills.get(entry.source.name, {}))
    for hypothesis in sorted(entry.claim.hypotheses, key=lambda one: not one.primary):
        if isinstance(hypothesis, Comparison):
            arms = _arms(hypothesis, entry.source.study.cells, {one.arm for one in priced})
            if arms is not None:
                return _arm_dollars(entry.source.name, priced, arms, short=short)
    return ()


def _both(name: str, found: Compared) -> Words:
    kind = f" for {found.sentence.kind}" if found.sentence.kind else ""
    words: list[Any] = []
    for side, option in (("cheaper", found.cheaper), ("than", found.than)):
        usd = _option_usd(option, found.sentence.kind)
        words += ["; " if words else "", f"{wording.platform_name(option.platform)}{kind}: "]
        source = Source("odds", name, f"{side} usd_month")
        words.append("cannot be had" if usd is None else wording.rough_money(usd, source))
    return (*words, ".")


def _option_usd(option: Option, kind: str | None) -> float | None:
    if option.bill is None:
        return None
    return float(option.bill.usd_month if kind is None else option.bill.of(kind))


def _arms(hypothesis: Comparison, cells: Sequence[Cell], billed: Collection[str]) -> tuple[str, str] | None:
    """The bills of the first two cells that differ as the hypothesis says and in nothing else; None without both."""
    for base, changed in itertools.permutations(cells, 2):
        rest = {path: value for path, value in base.knobs.items() if path not in hypothesis.base}
        differ = (
            base.load == changed.load
            and hypothesis.base.items() <= base.knobs.items()
            and {**rest, **hypothesis.changed} == dict(changed.knobs)
        )
        labels = wording.arm_label(base.knobs), wording.arm_label(changed.knobs)
        for pair in (labels, (wording.under(labels[0], base.load), wording.under(labels[1], base.load))):
            if differ and set(pair) <= set(billed):
                return pair
    return None


def _arm_dollars(study: str, priced: Sequence[Priced], arms: tuple[str, str], *, short: bool) -> Words:
    words: list[Any] = []
    for platform in list(dict.fromkeys(one.platform for one in priced))[: 1 if short else dollars.MOST_SENTENCES]:
        both = [next((o for o in priced if o.platform == platform and o.arm == arm), None) for arm in arms]
        base, changed = both
        if base is None or changed is None or (found := dollars.difference(base, changed)) is None:
            continue
        usd, share = found
        words += [" " if words else "", f"{wording.platform_name(platform)}: "]
        if not short:
            for one in (base, changed):
                words += ["at least " if one.at_least else "", one.usd(), f" with {one.arm}", ", "]
            words[-1] = ": "
        words += [usd, *((" (", share, ")") if share is not None else ()), "."]
    return tuple(_within(study, word) for word in words)


def _within(study: str, word: Any) -> Any:
    """The number with its study before what its source names: two studies have arms of one name."""
    return replace(word, source=_deeper(study, word.source)) if isinstance(word, Number) else word


def _deeper(study: str, source: Source) -> Source:
    of = tuple(_deeper(study, one) for one in source.of)
    return replace(source, of=of) if source.kind == "derived" else replace(source, ref=f"{study}: {source.ref}", of=of)
