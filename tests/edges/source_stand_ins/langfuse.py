"""Langfuse's public API as its definition describes it: v2 observations, v3 scores, and the endpoints before them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.edges.source_stand_ins.server import Refused, StandIn, basic, between, number, only_known

PUBLIC, SECRET = "pk-lf-stand-in", "sk-lf-stand-in-0123456789"
_OBSERVATIONS, _SCORES = "/api/public/v2/observations", "/api/public/v3/scores"
_GROUPS = {
    "core": "id traceId startTime endTime projectId parentObservationId type",
    "basic": "name level statusMessage version environment bookmarked public userId sessionId isRootObservation",
    "time": "completionStartTime createdAt updatedAt",
    "io": "input output",
    "metadata": "metadata",
    "model": "providedModelName model internalModelId modelParameters",
    "usage": "usageDetails costDetails totalCost usagePricingTierName",
    "prompt": "promptId promptName promptVersion",
    "metrics": "latency timeToFirstToken",
    "trace_context": "tags release traceName",
}
_ASKED = (
    "fields expandMetadata limit cursor parseIoAsJson name userId sessionId type traceId level parentObservationId "
    "isRootObservation environment fromStartTime toStartTime version filter"
)
_SENT = (
    "id traceId sessionId observationId datasetRunId name value comment metadata environment queueId dataType configId "
    "source timestamp"
)


@dataclass
class LangfuseStandIn(StandIn):
    """One project.

    Attributes:
        observations: As v2 gives them, with every field group.
        traces: What only servers before v2 list apart.
        scores: (id, timestamp) -> score, in v3's shape: the same id at another time is another score.
    """

    observations: list[Any] = field(default_factory=list)
    traces: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def add_score(self, **score: Any) -> None:
        """A score somebody gave."""
        self.scores[score["id"], score["timestamp"]] = {"projectId": "p-1", "environment": "default", **score}

    def add(self, name: str, start: str, text: str = "Hi") -> None:
        self.observations.append({
            "id": name, "traceId": name, "projectId": "p-1", "type": "GENERATION", "name": name, "startTime": start,
            "endTime": start, "parentObservationId": None, "isRootObservation": True, "level": "DEFAULT", "input": text,
            "output": text,
        })  # fmt: skip

    def add_broken(self) -> None:
        self.observations.append("not an observation")

    def pushed(self) -> list[tuple[str, float]]:
        return [(each["name"], each["value"]) for each in self.scores.values()]

    def let_in(self, request: Request) -> None:
        if request.headers.get("authorization") != basic(PUBLIC, SECRET):
            raise Refused(401, f"Invalid credentials: {request.headers.get('authorization')}")

    def error(self, status: int, message: str) -> Response:
        names = {401: "UnauthorizedError", 429: "TooManyRequestsError"}
        return JSONResponse({"message": message, "error": names.get(status, "InvalidRequestError")}, status)

    def routes(self) -> Sequence[tuple[str, str, Callable[[Request, Any], Any]]]:
        return [
            ("GET", _OBSERVATIONS, self._observations),
            ("GET", "/api/public/observations", self._old_observations),
            ("GET", "/api/public/traces", self._traces),
            ("GET", _SCORES, self._scores),
            ("GET", "/api/public/v2/scores", self._old_scores),
            ("GET", "/api/public/scores", self._old_scores),
            ("POST", "/api/public/scores", self._take_score),
        ]

    def _observations(self, request: Request, _: Any) -> Any:
        given = request.query_params
        only_known(given, _ASKED)
        if given.get("parseIoAsJson") == "true":
            raise Refused(400, "parseIoAsJson is no longer supported; input and output are raw strings")
        groups = ["core", *given.get("fields", "core,basic").split(",")]
        if unknown := set(groups) - _GROUPS.keys():
            raise Refused(400, f"Unknown field groups: {sorted(unknown)}")
        shown = {name for group in groups for name in _GROUPS[group].split()}
        expanded = set(given.get("expandMetadata", "").split(","))
        found = [each for each in self.observations if _between(each, "startTime", given, "StartTime")]
        page, cursor = self.page(found, given.get("cursor"), number(given, "limit", 50, 1000))
        return {
            "data": [_shown(each, shown, expanded) for each in page],
            "meta": {"cursor": cursor} if cursor else {},
        }

    def _old_observations(self, request: Request, _: Any) -> Any:
        given = request.query_params
        only_known(given, "page limit name userId type traceId level parentObservationId environment fromStartTime "
                          "toStartTime version filter")  # fmt: skip
        found = [each for each in self.observations if _between(each, "startTime", given, "StartTime")]
        gone = ("isRootObservation", "traceName", "sessionId", "userId", "release", "tags", "projectId")
        return self._numbered(given, [_without(each, gone) for each in found])

    def _traces(self, request: Request, _: Any) -> Any:
        given = request.query_params
        found = [each for each in self.traces if _between(each, "timestamp", given, "Timestamp")]
        return self._numbered(given, found)

    def _scores(self, request: Request, _: Any) -> Any:
        given = request.query_params
        only_known(given, "limit cursor fields id name source dataType environment traceId fromTimestamp toTimestamp")
        if set(filter(None, given.get("fields", "").split(","))) - {"details", "subject", "annotation"}:
            raise Refused(400, "Unknown field group")
        found = self._found(given, "id")
        page, cursor = self.page(found, given.get("cursor"), number(given, "limit", 50, 100))
        hidden = () if "subject" in given.get("fields", "") else ("subject",)
        hidden += () if "details" in given.get("fields", "") else ("comment", "metadata")
        meta = {"limit": 100, **({"cursor": cursor} if cursor else {})}
        return {"data": [_without(each, hidden) for each in page], "meta": meta}

    def _old_scores(self, request: Request, _: Any) -> Any:
        given = request.query_params
        return self._numbered(given, [_old_score(each) for each in self._found(given, "scoreIds")])

    def _found(self, given: Any, ids: str) -> list[dict[str, Any]]:
        wanted = set(given[ids].split(",")) if ids in given else None
        return [
            each
            for each in self.scores.values()
            if _between(each, "timestamp", given, "Timestamp") and (wanted is None or each["id"] in wanted)
        ]

    def _take_score(self, _: Request, body: Any) -> Any:
        only_known(body, _SENT)
        if not body.get("name") or not (body.get("traceId") or body.get("sessionId")):
            raise Refused(400, "name and traceId are required")
        if body.get("dataType", "NUMERIC") == "NUMERIC" and not isinstance(body.get("value"), int | float):
            raise Refused(400, "value must be a number for NUMERIC scores")
        subject = {"kind": "trace", "id": body["traceId"]}
        if body.get("observationId"):
            subject = {"kind": "observation", "id": body["observationId"], "traceId": body["traceId"]}
        self.add_score(
            id=body["id"], timestamp=body["timestamp"], name=body["name"], value=body["value"], source="API",
            dataType=body["dataType"], comment=body.get("comment"), metadata=body.get("metadata"), subject=subject,
        )  # fmt: skip
        return {"id": body["id"]}

    def _numbered(self, given: Any, found: list[Any]) -> dict[str, Any]:
        limit, page = number(given, "limit", 50, 100), number(given, "page", 1, 10_000)
        meta = {"page": page, "limit": limit, "totalItems": len(found), "totalPages": -(-len(found) // limit)}
        return {"data": found[(page - 1) * limit : page * limit], "meta": meta}


def _between(item: Any, key: str, given: Any, suffix: str) -> bool:
    return between(item, key, given.get(f"from{suffix}"), given.get(f"to{suffix}"))


def _shown(item: Any, names: set[str], expanded: set[str]) -> Any:
    if not isinstance(item, dict):
        return item
    found = {key: value for key, value in item.items() if key in names}
    if isinstance(metadata := found.get("metadata"), dict):
        found["metadata"] = {k: v if k in expanded else _cut(v) for k, v in metadata.items()}
    return found


def _cut(value: Any) -> Any:
    return value[:200] if isinstance(value, str) else value


def _without(item: Any, names: Sequence[str]) -> Any:
    return {key: value for key, value in item.items() if key not in names} if isinstance(item, dict) else item


def _old_score(score: dict[str, Any]) -> dict[str, Any]:
    subject = score.get("subject") or {}
    text = isinstance(score.get("value"), str)
    return {
        **_without(score, ("subject",)),
        "traceId": subject.get("traceId", subject.get("id") if subject.get("kind") == "trace" else None),
        "observationId": subject.get("id") if subject.get("kind") == "observation" else None,
        "value": None if text else score.get("value"),
        **({"stringValue": score["value"]} if text else {}),
    }
