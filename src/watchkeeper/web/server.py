"""The web process: pages an alert links to, the ingest API, health. On loopback unless told otherwise."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from watchkeeper.app import App
from watchkeeper.foundation.errors import NotFound, WatchkeeperError
from watchkeeper.web import api, pages
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
    server.include_router(api.router)
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

    @server.exception_handler(404)
    async def _unknown(request: Request, _: Exception) -> Response:
        return _problem(request, 404, "NotFound", f"there is no page {request.url.path}")

    return server


def _problem(request: Request, status: int, code: str, message: str) -> Response:
    if request.url.path.startswith(("/api", "/v1")):
        return JSONResponse({"error": {"code": code, "message": message, "field": None}}, status_code=status)
    return HTMLResponse(page("problem.html", title="Not here", status=status, message=message), status_code=status)


STYLE = Path(__file__).parent / "static" / "style.css"
