"""Where to send, where to spool, who is sending."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from watchkeeper.foundation.ids import short_hash
from watchkeeper.sdk.guard import say_once

DEFAULT_ENDPOINT = "http://127.0.0.1:8700"
SPOOL_LIMIT_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How this process sends.

    Args:
        endpoint: Base URL of the watchkeeper server.
        spool: Folder whose sub-folders hold what is not sent yet.
        spool_limit: Bytes the spool may take; the oldest goes first.
        service, environment, release: Put on every span's resource; None leaves it as it is.
        headers: Sent with every POST, e.g. a proxy's Authorization.
        timeout: Seconds one POST may wait for the socket.
    """

    endpoint: str
    spool: Path
    spool_limit: int = SPOOL_LIMIT_BYTES
    service: str | None = None
    environment: str | None = None
    release: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 10.0


def options(
    *,
    endpoint: object = None,
    spool: object = None,
    spool_limit: object = None,
    service: object = None,
    environment: object = None,
    release: object = None,
    headers: object = None,
) -> Options:
    """Arguments over environment over defaults; what cannot be used is dropped and logged once."""
    url = _endpoint(_text("endpoint", endpoint)) or _endpoint(os.environ.get("WATCHKEEPER_ENDPOINT"))
    url = url or DEFAULT_ENDPOINT
    folder = spool if isinstance(spool, str | os.PathLike) and os.fspath(spool) else None
    if spool is not None and folder is None:
        say_once("option spool", "watchkeeper: spool must be a path; the default is used")
    given = folder or os.environ.get("WATCHKEEPER_SPOOL")
    limit = spool_limit if type(spool_limit) is int and spool_limit > 0 else SPOOL_LIMIT_BYTES
    return Options(
        endpoint=url,
        spool=Path(os.fspath(given)) if given else default_spool(url),
        spool_limit=limit,
        service=_text("service", service),
        environment=_text("environment", environment),
        release=_text("release", release),
        headers=tuple((str(k), str(v)) for k, v in headers.items()) if isinstance(headers, dict) else (),
    )


def default_spool(endpoint: str) -> Path:
    """One folder per endpoint, so that nothing left for one server is ever sent to another."""
    state = os.environ.get("XDG_STATE_HOME")
    try:
        base = Path(state) if state else Path.home() / ".local" / "state"
    except RuntimeError:  # no home directory
        return fallback_spool() / short_hash(endpoint)
    return base / "watchkeeper" / "spool" / short_hash(endpoint)


def fallback_spool() -> Path:
    """Where to spool when the chosen folder cannot be written."""
    return Path(tempfile.gettempdir()) / f"watchkeeper-spool-{os.getuid() if hasattr(os, 'getuid') else 0}"


def _text(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    say_once(f"option {name}", "watchkeeper: %s must be a text, got %s; dropped", name, type(value).__name__)
    return None


def _endpoint(url: str | None) -> str | None:
    if not url:
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        say_once("option endpoint", "watchkeeper: endpoint must be a http(s) URL; the next one is used")
        return None
    return url.rstrip("/")
