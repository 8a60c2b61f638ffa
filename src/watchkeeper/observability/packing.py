"""Texts and spans as the bytes the store keeps: compressed with zstd, named by their content."""

import threading
from binascii import b2a_base64
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import zstandard

from watchkeeper.observability.readers import from_json, text_json

_LEVEL = 3
_IN_URLS = bytes.maketrans(b"+/", b"-_")
_DICTIONARIES = Path(__file__).parent / "dictionaries"


def _dictionary(name: str) -> zstandard.ZstdCompressionDict:
    found = zstandard.ZstdCompressionDict((_DICTIONARIES / name).read_bytes())
    found.precompute_compress(level=_LEVEL)
    return found


_TEXTS, _SPANS = _dictionary("texts-1.zdict"), _dictionary("spans-2.zdict")
"""What prose and packed spans look like (`tools/train_dictionaries.py`). What was stored with them can only be read
with them: a file of a released version is never changed."""


class _PerThread(threading.local):
    """Compressors hold state and serve one thread; making one costs more than using it."""

    def __init__(self) -> None:
        self.texts = zstandard.ZstdCompressor(dict_data=_TEXTS)
        self.spans = zstandard.ZstdCompressor(dict_data=_SPANS)
        self.read_text = zstandard.ZstdDecompressor(dict_data=_TEXTS)
        self.read_spans = zstandard.ZstdDecompressor(dict_data=_SPANS)


_local = _PerThread()


def text_key(text: str) -> str:
    """128 bits of the text's SHA-256, 22 characters: the same text has the same key everywhere."""
    return b2a_base64(sha256(text.encode()).digest()[:16], newline=False)[:22].translate(_IN_URLS).decode()


def pack_texts(texts: Sequence[str]) -> list[bytes]:
    """Each text's UTF-8, compressed."""
    return _compressed(_local.texts, [text.encode() for text in texts])


def read_text(content: bytes) -> str:
    """The text `pack_text` packed."""
    return _local.read_text.decompress(content).decode()


def pack_values(values: Sequence[Any]) -> list[bytes]:
    """Each JSON value, compressed: the pieces of a trace, the unnamed fields of a call."""
    return _compressed(_local.spans, [text_json(value).encode() for value in values])


def read_value(content: bytes) -> Any:
    """The value `pack_values` packed."""
    return from_json(_local.read_spans.decompress(content).decode())


def _compressed(compressor: zstandard.ZstdCompressor, contents: Sequence[bytes]) -> list[bytes]:
    """All in one call: letting other threads in between two of them would cost more than the work."""
    if len(contents) < 8:
        return [compressor.compress(each) for each in contents]
    together: Any = compressor.multi_compress_to_buffer([*contents], threads=2 if len(contents) > 256 else 0)
    return [together[place].tobytes() for place in range(len(contents))]


class Texts:
    """The texts of one batch, each once: from text to key, and what is new to be written."""

    def __init__(self, stored: dict[str, str] | None = None) -> None:
        self.new: dict[str, str] = {}
        self._keys = {text: key for key, text in (stored or {}).items()}

    def keep(self, text: str) -> str:
        """The text's key; it will be written unless it is stored already."""
        key = self._keys.get(text)
        if key is None:
            key = self._keys[text] = text_key(text)
            self.new[key] = text
        return key
