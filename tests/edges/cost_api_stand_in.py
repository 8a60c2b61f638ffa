"""OpenAI's and Anthropic's cost APIs on loopback: they check what they are sent, and page as theirs do."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from starlette.requests import Request

from tests.edges.source_stand_ins.server import Refused, StandIn, number, only_known

KEY = "sk-admin-0123456789"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


class CostApis(StandIn):
    """Both; `openai` and `anthropic` hold day -> what was charged on it, in that API's own words."""

    def __init__(self) -> None:
        super().__init__(page_size=2)
        self.openai: dict[date, list[dict[str, Any]]] = {}
        self.anthropic: dict[date, list[dict[str, Any]]] = {}
        self.broken_page: Any = None

    def routes(self) -> Sequence[tuple[str, str, Callable[[Request, Any], Any]]]:
        return [
            ("GET", "/v1/organization/costs", self._openai),
            ("GET", "/v1/organizations/cost_report", self._anthropic),
        ]

    def let_in(self, request: Request) -> None:
        """OpenAI takes a bearer token, Anthropic its own header and a version."""
        if request.url.path.startswith("/v1/organizations/"):
            if request.headers.get("anthropic-version") != "2023-06-01":
                raise Refused(400, "anthropic-version: header is required")
            if request.headers.get("x-api-key") != KEY:
                raise Refused(401, f"invalid x-api-key {request.headers.get('x-api-key')}")
        elif request.headers.get("authorization") != f"Bearer {KEY}":
            raise Refused(401, f"Incorrect API key provided: {request.headers.get('authorization')}")

    def _openai(self, request: Request, _body: Any) -> Any:
        given = request.query_params
        only_known(given, "start_time end_time bucket_width group_by limit page project_ids api_key_ids")
        if given.getlist("group_by") != ["line_item"] or given.get("bucket_width") != "1d":
            raise Refused(400, "these tests want days by line_item")
        number(given, "limit", 7, 180)
        since = datetime.fromtimestamp(int(given["start_time"]), UTC).date()
        until = datetime.fromtimestamp(int(given["end_time"]), UTC).date()
        buckets = [
            {
                "object": "bucket",
                "start_time": int(_midnight(day).timestamp()),
                "end_time": int(_midnight(day + timedelta(days=1)).timestamp()),
                "results": self.openai.get(day, []),
            }
            for day in _days(since, until)
        ]
        return self._paged(buckets, request, "page")

    def _anthropic(self, request: Request, _body: Any) -> Any:
        given = request.query_params
        only_known(given, "starting_at ending_at bucket_width group_by[] limit page")
        if given.getlist("group_by[]") != ["description"] or given.get("bucket_width") != "1d":
            raise Refused(400, "these tests want days by description")
        number(given, "limit", 7, 31)
        since, until = (datetime.fromisoformat(given[name]).date() for name in ("starting_at", "ending_at"))
        buckets = [
            {
                "starting_at": f"{day}T00:00:00Z",
                "ending_at": f"{day + timedelta(days=1)}T00:00:00Z",
                "results": self.anthropic.get(day, []),
            }
            for day in _days(since, until)
        ]
        return self._paged(buckets, request, None)

    def _paged(self, buckets: list[Any], request: Request, kind: str | None) -> Any:
        if self.broken_page is not None:
            return self.broken_page
        items, following = self.page(buckets, request.query_params.get("page"), int(request.query_params["limit"]))
        page = {"data": items, "has_more": following is not None, "next_page": following}
        return {"object": kind, **page} if kind else page


def _days(since: date, until: date) -> list[date]:
    return [since + timedelta(days=n) for n in range((until - since).days)]


def openai_item(line_item: str | None, value: float | str, currency: str = "usd") -> dict[str, Any]:
    """One result of OpenAI's."""
    return {
        "object": "organization.costs.result",
        "amount": {"value": value, "currency": currency},
        "line_item": line_item,
        "project_id": None,
    }


def anthropic_item(model: str | None, token_type: str | None, cents: str, tier: str = "standard") -> dict[str, Any]:
    """One result of Anthropic's; the amount is cents."""
    return {
        "amount": cents,
        "currency": "USD",
        "cost_type": "tokens" if model else "web_search",
        "description": f"{model} Usage - {token_type}",
        "model": model,
        "token_type": token_type,
        "service_tier": tier,
        "context_window": "0-200k",
        "workspace_id": None,
    }
