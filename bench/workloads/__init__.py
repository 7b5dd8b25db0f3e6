"""What an event is: one file per workload, found by scanning this folder.

A workload is a pure function: event i of (spec, seed, t0, schedule) has the same bytes wherever and in whatever order
it is made, so the generator and the oracle never have to talk. `encode` gives bytes, `columns` the truth of the same
events. Everything is vectorised: no Python runs per event.
"""

from __future__ import annotations

import copy
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol, Self, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.errors import ScenarioError
from bench.workloads.draws import bits, counter_hash, key_slots, murmur2
from bench.workloads.encoding import Layout, Page, Slot, head, render_last, render_pooled
from bench.workloads.filler import texts
from bench.workloads.knobs import Knobs, check

I64 = npt.NDArray[np.int64]

POOL_BITS = 15
POOL_ROWS = 1 << POOL_BITS
POOL_SHIFT = 7919


class Source(Protocol):
    """What a generator sends: a workload, or a recording."""

    def page(self, events: int) -> Page: ...

    def encode(self, seq: int | I64, due_ns: I64, page: Page | None = None) -> Batch: ...


class Schedule(Protocol):
    """When each event is due. `bench.loadgen.schedule` has the real ones."""

    def due_ns(self, seq: I64) -> I64:
        """Due times in ns since the epoch of these sequence numbers."""
        ...


@dataclass(frozen=True)
class Field:
    """One documented field of an event. `digits` is the slot's width for stamped integers."""

    name: str
    type: Literal["long", "int", "string"]
    meaning: str
    digits: int = 0

    @property
    def sql(self) -> str:
        return {"long": "BIGINT", "int": "INT", "string": "STRING"}[self.type]


@dataclass(frozen=True)
class Batch:
    """n encoded events. Event i's value is `rows[i, :lengths[i]]`, its key `keys[i, :key_lengths[i]]`."""

    rows: npt.NDArray[np.uint8]  # [n, stride], C-contiguous
    lengths: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint8]  # [n, width], C-contiguous
    key_lengths: npt.NDArray[np.int64] | None  # None: the whole width
    key_hash: npt.NDArray[np.uint32]  # murmur2 of the key

    def __len__(self) -> int:
        return len(self.lengths)

    def value(self, i: int) -> bytes:
        return self.rows[i, : self.lengths[i]].tobytes()

    def key(self, i: int) -> bytes:
        return self.keys[i, : None if self.key_lengths is None else self.key_lengths[i]].tobytes()


@dataclass(frozen=True)
class Draw:
    """The random numbers of n events, from which both bytes and truth are made."""

    seq: I64
    due_ns: I64
    origin: I64  # the event whose content this is: itself, or the one it duplicates
    event_ns: I64  # event time
    h: npt.NDArray[np.uint64]  # bits 20..34 and 51..63 are free for the workload
    row: I64  # row of the pool
    key: I64  # key id
    malformed: npt.NDArray[np.bool_]

    @property
    def ts_ms(self) -> I64:
        return self.event_ns // 1_000_000


STAMPS = (
    Field("seq", "long", "position in the schedule, unique, from 0", 10),
    Field("due_ns", "long", "when the event was due to be sent, ns since the epoch: latency counts from here", 20),
    Field("ts", "long", "event time, ms since the epoch: t0 + speed * (due - t0) - disorder in [0, disorder_s)", 13),
)


class Workload(ABC):
    """Subclass, fill in the class attributes and two or three methods, put the file into this folder: done."""

    name: ClassVar[str]
    version: ClassVar[int]  # raise when the same seed gives other bytes
    summary: ClassVar[str]
    key_field: ClassVar[Field]
    key_letter: ClassVar[str]
    live_fields: ClassVar[tuple[Field, ...]] = ()  # stamped integers that differ for each event
    pool_fields: ClassVar[tuple[Field, ...]]  # drawn once per pool row
    filler: ClassVar[Field]  # text that brings the event to its size

    def __init__(self, knobs: Knobs, seed: int, t0_ns: int, schedule: Schedule | None = None) -> None:
        check(knobs)
        self.knobs, self.seed, self.t0_ns, self.schedule = knobs, seed, t0_ns, schedule
        slot_bits = min(20, max(12, (16 * knobs.distinct).bit_length()))  # small tables stay in the cache
        self._slots, self._slot_bits = key_slots(knobs.distinct, knobs.zipf, 1 << slot_bits), slot_bits

    # what a workload supplies

    @abstractmethod
    def pool(self, rng: np.random.Generator, rows: int) -> Mapping[str, Sequence[Any] | npt.NDArray[Any]]:
        """Columns of `rows` values: every one of `pool_fields`, and any further truth (not sent) for the oracle."""

    def live(self, draw: Draw) -> Mapping[str, I64]:
        """Non-negative integers for each of `live_fields`."""
        del draw
        return {}

    def truth(self, draw: Draw) -> Mapping[str, npt.NDArray[Any]]:
        """Further per-event truth that is not in the payload (labels)."""
        del draw
        return {}

    def place(self, origin: I64, h: npt.NDArray[np.uint64]) -> tuple[I64, I64]:
        """(key id, pool row) of each event. Here: keys by their skew, independent of position.

        Pool rows come in turn, from another start each time round: random content in an order that memory can foresee.
        """
        row = (origin + (origin >> POOL_BITS) * POOL_SHIFT) & (POOL_ROWS - 1)
        return self._slots.take(bits(h, 0, self._slot_bits)).astype(np.int64), row

    # what everyone calls

    @property
    def fields(self) -> tuple[Field, ...]:
        """The schema, in the order in which it is sent."""
        return (*STAMPS, self.key_field, *self.live_fields, *self.pool_fields, self.filler)

    @property
    def flink_ddl_columns(self) -> list[tuple[str, str]]:
        """(name, SQL type) of a Flink source table; quote the names, some are reserved words."""
        not_null = " NOT NULL" if self.knobs.format == "avro" else ""  # else Flink's Avro expects a union
        return [(f.name, f.sql + not_null) for f in self.fields]

    @property
    def avro_schema(self) -> dict[str, Any]:
        """The fixed schema of the Avro format (bare records, no registry header)."""
        return {
            "type": "record",
            "name": self.name,
            "fields": [{"name": f.name, "type": f.type, "doc": f.meaning} for f in self.fields],
        }

    def page(self, events: int) -> Page:
        """Room for `events` values, for `encode` to use again and again: fresh memory costs a page fault per 4 KiB."""
        return Page(self._layout.slots, self._layout.rows.shape[1], events)

    def encode(self, seq: int | I64, due_ns: I64, page: Page | None = None) -> Batch:
        """The bytes of these events. `seq` is the first of a run of consecutive numbers, or one number each.

        With a `page`, the batch's values lie in it and live until it is used again.
        """
        draw, layout = self._draw(_seqs(seq, due_ns), due_ns), self._layout
        page = page or self.page(len(due_ns))
        values = page.rows[: len(due_ns)]
        np.take(layout.rows, draw.row, axis=0, out=values, mode="clip")
        lengths = layout.lengths.take(draw.row)
        words = self._key_words.take(draw.key)
        stamps = {"seq": draw.seq, "due_ns": draw.due_ns, "ts": draw.ts_ms, **self.live(draw)}
        for slot in layout.slots:
            page.put(slot, words if slot.kind == "text" else stamps[slot.name])
        if self.knobs.malformed:
            self._break(values, lengths, draw)
        keys = words.view(np.uint8).reshape(-1, 8)
        return Batch(values, lengths, keys, None, self._key_hash.take(draw.key))

    def columns(self, seq: int | I64, due_ns: I64) -> pd.DataFrame:
        """The truth of the same events: every field, plus event_ns, origin, duplicate, malformed and the labels.

        Strings are categoricals. A malformed event's fields are what it would have said.
        """
        draw = self._draw(_seqs(seq, due_ns), due_ns)
        keys = pd.Categorical.from_codes(cast("Any", draw.key), dtype=self._key_categories)
        data: dict[str, Any] = {"seq": draw.seq, "due_ns": draw.due_ns, "ts": draw.ts_ms, self.key_field.name: keys}
        data |= self.live(draw)
        for name, values in self._pool_columns.items():
            data[name] = values.take(draw.row) if isinstance(values, pd.Categorical) else values[draw.row]
        data |= {"event_ns": draw.event_ns, "origin": draw.origin, "duplicate": draw.origin != draw.seq}
        return pd.DataFrame(data | {"malformed": draw.malformed} | dict(self.truth(draw)))

    def starting(self, t0_ns: int, schedule: Schedule | None = None) -> Self:
        """The same workload (its pools are shared) with another start."""
        _ = self._layout, self._key_words, self._key_hash
        other = copy.copy(self)
        other.t0_ns, other.schedule = t0_ns, schedule
        return other

    # how

    def _draw(self, seq: I64, due_ns: I64) -> Draw:
        knobs, origin, origin_due = self.knobs, seq, due_ns
        if knobs.duplicates:
            origin = self._origins(seq)
            again = np.flatnonzero(origin != seq)
            if again.size and self.schedule is not None:
                origin_due = due_ns.copy()
                origin_due[again] = self.schedule.due_ns(origin[again])
        h = counter_hash(origin, self.seed)
        speed = knobs.event_time_speed
        since = origin_due - self.t0_ns
        event_ns = self.t0_ns + (since * int(speed) if speed == int(speed) else (since * speed).astype(np.int64))
        spread_ns = int(knobs.disorder_s * 1e9)
        if spread_ns:
            event_ns -= (bits(h, 35, 16) * spread_ns) >> 16
        malformed = np.zeros(len(seq), dtype=np.bool_)
        if knobs.malformed:
            malformed = bits(counter_hash(seq, self.seed + 2), 0, 30) < knobs.malformed * (1 << 30)
        key, row = self.place(origin, h)
        return Draw(seq, due_ns, origin, event_ns, h, row, key, malformed)

    def _origins(self, seq: I64) -> I64:
        """Which event each one repeats: never one that is itself a repetition, so that every origin was sent."""

        def flagged(at: I64) -> tuple[npt.NDArray[np.bool_], I64]:
            h = counter_hash(at, self.seed + 1)
            before = at - 1 - bits(h, 40, 6)
            return (bits(h, 0, 30) < self.knobs.duplicates * (1 << 30)) & (before >= 0), before

        again, before = flagged(seq)
        again &= ~flagged(before)[0]
        return np.where(again, before, seq)

    def _break(self, values: npt.NDArray[np.uint8], lengths: I64, draw: Draw) -> None:
        """Two ways of not parsing, both before any business field; the stamps stay readable at their offsets."""
        bad = np.flatnonzero(draw.malformed)
        cut = self._layout.slots[1].offset + self._layout.slots[1].width
        json = self.knobs.format == "json"
        short = bad[bits(draw.h, 51, 1)[bad] == 1] if json else bad[:0]
        lengths[short] = cut
        values[np.setdiff1d(bad, short), 0] = ord("<") if json else ord('"')

    @cached_property
    def _pool(self) -> Mapping[str, Any]:
        rng = np.random.default_rng([self.seed, 0x706F6F6C])
        return self.pool(rng, POOL_ROWS)

    @cached_property
    def _layout(self) -> Layout:
        fmt = self.knobs.format
        stamped = [(f.name, "int", f.digits) for f in STAMPS] + [(self.key_field.name, "text", 8)]
        start, slots = head(fmt, stamped + [(f.name, "int", f.digits) for f in self.live_fields])
        names = [f.name for f in self.pool_fields]
        given = [_plain(self._pool[name]) for name in names]
        pooled = [render_pooled(fmt, names, row) for row in zip(*given, strict=True)]
        without = np.array([len(p) for p in pooled]) + len(start) + len(render_last(fmt, self.filler.name, ""))
        fillers = texts(np.random.default_rng([self.seed, 0x66696C6C]), self.knobs, without)
        tails = [p + render_last(fmt, self.filler.name, f) for p, f in zip(pooled, fillers, strict=True)]
        lengths = np.array([len(start) + len(t) for t in tails], dtype=np.int64)
        stride = (int(lengths.max()) + 7) // 8 * 8
        joined = b"".join((start + t).ljust(stride, b" ") for t in tails)
        rows = np.frombuffer(joined, dtype=np.uint8).reshape(len(tails), stride).copy()  # aligned, and in huge pages
        return Layout(rows, lengths, slots, len(start))

    @cached_property
    def _pool_columns(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, values in self._pool.items():
            plain = np.asarray(values)
            out[name] = pd.Categorical(plain) if plain.dtype.kind in "UO" else plain
        return out

    @cached_property
    def _key_text(self) -> npt.NDArray[np.uint8]:
        slot = Slot(self.key_field.name, 1, 7, "digits")
        page = Page((slot,), 8, self.knobs.distinct)
        page.rows[:, 0] = ord(self.key_letter)
        page.put(slot, np.arange(self.knobs.distinct))
        return page.rows

    @cached_property
    def _key_words(self) -> npt.NDArray[np.uint64]:
        return self._key_text.view(np.uint64).reshape(-1)

    @cached_property
    def _key_hash(self) -> npt.NDArray[np.uint32]:
        return murmur2(self._key_text)

    @cached_property
    def _key_categories(self) -> pd.CategoricalDtype:
        names = self._key_text.view("S8").reshape(-1).astype("U8")
        return pd.CategoricalDtype(names.tolist(), ordered=False)


def find() -> dict[str, type[Workload]]:
    """Every workload in this folder by name."""
    found: dict[str, type[Workload]] = {}
    for module in pkgutil.iter_modules(__path__):
        for thing in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if isinstance(thing, type) and issubclass(thing, Workload) and hasattr(thing, "name"):
                found[thing.name] = thing
    return found


def open_workload(spec: Any, seed: int, t0_ns: int, schedule: Schedule | None = None) -> Workload:
    """The workload that a scenario's `workload:` section names. An unknown name is a ScenarioError."""
    knobs, known = Knobs.of(spec), find()
    if knobs.name not in known:
        near = get_close_matches(knobs.name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        names = ", ".join(sorted(known))
        raise ScenarioError(f"workload.name: no workload {knobs.name!r}, expected one of {names}{hint}")
    return known[knobs.name](knobs, seed, t0_ns, schedule)


def _seqs(seq: int | I64, due_ns: I64) -> I64:
    return np.arange(seq, seq + len(due_ns), dtype=np.int64) if isinstance(seq, int | np.integer) else seq


def _plain(values: Sequence[Any] | npt.NDArray[Any]) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


__all__ = ["Batch", "Draw", "Field", "Knobs", "Schedule", "Source", "Workload", "find", "open_workload"]
