"""The outbox against a server that speaks Slack's API over HTTP and fails in every way it can."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.edges.slack_stand_in import CHANNEL, CHANNEL_ID, TOKEN, Fault, Slack, slack_stand_in
from watchkeeper.database.engine import Store
from watchkeeper.foundation.clock import FrozenClock
from watchkeeper.foundation.finding import Finding
from watchkeeper.incidents import service
from watchkeeper.incidents.outbox import DeliveryReport
from watchkeeper.incidents.reconcile import Scope
from watchkeeper.incidents.slack import SlackChannel

BASE = "http://127.0.0.1:8700"
SUBJECT = {"baseline": "replay/old-1", "candidate": "replay/new-1"}
SCOPE = Scope(kinds=frozenset({"model-regressed"}), subject=SUBJECT)
MOVES = {"model-regressed": "Keep {baseline}."}


@pytest.fixture
def slack() -> Iterator[Slack]:
    with slack_stand_in() as running:
        yield running


class Desk:
    """A store, a clock that stands still, and a channel."""

    def __init__(self, store: Store, slack: Slack) -> None:
        self.store, self.slack = store, slack
        # The server stamps messages with the machine's time, so the clock starts there.
        self.clock = FrozenClock(datetime.now(UTC))
        self.paused: list[float] = []

    def find(self, summary: str = "new-1 is worse than old-1: 0.9 → 0.5") -> None:
        self._reconcile([finding(summary)])

    def recover(self) -> None:
        self._reconcile([])

    def incident(self) -> Any:
        return service.list_incidents(self.store)[0]

    def deliver(self, *, after_s: float = 0, token: str = TOKEN, **options: Any) -> DeliveryReport:
        self.clock.advance(timedelta(seconds=after_s))
        settings = {"channel": CHANNEL, "api_url": self.slack.base_url, **options}
        return service.deliver(
            self.store,
            SlackChannel(token=token, timeout_s=settings.pop("timeout_s", 1), **settings),
            base_url=BASE,
            clock=self.clock,
            pause=self._pause,
        )

    def _reconcile(self, findings: list[Finding]) -> None:
        service.reconcile(self.store, findings, scope=SCOPE, now=self.clock.now(), first_moves=MOVES)

    def _pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.clock.advance(timedelta(seconds=seconds))


def finding(summary: str, **fields: Any) -> Finding:
    return Finding(kind="model-regressed", severity="error", subject=SUBJECT, summary=summary, **fields)


@pytest.fixture
def desk(sqlite_store: Store, slack: Slack) -> Desk:
    return Desk(sqlite_store, slack)


@pytest.fixture
def desk_on_both(store: Store, slack: Slack) -> Desk:
    return Desk(store, slack)


def test_an_incident_becomes_one_message_with_its_first_move_and_runbook(desk_on_both: Desk, slack: Slack) -> None:
    desk = desk_on_both
    desk.find()
    desk.find()
    report = desk.deliver()
    assert (report.sent, report.waiting, report.problems) == (1, 0, ())
    assert desk.deliver().sent == 0
    (message,) = slack.messages
    assert message["metadata"]["event_type"] == "watchkeeper_incident"
    assert message["metadata"]["event_payload"]["incident_id"] == desk.incident().id
    shown = str(message["blocks"])
    assert "Keep replay/old-1." in shown
    assert f"{BASE}/runbooks/model-regressed?incident={desk.incident().id}" in shown
    assert (desk.incident().slack_channel, desk.incident().slack_ts) == (CHANNEL_ID, message["ts"])


def test_what_changes_is_edited_in_place(desk_on_both: Desk, slack: Slack) -> None:
    desk = desk_on_both
    desk.find()
    desk.deliver()
    desk.find("new-1 is worse than old-1: 0.9 → 0.4")
    desk.deliver()
    assert "0.4" in slack.said()[0]
    service.acknowledge(desk.store, desk.incident().id, who="ada", now=desk.clock.now())
    desk.deliver()
    assert slack.said()[0].startswith("👀 ada is on it")
    desk.clock.advance(timedelta(minutes=42))
    desk.recover()
    desk.deliver()
    assert len(slack.messages) == 1
    assert slack.messages[0]["edits"] == 3
    assert slack.said()[0].startswith("✅ Resolved after 42 min")


def test_changes_before_the_first_message_are_told_by_it(desk: Desk, slack: Slack) -> None:
    desk.find()
    service.acknowledge(desk.store, desk.incident().id, who="ada", now=desk.clock.now())
    assert desk.deliver().sent == 1
    assert slack.count("chat.update") == 0
    assert "ada is on it" in slack.said()[0]


def test_the_same_trouble_later_is_a_new_message(desk: Desk, slack: Slack) -> None:
    desk.find()
    desk.deliver()
    desk.recover()
    desk.find()
    desk.deliver()
    assert [text[0] for text in slack.said()] == ["✅", "🔴"]


def test_a_message_that_was_taken_but_whose_answer_was_lost_is_not_posted_again(
    desk_on_both: Desk, slack: Slack
) -> None:
    desk = desk_on_both
    desk.find()
    slack.fail(Fault("drop"))
    report = desk.deliver()
    assert (report.sent, report.waiting) == (0, 1)
    assert "the answer was lost" in report.problems[0]
    assert desk.deliver(after_s=10).sent == 1
    assert len(slack.messages) == 1
    assert slack.count("chat.postMessage") == 1
    assert desk.incident().slack_ts == slack.messages[0]["ts"]
    desk.recover()
    desk.deliver()
    assert slack.said()[0].startswith("✅")


def test_a_sender_killed_between_the_call_and_the_commit_leaves_one_message(desk: Desk, slack: Slack) -> None:
    class Killed(BaseException):
        pass

    class Dying(SlackChannel):
        def post(self, *args: Any, **kwargs: Any) -> Any:
            super().post(*args, **kwargs)
            raise Killed

    desk.find()
    dying = Dying(token=TOKEN, channel=CHANNEL, api_url=slack.base_url)
    with pytest.raises(Killed):
        service.deliver(desk.store, dying, base_url=BASE, clock=desk.clock)
    assert desk.deliver(after_s=60).sent == 0  # the dead sender's lease still holds: its process, this one, lives
    assert desk.deliver(after_s=61).sent == 1
    assert len(slack.messages) == 1
    assert slack.count("chat.postMessage") == 1


def test_after_a_sigkill_the_next_delivery_goes_on_at_once(tmp_path: Path, slack: Slack) -> None:
    (tmp_path / "watchkeeper.toml").write_text(f'[slack]\nchannel = "{CHANNEL}"\napi_url = "{slack.base_url}"\n')
    command = [sys.executable, "-m", "watchkeeper", "alerts"]
    env = {**os.environ, "SLACK_BOT_TOKEN": TOKEN, "WATCHKEEPER_CONFIG": str(tmp_path / "watchkeeper.toml")}
    slack.fail(Fault("take-and-hang"))
    victim = subprocess.Popen([*command, "test"], env=env, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not slack.messages and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    victim.kill()
    victim.wait()
    again = subprocess.run(
        [*command, "deliver", "--once", "--json"], env=env, capture_output=True, text=True, timeout=60
    )
    assert (again.returncode, json.loads(again.stdout)["sent"]) == (0, 1)
    assert len(slack.messages) == 1
    assert slack.count("chat.postMessage") == 1


@pytest.mark.parametrize(
    ("broken", "code", "said"),
    [
        (None, 0, "the drill reached #llm-oncall"),
        ("channel_not_found", 2, "invite"),
        ("internal_error", 4, "failed with"),
    ],
)
def test_the_drill_says_what_came_of_it(tmp_path: Path, slack: Slack, broken: str | None, code: int, said: str) -> None:
    (tmp_path / "watchkeeper.toml").write_text(f'[slack]\nchannel = "{CHANNEL}"\napi_url = "{slack.base_url}"\n')
    if broken:
        slack.broken["chat.postMessage"] = broken
    env = {**os.environ, "SLACK_BOT_TOKEN": TOKEN, "WATCHKEEPER_CONFIG": str(tmp_path / "watchkeeper.toml")}
    drill = [sys.executable, "-m", "watchkeeper", "alerts", "test"]
    done = subprocess.run(drill, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert TOKEN not in done.stdout + done.stderr


def test_the_history_is_paged_until_the_message_is_found(desk: Desk, slack: Slack) -> None:
    slack.page_size = 2
    desk.find()
    slack.fail(Fault("drop"))
    desk.deliver()
    for number in range(5):
        SlackChannel(token=TOKEN, channel=CHANNEL, api_url=slack.base_url).post(
            _noise(number), key=f"other:{number}", incident_id=None
        )
    desk.deliver(after_s=10)
    assert slack.count("conversations.history") == 3
    assert len(slack.messages) == 6


def _noise(number: int) -> Any:
    from watchkeeper.incidents.message import Message

    return Message(text=f"noise {number}", blocks=())


def test_a_message_that_was_not_taken_is_posted_after_the_look_up(desk: Desk, slack: Slack) -> None:
    desk.find()
    slack.fail(Fault("500"))
    report = desk.deliver()
    assert (report.sent, report.waiting) == (0, 1)
    assert desk.deliver(after_s=2).sent == 0  # backing off
    assert desk.deliver(after_s=4).sent == 1
    assert slack.count("conversations.history") == 1
    assert len(slack.messages) == 1


def test_a_hanging_server_costs_one_timeout_and_no_message(desk: Desk, slack: Slack) -> None:
    slack.hang_s = 3
    desk.find()
    service.notice(desk.store, key="n", summary="a notice", now=desk.clock.now())
    slack.fail(Fault("hang"))
    report = desk.deliver(timeout_s=1)
    assert report.problems == ("Slack: no answer in time",)
    assert slack.count("chat.postMessage") == 1  # the notice does not run into the same wall
    assert desk.deliver(after_s=10).sent == 2
    assert len(slack.messages) == 2


def test_a_server_that_is_not_there_is_trouble_and_nothing_is_looked_up(desk: Desk, slack: Slack) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}/api/"
    desk.find()
    report = desk.deliver(api_url=nowhere)
    assert report.problems == ("Slack: cannot be reached; check the network and slack.api_url",)
    assert desk.deliver(after_s=10).sent == 1
    assert slack.count("conversations.history") == 0


def test_a_short_rate_limit_is_waited_out(desk: Desk, slack: Slack) -> None:
    desk.find()
    slack.fail(Fault("429", retry_after_s=3))
    assert desk.deliver().sent == 1
    assert desk.paused == [pytest.approx(3)]
    assert len(slack.messages) == 1


def test_a_long_rate_limit_is_kept_by_every_message(desk: Desk, slack: Slack) -> None:
    desk.find()
    service.notice(desk.store, key="n", summary="a notice", now=desk.clock.now())
    slack.fail(Fault("429", retry_after_s=60))
    assert desk.deliver().waiting == 2
    assert desk.deliver(after_s=59).sent == 0
    assert slack.count("chat.postMessage") == 1
    assert desk.deliver(after_s=1).sent == 2


@pytest.mark.parametrize(
    "code", ["channel_not_found", "not_in_channel", "token_revoked", "account_inactive", "missing_scope"]
)
def test_a_refusal_waits_for_a_person_and_loses_nothing(desk: Desk, slack: Slack, code: str) -> None:
    desk.find()
    service.notice(desk.store, key="n", summary="a notice", now=desk.clock.now())
    slack.broken["chat.postMessage"] = code
    report = desk.deliver()
    assert report.refused
    assert (report.waiting, report.failed) == (2, 0)
    assert report.problems[0].startswith(f"Slack: {code}: ")
    assert slack.count("chat.postMessage") == 1
    assert desk.deliver(after_s=30).sent == 0
    assert slack.count("chat.postMessage") == 1
    state = service.outbox_state(desk.store)
    assert (state.waiting, state.last_error) == (2, report.problems[0])
    del slack.broken["chat.postMessage"]
    assert desk.deliver(after_s=300).sent == 2
    assert service.outbox_state(desk.store).last_error is None


def test_a_person_who_mended_it_need_not_wait(desk: Desk, slack: Slack) -> None:
    desk.find()
    assert desk.deliver(token="xoxb-wrong").refused
    channel = SlackChannel(token=TOKEN, channel=CHANNEL, api_url=slack.base_url)
    report = service.deliver(desk.store, channel, base_url=BASE, clock=desk.clock, insist=True)
    assert report.sent == 1


def test_blocks_that_slack_refuses_go_out_as_text(desk: Desk, slack: Slack) -> None:
    desk.find()
    slack.fail(Fault("invalid_blocks"))
    assert desk.deliver().sent == 1
    assert slack.messages[0]["blocks"] == []
    assert "is worse than" in slack.said()[0]


def test_a_message_that_slack_never_takes_is_given_up_and_the_others_go_on(desk: Desk, slack: Slack) -> None:
    desk.find()
    for number in range(5):
        slack.fail(Fault("message_limit_exceeded_for_app"))
        service.notice(desk.store, key=str(number), summary=f"notice {number}", now=desk.clock.now())
        report = desk.deliver(after_s=400)
        assert report.sent == 1
    assert report.failed == 1
    assert service.outbox_state(desk.store).failed == 1


def test_without_the_history_scope_a_lost_answer_is_sent_again_and_said(desk: Desk, slack: Slack) -> None:
    desk.find()
    slack.broken["conversations.history"] = "missing_scope"
    slack.fail(Fault("drop"))
    desk.deliver()
    report = desk.deliver(after_s=10)
    assert report.sent == 1
    assert "may stand there twice" in report.problems[0]
    assert len(slack.messages) == 2


def test_the_channels_id_is_remembered_from_earlier_answers(desk: Desk, slack: Slack) -> None:
    slack.broken["conversations.list"] = "missing_scope"
    service.notice(desk.store, key="n", summary="a notice", now=desk.clock.now())
    desk.deliver()
    desk.find()
    slack.fail(Fault("drop"))
    desk.deliver()
    assert desk.deliver(after_s=10).sent == 1
    assert len(slack.messages) == 2


def test_an_update_never_overtakes_the_message_it_changes(desk: Desk, slack: Slack) -> None:
    desk.find()
    slack.fail(Fault("drop"))
    desk.deliver()
    desk.recover()
    slack.broken["conversations.history"] = "ratelimited"
    desk.deliver(after_s=10)
    assert slack.count("chat.update") == 0
    del slack.broken["conversations.history"]
    desk.deliver(after_s=60)
    assert len(slack.messages) == 1
    assert slack.said()[0].startswith("✅")


def test_two_deliverers_at_once_post_each_message_once(desk_on_both: Desk, slack: Slack) -> None:
    import threading

    desk = desk_on_both
    desk.find()
    for number in range(12):
        service.notice(desk.store, key=str(number), summary=f"notice {number}", now=desk.clock.now())
    threads = [threading.Thread(target=desk.deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(slack.messages) == 13
    assert len(set(slack.said())) == 13
    assert service.outbox_state(desk.store).waiting == 0


def test_hostile_text_arrives_as_text(desk: Desk, slack: Slack) -> None:
    hostile = "<!channel> <@U1> *bold* `x` ```\n\x1b[31m\u202eevil\x00 & <https://evil|here>"
    service.reconcile(
        desk.store,
        [
            finding(
                hostile,
                evidence={
                    "worst_cases": [
                        {"suite": "s", "case": hostile, "baseline": hostile, "candidate": hostile * 99, "why": hostile}
                    ]
                },
                links={hostile: "/runs/1"},
            )
        ],
        scope=SCOPE,
        now=desk.clock.now(),
        first_moves={"model-regressed": "Keep {baseline}. " + hostile},
    )
    assert desk.deliver().sent == 1
    (message,) = slack.messages
    assert message["blocks"]
    shown = str(message["blocks"]) + message["text"]
    for forbidden in ("<!", "<@", "<http", "\x1b", "\u202e", "\x00"):
        assert forbidden not in shown
    assert "*bold*" not in message["blocks"][1]["text"]["text"] + message["text"]


def test_the_stand_in_refuses_what_slack_refuses(slack: Slack) -> None:
    from watchkeeper.incidents.channel import ChannelRefused, MessageRefused
    from watchkeeper.incidents.message import Message

    message = Message(text="hello", blocks=())
    with pytest.raises(ChannelRefused, match="invalid_auth"):
        SlackChannel(token="no", channel=CHANNEL, api_url=slack.base_url).post(message, key="k", incident_id=None)
    with pytest.raises(ChannelRefused, match="channel_not_found"):
        SlackChannel(token=TOKEN, channel="#other", api_url=slack.base_url).post(message, key="k", incident_id=None)
    with pytest.raises(MessageRefused, match="no_text"):
        SlackChannel(token=TOKEN, channel=CHANNEL, api_url=slack.base_url).post(
            Message(text="", blocks=()), key="k", incident_id=None
        )
