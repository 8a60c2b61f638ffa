"""Slack's Web API as a channel. The only file that knows slack_sdk.

Facts it stands on (slack_sdk 3.48): without a retry handler nothing is sent twice behind our back;
an HTTP error and `ok: false` raise SlackApiError; everything else comes as urllib's own exceptions.
"""

import logging
import re
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from http.client import HTTPException
from typing import Any, NoReturn
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import SlackResponse

from watchkeeper.incidents.channel import (
    ChannelRefused,
    ChannelTrouble,
    HistoryUnreadable,
    MessageRefused,
    OutcomeUnknown,
    Posted,
    RateLimited,
)
from watchkeeper.incidents.message import Message

EVENT_TYPE = "watchkeeper_incident"

# What a person must mend, and how. Trying again before that changes nothing.
_REMEDIES = {
    "channel_not_found": "check slack.channel; a private channel needs /invite @your-app",
    "not_in_channel": "invite the app: /invite @your-app in the channel",
    "is_archived": "the channel is archived; set slack.channel to another one",
    "restricted_action": "a workspace setting keeps the app from posting there",
    "not_authed": "the bot token is empty; set the variable that slack.token_env names",
    "invalid_auth": "the bot token is wrong; set the variable that slack.token_env names",
    "token_revoked": "the bot token was revoked; install the app again and set the new one",
    "token_expired": "the bot token expired; install the app again and set the new one",
    "account_inactive": "the app was removed from the workspace; install it again",
    "org_login_required": "the workspace is being moved; ask its owners",
    "ekm_access_denied": "the workspace's owners suspended posting",
    "team_access_not_granted": "the app may not post in that workspace",
    "no_permission": "the app lacks a scope; it needs chat:write and chat:write.public",
    "missing_scope": "the app lacks a scope; it needs chat:write and chat:write.public",
    "not_allowed_token_type": "use a bot token (xoxb-…)",
    "access_denied": "the app may not do that; ask the workspace's owners",
    "enterprise_is_restricted": "the workspace's owners keep the app from posting",
}
# Slack says of these that some of the work may have been done.
_UNKNOWN = {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "accesslimited"}
_BLOCK_PROBLEMS = {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "metadata_must_be_sent_from_app"}
# The channel's clock and ours may differ; a wider look costs nothing.
_SKEW = timedelta(seconds=120)
_CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{7,}")
_PAGES = 50
_PAGE = 200


class SlackChannel:
    """One channel of a workspace, reached with a bot token.

    Args:
        token: Bot token (xoxb-…).
        channel: Name ("#llm-oncall") or id.
        api_url: Root of the Web API, or of any server that speaks it.
        timeout_s: Hard limit of one silence of the server, in seconds.
    """

    def __init__(
        self, *, token: str, channel: str, api_url: str = "https://slack.com/api/", timeout_s: int = 10
    ) -> None:
        self._channel = channel
        quiet = logging.getLogger("watchkeeper.slack_sdk")
        quiet.setLevel(logging.CRITICAL + 1)  # what it would log is in the errors raised, or holds message text
        # No retry handlers: after a lost answer a second post would be a second message.
        self._client = WebClient(
            token=token, base_url=api_url.rstrip("/") + "/", timeout=timeout_s, retry_handlers=[], logger=quiet
        )

    @property
    def name(self) -> str:
        """The channel as it was configured."""
        return self._channel

    def post(self, message: Message, *, key: str, incident_id: str | None) -> Posted:
        """Post; see Channel.post. A message whose blocks Slack refuses is posted as its text alone."""
        arguments = {
            "channel": self._channel,
            "text": message.text,
            "unfurl_links": False,
            "unfurl_media": False,
            "metadata": _metadata(key, incident_id),
        }
        return self._with_blocks(self._client.chat_postMessage, arguments, message)

    def update(self, at: Posted, message: Message, *, key: str, incident_id: str | None) -> Posted:
        """Replace in place; see Channel.update."""
        arguments = {"channel": at.channel, "ts": at.ts, "text": message.text, "metadata": _metadata(key, incident_id)}
        return self._with_blocks(self._client.chat_update, arguments, message)

    def find(self, key: str, *, since: datetime, channel_id: str | None) -> Posted | None:
        """Page through the history since then; see Channel.find.

        Raises:
            HistoryUnreadable: If the app may not read it, or the channel's id cannot be learned.
        """
        where = channel_id or self._channel_id()
        oldest = f"{(since - _SKEW).timestamp():.6f}"
        cursor: str | None = None
        for _ in range(_PAGES):
            page = self._reading(
                partial(
                    self._client.conversations_history,
                    channel=where,
                    oldest=oldest,
                    include_all_metadata=True,
                    limit=_PAGE,
                    cursor=cursor,
                )
            )
            for message in page.get("messages") or []:
                metadata = message.get("metadata") or {}
                if metadata.get("event_type") == EVENT_TYPE and metadata.get("event_payload", {}).get("key") == key:
                    return Posted(channel=where, ts=message["ts"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                return None
        raise HistoryUnreadable(
            f"Slack: the channel's history since {since:%Y-%m-%d %H:%M} is too long to look through"
        )

    def _channel_id(self) -> str:
        if _CHANNEL_ID.fullmatch(self._channel):
            return self._channel
        cursor: str | None = None
        for _ in range(_PAGES):
            page = self._reading(
                partial(
                    self._client.conversations_list,
                    types="public_channel,private_channel",
                    exclude_archived=True,
                    limit=_PAGE,
                    cursor=cursor,
                )
            )
            for channel in page.get("channels") or []:
                if channel.get("name") == self._channel.removeprefix("#"):
                    return str(channel["id"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                break
        raise HistoryUnreadable(
            f"Slack: no channel {self._channel} in the list the app may see; set slack.channel to its id"
        )

    def _with_blocks(self, call: Callable[..., SlackResponse], arguments: dict[str, Any], message: Message) -> Posted:
        try:
            answer = _called(partial(call, **arguments, blocks=list(message.blocks)))
        except MessageRefused as error:
            if not message.blocks or not any(code in str(error) for code in _BLOCK_PROBLEMS):
                raise
            answer = _called(partial(call, **arguments))
        try:
            return Posted(channel=str(answer["channel"]), ts=str(answer["ts"]))
        except KeyError:
            raise OutcomeUnknown("Slack: the answer names no message") from None

    def _reading(self, call: Callable[[], SlackResponse]) -> SlackResponse:
        try:
            return _called(call)
        except (ChannelRefused, MessageRefused) as error:
            raise HistoryUnreadable(
                f"{error} (reading needs channels:history, and channels:read where slack.channel is a name)"
            ) from None


def _called(call: Callable[[], SlackResponse]) -> SlackResponse:
    """The answer, or one of the channel's errors."""
    try:
        return call()
    except SlackApiError as error:
        _raise_answered(error)
    except URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise OutcomeUnknown("Slack: no answer in time") from None
        # The connection was never made.
        if isinstance(error.reason, ssl.SSLError):
            raise ChannelTrouble("Slack: no secure connection; check slack.api_url and the certificates") from None
        raise ChannelTrouble("Slack: cannot be reached; check the network and slack.api_url") from None
    except TimeoutError:
        raise OutcomeUnknown("Slack: no answer in time") from None
    except (HTTPException, OSError, UnicodeError, SlackClientError) as error:
        raise OutcomeUnknown(f"Slack: the answer was lost ({type(error).__name__})") from None


def _raise_answered(error: SlackApiError) -> NoReturn:
    response: Any = error.response
    status = response.status_code
    data = response.data if isinstance(response.data, dict) else {}
    code = str(data.get("error") or "")
    if status == 429 or code in ("ratelimited", "rate_limited"):
        headers = {str(name).lower(): value for name, value in (response.headers or {}).items()}
        raise RateLimited("Slack: too many messages", retry_after_s=_seconds(headers.get("retry-after"))) from None
    if status >= 500 or code in _UNKNOWN or not re.fullmatch(r"[a-z0-9_]+", code):
        raise OutcomeUnknown(
            f"Slack: failed with {code if re.fullmatch(r'[a-z0-9_]+', code) else f'HTTP {status}'}"
        ) from None
    if code in _REMEDIES:
        raise ChannelRefused(f"Slack: {code}: {_REMEDIES[code]}") from None
    raise MessageRefused(f"Slack: refused the message: {code}") from None


def _seconds(header: Any) -> float:
    try:
        return max(1.0, float(header))
    except (TypeError, ValueError):
        return 30.0  # Slack always says; a proxy that does not gets a long pause


def _metadata(key: str, incident_id: str | None) -> dict[str, Any]:
    return {"event_type": EVENT_TYPE, "event_payload": {"key": key, "incident_id": incident_id or ""}}
