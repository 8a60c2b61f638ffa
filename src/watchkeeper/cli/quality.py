"""`quality`: how good the answers of all traffic are, from the scores of a sample."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say
from watchkeeper.cli.instants import instant_of
from watchkeeper.foundation.errors import NotFound, NothingToCheck

if TYPE_CHECKING:
    from watchkeeper.scoring.funnel import Funnel
    from watchkeeper.scoring.report import Dimension, Quality


def quality(
    by: Annotated[
        str, typer.Option("--by", help="Labels: route,segment,prompt_version,model,hour,day; none: the whole.")
    ] = "route",
    since: Annotated[
        str, typer.Option("--since", help="From then on, whole hours: 2026-11-24T10:00:00Z or 24h, 7d.")
    ] = "7d",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """The mean score of all eligible traffic, with its 95 % interval. Exit 5: nothing is scored in that time."""
    from watchkeeper.app import open_app
    from watchkeeper.jobs import scoring
    from watchkeeper.scoring.funnel import summed

    labels = _dimensions(by)
    with open_app(config) as app:
        start = instant_of("--since", since, app.clock.now())
        assert start is not None
        rows = scoring.report(app, labels, start)
        stages = summed(scoring.funnel(app, start))
        if not rows and not scoring.is_configured(app.settings):
            raise NothingToCheck(scoring.NOTHING)
    if as_json:
        print_json({"rows": [_row(each) for each in rows], "funnel": [_stages(each) for each in stages]})
    else:
        _print(rows, labels, stages)
    if not rows:
        raise NothingToCheck("no scored answer in this time; watchkeeper score, or a longer --since")


def _dimensions(by: str) -> "list[Dimension]":
    from watchkeeper.scoring.report import DIMENSIONS

    found: list[Dimension] = []
    for text in (part.strip() for part in by.split(",")):
        known = next((each for each in DIMENSIONS if each == text), None)
        if text and known is None:
            raise NotFound("label", text, DIMENSIONS, where="for --by")
        if known is not None and known not in found:
            found.append(known)
    return found


def _row(each: "Quality") -> dict[str, Any]:
    result, corrected = each.estimate, each.corrected
    labels: dict[str, Any] = {str(name): value for name, value in each.labels.items()}
    return labels | {
        "scorer": each.scorer,
        "scorer_version": each.version,
        "mean": result.mean,
        "interval": None if result.interval is None else list(result.interval),
        "n": result.n,
        "effective_n": result.effective_n,
        "missing": result.missing,
        "population": each.population,
        "too_few": not result.enough,
        "corrected": None
        if corrected is None
        else {"mean": corrected.mean, "interval": list(corrected.interval), "labels": corrected.labels},
        "interval_width_at_target_rate": each.width_at_target,
    }


def _stages(each: "Funnel") -> dict[str, Any]:
    from watchkeeper.scoring.funnel import STAGES

    return {"route": each.route} | {stage: getattr(each, stage) for stage in STAGES}


def _print(rows: Sequence["Quality"], labels: Sequence["Dimension"], stages: Sequence["Funnel"]) -> None:
    from watchkeeper.observability.plain import visible

    table = [[*labels, "scorer", "mean", "95 % interval", "n", "effective", "missing", "of", "judge"]]
    for each in rows:
        result = each.estimate
        shown = each.corrected.interval if each.corrected else result.interval
        mean = each.corrected.mean if each.corrected else result.mean
        table.append(
            [
                *(visible(each.labels[name] or "-") for name in labels),
                each.scorer,
                "-" if mean is None else f"{100 * mean:.1f} %",
                "too few" if not result.enough or shown is None else f"{100 * shown[0]:.1f} to {100 * shown[1]:.1f}",
                str(result.n),
                "-" if result.effective_n is None else f"{result.effective_n:.0f}",
                str(result.missing),
                f"{each.population:,}",
                f"corrected by {each.corrected.labels} labels" if each.corrected else "uncorrected",
            ]
        )
    if rows:
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    saved = [each for each in rows if each.width_at_target is not None and each.estimate.interval is not None]
    for each in saved:
        low, high = each.estimate.interval or (0.0, 0.0)
        where = ", ".join(value or "-" for value in each.labels.values())
        say(
            f"{where} {each.scorer}: the budget lowered the rate; the interval is {100 * (high - low):.1f} points "
            f"wide, at the target rate about {100 * (each.width_at_target or 0):.1f}"
        )
    for stage in stages:
        say(
            f"{stage.route}: {stage.seen:,} seen, {stage.eligible:,} eligible, {stage.sampled:,} sampled, "
            f"{stage.judged:,} judged, {stage.valid:,} valid"
        )
