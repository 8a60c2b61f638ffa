"""The one SDK of this process: made by `init` or by the first use, once."""

import atexit
import importlib.metadata
import os
import threading
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from watchkeeper.sdk.exporter import Exporter
from watchkeeper.sdk.guard import failed, guarded, say_once
from watchkeeper.sdk.options import Options, options


class Runtime:
    """A tracer whose spans, and the application's own if it has an SDK, reach our exporter."""

    def __init__(self, chosen: Options) -> None:
        own = {
            "service.name": chosen.service,
            "service.version": chosen.release,
            "deployment.environment.name": chosen.environment,
        }
        resource = {key: value for key, value in own.items() if value is not None}
        present = trace.get_tracer_provider()
        joined = isinstance(present, TracerProvider)
        self.exporter = Exporter(chosen, resource if joined else {})
        if isinstance(present, TracerProvider):
            provider = present
        else:
            # Sampling is the application's; what it records with us is never sampled away by its environment.
            provider = TracerProvider(
                sampler=ALWAYS_ON, resource=Resource.create(dict(resource)), shutdown_on_exit=False
            )
        provider.add_span_processor(self.exporter)
        self.tracer = provider.get_tracer("watchkeeper", importlib.metadata.version("watchkeeper"))


_lock = threading.Lock()
_runtime: Runtime | None = None
_broken = False


@guarded
def init(**given: Any) -> None:
    """Start with these options unless this process has started already."""
    if not _make(given):
        say_once("init twice", "watchkeeper: already initialised; init() must come before the first use")


def current() -> Runtime | None:
    """The SDK of this process, made now if need be; None when it could not be made."""
    if _runtime is None and not _broken:
        _make({})
    return _runtime


def _make(given: dict[str, Any]) -> bool:
    global _runtime, _broken
    with _lock:
        if _runtime is not None:
            return False
        try:
            _runtime = Runtime(options(**given))
        except Exception as problem:
            _broken = True
            failed("starting", problem)
            return True
        _runtime.exporter.begin()
        atexit.register(_runtime.exporter.shutdown)
        return True


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    if _runtime is not None:
        try:
            _runtime.exporter.after_fork()
        except Exception as problem:
            failed("beginning anew after a fork", problem)


os.register_at_fork(after_in_child=_after_fork)


def flush(timeout: float = 10.0) -> bool:
    """Wait until everything so far is on disk and answered; False if `timeout` seconds did not suffice."""
    try:
        return _runtime is None or _runtime.exporter.flush(timeout)
    except Exception as problem:
        failed("flush", problem)
        return False


def shutdown() -> None:
    """What happens at exit anyway: everything to disk, then send for at most 1.5 seconds. Final."""
    if _runtime is not None:
        _runtime.exporter.shutdown()


def status() -> dict[str, int]:
    """Counts of this process: queued, sent, refused, dropped, damaged, retries, adopted, spool_bytes."""
    try:
        return {} if _runtime is None else _runtime.exporter.status()
    except Exception as problem:
        failed("status", problem)
        return {}
