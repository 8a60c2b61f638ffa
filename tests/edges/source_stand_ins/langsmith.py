"""LangSmith's API as its SDK's generated client describes it: the v2 run query, the v1 query before it, feedback."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.edges.source_stand_ins.server import Refused, StandIn, between, number, only_known

KEY = "lsv2_pt_stand_in_0123456789"
PROJECT, PROJECT_ID, TENANT = (
    "support-desk",
    "5b1e4b1c-6a55-4e1d-9a01-0d1f8a3c7e11",
    "9c1d2e3f-0000-4000-8000-000000000001",
)
_SELECTS = (
    "ID NAME RUN_TYPE STATUS START_TIME END_TIME LATENCY_SECONDS FIRST_TOKEN_TIME ERROR ERROR_PREVIEW EXTRA METADATA "
    "EVENTS INPUTS INPUTS_PREVIEW OUTPUTS OUTPUTS_PREVIEW MANIFEST PARENT_RUN_IDS PROJECT_ID TRACE_ID THREAD_ID "
    "DOTTED_ORDER IS_ROOT REFERENCE_EXAMPLE_ID REFERENCE_DATASET_ID TOTAL_TOKENS PROMPT_TOKENS COMPLETION_TOKENS "
    "TOTAL_COST PROMPT_COST COMPLETION_COST PROMPT_TOKEN_DETAILS COMPLETION_TOKEN_DETAILS PROMPT_COST_DETAILS "
    "COMPLETION_COST_DETAILS PRICE_MODEL_ID TAGS APP_PATH ATTACHMENTS THREAD_EVALUATION_TIME IS_IN_DATASET SHARE_URL "
    "FEEDBACK_STATS"
)
_V2 = (
    "cursor filter has_error ids is_root max_start_time min_start_time page_size project_ids reference_dataset_id "
    "reference_examples run_type selects trace_filter trace_id tree_filter"
)
_V1 = (
    "session run_type is_root start_time end_time error filter trace_filter tree_filter select limit cursor order id "
    "trace"
)
_FEEDBACK = (
    "id run_id trace_id key score value comment correction feedback_source session_id start_time created_at "
    "modified_at feedback_config feedback_group_id"
)


@dataclass
class LangSmithStandIn(StandIn):
    """One workspace with one project.

    Attributes:
        runs: As v2 gives them, with every field; v1's differences are made from them.
        feedback: Id -> feedback.
    """

    runs: list[Any] = field(default_factory=list)
    feedback: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, start: str, text: str = "Hi") -> None:
        self.runs.append({
            "id": name, "trace_id": name, "parent_run_ids": [], "name": name, "run_type": "LLM", "start_time": start,
            "end_time": start, "inputs": {"messages": [{"role": "user", "content": text}]},
            "outputs": {"choices": [{"message": {"role": "assistant", "content": text}}]},
        })  # fmt: skip

    def add_broken(self) -> None:
        self.runs.append(["not", "a", "run"])

    def pushed(self) -> list[tuple[str, float]]:
        return [(each["key"], each["score"]) for each in self.feedback.values()]

    def let_in(self, request: Request) -> None:
        if request.headers.get("x-api-key") != KEY:
            raise Refused(401, f"Invalid token {request.headers.get('x-api-key')}")

    def error(self, status: int, message: str) -> Response:
        return JSONResponse({"detail": message}, status)

    def routes(self) -> Sequence[tuple[str, str, Callable[[Request, Any], Any]]]:
        return [
            ("GET", "/api/v1/sessions", self._sessions),
            ("GET", "/api/v1/sessions/{id}", self._session),
            ("POST", "/api/v2/runs/query", self._runs),
            ("POST", "/api/v1/runs/query", self._old_runs),
            ("GET", "/api/v1/feedback", self._listed_feedback),
            ("POST", "/api/v1/feedback", self._take_feedback),
        ]

    def _sessions(self, request: Request, _: Any) -> Any:
        project = {"id": PROJECT_ID, "name": PROJECT, "tenant_id": TENANT}
        return [project] if request.query_params.get("name", PROJECT) == PROJECT else []

    def _session(self, request: Request, _: Any) -> Any:
        if request.path_params["id"] != PROJECT_ID:
            raise Refused(404, "Session not found")
        return {"id": PROJECT_ID, "name": PROJECT, "tenant_id": TENANT}

    def _runs(self, _: Request, body: Any) -> Any:
        only_known(body, _V2)
        if body.get("project_ids") != [PROJECT_ID]:
            raise Refused(422, "project_ids is required: the UUIDs of the projects")
        only_known(body.get("selects", []), _SELECTS)
        names = {each.lower() for each in body.get("selects", ["ID"])}
        since, until = body["min_start_time"], body["max_start_time"]
        # Whether its upper bound belongs to it is not documented: here it does.
        found = [r for r in self.runs if between(r, "start_time", since, until) or r.get("start_time") == until]
        page, cursor = self.page(found, body.get("cursor"), number(body, "page_size", 100, 1000))
        shown = [{k: v for k, v in run.items() if k in names} if isinstance(run, dict) else run for run in page]
        return {"items": shown, "next_cursor": cursor}

    def _old_runs(self, _: Request, body: Any) -> Any:
        only_known(body, _V1)
        if body.get("session") != [PROJECT_ID]:
            raise Refused(422, "session: one of session, id, trace is required")
        until = body["filter"].removeprefix('lt(start_time, "').removesuffix('")') if "filter" in body else None
        found = [run for run in self.runs if between(run, "start_time", body.get("start_time"), until)]
        page, cursor = self.page(found, body.get("cursor"), number(body, "limit", 100, 100))
        return {"runs": [_old(run) for run in page], "cursors": {"next": cursor, "prev": None}}

    def _listed_feedback(self, request: Request, _: Any) -> Any:
        given = request.query_params
        only_known(given, "run key session source limit offset user has_comment has_score level max_created_at "
                          "min_created_at include_user_names comparative_experiment_id")  # fmt: skip
        if given.get("session") != PROJECT_ID:
            raise Refused(422, "session or run is required")
        limit, offset = number(given, "limit", 100, 100), number(given, "offset", 0, 10**6, least=0)
        since, until = given.get("min_created_at"), given.get("max_created_at")
        found = [each for each in self.feedback.values() if between(each, "created_at", since, until)]
        return found[offset : offset + limit]

    def _take_feedback(self, _: Request, body: Any) -> Any:
        only_known(body, _FEEDBACK)
        if not body.get("key") or not body.get("run_id"):
            raise Refused(422, "key and run_id are required")
        if body.get("score") is not None and not isinstance(body["score"], int | float | bool):
            raise Refused(422, "score must be a number")
        self.feedback[body["id"]] = {**body, "created_at": "2026-11-24T12:00:00.000000"}
        return self.feedback[body["id"]]


def _old(run: Any) -> Any:
    if not isinstance(run, dict):
        return run
    made = {key: value for key, value in run.items() if key not in ("parent_run_ids", "thread_id", "metadata")}
    for name in ("prompt_token_details", "completion_token_details"):
        if isinstance(made.get(name), dict):
            made[name] = made[name]["raw"]
    above = run.get("parent_run_ids") or [None]
    extra = {**(run.get("extra") or {}), "metadata": run.get("metadata") or {}}
    times = {key: str(run[key]).removesuffix("Z") for key in ("start_time", "end_time") if run.get(key)}
    return {**made, **times, "run_type": str(run.get("run_type")).lower(), "parent_run_id": above[-1], "extra": extra}
