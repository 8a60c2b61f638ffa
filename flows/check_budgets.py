"""Every ten minutes: what the budgets spent, how fast, and when they end."""

from pathlib import Path

from prefect import flow, task

from watchkeeper.app import open_app
from watchkeeper.foundation.errors import only_transient
from watchkeeper.jobs import budgets


@task(name="check", retries=2, retry_delay_seconds=[10, 60], retry_condition_fn=only_transient)
def check(config: Path | None) -> dict[str, str]:
    with open_app(config) as app:
        return {each.now.budget.name: each.verdict for each in budgets.check_budgets(app)}


@flow(name="check-budgets", timeout_seconds=540)
def check_budgets(config: Path | None = None) -> dict[str, str]:
    """Check every budget; returns the verdict of each: within, burning or exceeded."""
    return check(config)
