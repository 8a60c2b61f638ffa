"""W&B Weave's trace server as its interface has it: calls as JSON lines, feedback with rules for its types."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.edges.source_stand_ins.server import Refused, StandIn, at, basic, number, only_known

KEY, PROJECT = "wandb-stand-in-0123456789abcdef0123456789", "acme/support"
_QUERY = (
    "project_id filter limit offset sort_by query include_costs include_feedback include_storage_size "
    "include_total_storage_size columns expand_columns return_expanded_column_values"
)
_FEEDBACK = (
    "id project_id weave_ref creator feedback_type payload annotation_ref runnable_ref call_ref trigger_ref wb_user_id"
)
_LARGEST_PAYLOAD = 1 << 20


@dataclass
class WeaveStandIn(StandIn):
    """One project.

    Attributes:
        calls: In any order; a text among them is a line as it is.
        feedback: Id -> feedback somebody left through the API.
    """

    calls: list[Any] = field(default_factory=list)
    feedback: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, start: str, text: str = "Hi") -> None:
        self.calls.append({
            "id": name, "trace_id": name, "parent_id": None, "op_name": f"weave:///{PROJECT}/op/openai.chat.{name}:v0",
            "started_at": start, "ended_at": start, "inputs": {"messages": [{"role": "user", "content": text}]},
            "output": {"choices": [{"message": {"role": "assistant", "content": text}}]}, "attributes": {},
            "summary": {},
        })  # fmt: skip

    def add_broken(self) -> None:
        self.calls.append('{"id": "cut in the mid')

    def pushed(self) -> list[tuple[str, float]]:
        return [(each["payload"]["name"], each["payload"]["value"]) for each in self.feedback.values()]

    def let_in(self, request: Request) -> None:
        if request.headers.get("authorization") != basic("api", KEY):
            raise Refused(401, f"Invalid credentials {request.headers.get('authorization')}")

    def error(self, status: int, message: str) -> Response:
        return JSONResponse({"reason": message}, status)

    def routes(self) -> Sequence[tuple[str, str, Callable[[Request, Any], Any]]]:
        return [("POST", "/calls/stream_query", self._calls), ("POST", "/feedback/create", self._take_feedback)]

    def _calls(self, _: Request, body: Any) -> Any:
        only_known(body, _QUERY)
        if body["project_id"] != PROJECT:
            raise Refused(404, "Project not found")
        for each in body["sort_by"]:
            only_known(each, "field direction")
        found = [call for call in self.calls if not _timed(call) or _holds(body["query"]["$expr"], call)]
        found.sort(
            key=lambda call: tuple(str(call[s["field"]]) for s in body["sort_by"]) if isinstance(call, dict) else ()
        )
        offset, limit = number(body, "offset", 0, 10**9, least=0), number(body, "limit", 10**6, 10**6)
        lines = [_line(call, body) for call in found[offset : offset + limit]]
        return PlainTextResponse("\n".join(lines), media_type="application/jsonl")

    def _take_feedback(self, _: Request, body: Any) -> Any:
        only_known(body, _FEEDBACK)
        kind = body["feedback_type"]
        if not body["weave_ref"].startswith(f"weave:///{PROJECT}/call/"):
            raise Refused(422, "weave_ref is no ref")
        if kind.startswith("wandb.runnable.") and not body.get("runnable_ref"):
            raise Refused(422, "runnable_ref is required for runnable feedback")
        if not kind.startswith("wandb.runnable.") and (body.get("runnable_ref") or body.get("call_ref")):
            raise Refused(422, "runnable_ref is not allowed for non-runnable feedback")
        if len(json.dumps(body["payload"])) > _LARGEST_PAYLOAD:
            raise Refused(422, "Feedback payload too large")
        self.feedback[body["id"]] = {**body, "created_at": "2026-11-24T12:00:00.000000Z"}
        return {"id": body["id"], "created_at": "2026-11-24T12:00:00.000000Z", "wb_user_id": "u", "payload": {}}


def _line(call: Any, body: Any) -> str:
    """Only the columns one asked for; costs and feedback inside the summary."""
    if not isinstance(call, dict):
        return str(call)
    shown = {key: value for key, value in call.items() if key in body["columns"]}
    summary = dict(shown.get("summary") or {})
    weave = dict(summary.get("weave") or {})
    for asked, name in (("include_costs", "costs"), ("include_feedback", "feedback")):
        if not body.get(asked):
            weave.pop(name, None)
    return json.dumps({**shown, "summary": {**summary, "weave": weave}})


def _timed(call: Any) -> bool:
    try:
        return bool(at(call["started_at"]))
    except (TypeError, ValueError):
        return False


def _holds(expression: Any, call: dict[str, Any]) -> bool:
    """The part of the query language that compares times: literals are seconds since 1970."""
    match expression:
        case {"$and": [*every]}:
            return all(_holds(each, call) for each in every)
        case {"$not": [each]}:
            return not _holds(each, call)
        case {"$gte": [{"$getField": str(name)}, {"$literal": int(seconds)}]}:
            return at(call[name]).timestamp() >= seconds
    raise Refused(422, f"unknown expression: {expression}")
