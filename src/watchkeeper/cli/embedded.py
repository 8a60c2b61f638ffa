"""Everything on one machine: Prefect's server and our web process as children, the deployments here.

Besides flows/ this is the only file that knows Prefect. The environment is set before Prefect is
imported, because Prefect reads it then.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import httpx

from watchkeeper.deployments import Deployment, read_deployments
from watchkeeper.foundation.errors import Conflict, Transient
from watchkeeper.foundation.packaged import packaged

_SERVER_READY_S = 90
_WEB_READY_S = 30
_HEARTBEAT_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What is up, and where."""

    prefect_url: str
    web_url: str
    deployments: tuple[Deployment, ...]
    logs: Path


def run_embedded(
    config: Path,
    *,
    web_url: str,
    on_ready: Callable[[Running, asyncio.Event], Awaitable[None]],
) -> None:
    """Run everything until a signal comes or `on_ready` sets the event it is given.

    Args:
        config: The installation's watchkeeper.toml.
        web_url: Where its web process will listen.
        on_ready: Called when all of it is up.

    Raises:
        Conflict: If this installation is already up.
        Transient: If the server or the web process does not start.
    """
    state = config.parent / ".watchkeeper"
    (state / "logs").mkdir(parents=True, exist_ok=True)
    with _only_one(state / "up.lock"):
        api_url = f"http://127.0.0.1:{free_port()}/api"
        _environment(config, state, api_url)
        with _child(_server_command(api_url), state / "logs" / "prefect-server.log") as server:
            with _child(_web_command(config), state / "logs" / "web.log") as web:
                _wait_for(f"{web_url}/healthz", web, _WEB_READY_S, "the web process", state / "logs" / "web.log")
                _wait_for(
                    f"{api_url}/health",
                    server,
                    _SERVER_READY_S,
                    "the Prefect server",
                    state / "logs" / "prefect-server.log",
                )
                rows = read_deployments()
                built = [_build(row) for row in rows]
                _ensure_zombie_automation()
                running = Running(prefect_url=api_url, web_url=web_url, deployments=tuple(rows), logs=state / "logs")
                asyncio.run(_serve(built, running, on_ready))


def free_port() -> int:
    """A port of the loopback address that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _serve(
    built: list[Any], running: Running, on_ready: Callable[[Running, asyncio.Event], Awaitable[None]]
) -> None:
    from prefect.runner import Runner

    runner = Runner(name="watchkeeper", limit=4, pause_on_shutdown=False)
    for deployment in built:
        await runner.aadd_deployment(deployment)
    stop = asyncio.Event()
    serving = asyncio.create_task(runner.start())
    # The runner installs signal handlers of its own when it starts; ours must come after.
    while not runner.started:
        await asyncio.sleep(0.05)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    ready = asyncio.ensure_future(on_ready(running, stop))
    stopped = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait({ready, stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
        if ready in done:
            ready.result()  # what went wrong in there is raised here
            await asyncio.wait({stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ready.cancel()
        stopped.cancel()
        with contextlib.suppress(Exception):
            await runner.astop()
        serving.cancel()
        await asyncio.gather(serving, ready, stopped, return_exceptions=True)


def _build(row: Deployment) -> Any:
    """The same deployment that `prefect deploy` would make, from the same row."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.events import DeploymentTriggerTypes
    from prefect.flows import load_flow_from_entrypoint
    from prefect.schedules import Cron
    from pydantic import TypeAdapter

    flow: Any = load_flow_from_entrypoint(str(packaged("flows").parent / row.entrypoint))
    triggers = [
        TypeAdapter(DeploymentTriggerTypes).validate_python(
            {"name": f"{row.name}__automation_{number}", **trigger.model_dump()}
        )
        for number, trigger in enumerate(row.triggers, 1)
    ]
    return flow.to_deployment(
        name=row.name,
        description=row.description,
        tags=row.tags,
        parameters=row.parameters,
        concurrency_limit=ConcurrencyLimitConfig(**row.concurrency_limit.model_dump()),
        schedules=[Cron(s.cron, timezone=s.timezone, slug=s.slug, active=s.active) for s in row.schedules] or None,
        triggers=triggers,
    )


def _ensure_zombie_automation() -> None:
    """A flow whose process and runner both died stays Running for ever unless somebody listens."""
    from prefect.automations import Automation
    from prefect.events import EventTrigger
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import Posture

    name = "watchkeeper-zombies"
    with contextlib.suppress(ValueError):
        existing: Any = Automation.read(name=name)
        if existing is not None:
            return
    ends = [f"prefect.flow-run.{state}" for state in ("heartbeat", "Completed", "Failed", "Cancelled", "Crashed")]
    Automation(
        name=name,
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect=set(ends),
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=2.5 * _HEARTBEAT_S),
        ),
        actions=[ChangeFlowRunState(state="CRASHED", name="Zombie", message="no heartbeat")],
    ).create()


def _environment(config: Path, state: Path, api_url: str) -> None:
    os.environ |= {
        "WATCHKEEPER_CONFIG": str(config),
        "PREFECT_HOME": str(state / "prefect"),
        "PREFECT_API_URL": api_url,
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(_HEARTBEAT_S),
    }


def _server_command(api_url: str) -> list[str]:
    port = str(httpx.URL(api_url).port)
    return [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]


def _web_command(config: Path) -> list[str]:
    return [sys.executable, "-m", "watchkeeper", "serve", "--config", str(config)]


@contextlib.contextmanager
def _child(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own group that ends with us, however we end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    try:
        yield process
    finally:
        _end(process)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
            return


def _wait_for(url: str, process: subprocess.Popen[bytes], seconds: float, what: str, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Transient(f"{what} did not start: {_last_line(log)}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    raise Transient(f"{what} was not ready after {seconds:.0f} s; see {log}")


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"see {log}"


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[IO[str]]:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"this installation is already up ({lock}); stop it first") from None
        yield file
