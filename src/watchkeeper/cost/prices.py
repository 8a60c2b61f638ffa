"""List prices behind our own guard: a cost is known or it is None, never silently zero.

genai-prices warns about usage it does not understand and then answers 0.00; here a warning is
"unknown", and so is a price of zero for tokens that were used.
"""

import warnings
from datetime import datetime
from urllib.parse import urlsplit

from watchkeeper.foundation.money import nano_usd
from watchkeeper.providers.interface import Usage


class PriceList:
    """Prices of one provider, asked by its API address. Remembers the models it does not know."""

    def __init__(self, api_url: str) -> None:
        self._api_url = api_url
        self._unknown: set[str] = set()
        # Nobody publishes prices for a server on this machine; and the list takes half a second to
        # load, which must not happen between two calls.
        self._has_list = urlsplit(api_url).hostname not in {"127.0.0.1", "localhost", "::1"}
        if self._has_list:
            import genai_prices  # noqa: F401

    def cost(self, model: str, usage: Usage, *, at: datetime) -> int | None:
        """What a call cost at the list price of its day.

        Args:
            model: The model that answered.
            usage: Its tokens; `input` includes cached tokens.
            at: When it was called; prices change, so never "now" for an old call.

        Returns:
            Nano-dollars, or None when the model, the provider or the token counts are unknown.
        """
        if not self._has_list or usage.input is None or usage.output is None or model in self._unknown:
            return None
        import genai_prices

        counts = genai_prices.Usage(
            input_tokens=usage.input,
            output_tokens=usage.output,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                price = genai_prices.calc_price(
                    counts, model, provider_api_url=self._api_url, genai_request_timestamp=at
                ).total_price
        except LookupError:
            self._unknown.add(model)
            return None
        except (ValueError, Warning):
            return None
        if price == 0 and usage.input + usage.output > 0:
            return None
        return nano_usd(price)
