"""watchkeeper keeps an LLM application good after launch.

This import is what an application carries, so it loads nothing heavy: OpenTelemetry comes with the first
use of `watchkeeper.request`, the operational side with ``pip install "watchkeeper[ops]"``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from watchkeeper.sdk.public import current_request, feedback, flush, init, request, resolve, shutdown, status

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "current_request",
    "feedback",
    "flush",
    "init",
    "request",
    "resolve",
    "shutdown",
    "status",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from watchkeeper.sdk import public

    value = globals()[name] = getattr(public, name)
    return value
