"""The SDK never fails into its host: what goes wrong in here is logged once and dropped."""

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

LOG = logging.getLogger("watchkeeper")

F = TypeVar("F", bound=Callable[..., Any])

_MOST_KINDS = 200
_said: set[str] = set()


def say_once(key: str, message: str, *args: object) -> None:
    """Log a warning the first time this process meets `key`; never raises."""
    if key in _said or len(_said) >= _MOST_KINDS:
        return
    _said.add(key)
    try:
        LOG.warning(message, *args)
    except Exception:  # a host's log handler may fail; that is not a reason to fail the host
        return


def guarded(function: F) -> F:
    """`function`, returning None where it would have raised an Exception."""

    @functools.wraps(function)
    def safe(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as problem:
            failed(function.__qualname__, problem)
            return None

    return safe  # type: ignore[return-value]


def failed(where: str, problem: Exception) -> None:
    """Say once that something in the SDK broke; only types are named, never content."""
    say_once(f"{where} {type(problem)}", "watchkeeper: %s failed (%s); the application goes on", where, type(problem))
