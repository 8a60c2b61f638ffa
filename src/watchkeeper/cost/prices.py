"""Prices behind our own guard: a cost is known or it has a reason why not, never silently zero.

genai-prices warns about usage it does not understand and then answers 0.00; here a warning is
"unknown", and so is a price of zero for tokens that were used.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import urlsplit

from watchkeeper.cost.rates import BUCKETS, Override, chosen
from watchkeeper.cost.usage import CONVENTIONS, counted
from watchkeeper.foundation.money import nano_usd
from watchkeeper.observability.request import Tokens
from watchkeeper.providers.interface import Usage

Reason = Literal["unknown_model", "no_usage", "suspect", "zero_price"]

_LARGEST = 2**53
"""Nano-dollars of one call; more is a wrong token count, and a sum would leave the store's 64 bits."""

_STANDARD = {"", "auto", "default", "standard", "standard_only", "on_demand"}
_TIERS = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast"},
}
"""Service tier -> what the library calls it; it takes an unknown word for the standard tier."""
_REMEMBERED = 10_000
_OTHER_NAMES = {"x_ai": "x-ai", "gcp.gen_ai": "google", "azure.ai.inference": "azure", "az.ai.inference": "azure"}
"""OpenTelemetry's names of providers that the library does not know; it knows the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """A known cost.

    Attributes:
        price_id: Which price it was, with its source and version.
    """

    nano_usd: int
    price_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """No cost, and why: no such model or provider, no token counts, counts that do not add up, or a
    list price of zero for tokens that were used."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """The rates of one model at one time.

    Attributes:
        usd_per_million: Bucket -> US dollars; "requests" is per call. Steps say from how many input tokens.
        price_id: As in Priced.
    """

    provider: str | None
    model: str
    usd_per_million: dict[str, Decimal]
    steps: dict[str, list[tuple[int, Decimal]]]
    source: str
    price_id: str


class PriceList:
    """Overrides first, then list prices. Remembers the models it does not know.

    Args:
        api_url: Of one provider, for calls that are ours; None when the calls name their providers.
        provider: That provider's name, for overrides.
        overrides: Negotiated rates; they win.
    """

    def __init__(
        self, api_url: str | None = None, *, provider: str | None = None, overrides: Sequence[Override] = ()
    ) -> None:
        self._api_url, self._provider, self._overrides = api_url, provider, tuple(overrides)
        self._unknown: dict[tuple[str | None, str], str] = {}
        # Nobody publishes prices for a server on this machine; and the list takes half a second to
        # load, which must not happen between two calls.
        self._has_list = api_url is None or urlsplit(api_url).hostname not in {"127.0.0.1", "localhost", "::1"}
        if self._has_list and api_url is not None:
            import genai_prices  # noqa: F401

    @property
    def version(self) -> str:
        """Changes whenever a call that has no price might have one now."""
        import genai_prices

        own = sha256(repr(self._overrides).encode()).hexdigest()[:8] if self._overrides else "none"
        return f"genai-prices {genai_prices.__version__}, overrides {own}"

    def cost(self, model: str, usage: Usage, *, at: datetime) -> int | None:
        """What one of our own calls cost at the price of its day.

        Args:
            model: The model that answered.
            usage: Its tokens; `input` includes cached tokens.
            at: When it was called; prices change, so never "now" for an old call.

        Returns:
            Nano-dollars, or None when the model, the provider or the token counts are unknown.
        """
        inclusive = {f.name: getattr(usage, f.name) for f in fields(usage)}
        found = counted(inclusive, CONVENTIONS["inclusive"])
        price = self.price(self._provider, model, found.tokens, at=at, suspect=found.suspect)
        return price.nano_usd if isinstance(price, Priced) else None

    def price(
        self,
        provider: str | None,
        model: str | None,
        tokens: Tokens,
        *,
        at: datetime,
        tier: str | None = None,
        suspect: str = "",
    ) -> Priced | Unpriced:
        """What a call cost.

        Args:
            provider: As the record names it; None lets the model's name decide.
            model: The model that answered, or that was asked when the answer did not say.
            at: When it was called.
            tier: The service tier, e.g. "flex"; None is the standard one.
            suspect: What is known to be wrong with the counts.
        """
        if suspect or any((getattr(tokens, bucket) or 0) < 0 for bucket in BUCKETS):
            return Unpriced(reason="suspect", detail=suspect or "a count below zero")
        if tokens.input is None or not sum(getattr(tokens, bucket) or 0 for bucket in BUCKETS):
            return Unpriced(reason="no_usage", detail="the call reported no tokens")
        if not model:
            return Unpriced(reason="unknown_model", detail="the call names no model")
        own = chosen(self._overrides, provider, model, at)
        if own is None:
            return self._listed(provider, model, tokens, at, tier)
        if tokens.wire_output is None and own.rates.output:
            return Unpriced(reason="no_usage", detail="the call reported no output tokens")
        parts = own.rates.dollars(tokens)
        if parts is None:
            return Unpriced(reason="unknown_model", detail=f"{own.id} has no rate for a bucket that was used")
        return _checked(sum(parts.values(), Decimal(0)), own.id)

    def card(self, provider: str | None, model: str, *, at: datetime) -> RateCard | Unpriced:
        """The rates a call of that model would be priced with at that time."""
        own = chosen(self._overrides, provider, model, at)
        if own is not None:
            rates = {b: r for b in BUCKETS if (r := own.rates.rate(b)) is not None}
            if own.rates.per_request:
                rates["requests"] = own.rates.per_request
            return RateCard(
                provider=provider, model=model, usd_per_million=rates, steps={}, source="override", price_id=own.id
            )
        found = self._calculated(provider, model, Tokens(input=1, output=1), at, None)
        if isinstance(found, Unpriced):
            return found
        rates, steps = {}, {}
        for name, rate in vars(found.model_price).items():
            bucket = name.removesuffix("_mtok").removesuffix("_kcount").removeprefix("output_")
            bucket = "output" if name == "output_mtok" else bucket
            if rate is None or (name.endswith("_kcount") and name != "requests_kcount"):
                continue
            per = Decimal(1) if name.endswith("_mtok") else Decimal(1) / 1000
            rates[bucket] = getattr(rate, "base", rate) * per
            if tiers := getattr(rate, "tiers", None):
                steps[bucket] = [(tier.start, tier.price) for tier in tiers]
        return RateCard(
            provider=found.provider.id,
            model=found.model.id,
            usd_per_million=rates,
            steps=steps,
            source=_source(),
            price_id=_id(found),
        )

    def _listed(
        self, provider: str | None, model: str, tokens: Tokens, at: datetime, tier: str | None
    ) -> Priced | Unpriced:
        found = self._calculated(provider, model, tokens, at, None)
        if isinstance(found, Unpriced):
            return found
        wanted = (tier or "").lower()
        if wanted not in _STANDARD:
            # A tier without a price of its own is silently charged as the standard one.
            standard = found
            if wanted in _TIERS:
                found = self._calculated(provider, model, tokens, at, wanted)
                if isinstance(found, Unpriced):
                    return found
            if vars(found.model_price) == vars(standard.model_price):
                return Unpriced(reason="unknown_model", detail=f"no price of {model} in the tier {wanted[:40]!r}")
        if tokens.wire_output is None and getattr(found.model_price, "output_mtok", None):
            return Unpriced(reason="no_usage", detail="the call reported no output tokens")
        if found.total_price == 0:
            return Unpriced(reason="zero_price", detail=f"{_id(found)} says the tokens were free")
        return _checked(found.total_price, _id(found))

    def _calculated(
        self, provider: str | None, model: str, tokens: Tokens, at: datetime, tier: str | None
    ) -> "Any | Unpriced":
        if not self._has_list:
            return Unpriced(reason="unknown_model", detail="nobody publishes prices of a server on this machine")
        if why := self._unknown.get((provider, model)):
            return Unpriced(reason="unknown_model", detail=why)
        import genai_prices

        counts = {
            "input_tokens": tokens.wire_input,
            "output_tokens": tokens.wire_output,
            "cache_read_tokens": tokens.cache_read,
            "cache_write_tokens": tokens.cache_write,
            "output_reasoning_tokens": tokens.reasoning if tokens.wire_output is not None else None,
        }
        where: dict[str, Any] = {"provider_api_url": self._api_url}
        if self._api_url is None:
            named = provider.lower() if provider else None
            where = {"provider_id": _OTHER_NAMES.get(named or "", named)}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                return genai_prices.calc_price(
                    genai_prices.Usage(**{name: n for name, n in counts.items() if n}),
                    model,
                    genai_request_timestamp=at,
                    price_context=_TIERS[tier] if tier else None,
                    **where,
                )
        except LookupError:
            why = f"{_source()} knows no price of {provider or 'any provider'}/{model}"
            if len(self._unknown) < _REMEMBERED:
                self._unknown[provider, model] = why
            return Unpriced(reason="unknown_model", detail=why)
        except (ValueError, Warning) as problem:
            return Unpriced(reason="suspect", detail=str(problem)[:200])


def _checked(dollars: Decimal, price_id: str) -> Priced | Unpriced:
    nano = nano_usd(dollars)
    if nano > _LARGEST:
        return Unpriced(reason="suspect", detail="more tokens than one call can have")
    return Priced(nano_usd=nano, price_id=price_id)


def _source() -> str:
    import genai_prices

    return f"genai-prices {genai_prices.__version__}"


def _id(found: Any) -> str:
    return f"{_source()} {found.provider.id}/{found.model.id}"
