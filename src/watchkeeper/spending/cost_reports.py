"""An invoice from the providers' cost APIs: an administrator's key, a page a time.

Sources: OpenAI's API reference, "Costs" (GET /v1/organization/costs); Anthropic's, "Get Cost Report"
(GET /v1/organizations/cost_report: amounts are cents).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from watchkeeper.foundation.clock import format_time
from watchkeeper.foundation.errors import Misconfigured, NotFound, Transient
from watchkeeper.foundation.money import NANO_PER_USD
from watchkeeper.sources.http import Api, Gone, Pace
from watchkeeper.spending.invoice import Line, start_of, usage_class
from watchkeeper.spending.invoice_csv import line_item

_MOST_PAGES = 2_000
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostApi:
    """Where a provider tells what it charged.

    Attributes:
        key_env: Environment variable an administrator's key is usually in.
        headers: Of a key.
        params: Of the days [first, last].
        lines: Of one day's item.
        began: When a bucket began.
    """

    base_url: str
    path: str
    key_env: str
    headers: Callable[[str], Mapping[str, str]]
    params: Callable[[date, date], Mapping[str, Any]]
    line: Callable[[date, Mapping[str, Any]], Line]
    began: Callable[[Mapping[str, Any]], datetime]


def fetch(
    provider: str, key: str, first: date, last: date, *, base_url: str | None = None, pace: Pace | None = None
) -> list[Line]:
    """What a provider charged in the days [first, last], UTC.

    Args:
        provider: Of COST_APIS.
        base_url: Instead of the provider's own, e.g. of a proxy.

    Raises:
        NotFound: If that provider has no such API.
        Misconfigured: If the key or the address was refused.
        Transient: If it did not answer, or not usefully.
    """
    if provider not in COST_APIS:
        raise NotFound("cost API", provider, list(COST_APIS))
    known = COST_APIS[provider]
    try:
        api = Api(
            name=f"{provider} costs",
            base_url=base_url or known.base_url,
            headers=known.headers(key),
            secrets=(key,),
            pace=pace,
        )
        try:
            return [line for bucket in _buckets(provider, known, api, first, last) for line in _lines(known, bucket)]
        finally:
            api.close()
    except Gone:
        raise Misconfigured(f"{provider} costs: no such API there; is --base-url the provider's own address?") from None
    except Misconfigured as error:
        said = str(error).removeprefix("sources.").replace(".base_url", " --base-url")
        hint = f"; it takes an administrator's key ({known.key_env})" if "key was refused" in said else ""
        raise Misconfigured(f"{said}{hint}") from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError):
        raise Transient(f"{provider} costs: answered something else than costs; is --base-url right?") from None


def _buckets(provider: str, known: CostApi, api: Api, first: date, last: date) -> Iterator[Mapping[str, Any]]:
    page: str | None = None
    for _ in range(_MOST_PAGES):
        answer = api.get(known.path, {**known.params(first, last), "page": page})
        yield from answer["data"]
        if not answer["has_more"]:
            return
        before, page = page, answer["next_page"]
        if not page or page == before:
            raise Transient(f"{provider} costs: says that there is more, but not where; try again")
    raise Transient(f"{provider} costs: more than {_MOST_PAGES:,} pages; ask for fewer days")


def _lines(known: CostApi, bucket: Mapping[str, Any]) -> Iterator[Line]:
    day = known.began(bucket).astimezone(UTC).date()
    for item in bucket["results"]:
        yield known.line(day, item)


def _openai_line(day: date, item: Mapping[str, Any]) -> Line:
    amount = item["amount"]
    model, usage, batch = line_item(_name(item.get("line_item")))
    return Line(day=day, model=model, usage=usage, batch=batch, nano_usd=_nano(amount["value"], amount["currency"]))


def _anthropic_line(day: date, item: Mapping[str, Any]) -> Line:
    return Line(
        day=day,
        model=_name(item.get("model")),
        usage=usage_class(item.get("token_type")),
        batch=item.get("service_tier") == "batch",
        nano_usd=_nano(Decimal(str(item["amount"])) / 100, item["currency"]),
    )


def _name(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("a name is a text")
    return value


def _nano(amount: Any, currency: str) -> int:
    if currency.upper() != "USD":
        raise Misconfigured(f"the costs are in {currency[:20]!r} and not in USD; they cannot be compared")
    return int((Decimal(str(amount)) * NANO_PER_USD).to_integral_value())


def _seconds(day: date) -> int:
    return int(start_of(day, _UTC).timestamp())


COST_APIS: Mapping[str, CostApi] = {
    "openai": CostApi(
        base_url="https://api.openai.com",
        path="/v1/organization/costs",
        key_env="OPENAI_ADMIN_KEY",
        headers=lambda key: {"authorization": f"Bearer {key}"},
        params=lambda first, last: {
            "start_time": _seconds(first),
            "end_time": _seconds(last + timedelta(days=1)),
            "bucket_width": "1d",
            "group_by": ["line_item"],
            "limit": 180,
        },
        line=_openai_line,
        began=lambda bucket: datetime.fromtimestamp(bucket["start_time"], UTC),
    ),
    "anthropic": CostApi(
        base_url="https://api.anthropic.com",
        path="/v1/organizations/cost_report",
        key_env="ANTHROPIC_ADMIN_KEY",
        headers=lambda key: {"x-api-key": key, "anthropic-version": "2023-06-01"},
        params=lambda first, last: {
            "starting_at": format_time(start_of(first, _UTC)),
            "ending_at": format_time(start_of(last + timedelta(days=1), _UTC)),
            "bucket_width": "1d",
            "group_by[]": ["description"],
            "limit": 31,
        },
        line=_anthropic_line,
        began=lambda bucket: datetime.fromisoformat(bucket["starting_at"]),
    ),
}
"""Provider -> its API."""
