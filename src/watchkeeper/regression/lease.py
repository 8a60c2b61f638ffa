"""Who is filling a run: so that two processes never pay for the same answers.

A run belongs to a process of a machine. After a SIGKILL the process is gone and the run is free
at once; from another machine one can only see that it has been silent for a while.
"""

import os
import socket
from datetime import datetime, timedelta
from pathlib import Path

SILENCE = timedelta(seconds=60)
"""How long a process of another machine must be silent before its run is taken over."""


def me() -> str:
    """This process: host, pid, and the pid's start time where the system tells it."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_time(os.getpid())}"


def is_free(owner: str | None, seen_at: datetime, *, now: datetime) -> bool:
    """Whether a run whose last owner is `owner` may be taken over."""
    if owner is None or owner == me():
        return True
    host, pid, started = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return now - seen_at > SILENCE
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return started != _start_time(int(pid))  # the pid was given to another process since


def _start_time(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "?"  # not Linux: the pid alone must do
