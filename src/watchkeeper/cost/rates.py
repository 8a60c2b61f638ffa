"""What tokens cost at stated rates, exactly; and the rates a team has negotiated, by date."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from fnmatch import fnmatchcase
from hashlib import sha256

from watchkeeper.observability.request import Tokens

BUCKETS = ("input", "cache_read", "cache_write", "output", "reasoning")
_INSTEAD = {"cache_read": "input", "cache_write": "input", "reasoning": "output"}
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """US dollars per million tokens of each bucket, and per call.

    Attributes:
        cache_read: None is charged as input; cache_write likewise, reasoning as output.
    """

    input: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    output: Decimal | None = None
    reasoning: Decimal | None = None
    per_request: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        for name in (*BUCKETS, "per_request"):
            rate = getattr(self, name)
            if rate is not None and not (rate.is_finite() and rate >= 0):
                raise ValueError(f"{name}: US dollars must be finite and >= 0, got {rate}")

    def rate(self, bucket: str) -> Decimal | None:
        """Of one bucket; None when it has none and the one it would be charged as neither."""
        own: Decimal | None = getattr(self, bucket)
        return own if own is not None or bucket not in _INSTEAD else getattr(self, _INSTEAD[bucket])

    def dollars(self, tokens: Tokens) -> dict[str, Decimal] | None:
        """What each bucket costs, exactly, and "per_request"; None when a used bucket has no rate."""
        parts = {"per_request": self.per_request}
        with localcontext(prec=60):
            for bucket in BUCKETS:
                count, rate = getattr(tokens, bucket) or 0, self.rate(bucket)
                if count and rate is None:
                    return None
                parts[bucket] = count * (rate or Decimal(0)) / _MILLION
        return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Rates of your own for some models of one provider, from a time on.

    Attributes:
        provider: As records spell it, in any case; "*" is every one, also none.
        model: Glob over the model's name, e.g. "gpt-4o*".
        effective_from: Calls from then on; aware.
    """

    provider: str
    model: str
    effective_from: datetime
    rates: Rates

    @property
    def id(self) -> str:
        """Names the override and its rates: a changed rate is another price."""
        digest = sha256(repr(self.rates).encode()).hexdigest()[:8]
        return f"override {self.provider}/{self.model} from {self.effective_from.date()} #{digest}"

    def covers(self, provider: str | None, model: str, at: datetime) -> bool:
        """Whether it is for that call."""
        theirs = (provider or "").lower()
        return (
            self.provider in ("*", theirs) or self.provider.lower() == theirs
        ) and self.effective_from <= at and fnmatchcase(model, self.model)  # fmt: skip

    @property
    def _closeness(self) -> tuple[bool, bool, int, datetime]:
        literal = len(self.model.translate({ord(c): None for c in "*?[]"}))
        return self.provider != "*", literal == len(self.model), literal, self.effective_from


def chosen(overrides: Sequence[Override], provider: str | None, model: str, at: datetime) -> Override | None:
    """The override for a call: the closest provider and model, of those the newest, of those the last written."""
    found: Override | None = None
    for each in overrides:
        if each.covers(provider, model, at) and (found is None or each._closeness >= found._closeness):
            found = each
    return found
