"""Texts and spans as the bytes the store keeps: compressed with zstd, named by their content."""

import threading
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import orjson
import zstandard

_LEVEL = 3
_DICTIONARY = zstandard.ZstdCompressionDict(
    b'{"own":{"others":{"server.address":"api.openai.com","server.port":443},"route":"support.answer","segment":"free",'
    b'"session_id":"","job_id":"","source":"production","environment":"production","release":"2026.11.1",'
    b'"prompt_id":"","prompt_version":"1","experiment":"","variant":"","documents":[{"id":"doc-1","score":0.82}],'
    b'"tool_name":"","tool_call_id":"call_","tool_arguments":{},"tool_result":"","error":"","stream_end":true,'
    b'"tools":[{"id":"call_","name":"","arguments":{}}],["",null,"request","request",1790000000000000000,'
    b'1790000000000000000,false,{"input":"","response":""}],"retrieval","retrieval","tool_call","agent",'
    b'["chat gpt-4o-mini","call",1764000000000000000,1764000000000000000,false,{"provider":"anthropic",'
    b'"provider":"openai","model_requested":"claude-sonnet-4-5","model_served":"claude-sonnet-4-5-20250929",'
    b'"model_requested":"gpt-4o","model_served":"gpt-4o-2024-08-06","system_fingerprint":"fp_","response_id":'
    b'"chatcmpl-","finish_reason":"stop","tokens_input":120,"tokens_output":30,"tokens_cache_read":100,'
    b'"tokens_cache_write":0,"tokens_reasoning":10,"cost_nano_usd":475000,"ttft_ms":55.7,"params":'
    b'{"temperature":0.2,"top_p":1.0,"max_tokens":500,"stream":true},"messages":["=:system","=:assistant","=:user"],'
    b'"answer":""}]]',
    dict_type=zstandard.DICT_TYPE_RAWCONTENT,
)
"""What packed spans look like; stored traces can only be read with it, so it is never edited."""


class _PerThread(threading.local):
    """Compressors hold state and serve one thread; making one costs more than using it."""

    def __init__(self) -> None:
        self.texts = zstandard.ZstdCompressor(level=_LEVEL)
        self.spans = zstandard.ZstdCompressor(level=_LEVEL, dict_data=_DICTIONARY)
        self.read_text = zstandard.ZstdDecompressor()
        self.read_spans = zstandard.ZstdDecompressor(dict_data=_DICTIONARY)


_local = _PerThread()


def text_key(text: str) -> str:
    """144 bits of the text's SHA-256, 24 characters: the same text has the same key everywhere."""
    return urlsafe_b64encode(sha256(text.encode()).digest()[:18]).decode()


def pack_texts(texts: Sequence[str]) -> list[bytes]:
    """Each text's UTF-8, compressed."""
    return _compressed(_local.texts, [text.encode() for text in texts])


def read_text(content: bytes) -> str:
    """The text `pack_text` packed."""
    return _local.read_text.decompress(content).decode()


def pack_spans(traces: Sequence[Sequence[Any]]) -> list[bytes]:
    """The packed pieces of each trace, compressed."""
    return _compressed(_local.spans, [orjson.dumps(rows) for rows in traces])


def read_spans(content: bytes) -> list[Any]:
    """The pieces `pack_spans` packed."""
    rows: list[Any] = orjson.loads(_local.read_spans.decompress(content))
    return rows


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
