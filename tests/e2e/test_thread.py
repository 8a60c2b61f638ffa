"""The whole thread with nothing mocked inside: a model appears, and the channel is told.

A real Prefect server and runner (`watchkeeper up`), a real store, the replay API on which a new model
appears, and a stand-in for Slack that speaks its Web API over HTTP.
"""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Project, recorded, write_recording
from tests.edges.slack_stand_in import CHANNEL, CHANNEL_ID, TOKEN, slack_stand_in

CASES = [{"id": f"case-{n}", "input": f"question {n}", "reference": "yes"} for n in range(80)]
RIGHT = {case["input"]: "yes" for case in CASES}
WRONG = {case["input"]: "Sure! The answer is <!channel> *yes*" if n < 40 else "yes" for n, case in enumerate(CASES)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.2)
    return found


def run_deployment(api: str, name: str) -> None:
    """Run a deployment on demand, as a person does from Prefect's page, and wait for its end."""

    def answer(method: str, path: str, **sent: Any) -> Any:
        # Prefect says 503 while its own database is busy; its client asks again, and so do we.
        asked = wait_for(
            lambda: None if (said := httpx.request(method, f"{api}{path}", **sent)).status_code == 503 else said,
            60,
            f"an answer of Prefect to {path}",
        )
        return asked.raise_for_status().json()

    deployment = answer("GET", f"/deployments/name/{name}")
    created = answer("POST", f"/deployments/{deployment['id']}/create_flow_run", json={})

    def ended() -> str | None:
        state = answer("GET", f"/flow_runs/{created['id']}")["state"]
        return state["type"] if state["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None

    assert wait_for(ended, 60, f"the end of {name}") == "COMPLETED"


@pytest.mark.prefect
@pytest.mark.timeout(240)
def test_a_model_that_appears_is_checked_and_the_channel_is_told_once(
    project: Project, replay: Any, tmp_path: Path
) -> None:
    project.suite("s", CASES)
    calls = write_recording(tmp_path / "calls.jsonl", recorded("old-1", RIGHT))
    port = free_port()
    with slack_stand_in() as slack, replay([calls]) as model_url:
        project.env = {"SLACK_BOT_TOKEN": TOKEN, "WATCHKEEPER_DEBUG": "1"}
        project.config(
            model_url,
            provider="max_retries = 1",
            more=(
                f'[web]\nport = {port}\nbase_url = "http://127.0.0.1:{port}"\n'
                f'[slack]\nchannel = "{CHANNEL}"\napi_url = "{slack.base_url}"\n'
            ),
        )
        config = project.root / "watchkeeper.toml"
        config.write_text(
            config.read_text().replace('model = "replay/old-1"', 'model = "replay/old-1"\nupgrades = "replay/new-*"')
        )
        up = project.start("up")
        try:
            api = _prefect_of(up)
            run_deployment(api, "watch-models/watch-models")
            assert project.run("incidents", "list", "--json").json == []

            write_recording(calls, recorded("new-1", WRONG), mode="a")
            run_deployment(api, "watch-models/watch-models")
            [message] = wait_for(lambda: list(slack.messages), 60, "the message")

            text = json.dumps(message, ensure_ascii=False)
            assert "replay/new-1" in text
            assert f"http://127.0.0.1:{port}/runbooks/model-regressed" in text
            assert "<!channel>" not in text
            [incident] = project.run("incidents", "list", "--json").json
            assert (incident["kind"], incident["status"]) == ("model-regressed", "firing")
            assert incident["slack"] == {"channel": CHANNEL_ID, "ts": message["ts"]}
            assert incident["runbook_url"].startswith(f"http://127.0.0.1:{port}/runbooks/model-regressed")
            for path in (
                f"/incidents/{incident['id']}",
                "/runbooks/model-regressed",
                f"/runs/{incident['evidence']['run_id']}",
            ):
                page = httpx.get(f"http://127.0.0.1:{port}{path}")
                assert page.status_code == 200, path
                assert "<!channel>" not in page.text  # what the model wrote stands there escaped

            # A person checks the same upgrade again, and drains the outbox: still one message.
            assert project.run("upgrade", "--from", "replay/old-1", "--to", "replay/new-1").code == 1
            assert project.run("alerts", "deliver", "--once").code == 0
            assert len(slack.messages) == 1
        finally:
            up.send_signal(signal.SIGTERM)
            _, err = up.communicate(timeout=60)
        assert up.returncode == 0, err
        assert "Traceback" not in err
        assert (
            subprocess.run(["pgrep", "-f", str(project.root)], capture_output=True, text=True, check=False).stdout == ""
        )


def _prefect_of(up: subprocess.Popen[str]) -> str:
    """The API's address, once everything is up."""
    assert up.stdout is not None
    seen = []
    for line in up.stdout:
        seen.append(line)
        if line.startswith("Ctrl-C"):
            [url] = [shown.split()[1] for shown in seen if shown.startswith("prefect")]
            return f"{url}/api"
    raise AssertionError(f"`up` ended: {up.communicate()}")
