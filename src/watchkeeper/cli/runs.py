"""`runs`: the verdicts that were given, and the cases behind one."""

from typing import Annotated, Any

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json

app = typer.Typer(no_args_is_help=True, help="Checks that were run.")


@app.command("list")
def list_runs(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Newest first, at most this many.")] = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """The newest verdicts."""
    from watchkeeper.app import open_app
    from watchkeeper.foundation.clock import format_time
    from watchkeeper.regression import service

    with open_app(config) as app_:
        found = service.verdicts(app_.store, limit=limit)
    if as_json:
        print_json(
            [
                {
                    "run_id": v.id,
                    "kind": v.kind,
                    "verdict": v.verdict,
                    "baseline": v.baseline,
                    "candidate": v.candidate,
                    "decided_at": format_time(v.decided_at),
                    "override": v.document["override"],
                }
                for v in found
            ]
        )
        return
    if not found:
        print("no checks yet; run one: watchkeeper upgrade --from MODEL --to MODEL")
    for v in found:
        overridden = " (overridden)" if v.document["override"] else ""
        print(f"{v.id}  {format_time(v.decided_at)[:16]}Z  {v.verdict}{overridden}  {v.baseline} -> {v.candidate}")


@app.command("show")
def show_run(
    run_id: Annotated[str, typer.Argument(help="Id of a run, or a unique beginning of it.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """One verdict, and its worst cases side by side."""
    from watchkeeper.app import open_app
    from watchkeeper.cli.verdict_table import print_verdict
    from watchkeeper.regression import service

    with open_app(config) as app_:
        document = service.verdict(app_.store, run_id).document
    if as_json:
        print_json(document)
        return
    print_verdict(document)
    for suite in document["suites"]:
        for case in suite["worst_cases"]:
            _print_case(case)


def _print_case(case: dict[str, Any]) -> None:
    print(f"\n{case['suite']} / {case['case']}  ({case['why']})")
    for side in ("baseline", "candidate"):
        answer = case[side] if case[side] is not None else "(no answer)"
        printable = "".join(c if c.isprintable() or c == "\n" else "�" for c in answer)
        print(f"  {side}:")
        print("\n".join(f"    {line}" for line in printable.splitlines()[:12]))
