"""What the two scripts of docs/changing-partitions.md count, on records whose order is known. No broker."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.workloads.draws import murmur2, partition_of
from benchmarks import adding_partitions, share_groups


def read(*rows: tuple[int, int, int, str]) -> pd.DataFrame:
    """(at_ms, partition, offset, key) of records as members told of them."""
    return pd.DataFrame(rows, columns=["at_ms", "partition", "offset", "key"]).assign(member=0)


def test_a_record_is_behind_if_a_later_one_was_handled_in_an_earlier_millisecond() -> None:
    """Order lost is the price of a share group: a count that is off sells it too cheap, or not at all."""
    table = read((1, 0, 0, "a"), (2, 0, 2, "a"), (3, 0, 1, "b"), (3, 1, 0, "b"), (4, 0, 3, "a"))
    assert share_groups.behind(table, "partition") == pytest.approx(1 / 5)  # offset 1 after 2, of another key
    assert share_groups.behind(table, "key") == 0.0
    late = read((1, 0, 5, "a"), (2, 0, 4, "a"), (2, 0, 3, "a"), (1, 0, 2, "a"), (3, 1, 0, "a"))
    assert share_groups.behind(late, "key") == pytest.approx(2 / 5)  # within a millisecond nobody knows who was first
    assert share_groups.behind(late[:0], "key") != share_groups.behind(late[:0], "key")  # of nothing: no number


def test_what_members_tell_is_read_line_by_line(tmp_path: Path) -> None:
    """A member that is killed in the middle of a line has told the records before it."""
    told = [
        {"name": "record_data", "timestamp": 7, "partition": 1, "offset": 3, "key": "k"},
        {"name": "startup_complete"},
    ]
    log = tmp_path / "member.log"
    log.write_text("\n".join(map(json.dumps, told)) + '\n{"name":"record_data","timest')
    table = share_groups.records([log])
    assert table.to_dict("records") == [{"at_ms": 7, "partition": 1, "offset": 3, "key": "k", "member": 0}]


def test_an_event_is_overtaken_if_a_later_one_of_its_key_was_read_before() -> None:
    table = pd.DataFrame({"seq": [1, 5, 2, 6, 3], "key": ["a", "a", "b", "b", "a"]})
    assert adding_partitions.overtaken(table) == 1  # 3 after 5; 2 after 5 is another key's


def test_keys_move_as_their_hash_says_and_as_they_were_seen() -> None:
    """From 6 to 12 partitions half of the keys, from 6 to 7 six of seven; seen on both sides it is the same keys."""
    keys = pd.Series([f"user-{number}".encode() for number in range(4000)])
    assert adding_partitions.moved(keys, 6, 12) == pytest.approx(1 / 2, abs=0.03)
    assert adding_partitions.moved(keys, 6, 7) == pytest.approx(6 / 7, abs=0.03)
    assert adding_partitions.moved(keys, 6, 6) == 0.0

    some = keys[:50]
    width = max(map(len, some))
    rows = [list(key.ljust(width, b"\0")) for key in some]
    hashed = murmur2(np.array(rows, dtype=np.uint8), np.array([len(key) for key in some], dtype=np.int64))
    seen = pd.DataFrame(
        {
            "seq": range(100),
            "key": [*some, *some],
            "partition": [*partition_of(hashed, 6), *partition_of(hashed, 12)],
        }
    )
    assert adding_partitions.seen_moving(seen, 6) == pytest.approx(adding_partitions.moved(some, 6, 12), abs=0.05)
