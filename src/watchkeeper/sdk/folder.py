"""The spool of one process: a locked folder of segments and how far they were acknowledged.

lock            held (flock) as long as the owner lives; whoever gets it owns the folder
00000001.spool  segments, oldest first
acknowledged    {"segment": N, "offset": BYTES}: everything before was answered; replaced atomically
"""

import fcntl
import json
import os
from pathlib import Path

from watchkeeper.foundation.ids import new_id
from watchkeeper.sdk import segment
from watchkeeper.sdk.segment import Record


class Folder:
    """One folder whose lock this process holds. Not thread-safe: the spool has the lock for that."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self._lock = path, lock
        self._number, self._offset = self._acknowledged()
        self.damaged = 0

    @classmethod
    def create(cls, root: Path) -> "Folder":
        """A new folder; it takes its visible name only once it is locked.

        Raises:
            OSError: If the root cannot be written.
        """
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = new_id()
        hidden, path = root / f".{name}", root / name
        hidden.mkdir(mode=0o700)
        lock = _locked(hidden)
        if lock is None:
            raise OSError(f"{root}: this file system has no locks")
        hidden.rename(path)
        return cls(path, lock)

    @classmethod
    def adopt(cls, path: Path) -> "Folder | None":
        """The folder of a process that is gone; None while its owner lives or when it vanished."""
        try:
            lock = _locked(path)
        except OSError:
            return None
        return None if lock is None else cls(path, lock)

    def next(self, live: tuple[int, int] | None = None) -> Record | None:
        """The oldest record nobody acknowledged.

        Args:
            live: Number and whole size of the segment still being written, if there is one.
        """
        for number in self.numbers():
            if number < self._number:
                self._remove(number)
                continue
            if number > self._number:
                self._number, self._offset = number, 0
            path = self.file(number)
            is_live = live is not None and live[0] == number
            size = live[1] if live is not None and is_live else path.stat().st_size
            found = segment.read(path, number, self._offset, size)
            self.damaged += found.damaged
            if found.record is not None:
                return found.record
            if is_live:
                return None
            self._remove(number)
        return None

    def acknowledge(self, record: Record) -> None:
        """The record is settled: never read it again, also not after a restart."""
        if record.number < self._number:
            return
        self._number, self._offset = record.number, record.end
        beside = self.path / "acknowledged.new"
        beside.write_text(json.dumps({"segment": record.number, "offset": record.end}))
        beside.replace(self.path / "acknowledged")

    def drop_oldest(self) -> int:
        """Remove the oldest segment; how many items were still in it."""
        number = self.numbers()[0]
        start = self._offset if number == self._number else 0
        lost = segment.count_items(self.file(number), start)
        self._remove(number)
        self._number, self._offset = max(self._number, number + 1), 0
        return lost

    def numbers(self) -> list[int]:
        """The segments that are there, oldest first."""
        return sorted(int(p.stem) for p in self.path.glob("*.spool") if p.stem.isdigit())

    def file(self, number: int) -> Path:
        return self.path / f"{number:08d}.spool"

    def release(self) -> None:
        """Give the lock back; an empty folder disappears."""
        try:
            if not self.numbers():
                for path in [*self.path.glob("acknowledged*"), self.path / "lock"]:
                    path.unlink(missing_ok=True)
                self.path.rmdir()
        finally:
            os.close(self._lock)

    def forget(self) -> None:
        """Close this process's copy of the lock; after a fork the parent still holds it."""
        os.close(self._lock)

    def _remove(self, number: int) -> None:
        self.file(number).unlink(missing_ok=True)

    def _acknowledged(self) -> tuple[int, int]:
        try:
            read = json.loads((self.path / "acknowledged").read_text())
            return int(read["segment"]), int(read["offset"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0


def _locked(folder: Path) -> int | None:
    """A descriptor of the folder's lock file that holds its lock; None if somebody else does."""
    path = folder / "lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(path).st_ino != os.fstat(lock).st_ino:  # its owner removed the folder meanwhile
            raise OSError("the lock file was replaced")
    except OSError:
        os.close(lock)
        return None
    return lock
