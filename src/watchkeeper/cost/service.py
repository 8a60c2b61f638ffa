"""Price stored calls, once and again: what the command line and the flows call."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from watchkeeper.cost import store
from watchkeeper.cost.prices import Priced, PriceList, Unpriced
from watchkeeper.cost.store import Place, StoredCall
from watchkeeper.cost.store import UnpricedGroup as UnpricedGroup
from watchkeeper.database.engine import Store
from watchkeeper.observability.store.touched import touch

_TOGETHER = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """What one run found: calls that have a cost now, and calls that have a reason now."""

    priced: int
    unpriced: int


@dataclass(slots=True)
class Repriced:
    """What reckoning again did to the calls of one model, in nano-dollars.

    Attributes:
        unknown: Calls for which there is no price any more; they keep their figure.
    """

    provider: str | None
    model: str | None
    calls: int = 0
    changed: int = 0
    unknown: int = 0
    old_nano_usd: int = 0
    new_nano_usd: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Repricing:
    """The models in the order of their names."""

    models: list[Repriced] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """Calls whose cost is another one now."""
        return sum(each.changed for each in self.models)


def price_calls(opened: Store, price_list: PriceList, since: datetime | None = None, *, now: datetime) -> Pricing:
    """Price every stored call that has no cost and was not looked up in this price list yet.

    In batches, each committed by itself: it may be stopped and run again, and running it again changes nothing.
    Costs that came with the records stay.

    Raises:
        StoreFailed: If the store fails; the batches before it stay.
    """
    version = price_list.version
    priced = unpriced = 0
    after: Place | None = None
    while True:
        with opened.write() as session:
            store.one_pricing_at_a_time(session)
            page = store.request_page(
                session, since=since, until=None, after=after, limit=_TOGETHER, unpriced=True
            )  # fmt: skip
            costs, reasons = [], []
            for call in store.calls_to_price(session, page, version):
                found = _price(price_list, call)
                if isinstance(found, Priced):
                    costs.append((call, found.nano_usd, found.price_id))
                else:
                    reasons.append((call, found.reason, found.detail))
            store.set_costs(session, costs)
            store.set_reasons(session, reasons, version=version, now=now)
            touch(session, store.refresh_totals(session, [call for call, _, _ in costs]))
        priced += len(costs)
        unpriced += len(reasons)
        if len(page) < _TOGETHER:
            return Pricing(priced=priced, unpriced=unpriced)
        after = page[-1]


def reprice(
    opened: Store,
    price_list: PriceList,
    since: datetime,
    until: datetime | None = None,
    *,
    why: str,
    now: datetime,
    dry_run: bool = False,
) -> Repricing:
    """Reckon the costs of [since, until) again with today's price list; the old figures are kept beside.

    Only costs we reckoned: one that came with a record is not ours to change. A call whose price is not known
    any more keeps its figure.

    Raises:
        StoreFailed: If the store fails; the batches before it stay, and the same call goes on from there.
    """
    models: dict[tuple[str, str], Repriced] = {}
    for page in _pages(opened, since, until):
        with opened.write() if not dry_run else opened.read() as session:
            if not dry_run:
                store.one_pricing_at_a_time(session)
            changes = []
            for call in store.priced_calls(session, page, to_change=not dry_run):
                sums = models.setdefault(
                    (call.provider or "", call.model or ""), Repriced(provider=call.provider, model=call.model)
                )
                found, old = _price(price_list, call), call.cost_nano_usd or 0
                new = found.nano_usd if isinstance(found, Priced) else old
                sums.calls += 1
                sums.unknown += isinstance(found, Unpriced)
                sums.changed += new != old
                sums.old_nano_usd += old
                sums.new_nano_usd += new
                if isinstance(found, Priced) and new != old:
                    changes.append((call, new, found.price_id))
            if not dry_run:
                store.add_changes(session, changes, why=why, now=now)
                store.set_costs(session, changes)
                touch(session, store.refresh_totals(session, [call for call, _, _ in changes]))
    return Repricing(models=[models[key] for key in sorted(models)])


def unpriced_groups(opened: Store, since: datetime | None = None) -> list[UnpricedGroup]:
    """Calls without a cost by model and reason, the largest group first."""
    with opened.read() as session:
        return store.unpriced_groups(session, since)


def count_calls(opened: Store, since: datetime | None = None) -> int:
    """How many calls there are, priced or not."""
    with opened.read() as session:
        return store.count_calls(session, since)


def tidy(opened: Store) -> None:
    """Forget the reasons and the changes of calls that are no longer stored."""
    with opened.write() as session:
        store.remove_reasons_of_gone_calls(session)
        store.remove_changes_of_gone_calls(session)


def changes_of(opened: Store, trace_id: str) -> list[dict[str, object]]:
    """How the costs of a trace's calls were changed, oldest first."""
    with opened.read() as session:
        return store.changes_of(session, trace_id)


def _pages(opened: Store, since: datetime, until: datetime | None) -> Iterator[list[Place]]:
    after: Place | None = None
    while True:
        with opened.read() as session:
            page = store.request_page(
                session, since=since, until=until, after=after, limit=_TOGETHER, unpriced=False
            )  # fmt: skip
        yield page
        if len(page) < _TOGETHER:
            return
        after = page[-1]


def _price(price_list: PriceList, call: StoredCall) -> Priced | Unpriced:
    wrong = [flag for flag in call.flags if flag.startswith("usage.")]
    return price_list.price(
        call.provider,
        call.model,
        call.tokens,
        at=call.started_at,
        tier=call.tier,
        suspect=f"{', '.join(wrong)} did not add up in the record" if wrong else "",
    )
