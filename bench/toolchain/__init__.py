"""Everything Kafka and Flink need that pip does not install: a Java runtime, pinned jars, a Flink home.

`provision()` is the whole face. Jars are named by Maven coordinates and sha256 in `jars.lock`, kept in a per-user
cache, and nothing else in Streamgauge downloads anything. Once they are there, no network is needed.

    python -m bench.toolchain             fetch what is missing, say where it is
    python -m bench.toolchain lock        resolve the roots in jars.lock again and rewrite it (maintenance)
"""

from __future__ import annotations

from bench.toolchain.assembly import FIRST_SETUP, Toolchain, missing, provision

__all__ = ["FIRST_SETUP", "Toolchain", "missing", "provision"]
