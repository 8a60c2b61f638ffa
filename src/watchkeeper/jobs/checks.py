"""Suites against a replacement: of a model in use, or of whatever a person names."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watchkeeper.app import App, configured_suite, provider_configs, runbook_shelf
from watchkeeper.foundation.errors import Misconfigured, NotFound, NothingToCheck
from watchkeeper.foundation.finding import Finding
from watchkeeper.incidents import service as incidents
from watchkeeper.incidents.reconcile import Scope
from watchkeeper.jobs.prices import rate_overrides
from watchkeeper.model_watch.upgrade import upgrade_finding, upgrade_notice, upgrade_subject
from watchkeeper.prompts.files import read_prompt
from watchkeeper.providers.connect import ProviderConfig
from watchkeeper.providers.outage import ProviderFailed
from watchkeeper.regression import service as regression
from watchkeeper.regression.judged import rubrics_of
from watchkeeper.regression.service import OnProgress
from watchkeeper.regression.suite import Suite
from watchkeeper.regression.suite_files import check_renders, read_routes, suite_names
from watchkeeper.regression.target import Comparing, Target
from watchkeeper.settings import Settings, privacy_policy
from watchkeeper.stats.planning import cases_to_pass, detectable_loss

Announce = Callable[[Sequence[str]], None]
"""Told, line by line, what is about to be done, before money is spent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A person's decision to accept a regression."""

    by: str
    why: str


def check_upgrade(
    app: App,
    *,
    baseline: str,
    candidate: str,
    fresh: bool = False,
    override: Override | None = None,
    announce: Announce | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Every suite of every route on `baseline`, asked of both models; the verdict goes to incidents.

    Args:
        baseline: The model in use, PROVIDER/MODEL.
        candidate: The model it would be replaced by, PROVIDER/MODEL.

    Returns:
        The document of INTERFACES section 4.

    Raises:
        NotFound: If a provider or a model does not exist.
        Misconfigured: If a suite is malformed.
        NothingToCheck: If no suite guards a route of that model.
        ProviderFailed: If a provider gave no answers; an incident says so, the runs can go on later.
    """
    names = _suites_of_model(app.settings, baseline)
    suites = [configured_suite(app.settings, name) for name in names]
    comparing = [
        Comparing(
            baseline=_target(app.settings, baseline, suite),
            candidate=_target(app.settings, candidate, suite),
        )
        for suite in suites
    ]
    document = _run(app, comparing, "upgrade", fresh, override, announce, on_progress)
    _conclude_upgrade(app, document, baseline=baseline, candidate=candidate)
    return document


def check_suites(
    app: App,
    *,
    suites: Sequence[str],
    candidate: str,
    baseline: str | None = None,
    fresh: bool = False,
    override: Override | None = None,
    announce: Announce | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Named suites, a candidate model or prompt version against the baseline; makes no incident.

    Args:
        candidate: PROVIDER/MODEL, or PROMPT@VERSION asked of the baseline's model.
        baseline: PROVIDER/MODEL; default: the model of the first configured route a suite guards.

    Raises:
        As check_upgrade.
    """
    settings = app.settings
    names = list(dict.fromkeys(suites)) or suite_names(settings.suites.path)
    if not names:
        raise NothingToCheck(f"no suites in {settings.suites.path}")
    comparing = []
    for name in names:
        suite = configured_suite(settings, name)
        model = baseline or _model_of_routes(settings, suite)
        if "@" in candidate and "/" not in candidate.partition("@")[0]:
            prompt_id, _, version = candidate.partition("@")
            template = read_prompt(settings.suites.prompts, prompt_id, version)
            changed = regression.with_prompt(suite, template=template, prompt=candidate)
            check_renders(settings.suites.path, changed)
            new = _target(settings, model, changed)
        else:
            new = _target(settings, candidate, suite)
        comparing.append(Comparing(baseline=_target(settings, model, suite), candidate=new))
    return _run(app, comparing, "check", fresh, override, announce, on_progress)


def _suites_of_model(settings: Settings, baseline: str) -> list[str]:
    names = suite_names(settings.suites.path)
    if not names:
        raise NothingToCheck(f"no suites in {settings.suites.path}; make one: watchkeeper init shows how")
    _provider_of(settings, baseline)
    if not settings.routes:
        return names
    routes = {name for name, route in settings.routes.items() if route.model == baseline}
    if not routes:
        models = sorted({route.model for route in settings.routes.values()})
        raise NotFound("model in use", baseline, models, where="in [routes] of watchkeeper.toml")
    guarding = [name for name in names if routes & set(read_routes(settings.suites.path, name))]
    if not guarding:
        raise NothingToCheck(
            f"no suite guards {', '.join(sorted(routes))}; name the route under `routes:` in a suite.yaml"
        )
    return guarding


def _model_of_routes(settings: Settings, suite: Suite) -> str:
    for route in suite.routes:
        if route in settings.routes:
            return settings.routes[route].model
    raise Misconfigured(
        f"suite {suite.name!r}: none of its routes is in watchkeeper.toml, so there is no baseline; "
        "name one: --baseline PROVIDER/MODEL"
    )


def _target(settings: Settings, name: str, suite: Suite) -> Target:
    provider, model = _provider_of(settings, name)
    return Target(provider=provider, model=model, suite=suite)


def _provider_of(settings: Settings, name: str) -> tuple[str, str]:
    provider, _, model = name.partition("/")
    if not model or not provider:
        raise Misconfigured(f"{name!r} is not a model; write PROVIDER/MODEL, e.g. openai/gpt-5")
    if provider not in settings.providers:
        raise NotFound("provider", provider, list(settings.providers), where="in [providers] of watchkeeper.toml")
    return provider, model


def _run(
    app: App,
    comparing: Sequence[Comparing],
    kind: str,
    fresh: bool,
    override: Override | None,
    announce: Announce | None,
    on_progress: OnProgress | None,
) -> dict[str, Any]:
    if announce:
        announce([line for each in comparing for line in _what_it_can_see(each.candidate.suite)])
    providers = provider_configs(app.settings)
    used = {t.provider for each in comparing for t in (each.baseline, each.candidate)}
    used |= {rubric.provider for each in comparing for rubric in rubrics_of(each.candidate.suite)}
    try:
        document = asyncio.run(
            regression.check(
                app.store,
                comparing,
                kind=kind,
                providers=providers,
                clock=app.clock,
                fresh=fresh,
                override=_signed(app, override),
                on_progress=on_progress,
                overrides=rate_overrides(app.settings),
                policy=privacy_policy(app.settings),
            )
        )
    except ProviderFailed as failure:
        _provider_incidents(app, providers, {failure.provider: str(failure)}, only={failure.provider})
        raise
    _provider_incidents(app, providers, {}, only=used)
    return document


def _what_it_can_see(suite: Suite) -> list[str]:
    """The detectable difference, said before anything is paid for."""
    cases = len(suite.cases)
    lines = [
        f"{suite.name}: {cases} cases × {suite.repeats}; finds a loss of "
        f"{100 * detectable_loss(cases, 0.10):.1f} points with 80 % when 10 % of the cases change, "
        f"{100 * detectable_loss(cases, 0.40):.1f} when 40 % do"
    ]
    for scorer in suite.primaries:
        if cases < (needed := cases_to_pass(scorer.margin)):
            lines.append(
                f"{suite.name}/{scorer.name}: too few cases to pass at a margin of {scorer.margin:g} "
                f"(at least {needed}), unless it improves"
            )
    return lines


def _signed(app: App, override: Override | None) -> Mapping[str, str] | None:
    if override is None:
        return None
    return {"by": override.by, "why": override.why, "at": app.clock.now().isoformat()}


def _conclude_upgrade(app: App, document: dict[str, Any], *, baseline: str, candidate: str) -> None:
    finding = upgrade_finding(document, baseline=baseline, candidate=candidate)
    subject = upgrade_subject(baseline, candidate)
    incidents.reconcile(
        app.store,
        [finding] if finding else [],
        scope=Scope(
            kinds=frozenset({"model-regressed"} if _settles(app, document, subject) else ()),
            subject=subject,
        ),
        now=app.clock.now(),
        first_moves=runbook_shelf(app.settings),
        actor="check_upgrade",
    )
    notice = upgrade_notice(document, baseline=baseline, candidate=candidate)
    if notice is not None:
        incidents.notice(
            app.store,
            key=notice.key,
            summary=notice.summary,
            lines=notice.lines,
            links={"Run": f"/runs/{document['run_id']}"},
            now=app.clock.now(),
        )


def _settles(app: App, document: dict[str, Any], subject: Mapping[str, str]) -> bool:
    """Whether a check can close the upgrade's incident: it is decided, and asked every suite that had regressed."""
    checked = {suite["suite"] for suite in document["suites"]}
    decided = bool(document["verdict"] != "inconclusive")
    for incident in incidents.list_incidents(app.store):
        if incident.kind == "model-regressed" and dict(incident.subject) == subject and incident.resolved_at is None:
            before = {s["suite"] for s in incident.evidence.get("suites", ()) if s.get("verdict") == "regressed"}
            return decided and before <= checked
    return decided


def _provider_incidents(
    app: App, providers: Mapping[str, ProviderConfig], failed: Mapping[str, str], *, only: set[str]
) -> None:
    """Open `provider-errors` for a provider that gave no answers; close it for one that did."""
    for provider in sorted(only):
        findings = []
        if provider in failed:
            findings.append(
                Finding(
                    kind="provider-errors",
                    severity="error",
                    subject={"provider": provider},
                    summary=failed[provider],
                    evidence={"base_url": providers[provider].base_url},
                )
            )
        incidents.reconcile(
            app.store,
            findings,
            scope=Scope(kinds=frozenset({"provider-errors"}), subject={"provider": provider}),
            now=app.clock.now(),
            first_moves=runbook_shelf(app.settings),
            actor="regression",
        )
