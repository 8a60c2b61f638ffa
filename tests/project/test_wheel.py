"""The two sizes of the package, from a wheel that was really built."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def whole(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which `watchkeeper` is the wheel's, with every dependency beside it."""
    folder = tmp_path_factory.mktemp("whole")
    zipfile.ZipFile(wheel).extractall(folder)
    return {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}


@pytest.fixture(scope="module")
def small(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python in whose environment are the wheel and what it requires without an extra, nothing else."""
    home = tmp_path_factory.mktemp("small") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    [site] = home.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    for installed in small_distributions():
        for file in installed.files or []:
            if ".." not in file.parts and file.suffix != ".pyc":
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                (site / file).symlink_to(Path(str(installed.locate_file(file))))
    return home / "bin" / "python"


def small_distributions() -> list[Distribution]:
    """Everything that `pip install watchkeeper` brings."""
    found: dict[str, Distribution] = {}
    waiting = list(required_by(distribution("watchkeeper")))
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name not in found:
            found[name] = distribution(name)
            waiting += required_by(found[name])
    return list(found.values())


def required_by(installed: Distribution) -> Iterator[str]:
    for text in installed.requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name


def run(python: str | Path, *args: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(python), *args], capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload,no-any-return]


def test_what_an_application_carries_is_small() -> None:
    sizes = {
        installed.name: sum(
            os.path.getsize(installed.locate_file(f)) for f in installed.files or [] if f.suffix != ".pyc"
        )
        for installed in small_distributions()
    }
    assert sum(sizes.values()) < 40 * MEGABYTE, sizes
    assert not {"prefect", "great-expectations", "sqlmodel", "pandas"} & {name.lower() for name in sizes}


def test_the_small_package_imports_and_makes_a_project(small: Path, tmp_path: Path) -> None:
    assert run(small, "-c", "import watchkeeper").returncode == 0
    made = run(small, "-m", "watchkeeper", "init", str(tmp_path / "ops"))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "ops" / "watchkeeper.toml").is_file()


@pytest.mark.parametrize("command", [["upgrade", "--from", "a/b", "--to", "a/c"], ["up"], ["stats", "compare", "-"]])
def test_a_command_whose_extra_is_missing_says_so_in_one_line(small: Path, tmp_path: Path, command: list[str]) -> None:
    done = run(small, "-m", "watchkeeper", *command, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"watchkeeper: `{command[0]}` needs the operational packages; install them: pip install 'watchkeeper[ops]'"
    ]


def test_the_wheel_runs_the_same_files_as_the_checkout(wheel: Path) -> None:
    inside = zipfile.ZipFile(wheel)
    for name in ("flows", "runbooks", "examples/support_desk"):
        for path in (p for p in (ROOT / name).rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            assert inside.read(f"watchkeeper/{path.relative_to(ROOT)}") == path.read_bytes()
    assert inside.read("watchkeeper/prefect.yaml") == (ROOT / "prefect.yaml").read_bytes()


def test_a_project_made_by_the_wheel_works(whole: dict[str, str], tmp_path: Path) -> None:
    def watchkeeper(*args: str, folder: Path) -> subprocess.CompletedProcess[str]:
        return run(sys.executable, "-m", "watchkeeper", *args, cwd=folder, env=whole)

    where = run(sys.executable, "-c", "import watchkeeper; print(watchkeeper.__file__)", cwd=tmp_path, env=whole)
    assert str(ROOT) not in where.stdout
    assert watchkeeper("init", "my-ops", folder=tmp_path).returncode == 0
    project = tmp_path / "my-ops"
    assert watchkeeper("runbooks", "lint", folder=project).returncode == 0
    listed = watchkeeper("suites", "list", folder=project)
    assert (listed.returncode, "support.answer" in listed.stdout) == (0, True), listed.stderr
    seen = watchkeeper("doctor", folder=project)
    assert "watch-models cron" in seen.stdout, seen.stderr
