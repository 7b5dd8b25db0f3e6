"""Rows of bytes, stamped in place: fixed-width slots at the head of every event, a pooled tail behind them.

A head slot is written for a whole batch at once (decimal digits through a table of 10,000 four-digit groups, or
padded Avro varints); the tail is text that was rendered once and is copied row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Format = Literal["json", "csv", "avro"]
Bytes2D = npt.NDArray[np.uint8]

AVRO_LONG_BYTES = 9  # any stamp below 2**62; shorter ones are padded with continuation bytes, which readers accept

_WORD = {4: np.uint32, 2: np.uint16, 1: np.uint8}


def _table(digits: int, text: str) -> npt.NDArray[Any]:
    rows = np.array([list(format(i, text).encode()) for i in range(10**digits)], dtype=np.uint8)
    return rows.view(_WORD[digits]).reshape(-1)


_ZEROS = {n: _table(n, f"0{n}d") for n in (1, 2, 4)}  # 7 -> "0007"
_BLANKS = {n: _table(n, f"{n}d") for n in (1, 2, 4)}  # 7 -> "   7", the lowest group keeps its zero
_UPPER_BLANKS = {n: t.copy() for n, t in _BLANKS.items()}  # above the lowest group a zero is blank
for _n, _t in _UPPER_BLANKS.items():
    _t[0] = np.frombuffer(b" " * _n, dtype=_WORD[_n])[0]


@dataclass(frozen=True)
class Slot:
    """Where a stamped field lies in a row: `width` bytes from `offset`. Integers only, except `text` (raw bytes)."""

    name: str
    offset: int
    width: int
    kind: Literal["digits", "varint", "text"]
    blank: bool = False  # spaces instead of zeros before a short number (JSON allows the one, CSV the other)


def column(rows: Bytes2D, offset: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A writable 1-D view of `dtype` at byte `offset` of every row of a C-contiguous uint8[n, stride]."""
    return np.ndarray(shape=(rows.shape[0],), dtype=dtype, buffer=rows.data, offset=offset, strides=(rows.shape[1],))


class Page:
    """Room for a batch: uint8[events, stride], and ready-made views of every slot (making one costs microseconds)."""

    def __init__(self, slots: Sequence[Slot], stride: int, events: int) -> None:
        self.rows: Bytes2D = np.zeros((events, stride), dtype=np.uint8)
        self._groups = {slot.name: _groups(self.rows, slot) for slot in slots}

    def put(self, slot: Slot, values: npt.NDArray[Any]) -> None:
        """Stamp the first len(values) rows: int64 for digits and varints, uint64 words for text."""
        if not len(values):
            return
        views = self._groups[slot.name]
        if slot.kind == "text":
            views[0][1][: len(values)] = values
        elif slot.kind == "varint":
            _put_varint(slot, views, values)
        else:
            _put_digits(slot, views, values)


Groups = list[tuple[int, npt.NDArray[Any]]]  # (bytes, column), the rightmost first


def _groups(rows: Bytes2D, slot: Slot) -> Groups:
    if slot.kind == "text":
        return [(8, column(rows, slot.offset, np.uint64))]
    if slot.kind == "varint":
        return [(1, column(rows, slot.offset + i, np.uint8)) for i in range(slot.width)]
    out: Groups = []
    left = slot.width
    while left:
        take = next(n for n in (4, 2, 1) if n <= left)
        left -= take
        out.append((take, column(rows, slot.offset + left, _WORD[take])))
    return out


def _put_digits(slot: Slot, views: Groups, values: npt.NDArray[np.int64]) -> None:
    """Non-negative `values`, right-aligned in decimal. A value too long for the slot is a ValueError."""
    n, rest = len(values), values.view(np.uint64)
    low, high = int(rest.min()), int(rest.max())
    if high >= 10**slot.width:
        raise ValueError(f"field {slot.name}: {high} has more than {slot.width} digits")
    for i, (take, view) in enumerate(views):
        base = 10**take
        blanks = _BLANKS if i == 0 else _UPPER_BLANKS
        if low == high:  # the upper digits of a batch's stamps are alike: one constant instead of a division each
            view[:n] = (blanks if slot.blank and low < base else _ZEROS)[take][low % base]
            low = high = low // base
            continue
        above = rest // np.uint64(base)
        group = (rest - above * np.uint64(base)).view(np.int64)
        low, high = low // base, high // base
        if not slot.blank or low:
            view[:n] = _ZEROS[take].take(group)
        elif not high:
            view[:n] = blanks[take].take(group)
        else:
            view[:n] = np.where(above == 0, blanks[take].take(group), _ZEROS[take].take(group))
        rest = above


def _put_varint(slot: Slot, views: Groups, values: npt.NDArray[np.int64]) -> None:
    """Zig-zag varints (Avro long) of exactly `width` bytes, padded with continuation bytes."""
    n = len(values)
    zigzag = ((values << 1) ^ (values >> 63)).view(np.uint64)
    if int((zigzag >> np.uint64(7 * slot.width)).max(initial=0)):
        raise ValueError(f"field {slot.name}: a value needs more than {slot.width} bytes")
    for i, (_, view) in enumerate(views):
        septet = ((zigzag >> np.uint64(7 * i)) & np.uint64(0x7F)).astype(np.uint8)
        view[:n] = septet | np.uint8(0x80) if i < slot.width - 1 else septet


@dataclass(frozen=True)
class Layout:
    """A pool of complete rows (head with blank slots, tail filled in) and where the slots are."""

    rows: Bytes2D  # uint8[pool, stride], C-contiguous
    lengths: npt.NDArray[np.int64]  # bytes used of each pooled row
    slots: tuple[Slot, ...]
    head_bytes: int  # where the tail begins


def avro_long(value: int) -> bytes:
    """One canonical Avro long."""
    z, out = (value << 1) ^ (value >> 63), bytearray()
    while z > 0x7F:
        out.append((z & 0x7F) | 0x80)
        z >>= 7
    return bytes(out) + bytes([z])


def stamps_of(fmt: Format, value: bytes) -> tuple[int, int]:
    """(seq, due_ns) of an encoded event: they lie at fixed places, however the rest is broken."""
    seq, due = _STAMP_SLOTS[fmt]
    if fmt == "avro":
        return _long_at(value, seq.offset), _long_at(value, due.offset)
    first = value[seq.offset : seq.offset + seq.width].lstrip(b'"')  # a broken CSV line begins with an open quote
    return int(first), int(value[due.offset : due.offset + due.width])


def seq_bytes(fmt: Format) -> tuple[int, int]:
    """(offset, width) of the sequence number in an encoded event; see `seqs_of`."""
    slot = _STAMP_SLOTS[fmt][0]
    return slot.offset, slot.width


def seqs_of(fmt: Format, digits: Bytes2D) -> npt.NDArray[np.int64]:
    """Sequence numbers from uint8[n, width] of what lies at `seq_bytes`. Garbage in, garbage out."""
    if fmt == "avro":
        zigzag = (digits & 0x7F).astype(np.int64) @ (1 << 7 * np.arange(digits.shape[1], dtype=np.int64))
        return np.asarray(zigzag >> 1, dtype=np.int64)
    # a blank is 0x20, a digit 0x30 + d: the low four bits are the digit either way
    return np.asarray((digits & 0x0F).astype(np.int64) @ (10 ** np.arange(digits.shape[1])[::-1]), dtype=np.int64)


def _long_at(value: bytes, at: int) -> int:
    z, shift = 0, 0
    while value[at] & 0x80:
        z, shift, at = z | (value[at] & 0x7F) << shift, shift + 7, at + 1
    z |= value[at] << shift
    return (z >> 1) ^ -(z & 1)


def render_pooled(fmt: Format, names: Sequence[str], values: Sequence[object]) -> bytes:
    """The pooled fields of one event. Strings must need no escaping (letters, digits, spaces, -/._:=?)."""
    if fmt == "json":
        parts = [f',"{n}":"{v}"' if isinstance(v, str) else f',"{n}":{v}' for n, v in zip(names, values, strict=True)]
        return "".join(parts).encode()
    if fmt == "csv":
        return "".join([f",{v}" for v in values]).encode()
    return b"".join([_avro_text(v) if isinstance(v, str) else avro_long(int(str(v))) for v in values])


def render_last(fmt: Format, name: str, text: str) -> bytes:
    """The last field, a string, and the end of the record."""
    if fmt == "json":
        return f',"{name}":"{text}"}}'.encode()
    return f",{text}".encode() if fmt == "csv" else _avro_text(text)


def _avro_text(text: str) -> bytes:
    raw = text.encode()
    return avro_long(len(raw)) + raw


def head(fmt: Format, fields: Sequence[tuple[str, str, int]]) -> tuple[bytes, tuple[Slot, ...]]:
    """The bytes before the tail, and the slots in them, for (name, "int" | "text", decimal digits) fields in order."""
    text, slots = bytearray(), []
    for i, (name, kind, digits) in enumerate(fields):
        if fmt == "json":
            text += (b"{" if i == 0 else b",") + f'"{name}":'.encode()
        elif fmt == "csv" and i:
            text += b","
        if kind == "text":
            text += {"json": b'"', "csv": b"", "avro": avro_long(8)}[fmt]
            slots.append(Slot(name, len(text), 8, "text"))
            text += b" " * 8 + (b'"' if fmt == "json" else b"")
        elif fmt == "avro":
            width = min(AVRO_LONG_BYTES, math.ceil((digits * math.log2(10) + 1) / 7))
            slots.append(Slot(name, len(text), width, "varint"))
            text += b" " * width
        else:
            slots.append(Slot(name, len(text), digits, "digits", fmt == "json"))
            text += b" " * digits
    return bytes(text), tuple(slots)


STAMP_DIGITS = (("seq", "int", 10), ("due_ns", "int", 20))
_FORMATS: tuple[Format, ...] = ("json", "csv", "avro")
_STAMP_SLOTS = {fmt: head(fmt, STAMP_DIGITS)[1] for fmt in _FORMATS}
