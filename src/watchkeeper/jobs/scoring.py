"""Score a sample of live answers; what is found about all of them becomes incidents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import yaml

from watchkeeper.app import App, configured_suite, rubric_shelf, runbook_shelf
from watchkeeper.evaluation.live import item_of
from watchkeeper.evaluation.rubric import Rubric
from watchkeeper.foundation.errors import Misconfigured, NotFound, NothingToCheck
from watchkeeper.foundation.finding import Finding
from watchkeeper.foundation.ids import content_hash
from watchkeeper.foundation.json_lines import read_text
from watchkeeper.foundation.money import nano_usd
from watchkeeper.incidents import service as incidents
from watchkeeper.incidents.reconcile import Scope
from watchkeeper.jobs.judges import judge_items
from watchkeeper.observability import service as observability
from watchkeeper.observability.request import Request
from watchkeeper.observability.steps import Step
from watchkeeper.regression.suite import FunctionScorer, JsonSchemaScorer, Scorer, SuiteSpec
from watchkeeper.scoring import quality, service
from watchkeeper.scoring.funnel import CHECK, Funnel, stall_finding
from watchkeeper.scoring.planning import Plan, Preview, Run
from watchkeeper.scoring.quality import Comparison
from watchkeeper.scoring.report import Dimension, Quality, quality_of
from watchkeeper.scoring.scorer import LiveScore, ScoreMany
from watchkeeper.settings import Settings

NOTHING = (
    "nothing scores live answers; write into watchkeeper.toml, for example: "
    '[routes."support.answer"] judge = ["tone"], or scorers_of = "SUITE" for its deterministic scorers'
)
_LOOKED_BACK = timedelta(hours=6)
"""How far back a funnel is looked at for a stage that gives nothing."""
_HOUR = timedelta(hours=1)
_ACTOR = "score_live"


@dataclass(frozen=True, slots=True, kw_only=True)
class ByRubric:
    """A judge as a scorer of live answers."""

    app: App
    rubric: Rubric
    paid: bool = True

    @property
    def name(self) -> str:
        """The rubric's."""
        return self.rubric.name

    @property
    def version(self) -> str:
        """The rubric's: a hash of all that can change a judgement."""
        return self.rubric.version

    def score(self, requests: Sequence[Request]) -> list[LiveScore]:
        """Judge them; what was judged before is not paid for again."""
        items = [replace(item_of(r), id=f"{r.trace_id}:{r.span_id}") for r in requests]
        [judgements] = judge_items(self.app, [(self.rubric, items)])
        return [
            LiveScore(
                value=each.value,
                label=each.label,
                explanation=each.explanation,
                missing=each.reason,
                judge_model=f"{self.rubric.provider}/{each.model_served}" if each.model_served else None,
                cost_nano_usd=each.cost_nano_usd,
                cached=bool(each.votes) and not each.calls,
            )
            for each in judgements
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class BySuite:
    """A deterministic scorer of a suite as one of live answers."""

    name: str
    version: str
    scorer: Scorer
    paid: bool = False

    def score(self, requests: Sequence[Request]) -> list[LiveScore]:
        """What it says of every answer; the case has no more than an id and the input."""
        scores = [self.scorer.score(r.response or "", {"id": r.trace_id, "input": r.input}) for r in requests]
        return [LiveScore(value=each.value, missing=each.reason) for each in scores]


def plan_of(app: App, routes: Sequence[str] = ()) -> Plan:
    """What the configuration wants scored.

    Args:
        routes: Only these; none means all.

    Raises:
        NothingToCheck: If nothing is configured; says which lines to write.
        NotFound: If a route, a rubric or a suite does not exist.
        Misconfigured: If one is malformed, or no texts of a route are kept.
    """
    settings = app.settings
    for name in routes:
        if name not in settings.routes:
            raise NotFound("route", name, list(settings.routes), where="in [routes] of watchkeeper.toml")
    wanted = {name: each for name, each in settings.routes.items() if not routes or name in routes}
    scorers = {name: _scorers(app, name) for name, each in wanted.items() if each.judge or each.scorers_of}
    if not scorers:
        raise NothingToCheck(NOTHING)
    sampling = settings.sampling
    return Plan(
        scorers=scorers,
        target=sampling.rate,
        day_nano_usd=nano_usd(sampling.judge_budget_usd_per_day),
        settle=timedelta(minutes=sampling.settle_minutes),
        own_multiples=sampling.multiples,
    )


def is_configured(settings: Settings) -> bool:
    """Whether anything scores live answers."""
    return any(route.judge or route.scorers_of for route in settings.routes.values())


def score_live(
    app: App, *, routes: Sequence[str] = (), since: datetime | None = None, most_nano_usd: int | None = None
) -> Run:
    """Sample and score; then make the incidents agree with what the scores say.

    Raises:
        NothingToCheck: If nothing is configured.
        Conflict: If another run is under way.
        ProviderFailed: If a judge's provider gave no answers; what was judged is kept.
    """
    run = service.score(
        app.store,
        app.settings.store.facts,
        plan_of(app, routes),
        clock=app.clock,
        since=since,
        most_nano_usd=most_nano_usd,
    )
    check_quality(app)
    tell_stalled(app)
    return run


def preview(app: App, *, routes: Sequence[str] = (), since: datetime, most_nano_usd: int | None = None) -> Preview:
    """What `score_live` would do and cost."""
    return service.preview(
        app.store,
        app.settings.store.facts,
        plan_of(app, routes),
        now=app.clock.now(),
        since=since,
        most_nano_usd=most_nano_usd,
    )


def report(app: App, by: Sequence[Dimension], since: datetime) -> list[Quality]:
    """The quality of all traffic from a time on, its hour included."""
    end = _next_hour(app.clock.now())
    scores, hours = service.scored(app.store, _hour(since), end)
    return quality_of(scores, hours, by, target=app.settings.sampling.rate)


def check_quality(app: App) -> list[Comparison]:
    """Compare the last day with the week before, and make the incidents agree where there is enough to compare."""
    now, loss = app.clock.now(), app.settings.sampling.accepted_loss
    began, _, end = quality.windows(now)
    scores, hours = service.scored(app.store, began, end)
    found = quality.compare(scores, hours, service.first_seen(app.store), now=now, loss=loss)
    for each in found:
        if each.difference is not None:
            _reconcile(app, quality.finding(each, loss), "quality-drop", {"route": each.route, "scorer": each.scorer})
    return found


def tell_stalled(app: App) -> None:
    """Make the incident agree with whether live answers are being scored."""
    _reconcile(app, stalled(app), "check-stalled", {"check": CHECK})


def stalled(app: App) -> Finding | None:
    """Why live answers are not being scored although there is traffic; None where they are, or shall not be."""
    if not is_configured(app.settings):
        return None
    now = app.clock.now()
    newest = observability.stock(app.store).newest
    return stall_finding(service.last_run(app.store), funnel(app, now - _LOOKED_BACK), newest=newest, now=now)


def funnel(app: App, since: datetime) -> list[Funnel]:
    """How far requests came since a time, by route and hour; the last hour is left out, for it is under way."""
    return service.funnel(app.store, _hour(since), _hour(app.clock.now()) - _HOUR)


def why_scored(app: App, trace_id: str) -> list[Step]:
    """Whether a trace's requests were eligible, sampled and judged; nothing where no scoring is configured."""
    if not is_configured(app.settings):
        return []
    requests = observability.requests_of_trace(app.store, trace_id)
    return service.why(app.store, requests, plan_of(app), now=app.clock.now())


def _reconcile(app: App, found: Finding | None, kind: str, subject: Mapping[str, str]) -> None:
    incidents.reconcile(
        app.store,
        [found] if found else [],
        scope=Scope(kinds=frozenset({kind}), subject=subject),
        now=app.clock.now(),
        first_moves=runbook_shelf(app.settings),
        actor=_ACTOR,
    )


def _scorers(app: App, route: str) -> list[ScoreMany]:
    section = app.settings.routes[route]
    if (kept := section.content or app.settings.privacy.content) != "full":
        raise Misconfigured(f'routes.{route}: its answers are kept as "{kept}", so nothing can score them; see privacy')
    shelf = rubric_shelf(app.settings)
    found: list[ScoreMany] = [ByRubric(app=app, rubric=shelf.read(name)) for name in section.judge]
    if section.scorers_of is not None:
        found += _of_suite(app, section.scorers_of)
    if not found:
        raise Misconfigured(f"routes.{route}: every scorer of suite {section.scorers_of!r} needs a reference")
    return list({each.name: each for each in found}.values())


def _of_suite(app: App, name: str) -> list[ScoreMany]:
    suite = configured_suite(app.settings, name)
    home = app.settings.suites.path / name
    spec = SuiteSpec.model_validate(yaml.safe_load(read_text(home / "suite.yaml", needed_by=f"suite {name!r}")))
    found: list[ScoreMany] = []
    for scorer, written in zip(suite.scorers, spec.scorers, strict=True):
        if scorer.rubric is not None:
            if "reference" not in scorer.rubric.sees:
                found.append(ByRubric(app=app, rubric=scorer.rubric))
            continue
        beside = None
        if isinstance(written, FunctionScorer):
            beside = read_text(home / written.function.partition(":")[0], needed_by=f"suite {name!r}")
        elif isinstance(written, JsonSchemaScorer):
            beside = read_text(home / written.schema_file, needed_by=f"suite {name!r}")
        # A built-in scorer says at once when it lacks an expected value; a function of the team's own is just tried.
        if isinstance(written, FunctionScorer) or scorer.score("", {"id": "", "input": ""}).value is not None:
            version = content_hash([written.model_dump(mode="json", exclude={"primary", "margin"}), beside])
            found.append(BySuite(name=f"{name}/{scorer.name}", version=version, scorer=scorer))
    return found


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _next_hour(at: datetime) -> datetime:
    return _hour(at) + _HOUR
