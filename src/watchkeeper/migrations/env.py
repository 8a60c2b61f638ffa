"""Alembic's environment: batch mode on SQLite; short lock waits and one migrator at a time on PostgreSQL."""

from alembic import context
from sqlalchemy import Connection, create_engine, text
from sqlmodel import SQLModel

from watchkeeper.migrations import tables  # noqa: F401  registers every room's tables

_url = context.config.get_main_option("sqlalchemy.url")
assert _url is not None


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        user_module_prefix="sqlmodel.sql.sqltypes.",
    )
    with context.begin_transaction():
        context.run_migrations()


_engine = create_engine(_url, hide_parameters=True)
with _engine.connect() as _connection:
    if _connection.dialect.name == "postgresql":
        _connection.execute(text("SET lock_timeout = '10s'"))
        _connection.execute(text("SELECT pg_advisory_lock(hashtext('watchkeeper.migrations'))"))
        _connection.commit()
    else:
        # Of a new file: rows of about 700 bytes leave less unused at the end of its pages than with SQLite's own 4096.
        _connection.exec_driver_sql("PRAGMA page_size = 8192")
    _run(_connection)
    _connection.commit()
_engine.dispose()
