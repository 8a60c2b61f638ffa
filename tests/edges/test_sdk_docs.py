"""The examples of docs/sdk.md, executed as one program; and through the real server."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.edges.test_sdk import Server, run

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "sdk.md").read_text()
EXAMPLES = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))


def test_the_examples_run_and_what_they_say_arrives(tmp_path: Path) -> None:
    server = Server(tmp_path / "taken.jsonl")
    try:
        out = run(EXAMPLES.replace("http://127.0.0.1:8700", server.url), tmp_path / "spool", server.url)
        assert out.startswith("Hello")
        assert "'dropped': 0" in out
        requests = [name for name in server.names() if name.startswith("request")]
        assert requests == ["request hello", "request hello", "request support.answer", "request support.summary"]
        assert len(server.read("all")["opinions"]) == 2
    finally:
        server.kill()


def test_every_public_name_is_on_the_page() -> None:
    import watchkeeper

    missing = [n for n in watchkeeper.__all__ if n != "__version__" and f"watchkeeper.{n}(" not in PAGE]
    assert missing == []


def test_the_real_server_makes_one_record_of_it(tmp_path: Path) -> None:
    environment = {**os.environ, "COLUMNS": "200"}
    watchkeeper = [sys.executable, "-m", "watchkeeper"]
    subprocess.run([*watchkeeper, "init", str(tmp_path / "ops")], check=True, capture_output=True, env=environment)
    serving = subprocess.Popen(
        [*watchkeeper, "serve", "--port", "0"],
        cwd=tmp_path / "ops",
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert serving.stdout is not None
        url = next(line for line in serving.stdout if "listening on" in line).split()[-1]
        out = run(
            """
            with watchkeeper.request(route="support.answer", segment="free", job_id="j", input="where?") as request:
                with request.call("gpt-5", provider="openai", messages="where?") as call:
                    call.finish("there", usage={"input": 912, "output": 210, "cache_read": 512}, finish_reason="stop")
                request.retrieval(documents=[{"id": "doc-17", "score": 0.82}])
                request.tool_call(name="lookup", arguments={"id": 1}, result="ok")
                request.respond("there")
            watchkeeper.flush(20)
            print(request.trace_id, watchkeeper.status()["sent"])
            """,
            tmp_path / "spool",
            url,
        )
        trace_id, sent = out.split()
        assert sent == "4"
        with urllib.request.urlopen(f"{url}/api/requests/{trace_id}", timeout=10) as answer:
            record = json.loads(answer.read())
        assert (record["route"], record["segment"], record["job_id"]) == ("support.answer", "free", "j")
        assert (record["input"], record["response"]) == ("where?", "there")
        [call] = record["calls"]
        assert (call["model_requested"], call["response"], call["finish_reason"]) == ("gpt-5", "there", "stop")
        assert (call["usage"]["input"], call["usage"]["output"], call["usage"]["cache_read"]) == (912, 210, 512)
        assert record["retrievals"][0]["documents"][0]["id"] == "doc-17"
        assert record["tool_calls"][0]["name"] == "lookup"
    finally:
        serving.terminate()
        serving.wait(20)
