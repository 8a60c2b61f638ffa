"""Requests as JSON (docs/interfaces.md section 1): read with every problem named, written the same again."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from watchkeeper.observability import fields, spans
from watchkeeper.observability.fields import RejectedRecord
from watchkeeper.observability.request import Prompt, Request, Variant

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of one record; a longer one is refused instead of filling the memory."""

_TOP = frozenset(Request.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that is no request.

    Attributes:
        field: Path of the field, "" when it is the whole line.
        problem: One line for people, without the value.
        raw: The line as it stands in the file, without its end; b"" when it cannot be had.
    """

    field: str
    problem: str
    raw: bytes


def request_of(raw: Any) -> Request:
    """The request a JSON value describes.

    Raises:
        RejectedRecord: Names the field and the problem.
    """
    record = fields.an_object(fields.storable(raw), "")
    trace_id = fields.required(fields.hex_id(record, "trace_id", 32), "trace_id")
    span_id = fields.hex_id(record, "span_id", 16) or derived_span_id(trace_id)
    return Request(
        trace_id=trace_id,
        span_id=span_id,
        started_at=fields.required(fields.instant(record, "started_at"), "started_at"),
        route=fields.required(fields.label(record, "route"), "route"),
        source=fields.label(record, "source"),
        segment=fields.label(record, "segment"),
        session_id=fields.label(record, "session_id"),
        job_id=fields.label(record, "job_id"),
        environment=fields.label(record, "environment"),
        release=fields.label(record, "release"),
        prompt=_prompt(record),
        variant=_variant(record),
        input=fields.text(record, "input"),
        response=fields.text(record, "response"),
        error_type=fields.text(record, "error_type"),
        ttft_ms=fields.milliseconds(record, "ttft_ms"),
        latency_ms=fields.milliseconds(record, "latency_ms"),
        calls=_children(record, "calls", spans.call_of, span_id),
        retrievals=_children(record, "retrievals", spans.retrieval_of, span_id),
        tool_calls=_children(record, "tool_calls", spans.tool_call_of, span_id),
        feedback=[
            spans.feedback_of(each, f"feedback[{n}].") for n, each in enumerate(fields.objects(record, "feedback"))
        ],
        attributes=_attributes(record),
    )


def as_json(request: Request) -> dict[str, Any]:
    """The same request as JSON; `request_of` of it is equal to `request`."""
    r = request
    return {
        "trace_id": r.trace_id,
        "span_id": r.span_id,
        "started_at": spans.time_json(r.started_at),
        "source": r.source,
        "route": r.route,
        "segment": r.segment,
        "session_id": r.session_id,
        "job_id": r.job_id,
        "environment": r.environment,
        "release": r.release,
        "prompt": {"id": r.prompt.id, "version": r.prompt.version} if r.prompt else None,
        "variant": {"experiment": r.variant.experiment, "name": r.variant.name} if r.variant else None,
        "input": r.input,
        "response": r.response,
        "error_type": r.error_type,
        "ttft_ms": r.ttft_ms,
        "latency_ms": r.latency_ms,
        "calls": [spans.call_json(each) for each in r.calls],
        "retrievals": [spans.retrieval_json(each) for each in r.retrievals],
        "tool_calls": [spans.tool_call_json(each) for each in r.tool_calls],
        "feedback": [spans.feedback_json(each) for each in r.feedback],
        "attributes": dict(r.attributes),
    }


def read_file(path: Path) -> Iterator[tuple[int, Request | BadLine]]:
    """Every line that is not empty, with its number; `.gz` is unpacked on the way.

    Raises:
        OSError: If the file cannot be opened or read.
    """
    with path.open("rb") as packed:
        lines: BinaryIO = gzip.GzipFile(fileobj=packed) if path.suffix == ".gz" else packed  # type: ignore[assignment]
        number = 0
        try:
            while line := lines.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE and not line.endswith(b"\n"):
                    _skip_line(lines)
                    problem = f"longer than {LONGEST_LINE // 2**20} MiB"
                    yield number, BadLine(field="", problem=problem, raw=b"")
                elif line := line.removeprefix(b"\xef\xbb\xbf").strip():
                    yield number, _line(line)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            yield number + 1, BadLine(field="", problem="the gzip data is damaged or ends too early", raw=b"")


def derived_span_id(*parts: str) -> str:
    """A span id for a span that has none: the same for the same parts, every time."""
    return sha256("/".join(parts).encode()).hexdigest()[:16]


def _line(line: bytes) -> Request | BadLine:
    try:
        return request_of(json.loads(line))
    except RejectedRecord as error:
        return BadLine(field=error.field, problem=error.problem, raw=line)
    except UnicodeDecodeError:
        return BadLine(field="", problem="not UTF-8", raw=line)
    except json.JSONDecodeError as error:
        return BadLine(field="", problem=f"not JSON: {error.msg} at column {error.colno}", raw=line)
    except (ValueError, RecursionError):
        return BadLine(field="", problem="not JSON that can be read: nested too deeply or a number too long", raw=line)


def _skip_line(lines: BinaryIO) -> None:
    while (rest := lines.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
        pass


def _prompt(record: Mapping[str, Any]) -> Prompt | None:
    raw = fields.mapping(record, "prompt")
    prompt = Prompt(id=fields.label(raw, "id", "prompt."), version=fields.label(raw, "version", "prompt."))
    return prompt if prompt != Prompt() else None


def _variant(record: Mapping[str, Any]) -> Variant | None:
    raw = fields.mapping(record, "variant")
    variant = Variant(
        experiment=fields.label(raw, "experiment", "variant."), name=fields.label(raw, "name", "variant.")
    )
    return variant if variant != Variant() else None


def _attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the format does not name: at the top under its key, inside prompt and variant as "prompt.KEY"."""
    inside = {
        f"{name}.{key}": value
        for name, known in (("prompt", ("id", "version")), ("variant", ("experiment", "name")))
        for key, value in fields.mapping(record, name).items()
        if key not in known
    }
    return spans.unnamed(record, _TOP) | inside | fields.mapping(record, "attributes")


def _children(
    record: Mapping[str, Any], key: str, read: Callable[[Mapping[str, Any], str, str], Any], parent: str
) -> list[Any]:
    """The spans of one kind; each has an id of its own, so that none can take another's place."""
    found: list[Any] = []
    taken: set[str] = set()
    trace_id = record["trace_id"].lower()
    for place, raw in enumerate(fields.objects(record, key)):
        at = f"{key}[{place}]."
        span_id = fields.hex_id(raw, "span_id", 16, at) or derived_span_id(trace_id, parent, key, str(place))
        if span_id in taken:
            raise RejectedRecord(f"{at}span_id", "is the id of an earlier one in the same list")
        taken.add(span_id)
        found.append(read(raw, at, span_id))
    return found
