"""Identities: random ids for things that happen, content hashes for things that are."""

import hashlib
import json
import secrets
import time
from typing import Any


def new_id() -> str:
    """A new id: 26 lower-case hex digits, the first 12 of them the time in ms, so ids sort by age."""
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(7)}"


def content_hash(value: Any) -> str:
    """ "sha256:" and 64 hex digits over the canonical JSON of `value`; equal content, equal hash.

    Raises:
        TypeError: If `value` holds something JSON cannot express.
    """
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def short_hash(value: Any) -> str:
    """The first 12 hex digits of the content hash, for names people read."""
    return content_hash(value)[7:19]
