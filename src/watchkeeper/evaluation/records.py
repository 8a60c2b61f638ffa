"""A judge's call as a record like any other: priced, counted in budgets, its model watched. `source` is "judge"."""

from datetime import timedelta
from typing import Any

from watchkeeper.cost.usage import CONVENTIONS, counted
from watchkeeper.evaluation.judging import MadeCall
from watchkeeper.evaluation.rubric import Rubric
from watchkeeper.observability.request import Call, Request, Tokens
from watchkeeper.providers.interface import CallFailure, Completion

SOURCE = "judge"


def record_of(made: MadeCall, rubric: Rubric, params: dict[str, Any]) -> Request:
    """The request that a call of a judge makes; route "judge.RUBRIC", the rubric's version as its prompt."""
    outcome = made.outcome
    done = outcome if isinstance(outcome, Completion) else None
    error_type = outcome.error_type if isinstance(outcome, CallFailure) else None
    latency_ms = done.latency_ms if done else None
    return Request(
        trace_id=made.id[:32],
        span_id=made.id[32:48],
        started_at=made.at - timedelta(milliseconds=latency_ms or 0.0),
        route=rubric.route,
        source=SOURCE,
        input=None,
        response=done.text if done else None,
        error_type=error_type,
        ttft_ms=done.ttft_ms if done else None,
        latency_ms=latency_ms,
        calls=(
            Call(
                span_id=made.id[48:64],
                provider=rubric.provider,
                model_requested=rubric.model_name,
                model_served=done.model_served if done else None,
                system_fingerprint=done.system_fingerprint if done else None,
                params=params,
                messages=made.rendered.messages,
                response=done.text if done else None,
                finish_reason=done.finish_reason if done else None,
                tokens=_tokens(outcome),
                ttft_ms=done.ttft_ms if done else None,
                latency_ms=latency_ms,
                error_type=error_type,
                cost_nano_usd=made.cost_nano_usd,
            ),
        ),
        attributes={"judged": made.item_id, "judge_version": rubric.version, "vote": made.vote},
    )


def _tokens(outcome: Completion | CallFailure) -> Tokens:
    if isinstance(outcome, CallFailure):
        return Tokens()
    usage = outcome.usage
    inclusive = {
        "input": usage.input,
        "output": usage.output,
        "cache_read": usage.cache_read,
        "cache_write": usage.cache_write,
        "reasoning": usage.reasoning,
    }
    return counted(inclusive, CONVENTIONS["inclusive"]).tokens
