"""When a failed call is tried again, how long it waits, and when trying is pointless.

The rules are those of the providers' own SDKs: 408, 409, 429, 5xx and broken connections are tried
again, `x-should-retry` overrides, the server's Retry-After is honoured up to a minute, else
0.5 s x 2^n up to 8 s less a quarter of jitter. An exhausted quota, a refused key, a bad request and
an unknown model are never tried again.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime

from watchkeeper.providers.interface import CallFailure, Completion

RETRYABLE = frozenset({"timeout", "connect", "rate_limited", "overloaded", "server_error", "bad_response", "conflict"})
OUTAGE = frozenset({"timeout", "connect", "overloaded", "server_error"})
_LONGEST_ASKED_WAIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """One HTTP request that gave no answer.

    Attributes:
        should_retry: What the server itself said (`x-should-retry`), None when it said nothing.
        wait_s: Seconds the server asked to wait, None when it did not.
        param: The parameter the server says it does not take, None when it named none.
    """

    failure: CallFailure
    param: str | None = None
    should_retry: bool | None = None
    wait_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how long.

    Attributes:
        max_retries: Retries of one call.
        base_s: First wait, doubled each time up to `cap_s`.
        budget_share: Retries of all calls together, as a share of the calls started.
        budget_floor: Retries that are always allowed, whatever the share.
        breaker_failures: Outage failures in a row, without one success, that make a streak.
        breaker_s: How old such a streak must be before every further call fails at once.
    """

    max_retries: int = 4
    base_s: float = 0.5
    cap_s: float = 8.0
    budget_share: float = 0.25
    budget_floor: int = 20
    breaker_failures: int = 20
    breaker_s: float = 10.0


@dataclass(slots=True, kw_only=True)
class Retrier:
    """Retries calls of one provider within its limits; knows when the provider is gone.

    Attributes:
        retries: Error type -> tries that were made again because of it.
    """

    policy: RetryPolicy
    concurrency: int
    retries: Counter[str] = field(default_factory=Counter)
    _started: int = 0
    _streak: int = 0
    _streak_since: float = 0.0
    _places: asyncio.Semaphore = field(init=False)
    _probe: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.concurrency)

    @property
    def circuit_open(self) -> bool:
        """Whether the provider has been out so long that calling it is pointless."""
        return self._suspicious and time.monotonic() - self._streak_since >= self.policy.breaker_s

    @property
    def _suspicious(self) -> bool:
        return self._streak >= self.policy.breaker_failures

    async def call(self, attempt: Callable[[], Awaitable[Completion | Failed]]) -> Completion | CallFailure:
        """Make one call, with its retries. `attempt` makes one HTTP request and never raises."""
        self._started += 1
        tries = 0
        while True:
            if self.circuit_open:
                return CallFailure(
                    error_type="circuit_open",
                    message=f"gave up: {self._streak} failures in a row over {self.policy.breaker_s:g} s or more",
                    tries=tries,
                )
            outcome = await self._once(attempt)
            if outcome is None:
                continue  # the circuit opened while we waited for our turn to probe
            tries += 1
            if isinstance(outcome, Completion):
                return replace(outcome, tries=tries) if tries > 1 else outcome
            wait = self._wait_before_next(outcome, tries)
            if wait is None:
                return replace(outcome.failure, tries=tries, message=self._explained(outcome, tries))
            self.retries[outcome.failure.error_type] += 1
            await asyncio.sleep(wait)

    async def _once(self, attempt: Callable[[], Awaitable[Completion | Failed]]) -> Completion | Failed | None:
        while True:
            if self._suspicious:
                async with self._probe, self._places:
                    return None if self.circuit_open else await self._counted(attempt)
            async with self._places:
                if not self._suspicious:  # it may have become so while we waited for a place
                    return await self._counted(attempt)

    async def _counted(self, attempt: Callable[[], Awaitable[Completion | Failed]]) -> Completion | Failed:
        outcome = await attempt()
        if isinstance(outcome, Failed) and outcome.failure.error_type in OUTAGE:
            if self._streak == 0:
                self._streak_since = time.monotonic()
            self._streak += 1
        else:
            self._streak = 0  # any other answer, also a refusal, shows that somebody is there
        return outcome

    def _wait_before_next(self, failed: Failed, tries: int) -> float | None:
        retryable = failed.failure.error_type in RETRYABLE
        if failed.should_retry is not None:
            retryable = failed.should_retry
        if failed.failure.error_type == "quota_exhausted":
            retryable = False
        if not retryable or tries > self.policy.max_retries or self._budget_used_up():
            return None
        if failed.wait_s is not None and 0 < failed.wait_s <= _LONGEST_ASKED_WAIT_S:
            return failed.wait_s
        longest = min(self.policy.cap_s, self.policy.base_s * 2.0 ** (tries - 1))
        return longest * (1 - 0.25 * random.random())

    def _budget_used_up(self) -> bool:
        allowed = max(self.policy.budget_floor, int(self.policy.budget_share * self._started))
        return self.retries.total() >= allowed

    def _explained(self, failed: Failed, tries: int) -> str:
        if failed.failure.error_type in RETRYABLE and tries <= self.policy.max_retries and self._budget_used_up():
            return f"{failed.failure.message} (not tried again: the retry budget is used up)"
        return failed.failure.message


def asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that `retry-after-ms` or `retry-after` (seconds or an HTTP date) ask for, or None."""
    with suppress(ValueError):
        return float(headers.get("retry-after-ms", "")) / 1000
    after = headers.get("retry-after", "")
    with suppress(ValueError):
        return float(after)
    with suppress(ValueError, TypeError, OverflowError):
        return parsedate_to_datetime(after).timestamp() - time.time()
    return None
