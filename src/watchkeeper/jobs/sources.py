"""Pull what other tools record; say when one of them cannot be pulled any more; push scores back."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchkeeper.app import App, runbook_shelf
from watchkeeper.foundation.clock import format_time, parse_age
from watchkeeper.foundation.errors import Misconfigured, NotFound, NothingToCheck, WatchkeeperError
from watchkeeper.foundation.finding import Finding
from watchkeeper.incidents import service as incidents
from watchkeeper.incidents.reconcile import Scope
from watchkeeper.settings import CLOUDS, Settings, privacy_policy
from watchkeeper.sources import service
from watchkeeper.sources.connect import connect
from watchkeeper.sources.interface import Scored, SourceConfig
from watchkeeper.sources.pull import PullPlan
from watchkeeper.sources.service import Pulled, Pushed, Watermark

SILENT = timedelta(minutes=30)
"""How long a source may go without a good pull before somebody is told: six rounds of the schedule."""

NO_SOURCE = (
    "no source is configured; write into watchkeeper.toml, for example: "
    '[sources.phoenix] kind = "phoenix" base_url = "http://127.0.0.1:6006" project = "default"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One source's pull: what it brought, or why not."""

    source: str
    pulled: Pulled | None = None
    error: WatchkeeperError | None = None


def pull_records(app: App) -> list[Outcome]:
    """Pull every configured source; one that stays away for long becomes an incident. [] where there is none."""
    outcomes = pull_sources(app, list(app.settings.sources)) if app.settings.sources else []
    tell_stopped(app)
    return outcomes


def pull_sources(app: App, names: Sequence[str], *, since: datetime | None = None) -> list[Outcome]:
    """Pull these sources one after the other; one that fails does not stop the others.

    Args:
        names: Of sections; none means all.
        since: Begin there, whatever was pulled before.

    Raises:
        NothingToCheck: If no source is configured.
        NotFound: If one of the names is no section.
    """
    if not app.settings.sources:
        raise NothingToCheck(NO_SOURCE)
    chosen = list(dict.fromkeys(names)) or list(app.settings.sources)
    for name in chosen:
        _section_exists(app.settings, name)
    policy = privacy_policy(app.settings)
    outcomes = []
    for name in chosen:
        section = app.settings.sources[name]
        plan = PullPlan(
            overlap=timedelta(minutes=section.overlap_minutes),
            settle=timedelta(seconds=section.settle_seconds),
            first=parse_age(section.first_pull),
        )
        try:
            pulled = service.pull(
                app.store,
                name,
                lambda name=name: connect(source_config(app.settings, name)),  # type: ignore[misc]
                plan=plan,
                clock=app.clock,
                since=since,
                policy=policy,
            )
            outcomes.append(Outcome(source=name, pulled=pulled))
        except WatchkeeperError as error:
            outcomes.append(Outcome(source=name, error=error))
    return outcomes


def push_scores(app: App, name: str, scores: Sequence[Scored]) -> Pushed:
    """Leave scores at the source their requests came from; the same scores again change nothing.

    Raises:
        NothingToCheck: If no source is configured.
        NotFound: If there is no such section.
        Misconfigured, SourceFailed: As service.push.
    """
    if not app.settings.sources:
        raise NothingToCheck(NO_SOURCE)
    return service.push(app.store, name, connect(source_config(app.settings, name)), scores)


def source_config(settings: Settings, name: str) -> SourceConfig:
    """One source of the configuration, its keys read from the environment.

    Raises:
        NotFound: If there is no such section.
        Misconfigured: If a variable it names is not set.
    """
    _section_exists(settings, name)
    section = settings.sources[name]
    return SourceConfig(
        name=name,
        kind=section.kind,
        base_url=section.base_url or CLOUDS[section.kind],
        project=section.project,
        key=_secret(name, section.api_key_env),
        public_key=_secret(name, section.public_key_env),
        timeout_s=section.timeout_seconds,
    )


def tell_stopped(app: App) -> None:
    """Make the `records-stopped` incidents of sources agree with how far they are pulled."""
    now, shelf = app.clock.now(), runbook_shelf(app.settings)
    marks = service.watermarks(app.store)
    for name in sorted({*marks, *app.settings.sources}):
        mark = marks.get(name)
        finding = _stopped(mark, now) if mark is not None and name in app.settings.sources else None
        incidents.reconcile(
            app.store,
            [finding] if finding else [],
            scope=Scope(kinds=frozenset({"records-stopped"}), subject={"source": name}),
            now=now,
            first_moves=shelf,
            actor="pull_records",
        )


def _stopped(mark: Watermark, now: datetime) -> Finding | None:
    """What is wrong with a source whose pulls fail; None while it is not for long."""
    good_since = mark.pulled_at or mark.failing_since
    if mark.error is None or good_since is None or now - good_since < SILENT:
        return None
    last = "never was" if mark.pulled_at is None else f"was last pulled at {format_time(mark.pulled_at)[:16]}Z"
    return Finding(
        kind="records-stopped",
        severity="error",
        subject={"source": mark.source},
        summary=f"Source {mark.source} {last} and cannot be pulled: {mark.error}",
        evidence={
            "pulled_until": None if mark.pulled_until is None else format_time(mark.pulled_until),
            "error": mark.error,
        },
    )


def _section_exists(settings: Settings, name: str) -> None:
    if name not in settings.sources:
        raise NotFound("source", name, list(settings.sources), where="in [sources] of watchkeeper.toml")


def _secret(name: str, variable: str | None) -> str | None:
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        raise Misconfigured(f"sources.{name}: the environment variable {variable} is not set")
    return value


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 when all were pulled; 4 when one may be had by trying again, else 2: a person must change something."""
    return max((each.error.exit_code for each in outcomes if each.error is not None), default=0)
