"""`records` as a person runs it, and POST /api/requests as a program does."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest


def record(number: int, **changes: Any) -> dict[str, Any]:
    at = f"2026-11-24T10:{number:02d}:00Z"
    return {"trace_id": f"{number:032x}", "started_at": at, "route": "support.answer", **changes}


class Project:
    """A folder with a watchkeeper.toml, and the command line run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "watchkeeper.toml").write_text("[web]\nport = 0\n")

    def write(self, name: str, lines: Iterable[Any]) -> Path:
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines).encode()
        path = self.root / name
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return path

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "watchkeeper", *args]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=60)

    def exported(self, *options: str) -> list[dict[str, Any]]:
        done = self.run("records", "export", "--output", "out.jsonl", *options)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in (self.root / "out.jsonl").read_text().splitlines()]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_good_lines_are_taken_bad_ones_named_and_written_beside(project: Project) -> None:
    project.write("in.jsonl.gz", [record(1), {"trace_id": "x"}, record(2), "{broken", record(3, latency_ms=-1)])
    done = project.run("records", "import", "in.jsonl.gz")
    assert done.returncode == 1
    assert "in.jsonl.gz:2: trace_id: must be 32 hexadecimal digits\n" in done.stderr
    assert "in.jsonl.gz:4: not JSON" in done.stderr
    assert "in.jsonl.gz:5: latency_ms: a duration must be >= 0 milliseconds\n" in done.stderr
    rejected = (project.root / "in.rejected.jsonl").read_text().splitlines()
    assert rejected == ['{"trace_id": "x"}', "{broken", json.dumps(record(3, latency_ms=-1))]
    assert len(project.exported()) == 2


def test_a_rerun_without_rejections_removes_nothing(project: Project) -> None:
    project.write("in.jsonl", [record(1), "{broken"])
    assert project.run("records", "import", "in.jsonl").returncode == 1
    project.write("in.jsonl", [record(1)])
    assert project.run("records", "import", "in.jsonl").returncode == 0
    assert (project.root / "in.rejected.jsonl").read_text() == "{broken\n"


def test_two_inputs_of_one_name_keep_both_their_rejected_lines(project: Project) -> None:
    project.write("in.jsonl", ["{one"])
    project.write("in.jsonl.gz", ["{two"])
    done = project.run("records", "import", "in.jsonl", "in.jsonl.gz", "--json")
    assert done.returncode == 1
    assert [(r["file"], r["line"]) for r in json.loads(done.stdout)["rejected"]] == [
        ("in.jsonl", 1), ("in.jsonl.gz", 1)
    ]  # fmt: skip
    assert (project.root / "in.rejected.jsonl").read_text() == "{one\n{two\n"


def test_an_empty_file_is_nothing_and_a_missing_one_an_error(project: Project) -> None:
    project.write("empty.jsonl", [])
    assert project.run("records", "import", "empty.jsonl").returncode == 5
    missing = project.run("records", "import", "empty.jsonl", "missing.jsonl")
    assert (missing.returncode, missing.stderr) == (2, "watchkeeper: missing.jsonl: no such file\n")


def test_what_is_exported_imports_into_the_same(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    lines = [record(n, calls=[{"usage": {"input": 9, "cache_read": 4}, "cost_usd": 0.0219}]) for n in (2, 1)]
    project.write("in.jsonl", lines)
    assert json.loads(project.run("records", "import", "in.jsonl", "--json").stdout) == {"accepted": 2, "rejected": []}
    first = project.exported()
    assert [each["trace_id"] for each in first] == [f"{n:032x}" for n in (1, 2)]
    other = Project(tmp_path_factory.mktemp("other"))
    other.write("in.jsonl", first)
    assert other.run("records", "import", "in.jsonl").returncode == 0
    assert other.exported() == first


def test_an_export_is_of_its_window_and_route_and_an_empty_one_leaves_the_old_file(project: Project) -> None:
    project.write("in.jsonl", [record(1), record(2), record(3), record(4, route="other")])
    project.run("records", "import", "in.jsonl")
    window = ("--since", "2026-11-24T10:02:00Z", "--until", "2026-11-24T12:04:00+02:00")
    assert [each["trace_id"] for each in project.exported(*window)] == [f"{n:032x}" for n in (2, 3)]
    assert [each["route"] for each in project.exported("--route", "other")] == ["other"]
    nothing = project.run("records", "export", "--output", "out.jsonl", "--route", "none")
    assert nothing.returncode == 5
    assert json.loads((project.root / "out.jsonl").read_text())["route"] == "other"
    assert not list(project.root.glob(".*.tmp"))


@pytest.mark.parametrize(("age", "code"), [("24h", 0), ("7d", 0), ("30m", 5)])
def test_an_age_is_counted_back_from_now(project: Project, age: str, code: int) -> None:
    from datetime import UTC, datetime, timedelta

    project.write("in.jsonl", [record(1, started_at=(datetime.now(UTC) - timedelta(hours=2)).isoformat())])
    project.run("records", "import", "in.jsonl")
    assert project.run("records", "export", "--output", "out.jsonl.gz", "--since", age).returncode == code
    if code == 0:
        assert json.loads(gzip.decompress((project.root / "out.jsonl.gz").read_bytes()))["trace_id"] == f"{1:032x}"


@pytest.mark.parametrize(
    "options",
    [("--since", "soon"), ("--since", "2026-11-24T10:00:00"), ("--since", "1h", "--until", "2h"), ("--output", "no/x")],
)
def test_an_export_that_cannot_be_meant_is_one_line_and_code_2(project: Project, options: tuple[str, ...]) -> None:
    done = project.run("records", "export", "--output", "out.jsonl", *options)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_parquet_has_a_row_a_request_or_says_what_to_install(project: Project) -> None:
    project.write("in.jsonl", [record(2, calls=[{"provider": "openai"}]), record(1)])
    project.run("records", "import", "in.jsonl")
    done = project.run("records", "export", "--output", "out.parquet", "--format", "parquet")
    try:
        import pyarrow.parquet as parquet  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        assert done.returncode == 2
        assert "pip install pyarrow" in done.stderr
        return
    assert done.returncode == 0
    rows = parquet.read_table(project.root / "out.parquet").to_pylist()
    assert [row["trace_id"] for row in rows] == [f"{n:032x}" for n in (1, 2)]
    assert json.loads(rows[1]["calls"])[0]["provider"] == "openai"
    assert rows[0]["started_at"].isoformat() == "2026-11-24T10:01:00+00:00"


@pytest.mark.parametrize(
    ("name", "options"), [("out.jsonl", ()), ("out.jsonl.gz", ()), ("out.parquet", ("--format", "parquet"))]
)
def test_an_export_imports_into_an_export_of_the_same_bytes(
    project: Project, tmp_path_factory: pytest.TempPathFactory, name: str, options: tuple[str, ...]
) -> None:
    project.write("in.jsonl", [record(n, input="naïve 😀", calls=[{"usage": {"input": 9}}]) for n in (2, 1)])
    project.run("records", "import", "in.jsonl")
    other = Project(tmp_path_factory.mktemp("other"))
    for each, source in ((project, None), (other, project.root / name)):
        if source:
            assert each.run("records", "import", str(source)).returncode == 0
        assert each.run("records", "export", "--output", name, *options).returncode == 0
    assert (other.root / name).read_bytes() == (project.root / name).read_bytes()
    manifest = json.loads((other.root / f"{name}.manifest.json").read_text())
    assert (manifest["count"], manifest["store"], manifest["filters"]["route"]) == (2, "sqlite", None)


def test_a_damaged_export_is_refused_before_anything_is_stored_unless_its_manifest_is_ignored(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project.write("in.jsonl", [record(1), record(2)])
    project.run("records", "import", "in.jsonl")
    project.exported()
    other = Project(tmp_path_factory.mktemp("other"))
    good = other.write("good.jsonl", [record(3)])
    lost = other.root / "out.jsonl"
    lost.write_bytes((project.root / "out.jsonl").read_bytes().splitlines(keepends=True)[0])
    beside = other.root / "out.jsonl.manifest.json"
    beside.write_bytes((project.root / "out.jsonl.manifest.json").read_bytes())
    done = other.run("records", "import", good.name, lost.name)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--ignore-manifest" in done.stderr
    assert other.run("records", "export", "--output", "none.jsonl").returncode == 5
    done = other.run("records", "import", good.name, lost.name, "--ignore-manifest")
    assert (done.returncode, done.stdout) == (0, "2 requests stored\n")


def test_show_prints_the_request_and_makes_hostile_text_visible(project: Project) -> None:
    project.write(
        "in.jsonl", [record(1, response="\x1b[2Jgone", latency_ms=1840, feedback=[{"kind": "thumb", "value": -1}])]
    )
    project.run("records", "import", "in.jsonl")
    shown = project.run("records", "show", f"{1:032x}")
    assert shown.returncode == 0
    assert "\x1b" not in shown.stdout
    assert r"\x1b[2Jgone" in shown.stdout
    assert "thumb -1" in shown.stdout
    assert "support.answer  answered, 1.84 s" in shown.stdout
    assert json.loads(project.run("records", "show", f"{1:032x}", "--json").stdout)["response"] == "\x1b[2Jgone"
    unknown = project.run("records", "show", "f" * 32)
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (2, 1)


@pytest.fixture
def served(project: Project) -> Iterator[httpx.Client]:
    command = [sys.executable, "-m", "watchkeeper", "serve", "--port", "0"]
    process = subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on "), line
        with httpx.Client(base_url=line.split()[-1], timeout=30, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


def test_posted_requests_are_stored_when_the_answer_comes(served: httpx.Client, project: Project) -> None:
    answer = served.post("/api/requests", json=[record(1), record(2)])
    assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "rejected": []})
    assert served.post("/api/requests", json=record(3)).json()["accepted"] == 1
    assert served.get(f"/api/requests/{3:032x}").json()["route"] == "support.answer"
    assert len(project.exported()) == 3
    assert served.get(f"/api/requests/{'f' * 32}").status_code == 404


def test_of_posted_requests_the_good_are_stored_and_the_bad_listed(served: httpx.Client) -> None:
    answer = served.post("/api/requests", json=[record(1, latency_ms=-1), record(2), 7])
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1
    assert [(bad["index"], bad["field"]) for bad in answer.json()["rejected"]] == [(0, "latency_ms"), (2, None)]
    assert served.get(f"/api/requests/{2:032x}").status_code == 200
    assert served.get(f"/api/requests/{1:032x}").status_code == 404


def test_a_post_without_one_good_request_is_an_error_with_its_field(served: httpx.Client) -> None:
    answer = served.post("/api/requests", json=[record(1, route=None)])
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "route"
    assert answer.json()["error"]["code"] == "Rejected"
    for body in (b"{broken", b"", b"\xff", b"[" * 100_000):
        broken = served.post("/api/requests", content=body)
        assert broken.status_code == 400
        assert set(broken.json()["error"]) == {"code", "message", "field"}


def test_a_body_over_64_mib_is_refused(served: httpx.Client) -> None:
    answer = served.post("/api/requests", content=b" " * (64 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "TooLarge")
    at_limit = served.post("/api/requests", content=json.dumps([record(1)]).encode().ljust(64 * 1024 * 1024))
    assert at_limit.status_code == 200
