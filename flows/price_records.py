"""Every fifteen minutes: price what came in, and say which models cannot be priced."""

from pathlib import Path

from prefect import flow, task

from watchkeeper.app import open_app
from watchkeeper.foundation.errors import only_transient
from watchkeeper.jobs import prices


@task(name="price", retries=2, retry_delay_seconds=[10, 60], retry_condition_fn=only_transient)
def price(config: Path | None) -> dict[str, int]:
    with open_app(config) as app:
        done = prices.price_records(app)
    return {"priced": done.priced, "unpriced": done.unpriced}


@flow(name="price-records", timeout_seconds=600)
def price_records(config: Path | None = None) -> dict[str, int]:
    """Price the calls of the last days that have no cost yet; returns how many were and were not priced."""
    return price(config)
