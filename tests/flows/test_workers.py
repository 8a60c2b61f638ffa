"""prefect.yaml as Prefect itself reads it: deployed to a real server, run by a real worker."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.conftest import Project, project, recorded, replay, write_recording  # noqa: F401  fixtures
from tests.e2e.test_thread import free_port, run_deployment

from watchkeeper.deployments import read_deployments

ROOT = Path(__file__).resolve().parents[2]


class Prefect:
    """A Prefect server of this test's own, and the `prefect` command pointed at it."""

    def __init__(self, home: Path, config: Path) -> None:
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.env = {
            **os.environ,
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "WATCHKEEPER_HOME": str(ROOT),
            "WATCHKEEPER_CONFIG": str(config),
        }

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "prefect", *args]
        return subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run(self, *args: str) -> None:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *args]
        done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def prefect(tmp_path: Path, project: Project) -> Iterator[Prefect]:  # noqa: F811
    prefect = Prefect(tmp_path / "prefect", project.root / "watchkeeper.toml")
    server = prefect.start("server", "start", "--host", "127.0.0.1", "--port", str(prefect.port))
    deadline = time.monotonic() + 90
    while True:
        try:
            if httpx.get(f"{prefect.api}/health").status_code == 200:
                break
        except httpx.HTTPError:
            pass
        assert server.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    yield prefect
    server.terminate()
    server.wait(timeout=30)


@pytest.mark.prefect
@pytest.mark.timeout(240)
def test_every_deployment_is_taken_by_prefect_and_run_by_a_worker(
    prefect: Prefect,
    project: Project,  # noqa: F811
    replay,  # noqa: F811
    tmp_path: Path,
) -> None:
    calls = write_recording(tmp_path / "calls.jsonl", recorded("old-1", {"question": "yes"}))
    with replay([calls]) as url:
        project.config(url)
        prefect.run("work-pool", "create", "watchkeeper", "--type", "process")
        prefect.run("deploy", "--all")
        found = httpx.post(f"{prefect.api}/deployments/filter", json={}).raise_for_status().json()
        assert {d["name"] for d in found} == {d.name for d in read_deployments()}
        assert {d["name"]: [s["schedule"]["cron"] for s in d["schedules"]] for d in found} == {
            d.name: [s.cron for s in d.schedules] for d in read_deployments()
        }
        worker = prefect.start("worker", "start", "--pool", "watchkeeper")
        try:
            run_deployment(prefect.api, "watch-models/watch-models")
        finally:
            worker.terminate()
            worker.wait(timeout=30)
    assert [model["model"] for model in project.run("models", "list", "--json").json] == ["replay/old-1"]
