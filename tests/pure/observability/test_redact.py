"""What must not be stored is masked, what is no content stays, and hostile text takes no longer."""

import random
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.observability.masking import BUILTIN, Redactor, slow_pattern
from watchkeeper.observability.redact import Policy, private, user_hash
from watchkeeper.observability.request import Call, Feedback, Request, Retrieval, ToolCall
from watchkeeper.observability.wire import as_json, request_of
from watchkeeper.settings import load_settings, privacy_policy

SECRET = b"of this installation"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to ann.lee+x@mail.example.co.uk.", "write to [email]."),
        ("<jürgen@müller.example>", "<[email]>"),
        ("call +49 30 901820 or +1 (415) 555-2671", "call [phone] or [phone]"),
        ("(415) 555-2671, 415-555-2671, 0170 1234567, 030/901820-11", "[phone], [phone], [phone], [phone]"),
        ("+49 1234567", "[phone]"),  # nine digits, the fewest
        ("001/2 3.4-5(6)7 8", "[phone]"),
        ("xapp-1234567890", "[key]"),  # the shortest of the keys
        ("415 555 2671 or 4111.1111.1111.1111", "[phone] or [card]"),
        ("4111 1111 1111 1111, 5500-0000-0000-0004, 378282246310005", "[card], [card], [card]"),
        ("sk-proj-abcdefghijklmnop1234", "[key]"),
        ("sk_live_abcdefghijklmnop1234", "[key]"),
        ("xoxb-1234567890-abc", "[key]"),
        ("AKIAIOSFODNN7EXAMPLE", "[key]"),
        ("xapp-1234567890, sk-1234567890123456, hf_1234567890123456", "[key], [key], [key]"),
        ("BEARER abcdefghijklmnop, glpat-1234567890123456, AIza" + "x" * 35, "BEARER [key], [key], [key]"),
        ("ghp_abcdefghijklmnopqrstuvwxyz012345", "[key]"),
        ("Authorization: Bearer abcdefghijklmnop.qrst", "Authorization: Bearer [key]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123", "[key]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE+/\n-----END RSA PRIVATE KEY-----", "[key]"),
        ('{"mail": "ann@example.com"}', '{"mail": "[email]"}'),
    ],
)
def test_what_must_not_be_stored_is_masked(text: str, masked: str) -> None:
    assert Redactor().text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T10:00:00.123456Z, 04-11-2026, 00:00:00",
        "order 1234567890123 at 1764054349000000000",
        "4111 1111 1111 1112",
        "v1.2.3, 10.0.0.1, 192.168.100.200, 12,345,678, 3.14159265358979",
        "550e8400-e29b-41d4-a716-446655440000, 0af7651916cd43dd8448eb211c80319c",
        "a task-force, risk-based, the @handle, 5 @ 3, sk-learn",
        "Please refund order 991 within 30 days.",
    ],
)
def test_what_is_harmless_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_own_patterns_come_first_with_their_own_marker() -> None:
    own = Redactor({"employee": r"\bEMP-\d{6}\b", "mail": r"\b[a-z]{1,40}@corp\.example\b"})
    assert own.text("EMP-123456 ann@corp.example bob@example.com") == "[employee] [mail] [email]"
    assert Redactor({"employee": r"\bEMP-\d{6}\b"}, builtin=False).text("EMP-123456 a@b.example") == (
        "[employee] a@b.example"
    )


def test_values_are_masked_however_deep_and_kept_fields_are_not() -> None:
    value = {"a": [{"mail": "x@y.example", "id": "x@y.example", "n": 7, "card": 4111111111111111, "ok": True}]}
    assert Redactor().value(value, frozenset({"id"})) == {
        "a": [{"mail": "[email]", "id": "x@y.example", "n": 7, "card": "[card]", "ok": True}]
    }


MAIL = "ann@example.com"


def request(**changes: Any) -> Request:
    made = Request(
        trace_id="1" * 32, span_id="2" * 16, started_at=datetime(2026, 11, 24, tzinfo=UTC), route="support.answer",
        segment="free", session_id="s-1", job_id="ticket-991", input=f"I am {MAIL}", response=f"Hello {MAIL}",
        error_type=f"Failed for {MAIL}",
        calls=[
            Call(
                span_id="3" * 16, provider="openai", model_served="gpt-5", finish_reason="stop",
                params={"temperature": 0.2, "user": "ann", "stop": [MAIL]},
                messages=[
                    {"role": "user", "content": MAIL},
                    {"role": "assistant", "tool_calls": [{"id": "call_1", "function": {"arguments": MAIL}}]},
                ],
                response=MAIL, more={"raw": {"deep": MAIL, "n": 1}},
            )
        ],
        retrievals=[Retrieval(span_id="4" * 16, documents=[{"id": "doc-17", "score": 0.8, "content": MAIL}])],
        tool_calls=[ToolCall(span_id="5" * 16, name="lookup", arguments={"id": MAIL, "name": MAIL}, result=[MAIL])],
        feedback=[Feedback(kind="thumb", value=-1, comment=MAIL), Feedback(kind="edit", value=MAIL)],
        attributes={"user.id": "ann", "country": "DE", "note": MAIL},
    )  # fmt: skip
    return replace(made, **changes)


MODES = ("full", "hashed", "none")


@pytest.mark.parametrize("mode", MODES)
def test_nothing_of_it_is_left_and_ids_and_labels_are(mode: Any) -> None:
    found = private(request(), Policy(content=mode, secret=SECRET))
    assert MAIL not in str(as_json(found))
    assert "'ann'" not in str(as_json(found))
    kept = ("trace_id", "span_id", "route", "segment", "session_id", "job_id", "started_at")
    assert all(getattr(found, name) == getattr(request(), name) for name in kept)
    assert (found.calls[0].model_served, found.calls[0].finish_reason) == ("gpt-5", "stop")
    assert found.calls[0].params["temperature"] == 0.2
    assert [message["role"] for message in found.calls[0].messages] == ["user", "assistant"]
    assert found.calls[0].messages[1]["tool_calls"][0]["id"] == "call_1"
    assert (found.retrievals[0].documents[0]["id"], found.retrievals[0].documents[0]["score"]) == ("doc-17", 0.8)
    assert found.tool_calls[0].name == "lookup"
    assert found.feedback[0].value == -1
    assert found.attributes["user.id"] == found.calls[0].params["user"] == user_hash("ann", SECRET)
    assert private(found, Policy(content=mode, secret=SECRET)) == found
    assert as_json(request_of(as_json(found))) == as_json(found)


def test_full_content_keeps_everything_else() -> None:
    found = private(request(), Policy())
    assert (found.input, found.attributes["country"]) == ("I am [email]", "DE")
    assert found.tool_calls[0].arguments == {"id": "[email]", "name": "[email]"}
    assert found.attributes["user.id"] == "[user]"


def test_hashed_content_shows_equal_texts_to_this_installation_only() -> None:
    one, same, other = (
        private(request(input=text), Policy(content="hashed", secret=SECRET)).input for text in ("a", "a", "b")
    )
    assert one is not None
    assert one == same != other
    assert private(request(input="a"), Policy(content="hashed", secret=b"another")).input != one
    assert private(request(input="a"), Policy(content="hashed")).input is None


def test_what_only_looks_like_a_hash_is_hashed() -> None:
    told = "h_my mother has cancer and I amxyz"
    assert len(told) == 34
    hidden = private(request(input=told), Policy(content="hashed", secret=b"s"))
    assert hidden.input != told
    assert hidden.input is not None
    assert hidden.input.startswith("h_")


def test_hashes_come_through_whatever_the_policy_though_their_digits_look_like_a_card() -> None:
    text, user = "h_859f08fad6362900182179" + "0" * 10, "u_4111111111111111" + "a" * 16
    for content in ("full", "hashed"):
        kept = private(request(input=text, attributes={"user": user}), Policy(content=content, secret=b"s"))  # type: ignore[arg-type]
        assert (kept.input, kept.attributes["user"]) == (text, user)
    assert Redactor().text(f"see {user}, card 4111111111111111") == f"see {user}, card [card]"


def test_a_route_has_its_own_rule_and_named_attributes_are_kept() -> None:
    policy = Policy(routes={"support.answer": "none"}, keep=frozenset({"country"}), secret=SECRET)
    hidden = private(request(), policy)
    assert (hidden.input, hidden.response, hidden.tool_calls[0].arguments) == (None, None, None)
    kept = {"user.id": user_hash("ann", SECRET), "country": "DE", "note": None, "content_kept": "none"}
    assert hidden.attributes == kept
    assert private(request(route="other"), policy).input == "I am [email]"


def test_without_a_redactor_only_users_are_hidden() -> None:
    found = private(request(), Policy(redactor=None, secret=SECRET))
    assert found.input == f"I am {MAIL}"
    assert found.attributes["user.id"].startswith("u_")


HOSTILE = [
    "a", "a@", "a@b.", "a.", "1", "1 ", "4111 ", "+1", "+1 (", "0", "00", "(", "eyJ", "eyJaaaaaaaa.", "sk-", "sk-a ",
    "xox", "xoxb-", "gh", "ghp_", "AKIA", "AIza", "Bearer ", "-", "-----BEGIN PRIVATE KEY-----", "-----", "-----END",
    "@", "a@b", "@a.b ", "123-", "01 23", "555-555-", "é@é.é", "1.1-1/1(1)", " ", "0 1/", "x@" + "b" * 63 + ".",
]  # fmt: skip


@pytest.mark.parametrize("seed", HOSTILE)
def test_a_megabyte_of_hostile_text_takes_under_a_second(seed: str) -> None:
    text = (seed * 1_000_000)[:1_000_000] + "@ PRIVATE KEY----- eyJ sk- xox gh AKIA AIza earer "
    started = time.process_time()
    Redactor().text(text)
    assert time.process_time() - started < 1


def test_a_megabyte_of_any_mixture_takes_under_a_second() -> None:
    rng = random.Random(7)
    text = "".join(rng.choices([*HOSTILE, "\n", "\x00", "\U0001f600"], k=300_000))[:1_000_000]
    started = time.process_time()
    Redactor().text(text)
    assert time.process_time() - started < 1


@given(st.text(alphabet=st.sampled_from("aZ019 @.-_+()/:eyJsk\n"), max_size=200))
def test_masking_twice_masks_no_more(text: str) -> None:
    once = Redactor().text(text)
    assert Redactor().text(once) == once


KEYS = (
    "sk-", "rk_", "xoxb-", "xapp-", "AKIA", "ASIA", "ghp_", "github_pat_", "glpat-", "hf_", "npm_", "pypi-", "AIza",
    "earer ", "BEARER ", "eyJ", "-----BEGIN PRIVATE KEY-----", "a@b.cd", "+49 1234567", "4111 1111 1111 1111",
    "0170 12 34 56 7", "(415) 555-2671", "0a1B2c3D4e5F6g7H8", "a" * 35, ".", " ", "7", "-", "_", "x",
)  # fmt: skip


@given(st.lists(st.sampled_from(KEYS), max_size=8).map("".join))
def test_what_is_skipped_for_speed_could_not_have_matched(text: str) -> None:
    everything = text
    for rule in BUILTIN:
        sure, marker = rule.confirmed, rule.marker
        everything = rule.pattern.sub(lambda m: marker if sure is None or sure(m[0]) else m[0], everything)  # noqa: B023
    assert Redactor().text(text) == everything


def test_a_slow_pattern_is_found_in_time_and_named() -> None:
    started = time.monotonic()
    assert slow_pattern({"ok": r"\bEMP-\d{6}\b", "bad": r"(x+x+)+y"}) == "bad"
    assert time.monotonic() - started < 10
    assert slow_pattern({"ok": r"\bEMP-\d{6}\b"}, seconds=20) is None
    assert slow_pattern({}) is None


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('[privacy.patterns]\nbad = "("', "not a regular expression"),
        ('[privacy.patterns]\nbad = "x*"', "matches the empty text"),
        ('[privacy.patterns]\n"Bad Name" = "x"', "a pattern's name has"),
        ('[privacy.patterns]\nbad = "(x+x+)+y"', "privacy.patterns.bad: too slow"),
        ('[privacy]\ncontent = "hashed"', "set WATCHKEEPER_USER_ID_SECRET"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, problem: str
) -> None:
    monkeypatch.delenv("WATCHKEEPER_USER_ID_SECRET", raising=False)
    (tmp_path / "watchkeeper.toml").write_text(lines)
    with pytest.raises(Misconfigured, match=problem):
        privacy_policy(load_settings(tmp_path / "watchkeeper.toml"))


def test_the_policy_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_USER_ID_SECRET", "s")
    (tmp_path / "watchkeeper.toml").write_text(
        '[privacy]\npatterns = {employee = "EMP-[0-9]{6}"}\nkeep = ["country"]\n'
        '[routes."support.answer"]\nmodel = "openai/gpt-5"\ncontent = "none"\n'
    )
    policy = privacy_policy(load_settings(tmp_path / "watchkeeper.toml"))
    assert (policy.secret, dict(policy.routes), policy.keep) == (b"s", {"support.answer": "none"}, {"country"})
    assert private(request(input="EMP-123456", route="other"), policy).input == "[employee]"
