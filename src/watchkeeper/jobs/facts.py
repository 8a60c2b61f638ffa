"""The facts of settled hours as files."""

from watchkeeper.app import App
from watchkeeper.facts import service as facts
from watchkeeper.facts.service import Written


def write_facts(app: App) -> Written:
    """Write every settled hour that is new or changed, and remove files that nobody needs any more."""
    return facts.write_settled(app.store, app.settings.store.facts, app.clock.now())
