"""Who is filling a run: so that two processes never pay for the same answers.

A run belongs to a process of a machine. After a SIGKILL the process is gone and the run is free
at once; from another machine one can only see that it has been silent for a while.
"""

from datetime import datetime, timedelta

from watchkeeper.foundation.lease import has_ended, is_here, this_process

SILENCE = timedelta(seconds=60)
"""How long a process of another machine must be silent before its run is taken over."""


def is_free(owner: str | None, seen_at: datetime, *, now: datetime) -> bool:
    """Whether a run whose last owner is `owner` may be taken over."""
    if owner is None or owner == this_process():
        return True
    return has_ended(owner) if is_here(owner) else now - seen_at > SILENCE
