"""The store's two doors: a reader, and a writer that never loses an update.

On SQLite a transaction that reads and then writes may lose its update silently, so the writer
begins IMMEDIATE; readers stay deferred and, in WAL mode, never wait for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlmodel import Session

from watchkeeper.foundation.errors import Conflict, Misconfigured, StoreFailed

_BUSY_MS = 15_000


@dataclass(frozen=True, slots=True)
class Store:
    """An open store. `read()` and `write()` give sessions; `write()` commits or rolls back whole."""

    url: str
    reader: Engine
    writer: Engine

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading.

        Raises:
            StoreFailed: If the store cannot be reached.
        """
        with translated_errors(self.url), Session(self.reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose changes are committed together when the block ends well.

        Raises:
            StoreFailed: If the store is full, locked or gone; nothing of the block is stored.
            Conflict: If a unique constraint refused a row.
        """
        with translated_errors(self.url), Session(self.writer, expire_on_commit=False) as session:
            yield session
            session.commit()

    @property
    def dialect(self) -> str:
        """ "sqlite" or "postgresql"."""
        return self.writer.dialect.name

    def close(self) -> None:
        """Close every connection."""
        self.reader.dispose()
        self.writer.dispose()


def open_store(url: str) -> Store:
    """Open the store at an SQLAlchemy URL (sqlite:///path or postgresql+psycopg://…).

    Raises:
        Misconfigured: If the URL cannot be read or names another kind of database.
    """
    try:
        parsed = make_url(url)
    except SQLAlchemyError:
        raise Misconfigured(
            "store.url cannot be read. Write sqlite:///watchkeeper.db or postgresql+psycopg://user@host/name"
        ) from None
    if parsed.drivername.startswith("postgres"):
        engine = sa.create_engine(parsed.set(drivername="postgresql+psycopg"), hide_parameters=True, pool_pre_ping=True)
        return Store(url=url, reader=engine, writer=engine)
    if parsed.drivername.split("+")[0] != "sqlite":
        raise Misconfigured(f"store.url: {parsed.drivername!r} is not supported; use sqlite or postgresql+psycopg")
    if parsed.database:
        folder = Path(parsed.database).parent
        if not folder.is_dir():
            raise Misconfigured(f"store.url: the folder {folder} does not exist; make it or change store.url")
    return Store(url=url, reader=_sqlite(url, "BEGIN"), writer=_sqlite(url, "BEGIN IMMEDIATE"))


def _sqlite(url: str, begin: str) -> Engine:
    engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": _BUSY_MS / 1000})

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # The driver must not begin transactions of its own: we say how they begin.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={_BUSY_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """Turn driver errors into ours, without values: a row may hold a customer's words."""
    where = make_url(url).render_as_string(hide_password=True)
    try:
        yield
    except sa.exc.IntegrityError as error:
        raise Conflict(f"the store refused a row: {_constraint(error)} ({where})") from None
    except OperationalError as error:
        raise StoreFailed(f"{_operational(error)} ({where})") from None
    except DBAPIError as error:
        raise StoreFailed(f"the store failed: {type(error.orig).__name__} ({where})") from None


def _operational(error: OperationalError) -> str:
    text = str(error.orig)
    if "full" in text or "disk I/O" in text or "No space left" in text:
        return "the disk of the store is full or failing; make room and run the same command again"
    if "locked" in text:
        return "the store is locked by another process; try again"
    if "no such table" in text:
        return "the store is not set up; run: watchkeeper store migrate"
    if "readonly" in text or "unable to open" in text:
        return "the store's file cannot be opened for writing; check its path and permissions"
    return f"the store cannot be reached: {type(error.orig).__name__}"


def _constraint(error: sa.exc.IntegrityError) -> str:
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None and diagnosis.constraint_name:
        return str(diagnosis.constraint_name)
    return str(error.orig).split(":")[0]  # SQLite names only the columns after the colon
