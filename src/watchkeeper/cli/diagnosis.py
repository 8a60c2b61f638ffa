"""What `doctor` looks at: the store and what is in it, spend and speed, sources, providers, suites, the outbox."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from watchkeeper.app import App, configured_suite, provider_configs
from watchkeeper.budgets import service as budgets
from watchkeeper.budgets.words import period_name
from watchkeeper.cost import service as cost
from watchkeeper.deployments import read_deployments
from watchkeeper.facts import service as facts
from watchkeeper.foundation.clock import format_time
from watchkeeper.foundation.errors import WatchkeeperError
from watchkeeper.foundation.money import show_usd
from watchkeeper.incidents import service as incidents
from watchkeeper.jobs import scoring
from watchkeeper.jobs.budgets import budgets_of
from watchkeeper.jobs.prices import price_list
from watchkeeper.latency import service as latency
from watchkeeper.migrations.migrate import current_revision
from watchkeeper.model_watch import service as model_watch
from watchkeeper.observability import service as observability
from watchkeeper.providers.connect import ProviderConfig, connect
from watchkeeper.regression import service as regression
from watchkeeper.regression.suite_files import suite_names
from watchkeeper.scoring.funnel import summed
from watchkeeper.settings import privacy_policy
from watchkeeper.sources import service as sources

_CLOCKS_DIFFER = timedelta(minutes=5)
_STALE = timedelta(hours=3)
"""How old the last hourly check may be before it is worth a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing and how it is: "ok", "note" (works, worth knowing) or "problem" (needs a person)."""

    what: str
    state: Literal["ok", "note", "problem"]
    detail: str


def examine(app: App) -> list[Line]:
    """Every line, in the order of the pillars."""
    return [
        Line(
            what="store", state="ok", detail=f"{app.store.dialect}, schema {current_revision(app.settings.store.url)}"
        ),
        _records(app),
        _privacy(app),
        _intake(app),
        _prices(app),
        _facts(app),
        *_budgets(app),
        _latency(app),
        *_sources(app),
        *_providers(app),
        *_routes(app),
        *_suites(app),
        *_scoring(app),
        *_catalogues(app),
        *_last_check(app),
        *_channel(app),
        Line(
            what="flows",
            state="ok",
            detail="; ".join(f"{d.name} {d.when()}" for d in read_deployments()),
        ),
    ]


def _records(app: App) -> Line:
    held = observability.stock(app.store)
    if held.newest is None:
        return Line(what="records", state="note", detail="none yet; watchkeeper records import FILE")
    age = app.clock.now() - held.newest
    detail = f"{held.total} requests, the newest of {format_time(held.newest)[:16]}Z, {_age(age)}"
    if age < -_CLOCKS_DIFFER:
        return Line(
            what="records", state="note", detail=f"{detail}: whether requests still arrive cannot be seen by it"
        )
    # A day without a request may be a quiet one; nobody but a person can say.
    return Line(what="records", state="note" if age > timedelta(days=1) else "ok", detail=detail)


def _privacy(app: App) -> Line:
    try:
        policy = privacy_policy(app.settings)
    except WatchkeeperError as error:
        return Line(what="privacy", state="problem", detail=f"{error}; nothing is taken until then")
    masked = "masked" if policy.redactor else "not masked"
    routes = [f"{name} {content}" for name, content in policy.routes.items() if content != policy.content]
    kept = f"content {policy.content}" + (f", {', '.join(routes)}" if routes else "")
    users = "user ids hashed" if policy.secret else "user ids not kept"
    return Line(what="privacy", state="ok", detail=f"{kept}; addresses, phones, cards and keys {masked}; {users}")


def _intake(app: App) -> Line:
    """What the receiver did to what was sent; it counts by day, so yesterday is in it from its beginning."""
    since = app.clock.now() - timedelta(days=1)
    counts = observability.intake_counts(app.store, since)
    day = format_time(since)[:10]
    if not counts:
        return Line(what="intake", state="ok", detail=f"nothing dropped, mended or refused since {day}")
    said = ", ".join(f"{count} x {name}" for name, count in sorted(counts.items()))
    return Line(what="intake", state="note", detail=f"since {day}: {said}; docs/records.md says what each means")


def _facts(app: App) -> Line:
    found = facts.state(app.store, app.settings.store.facts)
    detail = f"{found.hours} hours written, {found.bytes / 2**20:,.1f} MB"
    if found.oldest_open is None:
        return Line(what="facts", state="ok", detail=f"{detail}, none open")
    # The present hour is open, and the one before it for some minutes; a schedule that runs has written the others.
    behind = app.clock.now() - found.oldest_open > timedelta(hours=2)
    detail += f", the oldest open hour begins {format_time(found.oldest_open)[:16]}Z"
    return Line(what="facts", state="note" if behind else "ok", detail=detail)


def _age(age: timedelta) -> str:
    seconds = round(age.total_seconds())
    if seconds < 0:
        return "ahead of this machine's clock"
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def _prices(app: App) -> Line:
    day = app.clock.now() - timedelta(days=1)
    unpriced = sum(group.calls - group.failed for group in cost.unpriced_groups(app.store, day))
    detail = price_list(app.settings).version
    if unpriced:
        return Line(
            what="prices", state="note", detail=f"{detail}; {unpriced} calls of a day: watchkeeper prices check"
        )
    return Line(what="prices", state="ok", detail=f"{detail}; every call of the last day is priced")


def _budgets(app: App) -> Iterator[Line]:
    """What the last check of each budget said; it is not checked here."""
    last = budgets.last_checks(app.store)
    for budget in budgets_of(app.settings):
        seen, limit = last.get(budget.name), show_usd(budget.limit_nano_usd)
        if seen is None:
            detail = f"{limit} a {period_name(budget)}, never checked; watchkeeper budgets check"
            yield Line(what=f"budget {budget.name}", state="note", detail=detail)
            continue
        unpriced = f", {seen.unpriced} calls without a cost" if seen.unpriced else ""
        age = _age(app.clock.now() - seen.checked_at)
        detail = f"{seen.verdict}, {show_usd(seen.spent_nano_usd)} of {limit} a {period_name(budget)}{unpriced}, {age}"
        yield Line(what=f"budget {budget.name}", state="ok" if seen.verdict == "within" else "note", detail=detail)


def _latency(app: App) -> Line:
    last = latency.last_check(app.store)
    if last is None:
        return Line(what="latency", state="note", detail="never checked; watchkeeper latency check")
    age = app.clock.now() - last.checked_at
    detail = f"{last.compared} of {last.streams} streams compared, {last.slow} findings, {_age(age)}"
    return Line(what="latency", state="note" if last.slow or age > _STALE else "ok", detail=detail)


def _sources(app: App) -> Iterator[Line]:
    marks = sources.watermarks(app.store)
    for name, section in app.settings.sources.items():
        mark = marks.get(name)
        pulled = "never pulled"
        if mark is not None and mark.pulled_until is not None:
            pulled = f"pulled until {format_time(mark.pulled_until)[:16]}Z"
        detail = f"{section.kind}, {pulled}"
        if mark is not None and mark.error is not None:
            yield Line(what=f"source {name}", state="problem", detail=f"{detail}; {mark.error}")
        elif mark is None or mark.pulled_until is None:
            yield Line(what=f"source {name}", state="note", detail=f"{detail}; watchkeeper records pull {name}")
        else:
            yield Line(what=f"source {name}", state="ok", detail=detail)


def _providers(app: App) -> Iterator[Line]:
    configs = provider_configs(app.settings)
    if not configs:
        yield Line(what="providers", state="problem", detail="none; add [providers.NAME] to watchkeeper.toml")
    for name, config in configs.items():
        section = app.settings.providers[name]
        if section.api_key_env and section.api_key is None:
            yield Line(what=f"provider {name}", state="problem", detail=f"{section.api_key_env} is not set")
            continue
        try:
            yield Line(
                what=f"provider {name}",
                state="ok",
                detail=f"{asyncio.run(_offered(config))} models at {config.base_url}",
            )
        except WatchkeeperError as error:
            yield Line(what=f"provider {name}", state="problem", detail=str(error))


async def _offered(config: ProviderConfig) -> int:
    chat = connect(config)
    try:
        return len(await chat.list_models())
    finally:
        await chat.aclose()


def _routes(app: App) -> Iterator[Line]:
    guarded: dict[str, list[str]] = {}
    for name in suite_names(app.settings.suites.path):
        try:
            for route in configured_suite(app.settings, name).routes:
                guarded.setdefault(route, []).append(name)
        except WatchkeeperError:
            continue  # said by the suites' own lines
    for route, section in app.settings.routes.items():
        suites = guarded.get(route)
        yield Line(
            what=f"route {route}",
            state="ok" if suites else "note",
            detail=f"{section.model}; " + (f"guarded by {', '.join(suites)}" if suites else "no suite guards it"),
        )


def _suites(app: App) -> Iterator[Line]:
    for name in suite_names(app.settings.suites.path):
        try:
            suite = configured_suite(app.settings, name)
            yield Line(what=f"suite {name}", state="ok", detail=f"{len(suite.cases)} cases")
        except WatchkeeperError as error:
            yield Line(what=f"suite {name}", state="problem", detail=str(error))


def _scoring(app: App) -> Iterator[Line]:
    """The funnel of the last day, and what stands still in it."""
    if not scoring.is_configured(app.settings):
        yield Line(what="scoring", state="note", detail="no route names a rubric or a suite to score its live answers")
        return
    try:
        scoring.plan_of(app)
    except WatchkeeperError as error:
        yield Line(what="scoring", state="problem", detail=str(error))
        return
    stalled = scoring.stalled(app)
    if stalled is not None:
        yield Line(what="scoring", state="problem", detail=stalled.summary)
    for each in summed(scoring.funnel(app, app.clock.now() - timedelta(days=1))):
        detail = (
            f"last day: {each.seen} seen, {each.eligible} eligible, {each.sampled} sampled, {each.judged} judged, "
            f"{each.valid} valid"
        )
        yield Line(what=f"scoring {each.route}", state="ok", detail=detail)


def _catalogues(app: App) -> Iterator[Line]:
    polls = model_watch.catalog_polls(app.store)
    for name in app.settings.providers:
        read_at, _, error = polls.get(name, (None, None, None))
        if error:
            yield Line(what=f"catalogue {name}", state="problem", detail=error)
        elif read_at is None:
            yield Line(what=f"catalogue {name}", state="note", detail="never read; watchkeeper models watch")
        else:
            yield Line(what=f"catalogue {name}", state="ok", detail=f"read {format_time(read_at)[:16]}Z")


def _last_check(app: App) -> Iterator[Line]:
    newest = regression.verdicts(app.store, limit=1)
    if newest:
        v = newest[0]
        detail = f"{v.verdict}, {v.baseline} -> {v.candidate}, {format_time(v.decided_at)[:16]}Z"
        yield Line(what="last check", state="ok", detail=detail)
    else:
        yield Line(what="last check", state="note", detail="none yet")


def _channel(app: App) -> Iterator[Line]:
    slack = app.settings.slack
    if slack.token:
        yield Line(what="slack", state="ok", detail=f"token from {slack.token_env}, channel {slack.channel}")
    else:
        detail = f"{slack.token_env} is not set: messages wait in the outbox; watchkeeper alerts deliver prints them"
        yield Line(what="slack", state="note", detail=detail)
    outbox = incidents.outbox_state(app.store)
    yield Line(
        what="outbox",
        state="problem" if outbox.last_error else "ok",
        detail=f"{outbox.waiting} waiting" + (f"; last problem: {outbox.last_error}" if outbox.last_error else ""),
    )
    count = len(incidents.list_incidents(app.store, status="firing"))
    yield Line(what="incidents", state="note" if count else "ok", detail=f"{count} firing")
