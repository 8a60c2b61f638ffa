"""`records why` and `records prune` as a person runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def run(root: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "watchkeeper", "records", *args]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "watchkeeper.toml").write_text("")
    lines = [
        {"trace_id": f"{n:032x}", "started_at": f"2026-0{n}-01T00:00:00Z", "route": "r", "input": f"{n}"}
        | ({"calls": [{"cost_usd": 0.5}]} if n == 1 else {})
        for n in (1, 2, 3)
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    assert run(tmp_path, "import", "in.jsonl").returncode == 0
    return tmp_path


def test_why_lists_the_steps_and_says_by_its_code_whether_all_are_done(project: Path) -> None:
    done = run(project, "why", f"{1:032x}")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "received   yes  as a whole record, by import or POST /api/requests",
        "assembled  yes  1 request(s): r",
        "priced     yes  1 of 1 calls, $0.5000, by the record itself",
    ]
    missing = run(project, "why", f"{2:032x}", "--json")
    assert missing.returncode == 1
    assert [step["done"] for step in json.loads(missing.stdout)] == [True, True, False]
    assert run(project, "why", "f" * 32).returncode == 2


def test_prune_says_first_and_deletes_then(project: Path) -> None:
    assert (
        run(project, "prune", "--before", "2026-03-01T00:00:00Z", "--dry-run").stdout == "2 requests would be deleted\n"
    )
    pruned = run(project, "prune", "--before", "2026-03-01T00:00:00Z", "--json")
    assert json.loads(pruned.stdout) == {"requests": 2, "texts": 2, "dry_run": False}
    assert run(project, "show", f"{3:032x}").returncode == 0
    assert run(project, "show", f"{1:032x}").returncode == 2
    assert run(project, "prune", "--before", "soon").returncode == 2
