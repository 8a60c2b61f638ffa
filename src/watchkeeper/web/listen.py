"""Serve an ASGI application: say where once it listens, stop at once when told to."""

import logging
import signal
import socket
from typing import Any

import uvicorn

from watchkeeper.foundation.errors import Transient


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            print(f"listening on http://{host}:{port}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        # What is still running has just been cancelled. Its client sees the connection end, not an answer
        # that nobody gave, and we do not see a traceback for each.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()


def listen(application: Any, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; requests that never end are cut off after a second.

    Args:
        application: An ASGI application.
        port: 0 picks a free one; the line printed says which.

    Raises:
        Transient: If the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's algorithm off only then: 43 ms an answer otherwise.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise Transient(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from None
    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    # A child of a shell that ignores SIGINT would inherit that; we always stop on it. Once it has stopped,
    # uvicorn raises a signal again: a SIGTERM that still kills by then would make a clean end look like a crash.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        _Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # we are done either way
    finally:
        listener.close()
