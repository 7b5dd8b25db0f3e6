"""Which options Flink knows, by its own classes: it takes any other without a word, a misspelt one included.

Options are constants of classes called ...Options in Flink's jars; a key that is made while Flink runs
(`metrics.reporter.NAME.class`) is known by what it begins with.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

_CLASS = re.compile(r".*Options?(\$\w+)?\.class")
_KEY = re.compile(r"[a-z][a-z0-9-]*(\.[A-Za-z0-9_-]+)+\.?")
_MADE = ("metrics.reporter.", "metrics.scope.", "env.", "s3.", "fs.")  # of plug-ins, or named in other classes
_UTF8, _WIDE = 1, (5, 6)  # tags of a constant pool; long and double take two places in it
_SIZES = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}


def unknown(keys: Iterable[str], jars: tuple[Path, ...]) -> list[str]:
    """Those of `keys` that no class in `jars` names."""
    known = known_options(jars)
    begins = (*_MADE, *(one for one in known if one.endswith(".")))
    return [key for key in keys if key not in known and not key.startswith(begins)]


@cache
def known_options(jars: tuple[Path, ...]) -> frozenset[str]:
    """Every key that an options class in `jars` names; those that end with a dot are beginnings."""
    found: set[str] = set()
    for jar in jars:
        with zipfile.ZipFile(jar) as archive:
            for name in filter(_CLASS.fullmatch, archive.namelist()):
                found |= set(filter(_KEY.fullmatch, _constants(archive.read(name))))
    return frozenset(found)


def _constants(code: bytes) -> Iterator[str]:
    """The texts in a class file's constant pool (Java Virtual Machine Specification, 4.4)."""
    count, at, place = int.from_bytes(code[8:10]), 10, 1
    while place < count:
        tag = code[at]
        if tag == _UTF8:
            length = int.from_bytes(code[at + 1 : at + 3])
            yield code[at + 3 : at + 3 + length].decode("utf-8", "replace")
            at += 3 + length
        else:
            at += 1 + _SIZES[tag]
        place += 2 if tag in _WIDE else 1
