"""Who holds a piece of work: after a SIGKILL it is free at once on the same machine."""

import os
import secrets
import socket
from pathlib import Path


def new_owner() -> str:
    """A name for one piece of work of this process: a token, host, pid, and the pid's start time."""
    return f"{secrets.token_hex(4)}@{socket.gethostname()}:{os.getpid()}:{_start_time(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether the owner surely runs no more, so that what it holds is free before its lease ends."""
    host, pid, started = owner.partition("@")[2].rsplit(":", 2)
    if host != socket.gethostname():
        return False
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
