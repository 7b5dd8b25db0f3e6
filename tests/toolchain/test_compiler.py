"""Java classes of jobs, compiled here: whole or not at all, once for each source."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from bench.errors import HostError
from bench.jobs.margin import JAVA
from bench.toolchain.compiler import compiled


def test_a_class_is_compiled_once_and_kept() -> None:
    """Compiling in every trial would be seconds of CPU that a run's first sample pays for."""
    jar = compiled("Margin", JAVA)
    written = jar.stat().st_mtime_ns
    assert zipfile.ZipFile(jar).namelist() == ["streamgauge/Margin.class"]
    assert compiled("Margin", JAVA) == jar
    assert jar.stat().st_mtime_ns == written


def test_what_does_not_compile_says_why_and_leaves_nothing() -> None:
    """A half-made jar in the cache would be every later run's mystery."""
    there = set(Path(compiled("Margin", JAVA)).parent.iterdir())
    with pytest.raises(HostError, match=r"Broken.java does not compile: [\s\S]*Strin cannot be resolved"):
        compiled("Broken", "public class Broken { Strin x; }")
    assert set(Path(compiled("Margin", JAVA)).parent.iterdir()) == there
