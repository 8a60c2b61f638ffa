"""Documentation that cannot drift: settings, commands and kinds are named where people look."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from watchkeeper.cli.main import app
from watchkeeper.incidents.kinds import KINDS
from watchkeeper.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
INTERFACES = (ROOT / "docs" / "interfaces.md").read_text()


def _fields(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        annotation: Any = field.annotation
        inner = [annotation, *getattr(annotation, "__args__", ())]
        nested = next((t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)), None)
        if nested is None:
            found.append(prefix + name)
        elif annotation is nested:
            found += _fields(nested, f"{prefix}{name}.")
        elif "dict" in str(annotation):
            found += _fields(nested, f"{prefix}{name}.NAME.")
    return found


def test_every_setting_is_in_the_table() -> None:
    missing = [
        name for name in _fields(Settings) if name not in INTERFACES and name.rpartition(".")[2] not in INTERFACES
    ]
    assert missing == []


def test_every_incident_kind_is_documented_and_has_its_page() -> None:
    assert all(f"`{kind}`" in INTERFACES for kind in KINDS)
    assert {p.stem for p in (ROOT / "runbooks").glob("*.md")} - {"README"} == set(KINDS)


def test_every_command_has_help() -> None:
    command = typer.main.get_command(app)

    def silent(node: Any, path: str) -> list[str]:
        nested = [s for name, sub in getattr(node, "commands", {}).items() for s in silent(sub, f"{path} {name}")]
        return nested if node.help else [path, *nested]

    assert silent(command, "watchkeeper") == []


def test_commands_in_readme_and_docs_exist() -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for page in (
        "README.md",
        "docs/interfaces.md",
        "docs/glossary.md",
        "CONTRIBUTING.md",
        "examples/llmdrift/README.md",
    ):
        used = set(re.findall(r"`?watchkeeper ([a-z]+)[ `]", (ROOT / page).read_text()))
        assert {word for word in used if word not in _PROSE} <= known, page


_PROSE = {"keeps", "is", "needs", "serves", "in", "the", "and", "on"}


def test_the_command_line_and_the_package_import_nothing_heavy() -> None:
    heavy = "prefect great_expectations pandas altair sqlmodel sqlalchemy scipy numpy fastapi slack_sdk"
    for module, allowed in (("watchkeeper", ""), ("watchkeeper.cli.main", "")):
        code = (
            f"import sys, {module}; print([m for m in '{heavy}'.split() if m in sys.modules and m not in '{allowed}'])"
        )
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert out.strip() == "[]", module


def test_nothing_large_hides_and_no_drawer_for_everything() -> None:
    files = [p for folder in ("src", "flows") for p in (ROOT / folder).rglob("*.py")]
    assert [str(p) for p in files if p.stem in {"utils", "helpers", "common", "manager"}] == []
    assert [str(p) for p in files if len(p.read_text().splitlines()) > 400] == []
