"""What a call of our own cost: what the provider says it did, else the price of its day."""

from collections.abc import Callable

from watchkeeper.cost.prices import PriceList
from watchkeeper.foundation.clock import Clock
from watchkeeper.providers.interface import Completion

Price = Callable[[Completion], int | None]
"""What a call cost, in nano-dollars, or None."""


def price_by(prices: PriceList, model: str, clock: Clock) -> Price:
    """The price of calls that ask for `model`, by the model that answered."""

    def price(completion: Completion) -> int | None:
        if completion.cost_nano_usd is not None:
            return completion.cost_nano_usd
        return prices.cost(completion.model_served or model, completion.usage, at=clock.now())

    return price
