"""What a JVM says of its heap."""

from __future__ import annotations

import os

from bench.backends import hotspot

G1 = """\
 garbage-first heap   total reserved 1536000K, committed 1536000K, used 25344K [0x00000000a2400000, 0x0000000100000000)
  region size 1024K, 3 young (3072K), 3 survivors (3072K)
 Metaspace       used 45062K, committed 45568K, reserved 1114112K
"""
OLDER = " garbage-first heap   total 524288K, used 9102K [0x00000000e0000000, 0x0000000100000000)\n"


def test_the_heap_is_read_and_not_the_metaspace() -> None:
    """Metaspace does not grow with partitions: its number in the heap's place would say that they are free."""
    assert hotspot.heap_used_bytes(G1) == 25_344 * 1024
    assert hotspot.heap_used_bytes(OLDER) == 9_102 * 1024
    assert hotspot.heap_used_bytes(" Metaspace       used 45062K, committed 45568K\n") is None


def test_a_broker_that_is_gone_has_no_heap() -> None:
    """A heap of 0 bytes would be the best of all."""
    gone = os.getpid() + 10_000_000  # beyond what Linux gives out
    assert hotspot.live_heap_bytes(gone) is None
