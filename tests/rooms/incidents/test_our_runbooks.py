"""The pages that travel with the package, against the real command line."""

from watchkeeper.cli.grammar import parses
from watchkeeper.foundation.packaged import packaged
from watchkeeper.incidents.kinds import KINDS
from watchkeeper.incidents.runbook import RunbookShelf
from watchkeeper.incidents.runbook_lint import lint


def test_our_own_pages_hold() -> None:
    shelf = RunbookShelf((packaged("runbooks"),))
    assert [str(problem) for problem in lint(shelf, parses=parses)] == []
    assert shelf.kinds() == list(KINDS)


def test_every_page_is_in_the_index() -> None:
    index = (packaged("runbooks") / "README.md").read_text()
    assert [kind for kind in KINDS if f"({kind}.md)" not in index] == []


def test_a_mistyped_command_is_caught_by_the_real_command_line() -> None:
    assert parses(["incidents", "show", "{incident}"]) is None
    assert "did you mean 'show'" in (parses(["incidents", "sho", "x"]) or "")
    assert "No such option" in (parses(["alerts", "deliver", "--onec"]) or "")
    assert "Missing" in (parses(["upgrade", "--from", "a/b"]) or "")
