"""What an exported file holds, written beside it: whoever imports it learns whether it is whole.

`FILE.manifest.json` names the file's format and columns, how many requests it holds, its bytes and their
SHA-256, what it was filtered by, and where it came from. Nothing in it is secret.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BufferedRandom
from pathlib import Path
from typing import Any

import watchkeeper
from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.observability.request import Request
from watchkeeper.observability.spans import time_json

SUFFIX = ".manifest.json"
_VERSION = 1
_SHAPE = {"shape": "request", "version": 1}
"""The shape of docs/interfaces.md section 1; the version grows when a reader of today could not read it."""

REMEDY = "get the file again, or take it as it is with --ignore-manifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an export came from: its filters (None is without that one), its store's kind, and when it began."""

    since: datetime | None = None
    until: datetime | None = None
    route: str | None = None
    store: str
    exported_at: datetime


@dataclass(slots=True)
class Tally:
    """What has been written so far; the times are None before the first request."""

    count: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None

    def counted(self, requests: Iterable[Request]) -> Iterator[Request]:
        """The requests, each counted as it goes by."""
        for request in requests:
            at = request.started_at
            self.count += 1
            self.oldest = at if self.oldest is None else min(self.oldest, at)
            self.newest = at if self.newest is None else max(self.newest, at)
            yield request


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a manifest says of its file: requests, bytes, and their SHA-256 in hexadecimal."""

    count: int
    size: int
    sha256: str


def manifest_of(path: Path) -> Path:
    """Where the manifest of a file lies."""
    return path.with_name(path.name + SUFFIX)


def manifest(
    file: BufferedRandom,
    tally: Tally,
    origin: Origin,
    *,
    form: str,
    packed: bool,
    columns: Mapping[str, str] | None = None,
) -> bytes:
    """The manifest as JSON.

    Args:
        file: The written file, which is read from its beginning.
        columns: Name -> type, of a form that has columns.
    """
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    schema = _SHAPE if columns is None else {**_SHAPE, "columns": [{"name": n, "type": t} for n, t in columns.items()]}
    document = {
        "manifest": _VERSION,
        "format": form,
        "compression": "gzip" if packed else None,
        "schema": schema,
        "count": tally.count,
        "bytes": file.tell(),
        "sha256": digest,
        "filters": {"since": _time(origin.since), "until": _time(origin.until), "route": origin.route},
        "oldest_started_at": _time(tally.oldest),
        "newest_started_at": _time(tally.newest),
        "exported_at": _time(origin.exported_at),
        "store": origin.store,
        "watchkeeper": watchkeeper.__version__,
    }
    return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"


def stated_beside(path: Path) -> Stated | None:
    """What the manifest beside a file says; None where there is none.

    Raises:
        Misconfigured: If there is one that cannot be understood.
    """
    beside = manifest_of(path)
    try:
        document = json.loads(beside.read_bytes())
        stated = Stated(count=document["count"], size=document["bytes"], sha256=document["sha256"])
        if document["manifest"] == _VERSION and isinstance(stated.count, int) and isinstance(stated.sha256, str):
            return stated
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Misconfigured(f"{beside}: cannot be read: {error.strerror}; {REMEDY}") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise Misconfigured(f"{beside}: is no manifest of version {_VERSION}; {REMEDY}")


def check_bytes(path: Path, stated: Stated) -> None:
    """Hold a file against its manifest, byte for byte.

    Raises:
        Misconfigured: If it is not the file the manifest was written for.
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    if size != stated.size:
        raise Misconfigured(f"{path}: has {size} bytes, its manifest says {stated.size}; {REMEDY}")
    if digest != stated.sha256:
        raise Misconfigured(f"{path}: was damaged or changed, its SHA-256 is not its manifest's; {REMEDY}")


def _time(at: datetime | None) -> Any:
    return None if at is None else time_json(at)
