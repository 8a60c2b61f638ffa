"""The schema from nothing to now, and back, on both engines."""

import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from watchkeeper.database.engine import Store
from watchkeeper.migrations.migrate import alembic_config, current_revision, migrate


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(alembic_config("sqlite://")).get_heads()) == 1


def test_the_migrated_schema_is_the_declared_one(store: Store) -> None:
    command.check(alembic_config(store.url))


def test_going_back_leaves_nothing_and_forward_again_works(store: Store) -> None:
    command.downgrade(alembic_config(store.url), "base")
    assert set(sa.inspect(store.reader).get_table_names()) <= {"alembic_version"}
    migrate(store.url)
    assert "suite_runs" in sa.inspect(store.reader).get_table_names()


def test_migrating_twice_changes_nothing(store: Store) -> None:
    before = current_revision(store.url)
    migrate(store.url)
    assert current_revision(store.url) == before


def test_one_open_incident_per_key_is_held_by_the_database(store: Store) -> None:
    """Autogenerate does not see the predicate of a partial index, so it is read back."""
    with store.reader.connect() as connection:
        if store.dialect == "sqlite":
            query = "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'incidents'"
        else:
            query = "SELECT indexdef FROM pg_indexes WHERE tablename = 'incidents'"
        found = [row[0] for row in connection.execute(sa.text(query)) if row[0]]
    [partial] = [sql for sql in found if "UNIQUE" in sql.upper() and "WHERE" in sql.upper()]
    assert "dedup_key" in partial
    assert "resolved_at" in partial
