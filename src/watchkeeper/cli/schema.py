"""`store`: the database under everything."""

import typer

from watchkeeper.cli.console import ConfigOption, say

app = typer.Typer(no_args_is_help=True, help="The store.")


@app.command("migrate")
def migrate_store(config: ConfigOption = None) -> None:
    """Bring the store to this version's schema; every command does so by itself."""
    from watchkeeper.app import open_app
    from watchkeeper.migrations.migrate import current_revision

    with open_app(config) as app_:
        say(f"the store is at schema {current_revision(app_.settings.store.url)}")
