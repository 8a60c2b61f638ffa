"""A project in a folder, a replay server beside it, and the real command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DATA = Path(os.environ.get("WATCHKEEPER_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))

SUITE = """\
routes: [answers]
prompt: "{{ input }}"
scorers:
  - {name: same, kind: exact, equals: "{{ reference }}", primary: true}
"""


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Project:
    """A folder with a watchkeeper.toml, and the command line run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env: dict[str, str] = {}

    def config(
        self, base_url: str, *, models: Mapping[str, str] | None = None, provider: str = "", more: str = ""
    ) -> None:
        """Write watchkeeper.toml: one provider `replay`, and routes with their models."""
        routes = "\n".join(
            f'[routes."{route}"]\nmodel = "{model}"\n'
            for route, model in (models or {"answers": "replay/old-1"}).items()
        )
        (self.root / "watchkeeper.toml").write_text(
            f'[providers.replay]\nbase_url = "{base_url}"\ntimeout_seconds = 5\n{provider}\n{routes}\n{more}\n'
        )

    def suite(self, name: str, cases: Iterable[Mapping[str, Any]], yaml: str = SUITE, **files: str) -> None:
        """Write one suite."""
        home = self.root / "suites" / name
        home.mkdir(parents=True, exist_ok=True)
        (home / "suite.yaml").write_text(yaml)
        (home / "cases.jsonl").write_text("\n".join(json.dumps(case) for case in cases))
        for filename, text in files.items():
            (home / f"{filename}.py").write_text(text)

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start a command and do not wait for it."""
        env = {**os.environ, "COLUMNS": "200", **self.env}
        return subprocess.Popen(
            [sys.executable, "-m", "watchkeeper", *args],
            cwd=self.root,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *args: str, timeout: float = 120) -> Done:
        """Run a command to its end."""
        process = self.start(*args)
        out, err = process.communicate(timeout=timeout)
        return Done(process.returncode, out, err)


def recorded(model: str, answers: Mapping[str, str]) -> list[dict[str, str]]:
    """Recorded calls of one model: prompt -> answer."""
    return [{"model": model, "prompt": prompt, "response": answer} for prompt, answer in answers.items()]


def write_recording(path: Path, rows: Iterable[Mapping[str, Any]], *, mode: str = "w") -> Path:
    """Recorded calls as a file."""
    with path.open(mode) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    root.mkdir()
    return Project(root)


@pytest.fixture
def replay(tmp_path: Path) -> Callable[..., Any]:
    """A context manager: `with replay(files, "--fault", …) as base_url`."""

    @contextmanager
    def running(files: Iterable[Path], *options: str) -> Iterator[str]:
        command = [sys.executable, "-m", "watchkeeper", "replay", *map(str, files), "--port", "0", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on "), line
            yield line.split()[-1] + "/v1"
        finally:
            process.terminate()
            process.wait(timeout=10)

    return running
