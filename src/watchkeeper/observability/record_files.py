"""Files of requests: written whole with their manifest or not at all, read line by line or row by row."""

import contextlib
import gzip
import importlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from io import BufferedRandom
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal

from watchkeeper.foundation.errors import Misconfigured, MissingExtra
from watchkeeper.observability.fields import RejectedRecord
from watchkeeper.observability.manifest import (
    REMEDY,
    Origin,
    Tally,
    check_bytes,
    manifest,
    manifest_of,
    stated_beside,
)
from watchkeeper.observability.request import Request
from watchkeeper.observability.spans import time_json
from watchkeeper.observability.wire import BadLine, as_json, read_file, request_of

Format = Literal["jsonl", "parquet"]

_ROWS_TOGETHER = 1_000
_TIMES = ("started_at",)
_NUMBERS = ("ttft_ms", "latency_ms")
_NESTED = ("prompt", "variant", "calls", "retrievals", "tool_calls", "feedback", "attributes")
_PARQUET = b"PAR1"
_PIECE = 1024 * 1024


def write_requests(path: Path, requests: Iterable[Request], *, form: Format, origin: Origin) -> int:
    """Write requests as JSON lines (packed when the name ends in .gz) or Parquet; returns how many.

    The file and its manifest appear, or replace their predecessors, when both are on the disk. Killed in
    between, the file stands without a manifest, never beside a wrong one. Without any request nothing is written.

    Raises:
        MissingExtra: If Parquet is wanted and pyarrow is not installed.
        OSError: If a file cannot be written.
    """
    arrow = _arrow() if form == "parquet" else None
    waiting = iter(requests)
    first = next(waiting, None)
    if first is None:
        return 0
    tally = Tally()
    everything = tally.counted(chain([first], waiting))
    packed, columns = path.suffix == ".gz" and arrow is None, None
    with replaced_together(path, manifest_of(path)) as (file, beside):
        if arrow is not None:
            schema = arrow.schema([(name, _column(arrow, name)) for name in Request.__dataclass_fields__])
            columns = {field.name: str(field.type) for field in schema}
            _write_parquet(arrow, schema, file, everything)
        elif packed:
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as packing:
                packing.writelines(_line(each) for each in everything)
        else:
            file.writelines(_line(each) for each in everything)
        beside.write(manifest(file, tally, origin, form=form, packed=packed, columns=columns))
    return tally.count


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of `path` when the block ends well, and leaves no trace otherwise."""
    with replaced_together(path) as (file,):
        yield file


@contextlib.contextmanager
def replaced_together(path: Path, *companions: Path) -> Iterator[tuple[BufferedRandom, ...]]:
    """Files that take their places when the block ends well and all of them are on the disk, or none does.

    Old companions go first: a new file never stands beside what was written for an older one.
    """
    places = {each: each.with_name(f".{each.name}.{os.getpid()}.tmp") for each in (path, *companions)}
    if folder := next((each for each in companions if each.is_dir()), None):
        raise IsADirectoryError(None, f"{folder.name} is a folder")
    try:
        with contextlib.ExitStack() as opened:
            files = tuple(opened.enter_context(each.open("w+b")) for each in places.values())
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        for each in companions:
            each.unlink(missing_ok=True)
        for each, beside in places.items():
            beside.replace(each)
    finally:
        for beside in places.values():
            beside.unlink(missing_ok=True)


def read_requests(path: Path) -> Iterator[tuple[int, Request | BadLine]]:
    """Every request of a file with its line's or row's number from 1; Parquet is known by its content or name.

    Raises:
        MissingExtra: If it is Parquet and pyarrow is not installed.
        Misconfigured: If it is Parquet that cannot be read, or not to its end.
        OSError: If the file cannot be opened or read.
    """
    return _read_parquet(path) if _is_parquet(path) else read_file(path)


def check_manifest(path: Path) -> bool:
    """Hold a file against the manifest beside it: its bytes, then how many requests it holds.

    Returns:
        Whether there is a manifest.

    Raises:
        Misconfigured: If they do not agree, or the manifest cannot be understood.
        MissingExtra: If it is Parquet and pyarrow is not installed.
        OSError: If the file cannot be read.
    """
    stated = stated_beside(path)
    if stated is None:
        return False
    check_bytes(path, stated)
    if (count := _count(path)) != stated.count:
        raise Misconfigured(f"{path}: holds {count} requests, its manifest says {stated.count}; {REMEDY}")
    return True


def _count(path: Path) -> int:
    if _is_parquet(path):
        return int(_parquet_file(path).metadata.num_rows)
    with path.open("rb") as packed:
        lines: Any = gzip.GzipFile(fileobj=packed) if path.suffix == ".gz" else packed
        try:
            # In pieces, for a line may be longer than the memory.
            return sum(piece.count(b"\n") for piece in iter(lambda: lines.read(_PIECE), b""))
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise Misconfigured(f"{path}: the gzip data is damaged or ends too early; {REMEDY}") from None


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_PARQUET)) == _PARQUET or path.suffix == ".parquet"


def _line(request: Request) -> bytes:
    return json.dumps(as_json(request), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _arrow() -> Any:
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError:
        raise MissingExtra("Parquet needs pyarrow, which is not installed: pip install pyarrow") from None


def _write_parquet(arrow: Any, schema: Any, file: BinaryIO, requests: Iterable[Request]) -> None:
    with arrow.parquet.ParquetWriter(file, schema) as writer:
        rows: list[dict[str, Any]] = []
        for request in requests:
            rows.append(_flat(request))
            if len(rows) == _ROWS_TOGETHER:
                writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
                rows = []
        if rows:
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))


def _column(arrow: Any, name: str) -> Any:
    if name in _TIMES:
        return arrow.timestamp("us", tz="UTC")
    return arrow.float64() if name in _NUMBERS else arrow.string()


def _flat(request: Request) -> dict[str, Any]:
    """One row: nested values as JSON text, the time as a time."""
    flat = as_json(request)
    for name in _NESTED:
        if flat[name] is not None:
            flat[name] = json.dumps(flat[name], ensure_ascii=False, allow_nan=False)
    return flat | {"started_at": request.started_at}


def _parquet_file(path: Path) -> Any:
    arrow = _arrow()
    try:
        return arrow.parquet.ParquetFile(path)
    except arrow.ArrowException:
        raise Misconfigured(f"{path}: is no Parquet file, or a damaged one") from None


def _read_parquet(path: Path) -> Iterator[tuple[int, Request | BadLine]]:
    file, number = _parquet_file(path), 0
    try:
        for batch in file.iter_batches(batch_size=_ROWS_TOGETHER):
            for row in batch.to_pylist():
                number += 1
                yield number, _request_of_row(row)
    except (_arrow().ArrowException, OSError):
        raise Misconfigured(f"{path}: is damaged after row {number}; the rows before it are taken") from None


def _request_of_row(row: dict[str, Any]) -> Request | BadLine:
    for name, value in row.items():
        if isinstance(value, datetime) and value.tzinfo is not None:
            row[name] = time_json(value)
        elif name in _NESTED and isinstance(value, str):
            with contextlib.suppress(ValueError, RecursionError):  # what is no JSON is refused under its own name
                row[name] = json.loads(value)
    try:
        return request_of(row)
    except RejectedRecord as error:
        return BadLine(field=error.field, problem=error.problem, raw=json.dumps(row, default=str).encode())
