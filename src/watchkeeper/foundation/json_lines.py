"""Files people hand us: UTF-8 text, JSON lines, both also as .gz; every fault is one line that says where."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from watchkeeper.foundation.errors import Misconfigured


def read_text(path: Path, *, needed_by: str = "") -> str:
    """The text of a file; a name that ends in .gz is unpacked, a byte order mark is dropped.

    Args:
        needed_by: Who names the file, for the message; may be empty.

    Raises:
        Misconfigured: If it is not there, cannot be read or unpacked, or is not UTF-8.
    """
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except FileNotFoundError:
        raise Misconfigured(f"{path}: no such file{f', needed by {needed_by}' if needed_by else ''}") from None
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{path}: not UTF-8 at byte {error.start}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise Misconfigured(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def json_lines(path: Path, *, needed_by: str = "") -> Iterator[tuple[int, Any]]:
    """Every line that is not blank, as (its number from 1, its value).

    Only a line feed ends a line: U+2028 and its like may stand raw inside a JSON text.

    Raises:
        Misconfigured: If the file cannot be read, or a line is not JSON; NaN and Infinity are not.
    """
    for number, line in enumerate(read_text(path, needed_by=needed_by).split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line, parse_constant=_not_json)
        except (ValueError, RecursionError) as error:
            raise Misconfigured(f"{path}:{number}: not JSON: {error}") from None


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON value; write null for what is missing")
