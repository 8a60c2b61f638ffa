"""What the outcome of an upgrade check means for the team: a finding, or one short notice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from watchkeeper.foundation.finding import Finding
from watchkeeper.foundation.ids import short_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something the team should read once and need not act on.

    Attributes:
        key: Equal for notices that say the same thing, so that it is posted once.
        lines: What stands under the summary.
    """

    key: str
    summary: str
    lines: tuple[str, ...]


def upgrade_finding(document: dict[str, Any], *, baseline: str, candidate: str) -> Finding | None:
    """The finding of a regressed upgrade, or None when it did not regress.

    Args:
        document: The check's document (INTERFACES section 4).
        baseline: The model in use, PROVIDER/MODEL.
        candidate: The model that was checked.
    """
    if document["verdict"] != "regressed":
        return None
    bad = [suite for suite in document["suites"] if suite["verdict"] == "regressed"]
    parts = [part for suite in bad for part in _losses(suite)]
    override = document["override"]
    if override:
        parts.append(f"accepted by {override['by']}: {override['why']}")
    return Finding(
        kind="model-regressed",
        severity="warning" if override else "error",
        subject=upgrade_subject(baseline, candidate),
        summary=(
            f"{candidate} is worse than {baseline} on {len(bad)} of {len(document['suites'])} suites: "
            + "; ".join(parts)
        ),
        evidence={
            "run_id": document["run_id"],
            "routes": sorted({route for suite in bad for route in suite["routes"]}),
            "suites": [_evidence(suite) for suite in document["suites"]],
            "worst_cases": _spread([suite["worst_cases"] for suite in bad]),
            "override": override,
        },
        links={"Run": f"/runs/{document['run_id']}"},
    )


def upgrade_subject(baseline: str, candidate: str) -> dict[str, str]:
    """The identity of an upgrade: which model would replace which."""
    return {"baseline": baseline, "candidate": candidate}


def upgrade_notice(document: dict[str, Any], *, baseline: str, candidate: str) -> Notice | None:
    """The short message of an upgrade that did not regress: it is safe, or it could not be decided."""
    if document["verdict"] == "regressed":
        return None
    versions = short_hash([[suite["suite"], suite["suite_version"]] for suite in document["suites"]])
    passed = document["verdict"] == "pass"
    return Notice(
        key=f"upgrade:{document['verdict']}:{baseline}:{candidate}:{versions}",
        summary=(
            f"Safe to upgrade: {candidate} passes every suite of {baseline}"
            if passed
            else f"Not decided: whether {candidate} is as good as {baseline} needs more evidence"
        ),
        lines=tuple(line for suite in document["suites"] for line in _summary_lines(suite)),
    )


def _losses(suite: dict[str, Any]) -> list[str]:
    return [
        f"{suite['suite']}/{s['name']} {s['baseline_mean']:.3f} → {s['candidate_mean']:.3f} ({_difference(s)})"
        for s in suite["scorers"]
        if s["primary"] and s["verdict"] == "regressed"
    ]


def _summary_lines(suite: dict[str, Any]) -> list[str]:
    return [
        f"{suite['suite']}/{s['name']}: {s['verdict']}, {_mean(s['baseline_mean'])} → {_mean(s['candidate_mean'])}"
        + (f" ({_difference(s)})" if s["difference"] is not None else "")
        + (f", {s['reason']}" if s["verdict"] != "pass" else "")
        for s in suite["scorers"]
        if s["primary"]
    ]


def _mean(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _difference(scorer: dict[str, Any]) -> str:
    low, high = scorer["interval"]
    return f"{scorer['difference']:+.3f}, {100 * scorer['confidence']:.0f} % interval {low:+.3f} to {high:+.3f}"


def _evidence(suite: dict[str, Any]) -> dict[str, Any]:
    kept = ("suite", "verdict", "cases", "cost_usd", "latency_ms")
    return {
        **{key: suite[key] for key in kept},
        "newly_failing": len(suite["newly_failing"]),
        "newly_passing": len(suite["newly_passing"]),
        "missing": len(suite["errors"]),
        "scorers": [
            {
                key: scorer[key]
                for key in ("name", "primary", "verdict", "baseline_mean", "candidate_mean", "difference", "interval")
            }
            for scorer in suite["scorers"]
        ],
    }


def _spread(by_suite: Sequence[list[dict[str, Any]]], *, limit: int = 3) -> list[dict[str, Any]]:
    """The worst case of each suite first, then the second worst, until there are enough."""
    rounds = max((len(cases) for cases in by_suite), default=0)
    return [cases[i] for i in range(rounds) for cases in by_suite if i < len(cases)][:limit]
