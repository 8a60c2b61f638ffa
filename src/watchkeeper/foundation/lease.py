"""Who holds a piece of work: after a SIGKILL it is free at once on the same machine."""

import os
import secrets
import socket
from pathlib import Path


def this_process() -> str:
    """Host, pid, and the pid's start time where the system tells it."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_time(os.getpid())}"


def new_owner() -> str:
    """A name for one piece of work of this process: a token, and the process."""
    return f"{secrets.token_hex(4)}@{this_process()}"


def is_here(process: str) -> bool:
    """Whether a process is of this machine, so that one can see whether it runs."""
    return process.rsplit(":", 2)[0] == socket.gethostname()


def has_ended(process: str) -> bool:
    """Whether a process surely runs no more; of another machine nobody can tell."""
    if not is_here(process):
        return False
    _, pid, started = process.rsplit(":", 2)
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return started != _start_time(int(pid))  # the pid was given to another process since


def is_gone(owner: str) -> bool:
    """Whether the owner surely runs no more, so that what it holds is free before its lease ends."""
    return has_ended(owner.partition("@")[2])


def _start_time(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "?"  # not Linux: the pid alone must do
