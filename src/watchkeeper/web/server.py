"""The web process: pages an alert links to, the ingest API, health. On loopback unless told otherwise."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from watchkeeper.app import App
from watchkeeper.foundation.errors import NotFound, WatchkeeperError
from watchkeeper.settings import privacy_policy
from watchkeeper.web import api, metrics, otlp, pages
from watchkeeper.web.render import page

# Pages hold text that models and users wrote: nothing but our own style may load or run.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def make_server(app: App) -> FastAPI:
    """The ASGI application of one installation."""
    server = FastAPI(title="watchkeeper", docs_url=None, redoc_url=None)
    server.state.watchkeeper = app
    server.state.privacy = privacy_policy(app.settings)
    server.include_router(api.router)
    server.include_router(metrics.router)
    server.include_router(otlp.router)
    server.include_router(pages.router)

    @server.middleware("http")
    async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["content-security-policy"] = _POLICY
        response.headers["x-content-type-options"] = "nosniff"
        response.headers["referrer-policy"] = "no-referrer"
        return response

    @server.exception_handler(WatchkeeperError)
    async def _ours(request: Request, error: WatchkeeperError) -> Response:
        status = 404 if isinstance(error, NotFound) else 503 if error.exit_code == 4 else 422
        return _problem(request, status, type(error).__name__, str(error))

    @server.exception_handler(HTTPException)
    async def _unknown(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            return _problem(request, 404, "NotFound", f"there is no page {request.url.path}")
        return _problem(request, error.status_code, "NotAllowed", f"{request.method}: {error.detail}", error.headers)

    @server.exception_handler(RequestValidationError)
    async def _unreadable(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:])
        return _problem(request, 422, "Invalid", f"{field}: {first['msg']}", field=field)

    return server


def _problem(
    request: Request,
    status: int,
    code: str,
    message: str,
    headers: Mapping[str, str] | None = None,
    *,
    field: str | None = None,
) -> Response:
    if request.url.path.startswith(("/api", "/v1", "/metrics")):
        body = {"error": {"code": code, "message": message, "field": field}}
        return JSONResponse(body, status_code=status, headers=headers)
    text = page("problem.html", title="Not here", status=status, message=message)
    return HTMLResponse(text, status_code=status, headers=dict(headers or {}))
