"""The outbox's rules: who may send what, when to try again, when to give up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from watchkeeper.incidents.channel import ChannelRefused, MessageRefused, OutcomeUnknown, RateLimited
from watchkeeper.incidents.incident import Incident

LEASE = timedelta(seconds=120)
"""How long a row stays with a sender of another machine that says nothing: longer than any call takes."""
REFUSED_HOLD = timedelta(seconds=240)
"""Only a person can mend a refusal; the five-minute delivery looks once each time whether somebody did."""
GIVE_UP_AFTER = 5
_LONGEST_BACKOFF_S = 300.0
_ERROR_SHOWN = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A row that this process, and no other, sends now.

    Attributes:
        action: "post" or "update".
        recovering: An earlier try may have been taken: look before posting again.
        first_tried_at: When the first try began.
        tries: Tries including this one.
        incident: As it was when claimed, or None for a notice.
        payload: What a notice says, or None.
        channel_id: Id of the configured channel, where an earlier answer told it.
    """

    id: str
    key: str
    action: str
    recovering: bool
    first_tried_at: datetime
    tries: int
    incident: Incident | None
    payload: Mapping[str, Any] | None
    channel_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What to do with a row whose sending failed.

    Attributes:
        status: pending (surely not taken), sending (perhaps taken: look first), failed (given up).
        not_before: When to try again.
        held_by: Why it waits.
        everything: Whether all other rows wait too, because the channel and not the message failed.
    """

    status: Literal["pending", "sending", "failed"]
    not_before: datetime
    held_by: Literal["rate-limit", "refused", "trouble"]
    everything: bool
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A message that waits, as the channel would show it."""

    delivery_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What one delivery did.

    Attributes:
        sent: Messages the channel took or changed.
        waiting: Rows that wait afterwards.
        failed: Rows given up for good in this run: the channel will never take them.
        problems: What went wrong or a reader should know, one line each.
        refused: Whether the channel takes nothing until a person changes something.
        messages: What waits, rendered; only filled when there is no channel to send to.
    """

    sent: int
    waiting: int
    failed: int
    problems: tuple[str, ...] = ()
    refused: bool = False
    messages: tuple[Waiting, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxState:
    """How the outbox is: rows waiting, rows given up, and the newest error of a waiting row or None."""

    waiting: int
    failed: int
    last_error: str | None


def after(error: Exception, *, tries: int, now: datetime, recovering: bool) -> Failure:
    """What a failed try means for its row and for the others.

    Args:
        tries: Tries of the row including the failed one.
        recovering: Whether an even earlier try may have been taken; that doubt stays.
    """
    text = " ".join(str(error).split())[:_ERROR_SHOWN]
    unsure: Literal["pending", "sending"] = "sending" if recovering else "pending"
    if isinstance(error, RateLimited):
        until = now + timedelta(seconds=error.retry_after_s or 1.0)
        return Failure(status=unsure, not_before=until, held_by="rate-limit", everything=True, error=text)
    if isinstance(error, ChannelRefused):
        return Failure(status=unsure, not_before=now + REFUSED_HOLD, held_by="refused", everything=True, error=text)
    until = now + timedelta(seconds=backoff_s(tries))
    if isinstance(error, MessageRefused):
        over = tries >= GIVE_UP_AFTER
        return Failure(
            status="failed" if over else unsure, not_before=until, held_by="trouble", everything=False, error=text
        )
    if isinstance(error, OutcomeUnknown):
        return Failure(status="sending", not_before=until, held_by="trouble", everything=True, error=text)
    return Failure(status=unsure, not_before=until, held_by="trouble", everything=True, error=text)


def backoff_s(tries: int) -> float:
    """Seconds until the next try after `tries` failed ones: 5, 10, 20 … at most 300."""
    return min(_LONGEST_BACKOFF_S, 5.0 * 2.0 ** min(tries - 1, 10))
