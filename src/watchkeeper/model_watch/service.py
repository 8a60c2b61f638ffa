"""Reads every provider's model list, remembers what was seen, and says what appeared."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from watchkeeper.database.engine import Store
from watchkeeper.foundation.errors import Misconfigured, Transient
from watchkeeper.model_watch import store
from watchkeeper.model_watch.sighting import Appeared, FollowedRoute, appearances, is_upgrade, new_models
from watchkeeper.model_watch.store import Sighting
from watchkeeper.providers.connect import ProviderConfig, connect
from watchkeeper.providers.interface import ChatModel, OfferedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchReport:
    """What one round over the catalogues found.

    Attributes:
        read: Provider -> how many models it offers.
        failed: Provider -> why its list could not be read; nothing is concluded about its models.
        appeared: New models that some route follows; to be announced, then marked so.
    """

    read: Mapping[str, int]
    failed: Mapping[str, str]
    appeared: Sequence[Appeared]


def watch(
    opened: Store,
    providers: Mapping[str, ProviderConfig],
    routes: Sequence[FollowedRoute],
    *,
    now: datetime,
    connect_to: Callable[[ProviderConfig], ChatModel] = connect,
) -> WatchReport:
    """One round. The first reading of a provider's list only learns it: nothing in it is new."""
    lists = asyncio.run(_read_all(providers, connect_to))
    read: dict[str, int] = {}
    failed: dict[str, str] = {}
    with opened.write() as session:
        for provider, answer in lists.items():
            if isinstance(answer, str):
                failed[provider] = answer
                store.record_failure(session, provider, answer, now=now)
                continue
            offered = {model.id: model.retires_on for model in answer}
            seen = [s.model for s in store.sightings(session, provider)]
            first = not store.was_read(session, provider)
            silent = {
                model
                for model in new_models(offered, seen)
                if first or not any(is_upgrade(route, f"{provider}/{model}") for route in routes)
            }
            store.record_read(session, provider, offered, silent=silent, now=now)
            read[provider] = len(offered)
        session.flush()
        waiting = store.unannounced(session)
    return WatchReport(read=read, failed=failed, appeared=appearances(waiting, routes))


def announced(opened: Store, appeared: Sequence[Appeared], *, now: datetime) -> None:
    """Remember that these were handed on; until then every round finds them again."""
    with opened.write() as session:
        store.mark_announced(session, [each.candidate for each in appeared], now=now)


def seen_models(opened: Store) -> list[Sighting]:
    """Every model ever seen, by provider and name."""
    with opened.read() as session:
        return store.sightings(session)


def catalog_polls(opened: Store) -> dict[str, tuple[datetime | None, datetime | None, str | None]]:
    """Provider -> when its list was last read, when it last failed, and why."""
    with opened.read() as session:
        return store.polls(session)


async def _read_all(
    providers: Mapping[str, ProviderConfig], connect_to: Callable[[ProviderConfig], ChatModel]
) -> dict[str, list[OfferedModel] | str]:
    async def read(config: ProviderConfig) -> list[OfferedModel] | str:
        chat = connect_to(config)
        try:
            return await chat.list_models()
        except (Transient, Misconfigured) as error:
            return str(error)
        finally:
            await chat.aclose()

    return dict(zip(providers, await asyncio.gather(*(read(c) for c in providers.values())), strict=True))
