"""What a channel does for the outbox, and the ways in which it can fail."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from watchkeeper.foundation.errors import Misconfigured, Rejected, Transient
from watchkeeper.incidents.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """Where a message stands: the channel's id and the timestamp that names it there."""

    channel: str
    ts: str


class ChannelTrouble(Transient):
    """The channel failed and nothing was taken; the same call may succeed later."""


class RateLimited(ChannelTrouble):
    """Too many messages; `retry_after_s` says how long to wait."""


class OutcomeUnknown(ChannelTrouble):
    """The message may or may not have been taken: the answer was lost."""


class ChannelRefused(Misconfigured):
    """The channel takes nothing until a person changes a setting, a token or a membership."""


class MessageRefused(Rejected):
    """The channel works and will not take this message."""


class HistoryUnreadable(Misconfigured):
    """What the channel holds cannot be looked up, so a lost answer stays unknown."""


class Channel(Protocol):
    """One channel. Every method may raise the errors above."""

    @property
    def name(self) -> str:
        """The channel as it was configured, e.g. "#llm-oncall"."""
        ...

    def post(self, message: Message, *, key: str, incident_id: str | None) -> Posted:
        """Post a message that carries `key` in its metadata."""
        ...

    def update(self, at: Posted, message: Message, *, key: str, incident_id: str | None) -> Posted:
        """Replace a message in place; doing it twice is doing it once."""
        ...

    def find(self, key: str, *, since: datetime, channel_id: str | None) -> Posted | None:
        """The message that carries `key`, posted since then; None when the history does not hold it.

        Args:
            channel_id: The channel's id where an earlier answer told it, else None.
        """
        ...
