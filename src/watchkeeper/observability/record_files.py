"""Requests into a file, whole or not at all."""

import contextlib
import gzip
import importlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from watchkeeper.foundation.errors import MissingExtra
from watchkeeper.observability.request import Request
from watchkeeper.observability.wire import as_json

Format = Literal["jsonl", "parquet"]

_ROWS_TOGETHER = 1_000
_TIMES = ("started_at",)
_NUMBERS = ("ttft_ms", "latency_ms")
_NESTED = ("prompt", "variant", "calls", "retrievals", "tool_calls", "feedback", "attributes")


def write_requests(path: Path, requests: Iterable[Request], *, form: Format) -> int:
    """Write requests as JSON lines (packed when the name ends in .gz) or Parquet; returns how many.

    The file appears, or replaces its predecessor, when all of it is on the disk. Without any
    request nothing is written.

    Raises:
        MissingExtra: If Parquet is wanted and pyarrow is not installed.
        OSError: If the file cannot be written.
    """
    arrow = _arrow() if form == "parquet" else None
    waiting = iter(requests)
    first = next(waiting, None)
    if first is None:
        return 0
    everything = _counted(first, waiting, counter := [0])
    with replaced(path) as file:
        if arrow is not None:
            _write_parquet(arrow, file, everything)
        elif path.suffix == ".gz":
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as packed:
                packed.writelines(_line(each) for each in everything)
        else:
            file.writelines(_line(each) for each in everything)
    return counter[0]


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of `path` when the block ends well, and leaves no trace otherwise."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _counted(first: Request, others: Iterator[Request], counter: list[int]) -> Iterator[Request]:
    counter[0] = 1
    yield first
    for each in others:
        counter[0] += 1
        yield each


def _line(request: Request) -> bytes:
    return json.dumps(as_json(request), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _arrow() -> Any:
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError:
        raise MissingExtra("--format parquet needs pyarrow, which is not installed: pip install pyarrow") from None


def _write_parquet(arrow: Any, file: BinaryIO, requests: Iterable[Request]) -> None:
    schema = arrow.schema([(name, _column(arrow, name)) for name in Request.__dataclass_fields__])
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
