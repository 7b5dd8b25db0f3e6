"""Rows of bytes, stamped in place: fixed-width slots at the head of every event, a pooled tail behind them.

A head slot is written for a whole batch at once (decimal digits through a table of 10,000 four-digit groups, or
padded Avro varints); the tail is text that was rendered once and is copied row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Format = Literal["json", "csv", "avro"]
Bytes2D = npt.NDArray[np.uint8]

AVRO_LONG_BYTES = 9  # any stamp below 2**62; shorter ones are padded with continuation bytes, which readers accept

_WORD = {1: np.uint8, 2: np.uint16, 4: np.uint32}


def _table(digits: int, text: str) -> npt.NDArray[np.unsignedinteger]:
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


def column(rows: Bytes2D, offset: int, dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
    """A writable 1-D view of `dtype` at byte `offset` of every row of a C-contiguous uint8[n, stride]."""
    return np.ndarray(shape=(rows.shape[0],), dtype=dtype, buffer=rows.data, offset=offset, strides=(rows.shape[1],))


def put_digits(rows: Bytes2D, slot: Slot, values: npt.NDArray[np.int64]) -> None:
    """Write non-negative `values` right-aligned in decimal. A value too long for the slot is a ValueError."""
    if not values.size:
        return
    left, rest = slot.width, values.astype(np.uint64)
    while left:
        low, high = int(rest.min()), int(rest.max())
        if low == high:  # the upper digits of a batch's stamps are alike: one constant instead of a division each
            _put_constant(rows, slot, left, low)
            return
        take = 4 if left >= 4 else 2 if left >= 2 else 1
        base = np.uint64(10**take)
        above = rest // base
        group = (rest - above * base).astype(np.intp)
        words = _ZEROS[take].take(group)
        if slot.blank and int(above.min()) == 0:
            blanks = _BLANKS if left == slot.width else _UPPER_BLANKS
            words = np.where(above == 0, blanks[take].take(group), words)
        column(rows, slot.offset + left - take, _WORD[take])[:] = words
        rest, left = above, left - take
    if int(rest.max()):
        raise ValueError(f"field {slot.name}: a value has more than {slot.width} digits")


def _put_constant(rows: Bytes2D, slot: Slot, left: int, value: int) -> None:
    text = b"%d" % value if value or not slot.blank or left == slot.width else b""
    if len(text) > left:
        raise ValueError(f"field {slot.name}: a value has more than {slot.width} digits")
    padded = text.rjust(left, b" " if slot.blank else b"0")
    rows[:, slot.offset : slot.offset + left] = np.frombuffer(padded, dtype=np.uint8)


def put_varint(rows: Bytes2D, slot: Slot, values: npt.NDArray[np.int64]) -> None:
    """Write zig-zag varints (Avro long) of exactly `width` bytes, padded with continuation bytes."""
    zigzag = ((values << 1) ^ (values >> 63)).view(np.uint64)
    for i in range(slot.width):
        septet = ((zigzag >> np.uint64(7 * i)) & np.uint64(0x7F)).astype(np.uint8)
        rows[:, slot.offset + i] = septet | np.uint8(0x80) if i < slot.width - 1 else septet
    if int((zigzag >> np.uint64(7 * slot.width)).max(initial=0)):
        raise ValueError(f"field {slot.name}: a value needs more than {slot.width} bytes")


def put_text(rows: Bytes2D, slot: Slot, words: npt.NDArray[np.uint64]) -> None:
    """Write eight-byte strings, each given as one uint64 in memory order."""
    column(rows, slot.offset, np.uint64)[:] = words


@dataclass(frozen=True)
class Layout:
    """A pool of complete rows (head with blank slots, tail filled in) and where the slots are."""

    rows: Bytes2D  # uint8[pool, stride], C-contiguous
    lengths: npt.NDArray[np.int32]  # bytes used of each pooled row
    slots: tuple[Slot, ...]
    head_bytes: int  # where the tail begins


def avro_long(value: int) -> bytes:
    """One canonical Avro long."""
    z, out = (value << 1) ^ (value >> 63), bytearray()
    while z > 0x7F:
        out.append((z & 0x7F) | 0x80)
        z >>= 7
    return bytes(out) + bytes([z])


def render_tail(fmt: Format, names: Sequence[str], values: Sequence[object]) -> bytes:
    """The pooled fields of one event, closing the record. Strings must need no escaping (letters, digits, -/._ =?)."""
    if fmt == "json":
        parts = [f'"{n}":"{v}"' if isinstance(v, str) else f'"{n}":{v}' for n, v in zip(names, values, strict=True)]
        return ("," + ",".join(parts) + "}").encode() if parts else b"}"
    if fmt == "csv":
        return "".join(f",{v}" for v in values).encode()
    out = bytearray()
    for v in values:
        if isinstance(v, str):
            out += avro_long(len(v.encode())) + v.encode()
        elif isinstance(v, int):
            out += avro_long(v)
        else:
            raise TypeError(f"avro: {type(v).__name__} is neither string nor integer")
    return bytes(out)


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
