"""One delivery: send what waits, row by row, and say what came of each."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from watchkeeper.foundation.clock import Clock
from watchkeeper.incidents.channel import (
    Channel,
    ChannelRefused,
    ChannelTrouble,
    HistoryUnreadable,
    MessageRefused,
    Posted,
    RateLimited,
)
from watchkeeper.incidents.message import Message
from watchkeeper.incidents.outbox import Claimed, Failure, after

_WAIT_IN_ALL_S = 20.0  # for rate limits within one delivery; a longer one waits for the next delivery


class Outbox(Protocol):
    """The rows that wait, each change committed before the call returns."""

    def claim(self, *, but_not: Collection[str]) -> Claimed | None:
        """Take the next row for this sender alone; None when nothing may be sent now."""
        ...

    def sent(self, claimed: Claimed, posted: Posted) -> None:
        """The channel has it."""
        ...

    def failed(self, claimed: Claimed, failure: Failure) -> None:
        """Give it back or up."""
        ...


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One run over an outbox.

    Attributes:
        render: A claimed row as the message it is now.
        pause: Waits a rate limit out, in seconds.
        sent: Messages the channel took or changed.
        given_up: Rows it will never take.
        refused: Whether it takes nothing until a person changes something.
        problems: What went wrong, each thing once, in order.
    """

    channel: Channel
    render: Callable[[Claimed], Message]
    clock: Clock
    pause: Callable[[float], None]
    sent: int = 0
    given_up: int = 0
    refused: bool = False
    problems: list[str] = field(default_factory=list)
    _waited_s: float = 0.0

    def run(self, outbox: Outbox) -> None:
        """Send until nothing may be sent now or the channel fails."""
        tried: set[str] = set()
        while (claimed := outbox.claim(but_not=tried)) is not None:
            try:
                posted = self._send(claimed)
            except (ChannelTrouble, ChannelRefused, MessageRefused) as error:
                failure = after(error, tries=claimed.tries, now=self.clock.now(), recovering=claimed.recovering)
                outbox.failed(claimed, failure)
                self._note(failure.error)
                self.given_up += failure.status == "failed"
                self.refused |= isinstance(error, ChannelRefused)
                if not self._goes_on(error, failure):
                    return
                if not failure.everything:
                    tried.add(claimed.id)
            else:
                outbox.sent(claimed, posted)
                self.sent += 1

    def _send(self, claimed: Claimed) -> Posted:
        message, incident = self.render(claimed), claimed.incident
        incident_id = incident.id if incident else None
        if claimed.action == "update" and incident and incident.slack_channel and incident.slack_ts:
            at = Posted(channel=incident.slack_channel, ts=incident.slack_ts)
            return self.channel.update(at, message, key=claimed.key, incident_id=incident_id)
        if claimed.recovering and (found := self._found(claimed)) is not None:
            return found
        return self.channel.post(message, key=claimed.key, incident_id=incident_id)

    def _found(self, claimed: Claimed) -> Posted | None:
        try:
            return self.channel.find(claimed.key, since=claimed.first_tried_at, channel_id=claimed.channel_id)
        except HistoryUnreadable as error:
            self._note(f"{error}; the message is sent again and may stand there twice")
            return None

    def _goes_on(self, error: Exception, failure: Failure) -> bool:
        """Whether to go on after a failure; waits out a short rate limit."""
        if not failure.everything:
            return True
        if not isinstance(error, RateLimited):
            return False
        wait = (failure.not_before - self.clock.now()) / timedelta(seconds=1)
        if self._waited_s + wait > _WAIT_IN_ALL_S:
            return False
        self._waited_s += wait
        self.pause(max(0.0, wait))
        return True

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
