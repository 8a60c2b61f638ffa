"""Runbook pages: whose page counts, where it opens, and what lint refuses."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from watchkeeper.foundation.errors import Misconfigured, NotFound
from watchkeeper.incidents.incident import Incident
from watchkeeper.incidents.kinds import KINDS
from watchkeeper.incidents.runbook import HEADINGS, RunbookShelf, filled, labels_of, runbook_url
from watchkeeper.incidents.runbook_lint import commands, lint


def page(kind: str = "timeouts", *, first_move: str = "Look first.", body: str | None = None) -> str:
    text = body if body is not None else "\n\n".join(f"## {heading}\n\nText." for heading in HEADINGS)
    front = f"kind: {kind}\nseverity: error\nfirst_move: {first_move!r}\nlast_reviewed: 2026-11-24"
    return f"---\n{front}\n---\n# {kind}\n\n{text}\n"


def known(argv: list[str]) -> str | None:
    if argv[:2] in (["incidents", "show"], ["serve", "--port"]):
        return "not a number" if argv[0] == "serve" and not argv[2].isdigit() else None
    return f"no command {argv[0]}"


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    folder = tmp_path / "ours"
    folder.mkdir()
    for kind in KINDS:
        (folder / f"{kind}.md").write_text(page(kind))
    return folder


def problems(*folders: Path) -> list[str]:
    return [str(problem).partition("/")[2] for problem in lint(RunbookShelf(folders), parses=known)]


def with_page(ours: Path, text: str) -> list[str]:
    (ours / "timeouts.md").write_text(text)
    return problems(ours)


def test_good_pages_have_no_problem(ours: Path) -> None:
    (ours / "README.md").write_text("# Index\n\n[timeouts](timeouts.md)\n")
    assert problems(ours) == []


def test_a_missing_page_is_named(ours: Path) -> None:
    (ours / "cost-spike.md").unlink()
    assert problems(ours) == ["cost-spike.md: missing: the incident kind cost-spike has no page"]


def test_a_missing_heading_is_named(ours: Path) -> None:
    text = page().replace("## Impact\n\nText.\n\n", "")
    assert with_page(ours, text) == ["timeouts.md: the heading `## Impact` is missing"]


def test_a_misspelt_heading_is_both_missing_and_unknown(ours: Path) -> None:
    assert with_page(ours, page().replace("## Impact", "## Impacts")) == [
        "timeouts.md: the heading `## Impact` is missing",
        "timeouts.md:13: unknown heading `## Impacts`; did you mean Impact?",
    ]


def test_a_heading_without_text_is_named_with_its_line(ours: Path) -> None:
    text = page().replace("## After\n\nText.", "## After\n")
    assert with_page(ours, text) == ["timeouts.md:33: `## After` has no text"]


@pytest.mark.parametrize(
    "quoted",
    [
        "Run `watchkeeper incidnts show x` now.",
        "```sh\nwatchkeeper incidnts show x | head\n```",
        "```\n$ watchkeeper incidnts \\\n  show x\n```",
    ],
)
def test_a_mistyped_command_is_named_with_its_line(ours: Path, quoted: str) -> None:
    (problem,) = with_page(ours, page() + f"\n{quoted}\n")
    assert problem.startswith("timeouts.md:3")
    assert problem.endswith("no command incidnts")


def test_commands_that_exist_pass_with_placeholders_pipes_and_comments(ours: Path) -> None:
    text = (
        page()
        + "\n```sh\nwatchkeeper incidents show {id} | grep x   # why\nwatchkeeper serve --port {port}\n```\n"
        + "`watchkeeper.toml`\n"
    )
    assert with_page(ours, text) == []


def test_a_command_in_the_first_move_is_held_too(ours: Path) -> None:
    assert with_page(ours, page(first_move="Run `watchkeeper nothing`")) == [
        "timeouts.md: first_move: `watchkeeper nothing`: no command nothing"
    ]


def test_incomplete_front_matter_is_named_key_by_key(ours: Path) -> None:
    found = with_page(
        ours, page().replace("kind: timeouts", "kind: other").replace("error", "bad").replace("2026-11-24", "soon")
    )
    assert [line.split(": ")[2].split(" must")[0] for line in found] == ["kind", "severity", "last_reviewed"]
    assert with_page(ours, page(first_move="x" * 161)) == [
        "timeouts.md: front matter: first_move must be one line of at most 160 characters"
    ]
    assert "first_move is missing" in with_page(ours, page(first_move=""))[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("---\nkind: x\n", "timeouts.md:1: the front matter does not end; close it with a line of ---"),
        ("---\nkind: x\nseverity: [\n---\n", "timeouts.md:3: the front matter is not YAML"),
        ("---\n- a\n---\n", "timeouts.md:1: the front matter must be `key: value` lines"),
    ],
)
def test_front_matter_that_cannot_be_read_is_named_with_its_line(ours: Path, text: str, said: str) -> None:
    assert with_page(ours, text) == [said]


def test_a_link_that_leads_nowhere_is_named(ours: Path) -> None:
    assert with_page(
        ours, page() + "\n[there](nowhere.md#x) [web](https://example.org/x) [here](timeouts.md#impact)\n"
    ) == ["timeouts.md:37: the link nowhere.md#x leads nowhere"]


def test_a_page_of_no_kind_is_named_with_the_near_one(ours: Path) -> None:
    (ours / "timeout.md").write_text(page("timeout"))
    assert problems(ours) == ["timeout.md: there is no incident kind timeout; did you mean timeouts?"]


def test_the_teams_page_wins_and_borrows_only_what_it_does_not_say(ours: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    shelf = RunbookShelf((theirs, ours))
    assert shelf.first_move("timeouts") == "Look first."
    theirs.mkdir()
    (theirs / "timeouts.md").write_text("# Ours\n\nCall Ada.\n")
    assert shelf.page("timeouts") == "# Ours\n\nCall Ada.\n"
    assert shelf.first_move("timeouts") == "Look first."
    (theirs / "timeouts.md").write_text(page(first_move="Call Ada."))
    assert shelf.first_move("timeouts") == "Call Ada."
    assert shelf.page("timeouts").startswith("# timeouts\n")


@pytest.mark.parametrize("kind", ["timeout", "../secret", "", "timeouts/../timeouts"])
def test_only_kinds_are_pages(ours: Path, kind: str) -> None:
    (ours.parent / "secret.md").write_text("secret")
    with pytest.raises(NotFound):
        RunbookShelf((ours,)).page(kind)


def test_a_page_that_cannot_be_read_says_where(ours: Path) -> None:
    (ours / "timeouts.md").write_text("---\nfirst_move: {\n---\n")
    with pytest.raises(Misconfigured, match=r"timeouts\.md:\d+: the front matter is not YAML"):
        RunbookShelf((ours,)).page("timeouts")
    (ours / "timeouts.md").write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured, match="cannot be read"):
        RunbookShelf((ours,)).first_move("timeouts")


def test_where_a_page_opens() -> None:
    assert (
        runbook_url("timeouts", runbooks_url="", base_url="http://h/", incident_id="i")
        == "http://h/runbooks/timeouts?incident=i"
    )
    assert runbook_url("timeouts", runbooks_url="", base_url="http://h") == "http://h/runbooks/timeouts"
    assert (
        runbook_url("timeouts", runbooks_url="https://git/r/", base_url="http://h", incident_id="i")
        == "https://git/r/timeouts.md"
    )


def test_commands_are_read_from_spans_and_fences() -> None:
    text = (
        "a `watchkeeper x` b ``watchkeeper no`` `watchkeeper`\n```sh\nwatchkeeper y \\\n  z\necho watchkeeper no\n```\n"
    )
    assert commands(text) == [(1, "watchkeeper x"), (3, "watchkeeper y z")]


def test_a_page_opened_from_an_incident_carries_its_names_and_its_hour() -> None:
    incident = Incident(
        id="01a2",
        kind="model-regressed",
        severity="error",
        status="firing",
        subject={"baseline": "p/old", "candidate": "p/new; rm -rf ~"},
        dedup_key="k",
        summary="worse",
        first_move="",
        opened_at=datetime(2026, 11, 25, 6, 18, tzinfo=UTC),
        last_seen_at=datetime(2026, 11, 25, 6, 18, tzinfo=UTC),
        evidence={
            "run_id": "01b3",
            "routes": ["a", "b"],
            "suites": [{"suite": "fine", "verdict": "pass"}, {"suite": "bad", "verdict": "regressed"}],
        },
    )
    text = "show {run} {incident} {route} {suite} --since {since}; {baseline} {candidate}; {you}"
    assert filled(text, labels_of(incident)) == (
        "show 01b3 01a2 a bad --since 2026-11-25T05:18:00.000Z; p/old 'p/new; rm -rf ~'; {you}"
    )
