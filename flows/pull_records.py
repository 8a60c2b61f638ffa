"""Every five minutes: what other tools recorded since the last pull."""

from pathlib import Path

from prefect import flow, task

from watchkeeper.app import open_app
from watchkeeper.jobs import sources


@task(name="pull")
def pull(config: Path | None) -> dict[str, int | str]:
    with open_app(config) as app:
        outcomes = sources.pull_records(app)
    return {each.source: each.pulled.requests if each.pulled is not None else str(each.error) for each in outcomes}


@flow(name="pull-records", timeout_seconds=1800)
def pull_records(config: Path | None = None) -> dict[str, int | str]:
    """Pull every configured source once; returns how many requests each brought, or why it could not be pulled.

    A source that fails is tried again by the next run; one that fails for long becomes an incident.
    """
    return pull(config)
