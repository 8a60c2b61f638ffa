"""The JSON side: health, incidents, stored requests."""

from typing import Any

from fastapi import APIRouter, Request

from watchkeeper.app import App
from watchkeeper.migrations.migrate import current_revision

router = APIRouter()


def opened(request: Request) -> App:
    """The installation this process serves."""
    app: App = request.app.state.watchkeeper
    return app


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(request: Request) -> dict[str, str | None]:
    """The store answers."""
    return {"status": "ok", "schema": current_revision(opened(request).settings.store.url)}


@router.get("/api/requests/{trace_id}")
def get_request(request: Request, trace_id: str) -> Any:
    """One request as it was received (INTERFACES section 1)."""
    from watchkeeper.observability import service
    from watchkeeper.observability.wire import as_json

    return as_json(service.request(opened(request).store, trace_id))
