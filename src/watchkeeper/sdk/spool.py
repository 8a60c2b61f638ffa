"""Everything not yet sent, on disk: this process's folder and those it adopted.

Durability: a record is in the operating system's hands when `append` returns, so it survives the process
(SIGKILL too); `sync` makes it survive the machine and is called at most once a second and at exit.
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from watchkeeper.sdk import segment
from watchkeeper.sdk.folder import Folder
from watchkeeper.sdk.segment import Record

_SEGMENT_BYTES = 4 * 1024 * 1024


class Spool:
    """A bounded queue of records on disk, shared by processes through locked folders. Thread-safe.

    Args:
        root: Folder of the folders.
        limit: Bytes that all folders together may take; beyond, the oldest segment we hold is dropped.
            Another process's segments are never touched, so n processes may exceed it by n segments.

    Raises:
        OSError: If the root cannot be written.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self.root, self._limit = root, limit
        self._segment_bytes = max(64 * 1024, min(_SEGMENT_BYTES, limit // 8))
        self._lock = threading.Lock()
        self._own = Folder.create(root)
        self._adopted: list[Folder] = []
        self._number, self._size, self._synced = 0, 0, 0
        self._file: int | None = None
        self._unsynced: list[int] = []
        self._damaged_before = 0
        self.lost = self.adopted = 0

    def append(self, kind: int, items: int, body: bytes) -> None:
        """Put one record at the end.

        Raises:
            OSError: If it could not be written whole; nothing of it is left.
        """
        raw = segment.pack(kind, items, body)
        with self._lock:
            if self._file is None or self._size >= self._segment_bytes:
                self._roll()
            assert self._file is not None
            view, before = memoryview(raw), self._size
            try:
                while view:
                    view = view[os.write(self._file, view) :]
            except OSError:
                os.ftruncate(self._file, before)
                raise
            self._size += len(raw)

    def sync(self) -> None:
        """Make what was appended survive a power failure; slow disks do not block `append`."""
        with self._lock:
            waiting, self._unsynced = self._unsynced, []
            if self._file is not None and self._size > self._synced:
                waiting.append(os.dup(self._file))
                self._synced = self._size
        for copy in waiting:
            try:
                os.fsync(copy)
            finally:
                os.close(copy)

    def next(self) -> tuple[Folder, Record] | None:
        """The oldest record and the folder to acknowledge it to; adopted folders come first."""
        with self._lock:
            while self._adopted:
                folder = self._adopted[0]
                if (record := folder.next()) is not None:
                    return folder, record
                self._damaged_before += folder.damaged
                self._adopted.pop(0).release()
            record = self._own.next((self._number, self._size) if self._file is not None else None)
            return None if record is None else (self._own, record)

    def acknowledge(self, folder: Folder, record: Record) -> None:
        """The record was answered."""
        with self._lock:
            folder.acknowledge(record)

    def set_aside(self, folder: Folder, record: Record) -> None:
        """The record was refused for good: keep it in dead/ (part of the bound) and go on."""
        with self._lock:
            dead = self.root / "dead"
            dead.mkdir(mode=0o700, exist_ok=True)
            path = dead / f"{time.strftime('%Y%m%d')}-{self._own.path.name}.spool"
            with path.open("ab") as file:
                file.write(segment.pack(record.kind, record.items, record.body))
            folder.acknowledge(record)

    def adopt(self) -> None:
        """Take over the folders whose process is gone."""
        with self._lock:
            held = {folder.path for folder in (self._own, *self._adopted)}
            found = [path for path in self._folders() if path not in held and path.name != "dead"]
            adopted = [folder for path in found if (folder := Folder.adopt(path)) is not None]
            self._adopted += adopted
            self.adopted += len(adopted)

    @property
    def damaged(self) -> int:
        """Records skipped because they were torn or did not match their checksum."""
        return self._damaged_before + self._own.damaged + sum(folder.damaged for folder in self._adopted)

    def size(self) -> int:
        """Bytes on disk under the root, of every process, dead records included."""
        total = 0
        for folder in self._folders():
            for path in folder.glob("*.spool"):
                try:
                    total += path.stat().st_size
                except OSError:  # another process sent it meanwhile
                    continue
        return total

    def close(self) -> None:
        """Let other processes have what is left."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
            self._own.next()  # removes segments that are wholly acknowledged
            for folder in (self._own, *self._adopted):
                folder.release()
            self._adopted = []

    def forget(self) -> None:
        """Close the descriptors a forked child inherited, and touch nothing else."""
        for folder in (self._own, *self._adopted):
            folder.forget()
        for file in [*self._unsynced, *([] if self._file is None else [self._file])]:
            os.close(file)

    def _roll(self) -> None:
        if self._file is not None:
            self._unsynced.append(self._file)
            self._file = None
        self._make_room()
        self._number += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self._own.file(self._number), flags, 0o600)
        self._size = self._synced = 0

    def _make_room(self) -> None:
        over = self.size() - (self._limit - self._segment_bytes)
        for path in sorted((self.root / "dead").glob("*.spool")):
            if over > 0:
                over -= path.stat().st_size
                path.unlink(missing_ok=True)
        for folder in [*self._adopted, self._own]:
            while over > 0 and (numbers := folder.numbers()):
                size = folder.file(numbers[0]).stat().st_size
                lost = folder.drop_oldest()
                self.lost += lost
                over -= size

    def _folders(self) -> Iterator[Path]:
        try:
            entries = sorted(self.root.iterdir())
        except OSError:
            return
        for path in entries:
            if not path.name.startswith(".") and path.is_dir():
                yield path
