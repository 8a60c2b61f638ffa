"""Helicone's API as its server's source has it: the ClickHouse query, bodies behind signed addresses, scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.edges.source_stand_ins.server import Refused, StandIn, between, number, only_known

KEY = "sk-helicone-stand-in-0123456789"
ELSEWHERE = '{"helicone_message": "fetching body from signed_url... contact engineering@helicone.ai"}'
_QUERY = "filter offset limit sort isCached includeInputs isPartOfExperiment isScored"


@dataclass
class HeliconeStandIn(StandIn):
    """One organisation.

    Attributes:
        rows: Its requests, in any order; created times as ClickHouse writes them.
        bodies: Request id -> {"request", "response"}, as they lie in the object store.
        error_inside: What went wrong with the query, told with a status of 200.
        arriving: Rows that are there from the second query on.
        scores: Request id -> name -> value.
    """

    rows: list[Any] = field(default_factory=list)
    bodies: dict[str, Any] = field(default_factory=dict)
    error_inside: str | None = None
    arriving: list[Any] = field(default_factory=list)
    scores: dict[str, dict[str, int | bool]] = field(default_factory=dict)

    def add(self, name: str, start: str, text: str = "Hi") -> None:
        body = {"model": "gpt-5", "messages": [{"role": "user", "content": text}]}
        answer = {"choices": [{"message": {"role": "assistant", "content": text}}]}
        self.rows.append({
            "request_id": name, "request_created_at": start.replace("T", " ").removesuffix("Z"), "delay_ms": 0,
            "response_status": 200, "request_model": name, "request_body": body, "response_body": answer,
        })  # fmt: skip

    def add_broken(self) -> None:
        self.rows.append(17)

    def pushed(self) -> list[tuple[str, float]]:
        return [
            (name.removeprefix("watchkeeper-"), value / 100)
            for scores in self.scores.values()
            for name, value in scores.items()
        ]

    def let_in(self, request: Request) -> None:
        told = request.headers.get("authorization")
        if request.url.path.startswith("/bodies/"):
            if told is not None:
                raise Refused(400, "Only one auth mechanism allowed")
            if request.query_params.get("X-Amz-Signature") != "good":
                raise Refused(403, "Request has expired")
        elif told != f"Bearer {KEY}":
            raise Refused(401, f"Invalid API key: {told}")

    def error(self, status: int, message: str) -> Response:
        return JSONResponse({"data": None, "error": message}, status)

    def routes(self) -> Sequence[tuple[str, str, Callable[[Request, Any], Any]]]:
        return [
            ("POST", "/v1/request/query-clickhouse", self._query),
            ("POST", "/v1/request/{id}/score", self._take_scores),
            ("GET", "/bodies/{id}", self._body),
        ]

    def signed(self, name: str, signature: str = "good") -> str:
        """The address of a body."""
        return f"{self.base_url}/bodies/{name}?X-Amz-Signature={signature}"

    def _query(self, _: Request, body: Any) -> Any:
        only_known(body, _QUERY)
        if self.error_inside:
            return {"data": None, "error": self.error_inside}
        since, until = _bounds(body["filter"])
        if body.get("sort") != {"created_at": "asc"}:
            raise Refused(400, "unknown sort")
        offset, limit = number(body, "offset", 0, 10_000, least=0), number(body, "limit", 10, 1000, least=0)
        found = [row for row in self.rows if between(row, "request_created_at", since, until)]
        found.sort(key=lambda row: row["request_created_at"] if isinstance(row, dict) else "")
        self.rows += self.arriving
        self.arriving = []
        return {"data": found[offset : offset + limit], "error": None}

    def _take_scores(self, request: Request, body: Any) -> Any:
        only_known(body, "scores")
        for value in body["scores"].values():
            if not isinstance(value, int):
                raise Refused(500, "Error adding scores to request.")
        self.scores.setdefault(request.path_params["id"], {}).update(body["scores"])
        return JSONResponse({"data": None, "error": None}, 201)

    def _body(self, request: Request, _: Any) -> Any:
        found = self.bodies.get(request.path_params["id"])
        if found is None:
            return PlainTextResponse("<Error><Code>NoSuchKey</Code></Error>", 404, media_type="application/xml")
        return found


def _bounds(tree: Any) -> tuple[str, str]:
    """Leaves of request_created_at, joined by "and"."""
    only_known(tree, "left operator right")
    if tree["operator"] != "and":
        raise Refused(400, "operator")
    leaves = [side["request_response_rmt"]["request_created_at"] for side in (tree["left"], tree["right"])]
    both = {**leaves[0], **leaves[1]}
    return both["gte"], both["lt"]
