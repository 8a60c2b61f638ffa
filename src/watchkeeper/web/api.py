"""The JSON side: health, incidents, stored requests."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from watchkeeper.app import App
from watchkeeper.migrations.migrate import current_revision
from watchkeeper.web import otlp

if TYPE_CHECKING:
    from watchkeeper.observability.redact import Policy

router = APIRouter()

_LARGEST_BODY = 64 * 1024 * 1024
_LARGEST_WORD = 64 * 1024
_STUCK_S = 30.0
"""A batch takes half a second; one that takes so long will not end by itself."""


def opened(request: Request) -> App:
    """The installation this process serves."""
    app: App = request.app.state.watchkeeper
    return app


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(request: Request) -> Any:
    """The store answers, and spans that arrive are stored."""
    busy_s = otlp.busy_s(request.app)
    if busy_s > _STUCK_S:
        return _refused(503, "Stuck", f"spans wait; one batch has been under way for {busy_s:.0f} s")
    return {"status": "ok", "schema": current_revision(opened(request).settings.store.url)}


@router.post("/api/requests")
async def post_requests(request: Request) -> JSONResponse:
    """Store one request or a list of them (INTERFACES section 1), committed before it is answered.

    Answers 200 when any was taken (or none was sent), 422 when all were refused, 400 for what is no
    JSON, 413 for more than 64 MiB.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_BODY:
            return _refused(413, "TooLarge", "a body may have at most 64 MiB; send the requests in several")
    return await run_in_threadpool(_take, opened(request), request.app.state.privacy, bytes(body))


def _take(app: App, privacy: "Policy", body: bytes) -> JSONResponse:
    from watchkeeper.observability import service
    from watchkeeper.observability.fields import RejectedRecord
    from watchkeeper.observability.wire import request_of

    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        return _refused(400, "NotJson", "the body must be JSON in UTF-8: a request or a list of requests")
    good, rejected = [], []
    for index, each in enumerate(raw if isinstance(raw, list) else [raw]):
        try:
            good.append(request_of(each))
        except RejectedRecord as error:
            rejected.append({"index": index, "field": error.field or None, "message": error.problem})
    accepted = service.import_requests(app.store, good, policy=privacy)
    if rejected and not accepted:
        first = rejected[0]
        message = f"no request was taken; [{first['index']}]: {first['message']}"
        return _refused(422, "Rejected", message, field=first["field"], accepted=0, rejected=rejected)
    return JSONResponse({"accepted": accepted, "rejected": rejected})


def _refused(status: int, code: str, message: str, *, field: Any = None, **more: Any) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message, "field": field}, **more}, status_code=status)


@router.get("/api/requests/{trace_id}")
def get_request(request: Request, trace_id: str) -> Any:
    """One request as it was received (INTERFACES section 1)."""
    from watchkeeper.observability import service
    from watchkeeper.observability.wire import as_json

    return as_json(service.request(opened(request).store, trace_id))


@router.post("/api/feedback")
async def post_feedback(request: Request) -> JSONResponse:
    """Store `{trace_id, kind, value, comment?, at?}`; the request it is about may come later."""
    from watchkeeper.observability import fields, service
    from watchkeeper.observability.spans import feedback_of

    app = opened(request)

    def take(raw: dict[str, Any]) -> None:
        trace_id = fields.required(fields.hex_id(raw, "trace_id", 32), "trace_id")
        fields.required(raw.get("value"), "value")
        said, privacy = feedback_of(raw, ""), request.app.state.privacy
        service.feedback(app.store, trace_id, said, now=app.clock.now(), policy=privacy)

    return await _taken(request, take)


@router.post("/api/resolutions")
async def post_resolution(request: Request) -> JSONResponse:
    """Store `{job_id, resolved, at?}`; without `at` it is now."""
    from watchkeeper.observability import fields, service

    app = opened(request)

    def take(raw: dict[str, Any]) -> None:
        job_id = fields.required(fields.label(raw, "job_id"), "job_id")
        resolved = fields.required(raw.get("resolved"), "resolved")
        if not isinstance(resolved, bool):
            raise fields.RejectedRecord("resolved", "must be true or false")
        at = fields.instant(raw, "at") or app.clock.now()
        service.resolve(app.store, job_id, resolved=resolved, at=at)

    return await _taken(request, take)


async def _taken(request: Request, take: Callable[[dict[str, Any]], None]) -> JSONResponse:
    """One small JSON object, stored before it is answered."""
    from watchkeeper.observability import fields

    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_WORD:
            return _refused(413, "TooLarge", "a body may have at most 64 KiB here")
    try:
        raw = fields.an_object(fields.storable(json.loads(bytes(body))), "")
        await run_in_threadpool(take, raw)
    except fields.RejectedRecord as error:
        return _refused(422, "Rejected", error.problem, field=error.field or None)
    except (ValueError, RecursionError):
        return _refused(400, "NotJson", "the body must be a JSON object in UTF-8")
    return JSONResponse({"accepted": 1})
