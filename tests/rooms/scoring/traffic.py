"""Live traffic with a known truth, and a scorer that knows it."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from watchkeeper.observability.request import Call, Feedback, Prompt, Request, Tokens
from watchkeeper.scoring.planning import Plan
from watchkeeper.scoring.scorer import LiveScore

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ROUTE = "support.answer"


def request(number: int, *, at: datetime = NOW - timedelta(hours=1), response: str = "good", **changes: Any) -> Request:
    """A request whose answer says how good it is."""
    call = Call(
        span_id=f"{number:016x}",
        model_served=changes.pop("model", "m-1"),
        finish_reason=changes.pop("finish_reason", "stop"),
        tokens=Tokens(input=10, output=changes.pop("output", 100)),
    )
    given: dict[str, Any] = {"route": ROUTE, "source": "production", "latency_ms": 500.0, "calls": [call], **changes}
    return Request(
        trace_id=f"{random.Random(number).getrandbits(128):032x}",
        span_id=f"{number:016x}",
        started_at=at,
        input="question",
        response=response or None,
        **given,
    )


def thumb_down() -> Feedback:
    """What an unhappy user sends."""
    return Feedback(kind="thumb", value=-1)


def prompt(version: str) -> Prompt:
    """A version of the only prompt."""
    return Prompt(id="answer", version=version)


def goodness(r: Request) -> LiveScore:
    """1 for "good", 0 for "bad"."""
    return LiveScore(value=1.0 if r.response == "good" else 0.0)


@dataclass
class Scorer:
    """Scores by a rule, and counts how often each request was asked about."""

    rule: Callable[[Request], LiveScore] = goodness
    name: str = "tone"
    version: str = "v1"
    paid: bool = False
    asked: dict[str, int] = field(default_factory=dict)

    def score(self, requests: Sequence[Request]) -> list[LiveScore]:
        for r in requests:
            self.asked[r.trace_id] = self.asked.get(r.trace_id, 0) + 1
        return [self.rule(r) for r in requests]


def plan(scorer: Scorer, *, target: float = 0.5, usd: float = 1000.0, **changes: Any) -> Plan:
    """A plan with one scorer for the one route."""
    given: dict[str, Any] = {"scorers": {ROUTE: [scorer]}, "settle": timedelta(minutes=10), **changes}
    return Plan(target=target, day_nano_usd=int(usd * 1e9), **given)
