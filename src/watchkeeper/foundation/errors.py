"""The error tree. Callers catch a branch; people read the message; the CLI turns it into an exit code.

* WatchkeeperError
  x Misconfigured     a person must change a setting or a file; never retried       exit 2
    x NotFound        a name that does not exist; says the nearest names             exit 2
    x MissingExtra    this command needs packages that are not installed             exit 2
  x Rejected          input refused by a rule; what was good has been kept           exit 2
  x Conflict          somebody else is doing it or moved first; reload and decide    exit 4
  x NothingToCheck    no cases, no records: neither a pass nor a failure             exit 5
  x Transient         the outside world failed; the same call may succeed later      exit 4
    x StoreFailed     the store could not take or give a row (full, locked, gone)    exit 4
  x Interrupted       a person stopped it; what was done is kept                     exit 130
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any


class WatchkeeperError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code = 4


class Misconfigured(WatchkeeperError):
    """A person must change a setting or a file. Never retried."""

    exit_code = 2


class NotFound(Misconfigured):
    """A name that does not exist.

    Args:
        kind: What was looked for, e.g. "suite".
        name: The name that was asked for.
        known: The names that do exist, in any order.
        where: Where they were looked for, e.g. "in suites/"; may be empty.
    """

    def __init__(self, kind: str, name: str, known: Sequence[str], *, where: str = "") -> None:
        self.kind, self.name, self.known = kind, name, list(known)
        near = get_close_matches(name, self.known, n=3, cutoff=0.5)
        if near:
            hint = f"Did you mean {' or '.join(repr(n) for n in near)}?"
        else:
            shown = ", ".join(sorted(self.known)[:8])
            hint = f"Known: {shown}." if shown else "There are none."
        super().__init__(f"No {kind} named {name!r}{' ' + where if where else ''}. {hint}")


class MissingExtra(Misconfigured):
    """This command needs packages that are not installed."""


class Rejected(WatchkeeperError):
    """Input refused by a rule; what was good has been kept."""

    exit_code = 2


class Conflict(WatchkeeperError):
    """Somebody else is doing it or moved first."""


class NothingToCheck(WatchkeeperError):
    """No cases, no records: neither a pass nor a failure."""

    exit_code = 5


class Transient(WatchkeeperError):
    """The outside world failed; the same call may succeed later.

    Args:
        message: One line: what, where, what to do.
        retry_after_s: Seconds the other side asked us to wait, or None when it did not say.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreFailed(Transient):
    """The store could not take or give a row."""


class Interrupted(WatchkeeperError):
    """A person stopped it; what was done is kept."""

    exit_code = 130


def only_transient(_task: Any, _task_run: Any, state: Any) -> bool:
    """Whether a failed Prefect task is worth retrying: only what the outside world broke is."""
    return isinstance(state.result(raise_on_failure=False), Transient)
