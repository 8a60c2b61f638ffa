"""The kinds of incident there are. Each has a page of the same name in runbooks/."""

KINDS: dict[str, str] = {
    "timeouts": "Requests time out",
    "retrieval-misses": "Retrieval finds nothing",
    "cost-spike": "Cost jumped",
    "budget-burn": "A budget is spent, or will be before its end",
    "format-regression": "Answers break the format",
    "latency-regression": "Answers got slower",
    "quality-drop": "Answer quality fell",
    "model-appeared": "A new model appeared",
    "model-regressed": "Model upgrade would regress",
    "model-retiring": "A model in use will be retired",
    "model-gone": "A model in use is gone",
    "model-swapped": "A model changed behind its name",
    "provider-errors": "A provider fails",
    "refusal-spike": "More refusals than usual",
    "experiment-decided": "An experiment is decided",
    "rollout-halted": "A rollout was halted",
    "judge-unreliable": "The judge disagrees with people",
    "unpriced-calls": "Calls without a known price",
    "records-stopped": "Records stopped arriving",
    "check-stalled": "A scheduled check stalled",
}
"""Kind -> what is wrong, in the words of a message's title."""
