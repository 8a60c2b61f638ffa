"""`rubrics`: what judges judge by; and one item tried on one of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say

if TYPE_CHECKING:
    from watchkeeper.app import App
    from watchkeeper.evaluation.judge import Rendered
    from watchkeeper.evaluation.judgement import Judgement
    from watchkeeper.evaluation.material import Item
    from watchkeeper.evaluation.rubric import Rubric, RubricShelf

app = typer.Typer(no_args_is_help=True, help="Rubrics: what a judge looks for.")


@app.command("list")
def list_rubrics(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Every rubric with its scale, its judge and its version; a malformed one is named and exits 2."""
    from watchkeeper.foundation.errors import NothingToCheck

    shelf = _shelf(config)
    rubrics = [shelf.read(name) for name in shelf.names()]
    if not rubrics:
        raise NothingToCheck(f"no rubrics in {shelf.folder}; docs/judges.md shows one")
    if as_json:
        print_json([_document(rubric) for rubric in rubrics])
        return
    for rubric in rubrics:
        votes = f", {rubric.votes} votes" if rubric.votes > 1 else ""
        sees = ", ".join(part.replace("_", " ") for part in rubric.sees)
        print(f"{rubric.name}: {rubric.scale.name} by {rubric.model}{votes}; sees {sees}; {rubric.version[:19]}")
        if rubric.description:
            print(f"  {rubric.description}")


@app.command("lint")
def lint_rubrics(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Every rubric can be read and its judge's provider is configured. Exit 1 when not."""
    from watchkeeper.foundation.errors import Misconfigured
    from watchkeeper.settings import find_config, load_settings

    shelf, problems = _shelf(config), []
    providers = load_settings(find_config(config)).providers
    for name in shelf.names():
        try:
            rubric = shelf.read(name)
            if rubric.provider not in providers:
                problems.append(f"{shelf.folder / name}.md: model: provider {rubric.provider!r} is not configured")
        except Misconfigured as error:
            problems.append(str(error))
    if as_json:
        print_json(problems)
    else:
        for problem in problems:
            print(problem)
        if not problems:
            say(f"{len(shelf.names())} rubrics, every one holds")
    if problems:
        raise typer.Exit(1)


@app.command("try")
def try_rubric(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A rubric.")],
    trace: Annotated[
        str | None, typer.Option("--trace", help="Judge the stored request of this trace.", show_default=False)
    ] = None,
    given: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="Judge this JSON object: response, and input, documents, reference, tool_results as texts.",
            show_default=False,
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print what the judge would be sent; ask nobody.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask again, even where the judgement is known.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """One item judged by one rubric. Exit 3 when the judge gave no score, with the reason."""
    from watchkeeper.app import open_app, rubric_shelf
    from watchkeeper.evaluation.judge import render
    from watchkeeper.evaluation.material import unjudgeable
    from watchkeeper.foundation.errors import Misconfigured
    from watchkeeper.jobs.judges import judge_items

    if (trace is None) == (given is None):
        raise Misconfigured("say what to judge: --trace TRACE or --input FILE")
    with open_app(config) as opened:
        rubric = rubric_shelf(opened.settings).read(name)
        item = _of_file(given) if given is not None else _of_trace(opened, trace or "")
        if why := unjudgeable(item, rubric.sees):
            raise Misconfigured(f"rubric {name!r} cannot judge {item.id[:64]}: {why}")
        if show:
            _show(render(rubric, item), as_json=as_json)
            return
        [[found]] = judge_items(opened, [(rubric, [item])], fresh=fresh)
    _print_judgement(found, rubric, as_json=as_json)
    if found.value is None:
        raise typer.Exit(3)


def _shelf(config: "Path | None") -> "RubricShelf":
    from watchkeeper.app import rubric_shelf
    from watchkeeper.settings import find_config, load_settings

    return rubric_shelf(load_settings(find_config(config)))


def _document(rubric: "Rubric") -> dict[str, object]:
    return {
        "rubric": rubric.name,
        "description": rubric.description,
        "scale": rubric.scale.name,
        "model": rubric.model,
        "params": dict(rubric.params),
        "sees": list(rubric.sees),
        "votes": rubric.votes,
        "version": rubric.version,
    }


def _of_trace(opened: "App", trace: str) -> "Item":
    from watchkeeper.evaluation.live import item_of
    from watchkeeper.observability.service import request

    return item_of(request(opened.store, trace))


def _of_file(path: Path) -> "Item":
    import json

    from watchkeeper.evaluation.material import Item
    from watchkeeper.evaluation.rubric import PARTS
    from watchkeeper.foundation.errors import Misconfigured
    from watchkeeper.foundation.json_lines import read_text

    try:
        row = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{path}: not JSON: {error}") from None
    if not isinstance(row, dict) or not isinstance(row.get("response"), str):
        raise Misconfigured(f'{path}: response: write a JSON object like {{"input": "…", "response": "…"}}')
    for part in PARTS:
        if not isinstance(row.get(part), str | None):
            raise Misconfigured(f"{path}: {part}: must be a text")
    return Item(id=str(path), **{part: row.get(part) for part in PARTS})


def _show(rendered: "Rendered", *, as_json: bool) -> None:
    if as_json:
        print_json({"messages": list(rendered.messages), "cut": dict(rendered.material.cut)})
        return
    for message in rendered.messages:
        print(f"--- {message['role']}\n{message['content']}\n")


def _print_judgement(found: "Judgement", rubric: "Rubric", *, as_json: bool) -> None:
    from watchkeeper.foundation.money import show_usd, usd

    if as_json:
        cost = None if found.cost_nano_usd is None else float(usd(found.cost_nano_usd))
        names = ("value", "label", "explanation", "reason", "spread", "calls", "unpriced", "model_served", "altered")
        print_json(
            {
                "rubric": rubric.name,
                "version": found.version,
                **{name: getattr(found, name) for name in names},
                "votes": list(found.votes),
                "cost_usd": cost,
                "cut": dict(found.cut),
            }
        )
        return
    print(f"{rubric.name}: {found.label if found.value is not None else f'missing ({found.reason})'}")
    if found.explanation:
        print(f"  {found.explanation}")
    for part, left_out in found.cut.items():
        print(f"  {left_out:,} characters of the {part.replace('_', ' ')} were left out")
    asked = f"{found.calls} call{'' if found.calls == 1 else 's'}" if found.calls else "known, nobody was asked"
    say(f"{asked}; {show_usd(found.cost_nano_usd)}; {rubric.model}, served by {found.model_served or 'unknown'}")
