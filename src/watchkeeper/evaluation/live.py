"""A stored request as an item that can be judged."""

import json
from collections.abc import Mapping
from typing import Any

from watchkeeper.evaluation.material import Item
from watchkeeper.observability.request import Request, ToolCall

_TEXTS = ("text", "content", "page_content")
"""Where the tools that record retrievals keep a document's words."""


def item_of(request: Request) -> Item:
    """The item of a request, by its trace id; what the record does not hold is None."""
    return Item(
        id=request.trace_id,
        response=request.response,
        input=request.input,
        documents=_documents(request),
        tool_results="\n\n".join(_tool(call) for call in request.tool_calls) or None,
    )


def _documents(request: Request) -> str | None:
    """The words of every document; None where nothing was searched, or the record holds no document's words."""
    found = [document for retrieval in request.retrievals for document in retrieval.documents]
    if not found:
        return "" if request.retrievals else None
    texts = [(document, words) for document in found if (words := _words(document))]
    return "\n\n".join(f"Document {document.get('id', '?')}:\n{words}" for document, words in texts) or None


def _words(document: Mapping[str, Any]) -> str | None:
    return next((str(document[name]) for name in _TEXTS if document.get(name)), None)


def _tool(call: ToolCall) -> str:
    arguments, result = (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for value in (call.arguments, call.result)
    )
    said = f"failed: {call.error_type}" if call.error_type else result
    return f"{call.name or 'a tool'}({arguments}) returned: {said}"
