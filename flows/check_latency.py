"""Every hour: is a route slower than it was, and do its requests time out."""

from pathlib import Path

from prefect import flow, task

from watchkeeper.app import open_app
from watchkeeper.foundation.errors import only_transient
from watchkeeper.jobs import latency


@task(name="check", retries=2, retry_delay_seconds=[10, 60], retry_condition_fn=only_transient)
def check(config: Path | None) -> list[str]:
    with open_app(config) as app:
        return [finding.summary for finding in latency.check_latency(app).findings]


@flow(name="check-latency", timeout_seconds=1800)
def check_latency(config: Path | None = None) -> list[str]:
    """Compare the last hours of every route, model and prompt version with their past; returns what is slower."""
    return check(config)
