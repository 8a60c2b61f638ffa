"""Every quarter of an hour: a sample of the live answers that settled is scored."""

from pathlib import Path

from prefect import flow, task

from watchkeeper.app import open_app
from watchkeeper.foundation.errors import only_transient
from watchkeeper.jobs import scoring


@task(name="score", retries=2, retry_delay_seconds=[10, 60], retry_condition_fn=only_transient)
def score(config: Path | None) -> dict[str, int]:
    with open_app(config) as app:
        if not scoring.is_configured(app.settings):
            scoring.tell_stalled(app)
            return {}
        done = scoring.score_live(app)
    return {"chosen": done.chosen, "scores": done.scored, "missing": done.missing, "waiting": done.waiting}


@flow(name="score-live", timeout_seconds=3600)
def score_live(config: Path | None = None) -> dict[str, int]:
    """Sample and score what settled since the last run; returns nothing where no route names a rubric or a suite."""
    return score(config)
