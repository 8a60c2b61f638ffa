"""The demo: the example application, a week of SIMULATED traffic, and a model upgrade that breaks its format.

Everything but the traffic and the model is real: the store, the Prefect server, the flows, the web
process, and the HTTP between them and the replay server that plays the model.
"""

import asyncio
import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from watchkeeper.app import open_app
from watchkeeper.cli.console import say
from watchkeeper.cli.embedded import Running, free_port, run_embedded
from watchkeeper.cli.server import say_running
from watchkeeper.foundation.errors import Misconfigured, Transient
from watchkeeper.foundation.packaged import packaged
from watchkeeper.incidents import service as incidents

_VERDICT_WITHIN_S = 90
_MARK = ".watchkeeper-demo"


def demonstrate(folder: Path, *, seed: int, once: bool) -> None:
    """Play the whole thread; ends after the incident with `once`, else on Ctrl-C.

    Raises:
        Misconfigured: If the folder holds something that is not a demo.
        Transient: If a part does not start or no verdict comes.
    """
    started = time.monotonic()
    config = _prepare(folder)
    web_port, model_port, judge_port = free_port(), free_port(), free_port()
    _point_at(config, web_port=web_port, model_port=model_port, judge_port=judge_port)
    _say(started, f"the example application is in {folder}; its traffic and its model are SIMULATED (seed {seed})")
    _simulate(folder, seed)
    _import_traffic(config, folder / "traffic.jsonl", started)
    recordings = folder / "recordings.jsonl"
    shutil.copyfile(folder / "recordings-old.jsonl", recordings)
    played = ["-m", "watchkeeper", "replay", str(recordings), "--port", str(model_port), "--latency", "5"]
    judged = [str(folder / "judge.py"), "--port", str(judge_port)]
    with _listening("the replay server", played), _listening("the simulated judge", judged):

        async def play(running: Running, stop: asyncio.Event) -> None:
            say_running(running)
            await asyncio.to_thread(_play, config, folder, started)
            if once:
                stop.set()
            else:
                _say(started, "everything keeps running on its schedule; Ctrl-C stops it")

        run_embedded(config, web_url=f"http://127.0.0.1:{web_port}", on_ready=play)
    _say(started, "stopped")


def _play(config: Path, folder: Path, started: float) -> None:
    """The story: the catalogue is learned, a model appears, the check runs, the channel is told."""
    _run_deployment("watch-models/watch-models")
    _say(started, "watch-models read the provider's list for the first time")
    with (folder / "recordings.jsonl").open("a") as file:
        file.write((folder / "recordings-new.jsonl").read_text("utf-8"))
    _say(started, "the provider releases a new version of the model; nobody tells us")
    _run_deployment("watch-models/watch-models")
    _say(started, "watch-models saw it and emitted watchkeeper.model.appeared; check-upgrade is triggered")
    deadline = time.monotonic() + _VERDICT_WITHIN_S
    with open_app(config) as app:
        while not (found := [i for i in incidents.list_incidents(app.store) if i.kind == "model-regressed"]):
            if time.monotonic() > deadline:
                raise Transient(f"no verdict within {_VERDICT_WITHIN_S} s; see {folder / '.watchkeeper' / 'logs'}")
            time.sleep(0.5)
        _say(started, "the incident it opened, as the channel gets it:")
        print()
        print(incidents.render(app.store, found[0].id, base_url=app.settings.web.base_url))
        print()
        print(f"incident  {app.settings.web.base_url}/incidents/{found[0].id}")
        print(f"runbook   {app.settings.web.base_url}/runbooks/{found[0].kind}?incident={found[0].id}")
        for name, path in found[0].links.items():
            print(f"{name.lower():<9} {app.settings.web.base_url}{path}")
        print(flush=True)
    _look_around(config, started)


_LOOKS = (
    ("usage", "--by", "route,model", "--since", "30d"),
    ("spend", "top", "segment", "--since", "30d"),
    ("explain", "cost"),
    ("latency", "check"),
    ("doctor",),
)
"""What else an on-call engineer asks; the first is asked here."""


def _look_around(config: Path, started: float) -> None:
    """One of the questions this installation answers, and how to ask the others."""
    at = ["--config", str(config)]
    _run_deployment("price-records/price-records")
    _say(started, "priced; what the simulated traffic was and cost, by route and model:")
    print(flush=True)
    subprocess.run([sys.executable, "-m", "watchkeeper", *_LOOKS[0], *at], check=False)
    print()
    for look in _LOOKS[1:]:
        print(f"ask also  watchkeeper {' '.join([*look, *at])}")
    print(flush=True)


def _run_deployment(name: str) -> None:
    from prefect.deployments import run_deployment

    run: Any = run_deployment(name, timeout=60, poll_interval=0.5)
    if run.state is None or not run.state.is_completed():
        raise Transient(f"{name} ended as {run.state.name if run.state else 'unknown'}; see the Prefect page")


def _prepare(folder: Path) -> Path:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARK).exists():
            raise Misconfigured(f"{folder} is not empty and is no demo; choose another --folder")
        shutil.rmtree(folder)
    shutil.copytree(packaged("examples") / "support_desk", folder, dirs_exist_ok=True)
    (folder / _MARK).touch()
    return folder / "watchkeeper.toml"


def _point_at(config: Path, *, web_port: int, model_port: int, judge_port: int) -> None:
    """Free ports instead of the example's own, so that a demo never meets what already runs here."""
    text = config.read_text("utf-8")
    text = text.replace("127.0.0.1:8790", f"127.0.0.1:{model_port}").replace("127.0.0.1:8700", f"127.0.0.1:{web_port}")
    text = text.replace("127.0.0.1:8791", f"127.0.0.1:{judge_port}")
    config.write_text(text.replace("port = 8700", f"port = {web_port}"), "utf-8")


def _simulate(folder: Path, seed: int) -> None:
    subprocess.run(
        [sys.executable, str(folder / "simulate.py"), str(folder), "--seed", str(seed)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _import_traffic(config: Path, traffic: Path, started: float) -> None:
    from watchkeeper.observability.request import Request
    from watchkeeper.observability.service import import_requests
    from watchkeeper.observability.wire import read_file
    from watchkeeper.settings import privacy_policy

    with open_app(config) as app:
        requests = (row for _, row in read_file(traffic) if isinstance(row, Request))
        count = import_requests(app.store, requests, policy=privacy_policy(app.settings))
    _say(started, f"the store is migrated; {count} simulated requests imported")


@contextlib.contextmanager
def _listening(what: str, command: list[str]) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, start_new_session=True, text=True)
    try:
        assert process.stdout is not None
        if not any(line.startswith("listening on ") for line in process.stdout):
            raise Transient(f"{what} did not start")
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        process.kill()


def _say(started: float, text: str) -> None:
    say(f"[{time.monotonic() - started:5.1f} s] {text}")
