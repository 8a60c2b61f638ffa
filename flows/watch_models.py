"""Hourly: read every provider's model list; announce models that a route follows."""

from pathlib import Path

from prefect import flow, task
from prefect.events import emit_event

from watchkeeper.app import open_app
from watchkeeper.foundation.ids import content_hash
from watchkeeper.jobs import models
from watchkeeper.model_watch import service
from watchkeeper.model_watch.service import WatchReport


@task(name="read-catalogues", retries=0)
def read_catalogues(config: Path | None) -> WatchReport:
    with open_app(config) as app:
        return models.watch_models(app)


@task(name="announce")
def announce(config: Path | None, report: WatchReport) -> list[str]:
    for each in report.appeared:
        emit_event(
            "watchkeeper.model.appeared",
            resource={
                "prefect.resource.id": f"watchkeeper.model.{content_hash([each.baseline, each.candidate])[7:23]}"
            },
            payload={"baseline": each.baseline, "candidate": each.candidate, "routes": list(each.routes)},
        )
    with open_app(config) as app:
        service.announced(app.store, report.appeared, now=app.clock.now())
    return [each.candidate for each in report.appeared]


@flow(name="watch-models", timeout_seconds=300)
def watch_models(config: Path | None = None) -> list[str]:
    """One round over the catalogues; returns the models that were announced, PROVIDER/MODEL.

    A list that cannot be read is stored as such and changes nothing; the next round reads it again.
    """
    return announce(config, read_catalogues(config))
