"""Bring a store to this version's schema, or say plainly why that cannot be done."""

import logging
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from watchkeeper.database.engine import translated_errors
from watchkeeper.foundation.errors import Misconfigured


def alembic_config(url: str) -> Config:
    """Alembic's configuration for the store at `url`; no ini file is needed."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def migrate(url: str) -> None:
    """Upgrade the store to the newest schema; nothing happens when it is there already.

    Raises:
        Misconfigured: If the store was written by a newer version of watchkeeper.
        StoreFailed: If the store cannot be reached.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = alembic_config(url)
    script = ScriptDirectory.from_config(config)
    with translated_errors(url):
        found = current_revision(url)
        if found == script.get_current_head():
            return
        if found is not None and found not in {step.revision for step in script.walk_revisions()}:
            raise Misconfigured(
                f"the store has schema {found}, newer than this watchkeeper knows ({script.get_current_head()}); "
                "upgrade watchkeeper, or point store.url at another store"
            )
        command.upgrade(config, "head")


def current_revision(url: str) -> str | None:
    """The schema revision of the store, or None when it is empty.

    Raises:
        StoreFailed: If the store cannot be reached.
    """
    engine = sa.create_engine(url, hide_parameters=True)
    try:
        with translated_errors(url), engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
