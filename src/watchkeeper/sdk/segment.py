"""A segment: an append-only file of records, each with its length and a checksum.

    record = magic "WKR1", kind (1 byte), items (u32), length of body (u32), crc32 of body (u32), body

A record is one POST. Integers are big-endian. A record that is torn or does not match its checksum is
skipped; a header that is not one ends the segment.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

TRACES, FEEDBACK, RESOLUTION = 1, 2, 3

_HEADER = struct.Struct(">4sBIII")
_MAGIC = b"WKR1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing to POST, and where it lies: bytes [start, end) of segment `number`."""

    number: int
    start: int
    end: int
    kind: int
    items: int
    body: bytes


def pack(kind: int, items: int, body: bytes) -> bytes:
    """A record as it lies on disk; `items` is how many spans (or opinions) are inside."""
    return _HEADER.pack(_MAGIC, kind, items, len(body), zlib.crc32(body)) + body


@dataclass(frozen=True, slots=True)
class Read:
    """What was found from an offset on: a whole record or none; where to go on; records that were damaged."""

    record: Record | None
    end: int
    damaged: int


def read(path: Path, number: int, start: int, size: int) -> Read:
    """The first whole record of the segment in bytes [start, size)."""
    damaged = 0
    with path.open("rb") as file:
        while start < size:
            header = _header(file, start, size)
            if header is None:
                return Read(None, size, damaged + 1)
            kind, items, length, checksum = header
            body = file.read(length)
            end = start + _HEADER.size + length
            if len(body) == length and zlib.crc32(body) == checksum:
                return Read(
                    Record(number=number, start=start, end=end, kind=kind, items=items, body=body), end, damaged
                )
            damaged, start = damaged + 1, end
    return Read(None, size, damaged)


def count_items(path: Path, start: int) -> int:
    """How many spans and opinions lie in the segment from `start` on; bodies are not read."""
    size, items = path.stat().st_size, 0
    with path.open("rb") as file:
        while header := _header(file, start, size):
            items += header[1]
            start += _HEADER.size + header[2]
    return items


def _header(file: BinaryIO, start: int, size: int) -> tuple[int, int, int, int] | None:
    file.seek(start)
    raw = file.read(_HEADER.size)
    if len(raw) < _HEADER.size:
        return None
    magic, kind, items, length, checksum = _HEADER.unpack(raw)
    if magic != _MAGIC or start + _HEADER.size + length > size:
        return None
    return kind, items, length, checksum
