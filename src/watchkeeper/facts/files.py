"""Fact files: written whole under a name of their own, never changed, removed when nobody can have them open."""

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from watchkeeper.facts.columns import Column
from watchkeeper.foundation.errors import StoreFailed

GRACE = timedelta(hours=1)
"""How long a file that is not pointed at any more stays: a reader may have begun with it."""

_OURS = re.compile(r"\d{8}T\d{2}-v\d+-[0-9a-f]{8}\.parquet(\.tmp)?")


def write_file(
    folder: Path, hour: int, version: int, table: pa.Table, columns: Sequence[Column], *, now: datetime
) -> tuple[str, int]:
    """Write an hour's facts durably; the file's name in the folder, and its bytes.

    Until it is whole it has another name, and nobody reads it before its name is in the store. Equal labels stand
    together, which makes it smaller and quicker to group.

    Raises:
        StoreFailed: If the disk is full or the folder cannot be written.
    """
    start = datetime.fromtimestamp(hour * 3600, UTC)
    name = f"{start:%Y%m%dT%H}-v{version}-{secrets.token_hex(4)}.parquet"
    unfinished = folder / f"{name}.tmp"
    labels = [(column.name, "ascending") for column in columns if column.kind == "label"]
    table = table.sort_by(labels)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with unfinished.open("xb") as file:
            pq.write_table(
                table,
                file,
                compression={column.name: _codec(column) for column in columns},
                use_dictionary=[column.name for column in columns if column.kind == "label"],
                column_encoding={c.name: "DELTA_BINARY_PACKED" for c in columns if c.kind == "count"},
            )
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
        _dated(unfinished, now)
        unfinished.rename(folder / name)
        _sync(folder)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise StoreFailed(f"{folder}: the facts cannot be written: {error.strerror or error}") from None
    return name, size


def _codec(column: Column) -> str:
    """Ids are rarely read and the most bytes; what figures are made of must be quick to read."""
    match column.kind:
        case "id" | "key":
            return "zstd"
        case "count":
            return "none"  # their differences are packed already
        case _:
            return "lz4"


def names_in(folder: Path) -> set[str]:
    """The whole files of a folder; none where it is not there or cannot be read."""
    try:
        return {name for name in os.listdir(folder) if name.endswith(".parquet")}
    except OSError:
        return set()


def retire(folder: Path, name: str, *, now: datetime) -> None:
    """Begin the grace of a file that is about to be replaced."""
    if (folder / name).exists():
        _dated(folder / name, now)


def sweep(folder: Path, used: Mapping[str, set[str]], *, now: datetime) -> int:
    """Remove the files that are not pointed at since `GRACE`, and what a crash left half written; how many.

    Args:
        used: Fact table -> the names of its files that are pointed at.
    """
    removed = 0
    oldest = (now - GRACE).timestamp()
    for fact, names in used.items():
        for path in (folder / fact).glob("*.parquet*"):
            if path.name in names or not _OURS.fullmatch(path.name) or path.stat().st_mtime >= oldest:
                continue
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _dated(path: Path, at: datetime) -> None:
    os.utime(path, (at.timestamp(), at.timestamp()))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
