"""What stored calls cost."""

from datetime import UTC, datetime, time, timedelta

from watchkeeper.app import App, runbook_shelf
from watchkeeper.cost import service as cost
from watchkeeper.cost.prices import PriceList
from watchkeeper.cost.rates import Override as RateOverride
from watchkeeper.cost.rates import Rates
from watchkeeper.cost.service import Pricing
from watchkeeper.cost.unpriced import unpriced_findings
from watchkeeper.incidents import service as incidents
from watchkeeper.incidents.reconcile import Scope
from watchkeeper.settings import Settings

_LATE = timedelta(days=8)
"""How long after its start a call may still be stored and is priced by the schedule; `prices check` looks at all."""


def price_records(app: App) -> Pricing:
    """Price the calls of the last days that have no cost; models that cannot be priced become incidents."""
    now = app.clock.now()
    done = cost.price_calls(app.store, price_list(app.settings), now - _LATE, now=now)
    cost.tidy(app.store)
    tell_unpriced(app)
    return done


def tell_unpriced(app: App) -> None:
    """Make the `unpriced-calls` incidents agree with the last day's calls."""
    now = app.clock.now()
    day = now - timedelta(days=1)
    incidents.reconcile(
        app.store,
        unpriced_findings(
            cost.unpriced_groups(app.store, day),
            cost.count_calls(app.store, day),
            least=app.settings.prices.alert_calls,
            share=app.settings.prices.alert_share,
        ),
        scope=Scope(kinds=frozenset({"unpriced-calls"})),
        now=now,
        first_moves=runbook_shelf(app.settings),
        actor="price_records",
    )


def price_list(settings: Settings) -> PriceList:
    """The prices of stored calls: the configured overrides, then the list."""
    return PriceList(overrides=rate_overrides(settings))


def rate_overrides(settings: Settings) -> list[RateOverride]:
    """The negotiated rates of the configuration."""
    return [
        RateOverride(
            provider=each.provider,
            model=each.model,
            effective_from=datetime.combine(each.effective_from, time(), UTC),
            rates=Rates(
                input=each.input,
                cache_read=each.cache_read,
                cache_write=each.cache_write,
                output=each.output,
                reasoning=each.reasoning,
                per_request=each.per_request,
            ),
        )
        for each in settings.prices.overrides
    ]
