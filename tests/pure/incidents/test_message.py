"""An incident as a message: within Slack's limits and inert, whatever the texts are."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block
from tests.edges.slack_stand_in import blocks_hold

from watchkeeper.incidents.incident import Incident
from watchkeeper.incidents.kinds import KINDS
from watchkeeper.incidents.message import Message, incident_message, lasted, notice_message
from watchkeeper.incidents.mrkdwn import clean, code, length, plain, shown
from watchkeeper.incidents.plain import render_plain, width

NOW = datetime(2026, 11, 24, 14, 10, tzinfo=UTC)
BASE = "http://127.0.0.1:8700"

absurd = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="<>&!@#*_~`|\n\t \x00\x1b\u202e\u2066\ud800😀", max_size=60),
    st.builds(
        lambda piece, times: piece * times,
        st.sampled_from(["&", "x", "😀", "`", "\n", "<!here> ", "W"]),
        st.integers(0, 5000),
    ),
)
labels = st.dictionaries(absurd, absurd, max_size=12)
worst = st.lists(
    st.fixed_dictionaries(
        {}, optional={k: st.one_of(st.none(), absurd) for k in ("suite", "case", "baseline", "candidate", "why")}
    ),
    max_size=5,
)
evidence = st.fixed_dictionaries(
    {},
    optional={
        "worst_cases": worst,
        "rate": st.floats(),
        "routes": st.lists(absurd, max_size=5),
        "note": absurd,
        "ok": st.booleans(),
    },
)


def incident(**fields: Any) -> Incident:
    values: dict[str, Any] = {
        "id": "01936f2c" + "0" * 18,
        "kind": "model-regressed",
        "severity": "error",
        "status": "firing",
        "subject": {"baseline": "openai/gpt-4-0314", "candidate": "openai/gpt-4-0613"},
        "dedup_key": "model-regressed:0123456789ab",
        "summary": "openai/gpt-4-0613 is worse than openai/gpt-4-0314 on 1 of 3 suites: code/runs_as_is 0.920 → 0.120",
        "first_move": "Stay on openai/gpt-4-0314: `watchkeeper incidents show 01936f2c`",
        "opened_at": NOW,
        "last_seen_at": NOW,
        "links": {"Run": "/runs/01936f2b"},
        **fields,
    }
    return Incident(**values)


def message(**fields: Any) -> Message:
    it = incident(**fields)
    return incident_message(it, base_url=BASE, runbook=f"{BASE}/runbooks/{it.kind}?incident={it.id}")


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [t for k, v in value.items() for t in ([v] if k == "text" and isinstance(v, str) else texts(v))]
    return [t for v in value for t in texts(v)] if isinstance(value, list | tuple) else []


def holds(made: Message) -> None:
    assert len(made.blocks) <= 9
    assert blocks_hold(list(made.blocks))
    assert 0 < len(made.text) <= 4000
    for block in made.blocks:
        parsed = Block.parse(block)
        assert parsed is not None
        parsed.validate_json()
    for text in [made.text, *texts(made.blocks)]:
        assert not re.search(r"[<>]", text)
        assert not re.search(r"&(?!(amp|lt|gt);)", text)
        assert clean(text) == text


@settings(deadline=None)
@given(
    summary=absurd, subject=labels, evidence=evidence, links=labels, first_move=absurd, by=absurd,
    status=st.sampled_from(["firing", "acknowledged", "resolved"]),
    kind=st.one_of(st.sampled_from(list(KINDS)), absurd),
)  # fmt: skip
def test_every_incident_fits_into_slacks_limits_and_mentions_nobody(status: str, by: str, **fields: Any) -> None:
    done = NOW + timedelta(hours=2)
    ended = {"resolved_at": done, "resolved_by": by} if status == "resolved" else {}
    taken = {"acknowledged_at": done, "acknowledged_by": by} if status == "acknowledged" else {}
    made = message(status=status, **fields, **ended, **taken)
    holds(made)
    assert all(width(line) <= 100 or "://" in line for line in render_plain(made).splitlines())


@settings(deadline=None)
@given(summary=absurd, lines=st.lists(absurd, max_size=40), links=labels)
def test_every_notice_fits_too(summary: str, lines: list[str], links: dict[str, str]) -> None:
    holds(notice_message(summary=summary, lines=lines, links=links, base_url=BASE))


@given(text=absurd, limit=st.integers(20, 300))
def test_cut_text_is_never_longer_than_its_limit(text: str, limit: int) -> None:
    for fit in (shown, plain, code):
        assert length(fit(text, limit)) <= limit


def test_text_that_fits_is_not_cut() -> None:
    assert plain("x" * 150, 150) == "x" * 150
    assert plain("x" * 151, 150) == "x" * 149 + "…"
    assert plain("&" * 30, 150) == "&amp;" * 30
    assert plain("&" * 31, 150) == "&amp;" * 29 + "…"


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("<!channel>", "&lt;!channel&gt;"),
        ("<@U123> & co", "&lt;@U123&gt; &amp; co"),
        ("*bold* _it_ ~gone~ `code`", "∗bold∗ ˍitˍ ∼gone∼ ˋcodeˋ"),
        ("runs_as_is 2*3", "runs_as_is 2*3"),
        ("```\nrm -rf\n```", "ˋˋˋ\nrm -rf\nˋˋˋ"),
        ("a\u202eb\x1b[31mc\x00", "ab[31mc"),
    ],
)
def test_text_of_a_model_is_shown_and_not_obeyed(hostile: str, harmless: str) -> None:
    assert shown(hostile, 1000) == harmless


def test_a_code_block_cannot_be_left() -> None:
    assert code("a ``` b", 100) == "```\na ˋˋˋ b\n```"
    assert code("a ` b `` c", 100) == "```\na ` b `` c\n```"
    assert code("", 100) == "```\n(empty)\n```"


def test_the_message_says_what_how_much_and_what_to_do_first() -> None:
    made = message(
        summary="new is worse than old on 2 of 3 suites: "
        "code/runs 0.920 → 0.120 (-0.800, 95% interval -0.910 to -0.660); prime/word 0.840 → 0.511",
        evidence={
            "suites": [
                {"suite": "code", "newly_failing": 40, "cases": 50},
                {"suite": "opinion", "newly_failing": 0, "cases": 9},
            ],
            "worst_cases": [
                {
                    "suite": "code",
                    "case": f"c{n}",
                    "baseline": "print(1)",
                    "candidate": "```python",
                    "why": "runs -1.00",
                }
                for n in range(5)
            ],
        },
    )
    kinds = [block["type"] for block in made.blocks]
    assert kinds == ["header", "section", "section", "section", "section", "section", "section", "actions", "context"]
    assert (
        made.blocks[0]["text"]["text"] == "🔴 Error: Model upgrade would regress: openai/gpt-4-0314 → openai/gpt-4-0613"
    )
    assert (
        made.blocks[1]["text"]["text"].splitlines()[1]
        == "• code/runs 0.920 → 0.120 (-0.800, 95% interval -0.910 to -0.660)"
    )
    assert "*Newly failing*\ncode 40 of 50" in texts(made.blocks[2]["fields"])
    assert [len(block["fields"]) for block in made.blocks[3:6]] == [2, 2, 2]
    assert (
        made.blocks[6]["text"]["text"]
        == "*First move:* Stay on openai/gpt-4-0314: `watchkeeper incidents show 01936f2c`"
    )
    buttons = {b["text"]["text"]: b["url"] for b in made.blocks[7]["elements"]}
    assert buttons == {
        "Runbook": f"{BASE}/runbooks/model-regressed?incident={incident().id}",
        "Run": f"{BASE}/runs/01936f2b",
        "Incident": f"{BASE}/incidents/{incident().id}",
    }


def test_a_resolved_message_says_so_and_keeps_its_links() -> None:
    made = message(
        status="resolved", resolved_at=NOW + timedelta(minutes=42), resolved_by="check_upgrade",
        evidence={"worst_cases": [{"suite": "s", "case": "c", "baseline": "a", "candidate": "b"}]},
    )  # fmt: skip
    assert made.text.startswith("✅ Resolved after 42 min: ")
    assert "First move" not in str(made.blocks)
    assert [block["type"] for block in made.blocks] == ["header", "section", "section", "actions", "context"]
    assert all("style" not in button for button in made.blocks[3]["elements"])
    assert "resolved by check" in made.blocks[4]["elements"][0]["text"]


def test_an_address_slack_would_refuse_makes_no_button() -> None:
    made = message(links={"Long": "/" + "x" * 3000, "Odd": "javascript://x"})
    assert [b["text"]["text"] for b in made.blocks[-2]["elements"]] == ["Runbook", "Incident"]


def test_the_plain_text_stays_within_100_columns_with_wide_characters() -> None:
    made = message(
        evidence={"worst_cases": [{"suite": "s", "case": "c", "baseline": "答え" * 90, "candidate": "no", "why": "w"}]}
    )
    printed = render_plain(made)
    assert {width(line) for line in printed.splitlines()} == {100}
    assert "First move:" in printed
    assert "&" not in printed


def test_the_plain_text_keeps_code_as_it_is_and_breaks_lines_at_spaces() -> None:
    case = {
        "suite": "s",
        "case": "c",
        "baseline": "if x:\n    y = a*b*c  # long enough to wrap around here",
        "candidate": "no",
    }
    printed = render_plain(message(evidence={"worst_cases": [case]}))
    assert "    y = a*b*c # long enough to wrap around" in printed
    assert "│ Baseline " in printed


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (0.5, "under a minute"),
        (1, "1 min"),
        (59, "59 min"),
        (60, "1 h 0 min"),
        (2879, "47 h 59 min"),
        (2880, "2 d 0 h"),
    ],
)
def test_how_long_it_lasted(minutes: float, said: str) -> None:
    assert lasted(NOW, NOW + timedelta(minutes=minutes)) == said
