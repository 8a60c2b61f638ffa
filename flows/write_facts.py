"""Every ten minutes: the facts of hours that have settled, or changed since, become files."""

from pathlib import Path

from prefect import flow, task

from watchkeeper.app import open_app
from watchkeeper.foundation.errors import only_transient
from watchkeeper.jobs import facts


@task(name="write", retries=2, retry_delay_seconds=[10, 60], retry_condition_fn=only_transient)
def write(config: Path | None) -> dict[str, int]:
    with open_app(config) as app:
        done = facts.write_facts(app)
    return {"hours": done.hours, "rows": done.rows, "removed": done.removed}


@flow(name="write-facts", timeout_seconds=600)
def write_facts(config: Path | None = None) -> dict[str, int]:
    """Write the settled hours; returns how many, their rows, and how many old files were removed."""
    return write(config)
