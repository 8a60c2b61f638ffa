"""The pages: overview, incidents, runbooks, runs with their cases side by side. Each loads, then renders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse

from watchkeeper.app import runbook_shelf
from watchkeeper.deployments import read_deployments
from watchkeeper.incidents import service as incidents
from watchkeeper.incidents.kinds import KINDS
from watchkeeper.incidents.runbook import filled, labels_of
from watchkeeper.regression import service as regression
from watchkeeper.regression.attempt import Attempts
from watchkeeper.web.api import opened
from watchkeeper.web.render import markdown_html, page

router = APIRouter(default_response_class=HTMLResponse)
_CASES_PER_PAGE = 50
_STYLE = Path(__file__).parent / "static" / "style.css"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    """One case of a run as it is shown.

    Attributes:
        change: "newly failing", "newly passing", "missing" or "".
        baseline: What the baseline answered, repeat by repeat; None where there is no answer.
        candidate: What the candidate answered, likewise.
    """

    case: str
    change: str
    baseline: Sequence[str | None]
    candidate: Sequence[str | None]


@router.get("/")
def overview(request: Request) -> str:
    """What is open now, the newest checks, what runs when."""
    app = opened(request)
    return page(
        "overview.html",
        title="Overview",
        incidents=incidents.list_incidents(app.store, limit=20),
        verdicts=regression.verdicts(app.store, limit=10),
        deployments=read_deployments(),
        routes=app.settings.routes,
    )


@router.get("/incidents/{incident_id}")
def incident(request: Request, incident_id: str) -> str:
    """One incident with its evidence."""
    app = opened(request)
    return page("incident.html", title="Incident", incident=incidents.show(app.store, incident_id))


@router.get("/runbooks")
def runbooks(request: Request) -> str:
    """Every page there is."""
    shelf = runbook_shelf(opened(request).settings)
    return page("runbooks.html", title="Runbooks", kinds=[(kind, shelf.first_move(kind)) for kind in KINDS])


@router.get("/runbooks/{kind}")
def runbook(request: Request, kind: str, incident: str | None = None) -> str:
    """One runbook page, filled with the numbers of the incident it was opened from."""
    app = opened(request)
    shelf = runbook_shelf(app.settings)
    opened_from = incidents.show(app.store, incident) if incident else None
    labels = labels_of(opened_from) if opened_from else {}
    return page(
        "runbook.html",
        title=kind,
        kind=kind,
        first_move=filled(shelf.first_move(kind), labels),
        body=markdown_html(filled(shelf.page(kind), labels)),
        incident=opened_from,
    )


@router.get("/runs")
def runs(request: Request) -> str:
    """The newest verdicts."""
    return page("runs.html", title="Runs", verdicts=regression.verdicts(opened(request).store, limit=200))


@router.get("/runs/{run_id}")
def run(request: Request, run_id: str, suite: str | None = None, start: int = 0) -> str:
    """One verdict; with a suite, its cases side by side, those that changed first."""
    app = opened(request)
    verdict = regression.verdict(app.store, run_id)
    suites = verdict.document["suites"]
    shown = next((s for s in suites if s["suite"] == suite), suites[0] if suites else None)
    rows = _case_rows(shown, regression.attempts_of_verdict(app.store, verdict.id)) if shown else []
    start = max(0, min(start, (len(rows) - 1) // _CASES_PER_PAGE * _CASES_PER_PAGE))
    return page(
        "run.html",
        title=f"{verdict.baseline} → {verdict.candidate}",
        verdict=verdict,
        shown=shown,
        rows=rows[start : start + _CASES_PER_PAGE],
        start=start,
        more=start + _CASES_PER_PAGE if start + _CASES_PER_PAGE < len(rows) else None,
        total=len(rows),
    )


@router.get("/style.css")
def style() -> FileResponse:
    """The one style sheet."""
    return FileResponse(_STYLE, media_type="text/css")


def _case_rows(suite: dict[str, Any], attempts: dict[tuple[str, str], Attempts]) -> list[CaseRow]:
    sides = {side: attempts.get((suite["suite"], side), {}) for side in ("baseline", "candidate")}
    names = list(dict.fromkeys(case for side in sides.values() for case, _ in side))
    repeats = 1 + max((repeat for side in sides.values() for _, repeat in side), default=0)
    change = {error["case"]: "missing" for error in suite["errors"]}
    change |= dict.fromkeys(suite["newly_passing"], "newly passing") | dict.fromkeys(
        suite["newly_failing"], "newly failing"
    )
    first = {case: place for place, case in enumerate([*suite["newly_failing"], *suite["newly_passing"]])}
    rows = [
        CaseRow(
            case=c,
            change=change.get(c, ""),
            baseline=_answers(sides["baseline"], c, repeats),
            candidate=_answers(sides["candidate"], c, repeats),
        )
        for c in names
    ]
    order = ("newly failing", "missing", "newly passing", "")
    return sorted(rows, key=lambda row: (order.index(row.change), first.get(row.case, 0), row.case))


def _answers(attempts: Attempts, case: str, repeats: int) -> list[str | None]:
    found = [attempts.get((case, repeat)) for repeat in range(repeats)]
    return [attempt.response if attempt is not None else None for attempt in found]
