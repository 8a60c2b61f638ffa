"""OTLP/HTTP: spans and log records, acknowledged when they are committed.

Exporters drop a batch on 400, 413, 415 and 500, and keep it on 503: so what cannot be decoded is 400, and
everything that is our trouble is 503 with a Retry-After they accept.
"""

import asyncio
import gc
import threading
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from watchkeeper.app import App
from watchkeeper.foundation.errors import Transient
from watchkeeper.observability import otlp, service
from watchkeeper.observability.decoding import DecodingProcess, taken_apart
from watchkeeper.observability.intake import Intake, Overloaded
from watchkeeper.observability.otlp import Decoded, Encoding, Unreadable
from watchkeeper.observability.pieces import Piece

router = APIRouter()

_PATIENCE_S = 8.0
"""An exporter gives up after ten seconds; it shall hear from us before."""

_SMALL = 32 * 2**10
"""Bytes of a body that is decoded here: going to another process and back would take longer."""

_ENCODINGS: dict[str, Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}
_starting = threading.Lock()
_nearby = ThreadPoolExecutor(2, thread_name_prefix="decoding")


@router.post("/v1/traces")
async def post_traces(request: Request) -> Response:
    """Store spans (ExportTraceServiceRequest)."""
    return await _take(request, "traces")


@router.post("/v1/logs")
async def post_logs(request: Request) -> Response:
    """Join what log records say about inferences to their spans; other records are taken and ignored."""
    return await _take(request, "logs")


def close(app: Any) -> None:
    """Store what waits; nothing is taken any more."""
    if hasattr(app.state, "intake"):
        app.state.decoding.close()
        app.state.intake.close()


def busy_s(app: Any) -> float:
    """Seconds that the spans being stored have taken so far."""
    return float(app.state.intake.busy_s) if hasattr(app.state, "intake") else 0.0


async def _take(request: Request, what: otlp.Signal) -> Response:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = _ENCODINGS.get(kind)
    intake = _intake(request.app)
    if encoding is None:
        intake.refuse("refused: media type")
        return _status(415, "send application/x-protobuf or application/json", "json")
    packing = request.headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("identity", "gzip", ""):
        intake.refuse("refused: content encoding")
        return _status(415, "send gzip or no content encoding", encoding)
    reserved = 0
    working: Future[Any] | None = None  # what goes on with the body in another thread or process
    try:
        body = bytearray()
        async for piece in request.stream():
            if piece:
                intake.admit(len(piece))
                reserved += len(piece)
                body += piece
            if len(body) > otlp.LARGEST_BODY:
                raise Unreadable("a body may have at most 64 MiB, also after unpacking", too_large=True)
        if packing == "gzip":
            packed = len(body)
            body = await run_in_threadpool(lambda: bytearray(otlp.within_limit(otlp.unpacked([bytes(body)]))))
            intake.admit(more := max(0, len(body) - packed))
            reserved += more
        async with asyncio.timeout(_PATIENCE_S):
            working = _taken_apart(request.app, bytes(body), encoding, what)
            body.clear()
            decoded, pieces = await asyncio.wrap_future(working)
            working = intake.put(pieces, decoded.counts)
            await asyncio.wrap_future(working)
    except Unreadable as problem:
        intake.refuse("refused: too large" if problem.too_large else "refused: unreadable")
        return _status(413 if problem.too_large else 400, problem.problem, encoding)
    except TimeoutError:
        intake.refuse("refused: store busy")
        return _status(503, "the store is busy", encoding, retry_after=2)
    except BrokenExecutor:
        intake.refuse("refused: decoding interrupted")
        return _status(503, "decoding was interrupted; try again", encoding, retry_after=1)
    except Transient as problem:
        intake.refuse("refused: queue full" if isinstance(problem, Overloaded) else "refused: store busy")
        return _status(503, str(problem), encoding, retry_after=min(5, max(1, round(problem.retry_after_s or 1))))
    except ClientDisconnect:
        intake.refuse("refused: cut short")
        return _status(400, "the body ended too early", encoding)
    except Exception as error:  # a fault of ours: the sender keeps its spans
        intake.refuse("refused: fault")
        return _status(503, f"could not be stored: {type(error).__name__}", encoding, retry_after=5)
    finally:
        _give_back(intake, reserved, working)
    return Response(otlp.answer(what, encoding, decoded), media_type=_media(encoding))


def _give_back(intake: Intake, reserved: int, working: "Future[Any] | None") -> None:
    """The room of a body is free when nothing works on it any more: a sender that was told to wait sends it again."""
    if working is None or working.done():
        intake.leave(reserved)
    else:
        working.add_done_callback(lambda _: intake.leave(reserved))


def _taken_apart(app: Any, body: bytes, encoding: Encoding, what: otlp.Signal) -> "Future[tuple[Decoded, list[Piece]]]":
    opened: App = app.state.watchkeeper
    now = opened.clock.now()
    if len(body) < _SMALL:
        return _nearby.submit(taken_apart, body, encoding, what, app.state.privacy, now)
    submitted: Future[tuple[Decoded, list[Piece]]] = app.state.decoding.submit(body, encoding, what, now)
    return submitted


def _intake(app: Any) -> Intake:
    with _starting:
        if not hasattr(app.state, "intake"):
            opened: App = app.state.watchkeeper
            # Spans become many small values without cycles: collecting them as often as usual costs a quarter.
            gc.freeze()
            gc.set_threshold(100_000, 20, 20)
            app.state.decoding = DecodingProcess(app.state.privacy)
            app.state.intake = Intake(
                lambda pieces, counts: service.take_pieces(
                    opened.store, pieces, counts, now=opened.clock.now(), policy=app.state.privacy
                )
            )
        intake: Intake = app.state.intake
        return intake


def _status(code: int, message: str, encoding: Encoding, *, retry_after: int | None = None) -> Response:
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Response(otlp.status(message, encoding), status_code=code, headers=headers, media_type=_media(encoding))


def _media(encoding: Encoding) -> str:
    return "application/json" if encoding == "json" else "application/x-protobuf"
