"""When a model appeared, or on demand: may its routes move to it?"""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact

from watchkeeper.app import open_app
from watchkeeper.foundation.errors import only_transient
from watchkeeper.jobs import alerts, checks
from watchkeeper.regression.formats import markdown
from watchkeeper.regression.runner import percent_done


@task(name="check", retries=2, retry_delay_seconds=[30, 300], retry_condition_fn=only_transient)
def check(config: Path | None, baseline: str, candidate: str, fresh: bool) -> dict[str, Any]:
    shown = create_progress_artifact(progress=0.0, key="upgrade-check", description=f"{baseline} to {candidate}")
    with open_app(config) as app:
        return checks.check_upgrade(
            app,
            baseline=baseline,
            candidate=candidate,
            fresh=fresh,
            on_progress=lambda runs: update_progress_artifact(shown, progress=percent_done(runs)),
        )


@task(name="deliver")
def deliver(config: Path | None) -> None:
    with open_app(config) as app:
        alerts.deliver_alerts(app)


@flow(name="check-upgrade", timeout_seconds=6 * 3600)
def check_upgrade(baseline: str, candidate: str, fresh: bool = False, config: Path | None = None) -> str:
    """Check the upgrade from `baseline` to `candidate` (PROVIDER/MODEL); returns the verdict.

    The verdict's incident or notice is in the store when the check ends; it is delivered at once
    and, should that fail, by deliver-alerts later.
    """
    try:
        document = check(config, baseline, candidate, fresh)
    finally:
        deliver(config)
    create_markdown_artifact(markdown(document), key="upgrade-verdict", description=f"{baseline} to {candidate}")
    return str(document["verdict"])
