"""Segments, folders and the spool on a real file system."""

import os
from pathlib import Path

import pytest

from watchkeeper.sdk import segment
from watchkeeper.sdk.segment import TRACES
from watchkeeper.sdk.spool import Spool


def drained(spool: Spool) -> list[bytes]:
    bodies = []
    while (found := spool.next()) is not None:
        folder, record = found
        bodies.append(record.body)
        spool.acknowledge(folder, record)
    return bodies


def test_records_come_out_in_order_and_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10**8)
    for n in range(5):
        spool.append(TRACES, 1, b"%d" % n)
    assert drained(spool) == [b"0", b"1", b"2", b"3", b"4"]
    spool.append(TRACES, 1, b"5")
    assert drained(spool) == [b"5"]
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_what_was_acknowledged_is_not_read_again_by_the_next_owner(tmp_path: Path) -> None:
    first = Spool(tmp_path, 10**8)
    for n in range(3):
        first.append(TRACES, 1, b"%d" % n)
    found = first.next()
    assert found is not None
    first.acknowledge(*found)
    second = Spool(tmp_path, 10**8)
    second.adopt()
    assert second.adopted == 0, "the owner lives"
    first.close()
    second.adopt()
    assert (second.adopted, drained(second)) == (1, [b"1", b"2"])


@pytest.mark.parametrize("cut", range(1, 25))
def test_a_torn_last_record_is_skipped_wherever_it_was_torn(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "1.spool"
    whole, last = segment.pack(TRACES, 1, b"whole"), segment.pack(TRACES, 1, b"last one")
    path.write_bytes(whole + last[:-cut])
    first = segment.read(path, 1, 0, path.stat().st_size)
    assert first.record is not None
    rest = segment.read(path, 1, first.end, path.stat().st_size)
    assert (first.record.body, rest.record, rest.damaged) == (b"whole", None, 1)


def test_a_record_with_a_wrong_byte_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "1.spool"
    records = [segment.pack(TRACES, 1, body) for body in (b"first", b"second")]
    path.write_bytes(records[0][:-1] + b"X" + records[1])
    found = segment.read(path, 1, 0, path.stat().st_size)
    assert found.record is not None
    assert (found.record.body, found.damaged) == (b"second", 1)


def test_the_bound_drops_the_oldest_and_counts_what_was_in_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    for n in range(400):
        spool.append(TRACES, 2, b"%05d" % n + os.urandom(10_000))
    assert spool.size() <= 1_000_000
    kept = [int(body[:5]) for body in drained(spool)]
    assert kept == list(range(400 - len(kept), 400))
    assert spool.lost == 2 * (400 - len(kept))


def test_a_refused_record_is_kept_in_dead_and_the_next_one_comes(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10**8)
    spool.append(TRACES, 1, b"poison")
    spool.append(TRACES, 1, b"good")
    found = spool.next()
    assert found is not None
    spool.set_aside(*found)
    assert drained(spool) == [b"good"]
    [dead] = (tmp_path / "dead").iterdir()
    kept = segment.read(dead, 1, 0, dead.stat().st_size).record
    assert kept is not None
    assert kept.body == b"poison"


def test_folders_and_files_are_the_users_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "root", 10**8)
    spool.append(TRACES, 1, b"words of a user")
    for path in [tmp_path / "root", *(tmp_path / "root").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
