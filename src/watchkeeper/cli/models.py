"""`models`: what providers offer, and since when."""

from typing import Annotated

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say

app = typer.Typer(no_args_is_help=True, help="Models that providers offer.")


@app.command("list")
def list_models(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Every model ever seen, since when, and the routes that use or would follow it."""
    from watchkeeper.app import open_app
    from watchkeeper.foundation.clock import format_time
    from watchkeeper.jobs.models import followed_routes
    from watchkeeper.model_watch import service
    from watchkeeper.model_watch.sighting import is_upgrade

    with open_app(config) as app_:
        seen = service.seen_models(app_.store)
        routes = followed_routes(app_.settings)
    rows = [
        {
            "model": (name := f"{s.provider}/{s.model}"),
            "first_seen_at": format_time(s.first_seen_at),
            "last_seen_at": format_time(s.last_seen_at),
            "retires_on": s.retires_on,
            "used_by": sorted(r.route for r in routes if r.model == name),
            "upgrade_for": sorted(r.route for r in routes if is_upgrade(r, name)),
        }
        for s in seen
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        print("no model seen yet; read the lists: watchkeeper models watch")
    for row in rows:
        notes = [f"used by {', '.join(row['used_by'])}"] if row["used_by"] else []
        notes += [f"upgrade for {', '.join(row['upgrade_for'])}"] if row["upgrade_for"] else []
        notes += [f"retires on {row['retires_on']}"] if row["retires_on"] else []
        print(f"{row['model']}  since {str(row['first_seen_at'])[:16]}Z  {'; '.join(notes)}")


@app.command("watch")
def watch(
    check: Annotated[bool, typer.Option("--check", help="Run the upgrade check of every model that appeared.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Read every provider's model list once and say what is new since the last scheduled round.

    What is new stays so until a scheduled round announces it or --check has checked it.
    Exit 1 when a checked upgrade regressed, 4 when no list could be read.
    """
    from watchkeeper.app import open_app
    from watchkeeper.jobs.checks import check_upgrade
    from watchkeeper.jobs.models import watch_models
    from watchkeeper.model_watch import service
    from watchkeeper.regression.report import EXIT_CODES, worst_of

    verdicts = []
    with open_app(config) as app_:
        report = watch_models(app_)
        if check:
            for each in report.appeared:
                document = check_upgrade(app_, baseline=each.baseline, candidate=each.candidate)
                service.announced(app_.store, [each], now=app_.clock.now())
                verdicts.append(document["verdict"])
    appeared = [{"baseline": a.baseline, "candidate": a.candidate, "routes": list(a.routes)} for a in report.appeared]
    if as_json:
        print_json(
            {"read": dict(report.read), "failed": dict(report.failed), "appeared": appeared, "verdicts": verdicts}
        )
    else:
        for provider, count in report.read.items():
            print(f"{provider}: {count} models")
        for a in report.appeared:
            # Not marked as announced: the next scheduled round still starts its check, however often a person looks.
            since = "new" if check else "new since the last scheduled round"
            print(f"{since}: {a.candidate}, an upgrade for {', '.join(a.routes)}")
            print(f"     check it: watchkeeper upgrade --from {a.baseline} --to {a.candidate}")
        for verdict in verdicts:
            print(f"checked: {verdict}")
    for provider, problem in report.failed.items():
        say(f"{provider}: its list could not be read, nothing is concluded from that: {problem}")
    if report.failed and not report.read:
        raise typer.Exit(4)
    if verdicts:
        raise typer.Exit(EXIT_CODES[worst_of(verdicts)])
