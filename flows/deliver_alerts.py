"""Every five minutes, and after each check: send what waits in the outbox."""

from pathlib import Path

from prefect import flow, task

from watchkeeper.app import open_app
from watchkeeper.jobs import alerts


@task(name="deliver")
def deliver(config: Path | None) -> dict[str, int]:
    with open_app(config) as app:
        report = alerts.deliver_alerts(app)
    return {"sent": report.sent, "waiting": report.waiting, "failed": report.failed}


@flow(name="deliver-alerts", timeout_seconds=240)
def deliver_alerts(config: Path | None = None) -> dict[str, int]:
    """Drain the outbox once; returns how many messages were sent, still wait, and failed."""
    return deliver(config)
