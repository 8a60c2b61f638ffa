"""Sections of the configuration about spend and speed; what all sections have in common."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

from watchkeeper.foundation.clock import parse_age
from watchkeeper.foundation.errors import NotFound


class Section(BaseModel):
    """A section: a key it does not know is a mistake, and nothing changes it once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BudgetSettings(Section):
    """One spending limit."""

    name: str = Field(min_length=1, max_length=80, description="What messages call it.")
    period: str = Field("month", description="day, week, month, or what rolls with the present: 24h, 7d, 30d.")
    limit_usd: Decimal = Field(ge=Decimal("0.000001"), le=1_000_000_000, description="US dollars per period.")
    where: dict[str, str] = Field(
        default_factory=dict, description='Only requests with these labels of the facts; "" is those without it.'
    )
    timezone: str = Field("UTC", description="Whose days, weeks and months, e.g. Europe/Berlin.")
    week_start: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = Field(
        "monday", description="First day of a week."
    )
    spend: Literal["llm", "judge", "regression"] = Field(
        "llm", description='Whose calls: the application\'s; or those of records with source = "judge", "regression".'
    )
    thresholds: list[float] = Field(
        [0.5, 0.8, 1.0], max_length=20, description="Shares of the limit that are told, each once a period; ascending."
    )
    alert_usd: Decimal = Field(
        Decimal("0.5"), ge=0, description="US dollars above the usual below which no spike is told: cents never alarm."
    )

    @field_validator("period")
    @classmethod
    def _is_a_period(cls, value: str) -> str:
        if value in ("day", "week", "month"):
            return value
        try:
            length = parse_age(value)
        except ValueError:
            raise ValueError(f"write day, week, month, or a length such as 24h or 7d, not {value[:40]!r}") from None
        if not timedelta(hours=1) <= length <= timedelta(days=366):
            raise ValueError(f"a rolling period has between 1h and 366d, not {value}")
        return value

    @field_validator("where")
    @classmethod
    def _names_labels(cls, value: dict[str, str]) -> dict[str, str]:
        if value:
            from watchkeeper.facts.columns import FACTS

            known = list(dict.fromkeys(label for table in FACTS.values() for label in table.labels))
            for name in value:
                if name not in known:
                    raise ValueError(str(NotFound("label", name, known)))
        return value

    @field_validator("timezone")
    @classmethod
    def _exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {value[:60]!r}; write e.g. Europe/Berlin") from None
        return value

    @field_validator("thresholds")
    @classmethod
    def _ascend(cls, value: list[float]) -> list[float]:
        if not all(0 < each <= 10 for each in value):
            raise ValueError("a threshold is a share of the limit, above 0 and at most 10: 0.8 is 80 %")
        if any(one >= two for one, two in pairwise(value)):
            raise ValueError(f"out of order: {value}; write them ascending, each once")
        return value


class LatencySettings(Section):
    """When answers count as slower."""

    ratio: float = Field(1.2, gt=1, le=100, description="Times the past's quantile below which nobody is told.")
    requests_per_day: int = Field(
        100,
        ge=1,
        description="Fewer of a route, model and prompt version are looked at together with others of the route.",
    )


class PriceOverrideSettings(Section):
    """A negotiated rate, in US dollars per million tokens; it wins over the list price."""

    provider: str = Field(description='As the records name it; "*" is every provider.')
    model: str = Field(min_length=1, description="Glob over the model's name, e.g. gpt-4o*.")
    effective_from: date = Field(description="First day (UTC) it holds.")
    input: Decimal | None = Field(None, ge=0, description="Input tokens that are neither read from nor put in a cache.")
    cache_read: Decimal | None = Field(None, ge=0, description="Default: as input.")
    cache_write: Decimal | None = Field(None, ge=0, description="Default: as input.")
    output: Decimal | None = Field(None, ge=0, description="Output tokens without reasoning.")
    reasoning: Decimal | None = Field(None, ge=0, description="Default: as output.")
    per_request: Decimal = Field(Decimal(0), ge=0, description="US dollars of every call besides its tokens.")


class PriceSettings(Section):
    """What calls cost where the list price is not what you pay."""

    overrides: list[PriceOverrideSettings] = Field([], description="Rates of your own.")
    alert_calls: int = Field(5, ge=1, description="Unpriced calls of one model in a day before somebody is told.")
    alert_share: float = Field(0.01, ge=0, le=1, description="And at least this share of the day's calls.")
