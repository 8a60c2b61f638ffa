"""The names an application uses, as `watchkeeper.NAME`."""

import re
from datetime import UTC, datetime
from typing import Any

from watchkeeper.foundation.clock import format_time
from watchkeeper.sdk import runtime, segment, values
from watchkeeper.sdk.guard import guarded
from watchkeeper.sdk.request import Request, current_request
from watchkeeper.sdk.runtime import flush, shutdown, status

__all__ = ["current_request", "feedback", "flush", "init", "request", "resolve", "shutdown", "status"]


def init(
    *,
    endpoint: str | None = None,
    spool: object = None,
    service: str | None = None,
    environment: str | None = None,
    release: str | None = None,
    spool_limit: int | None = None,
    headers: dict[str, str] | None = None,
    **unknown: object,
) -> None:
    """Say where to send and who is sending, before the first use. Everything may be left out.

    Args:
        endpoint: Base URL; else WATCHKEEPER_ENDPOINT, else http://127.0.0.1:8700.
        spool: Folder for what is not sent yet; else WATCHKEEPER_SPOOL, else a folder per endpoint in the
            user's state folder. A folder you name is sent to whatever endpoint you name.
        service, environment, release: On every span's resource.
        spool_limit: Bytes on disk, default 256 MiB; beyond, the oldest is dropped and counted.
        headers: Sent with every POST.
    """
    for name, value in unknown.items():
        values.dropped(f"init({name}=…)", value)
    runtime.init(
        endpoint=endpoint,
        spool=spool,
        service=service,
        environment=environment,
        release=release,
        spool_limit=spool_limit,
        headers=headers,
    )


def request(
    route: str | None = None,
    *,
    segment: str | None = None,
    session_id: str | None = None,
    job_id: str | None = None,
    prompt_id: str | None = None,
    prompt_version: str | int | None = None,
    experiment: str | None = None,
    variant: str | None = None,
    input: object = None,
    source: str | None = None,
    **attributes: Any,
) -> Request:
    """One request of a user, as a context manager (plain or async) or a decorator.

    Args:
        route: Which part of the application, e.g. "support.answer".
        segment: Which kind of user, e.g. "free".
        session_id: The conversation.
        job_id: What the user wants done; `resolve` says later whether it was.
        prompt_id, prompt_version: The prompt that is used.
        experiment, variant: The experiment this request is part of, and its arm.
        input: What the user sent.
        source: "production" unless you say so.
        attributes: Anything else worth grouping by.
    """
    return Request(
        {
            **attributes,
            "route": route,
            "segment": segment,
            "session_id": session_id,
            "job_id": job_id,
            "prompt_id": prompt_id,
            "prompt_version": prompt_version,
            "experiment": experiment,
            "variant": variant,
            "input": input,
            "source": source,
        }
    )


@guarded
def feedback(trace_id: str, thumb: int | None = None, comment: str | None = None) -> None:
    """What the user thought of an answer.

    Args:
        trace_id: The request's.
        thumb: 1 or -1.
        comment: The user's words.
    """
    if not isinstance(trace_id, str) or not re.fullmatch(r"[0-9a-fA-F]{32}", trace_id) or thumb not in (1, -1):
        values.dropped("feedback(trace_id, thumb)", thumb if isinstance(trace_id, str) else trace_id)
        return
    body: dict[str, Any] = {"trace_id": trace_id.lower(), "kind": "thumb", "value": int(thumb)}
    if (words := values.text("comment", comment)) is not None:
        body["comment"] = words
    _spool(segment.FEEDBACK, body)


@guarded
def resolve(job_id: str, resolved: bool = True) -> None:
    """Whether a job (a ticket, an order, a question) was done in the end."""
    job = values.text("job_id", job_id)
    if not job or not isinstance(resolved, bool):
        values.dropped("resolve(job_id, resolved)", resolved if job else job_id)
        return
    _spool(segment.RESOLUTION, {"job_id": job, "resolved": resolved, "at": format_time(datetime.now(UTC))})


def _spool(kind: int, body: dict[str, Any]) -> None:
    sdk = runtime.current()
    if sdk is not None:
        sdk.exporter.opinion(kind, body)
