"""prefect.yaml: every flow deployed, every entrypoint there, every schedule pinned, no unknown key."""

import ast
from pathlib import Path

import pytest

from watchkeeper.deployments import read_deployments
from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.foundation.packaged import packaged

ROOT = Path(__file__).resolve().parents[2]


def test_what_runs_when_is_pinned() -> None:
    assert {d.name: d.when() for d in read_deployments()} == {
        "watch-models": "cron 7 * * * * UTC",
        "check-upgrade": "on watchkeeper.model.appeared",
        "price-records": "cron 3-59/15 * * * * UTC",
        "deliver-alerts": "cron */5 * * * * UTC",
        "pull-records": "cron 1-59/5 * * * * UTC",
        "check-budgets": "cron 4-59/10 * * * * UTC",
        "check-latency": "cron 12 * * * * UTC",
        "write-facts": "cron 6-59/10 * * * * UTC",
        "score-live": "cron 8-59/15 * * * * UTC",
    }


def test_every_flow_file_is_deployed_and_every_entrypoint_is_a_flow() -> None:
    entrypoints = {d.entrypoint for d in read_deployments()}
    assert {e.split(":")[0] for e in entrypoints} == {f"flows/{p.name}" for p in (ROOT / "flows").glob("*.py")}
    for entrypoint in entrypoints:
        name, function = entrypoint.split(":")
        tree = ast.parse((ROOT / name).read_text())
        [found] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
        assert any("flow" in ast.unparse(decorator) for decorator in found.decorator_list)


def test_flows_are_thin() -> None:
    assert all(len(p.read_text().splitlines()) <= 80 for p in packaged("flows").glob("*.py"))


def test_readme_names_every_flow() -> None:
    readme = (ROOT / "README.md").read_text()
    assert all(f"| {d.name} |" in readme for d in read_deployments())


@pytest.mark.parametrize(
    ("before", "after"), [("    tags:", "    tag:"), ("slug: hourly", "slugs: hourly"), ("limit: 1,", "limits: 1,")]
)
def test_a_mistyped_key_is_refused_although_prefect_would_ignore_it(tmp_path: Path, before: str, after: str) -> None:
    file = tmp_path / "prefect.yaml"
    file.write_text((ROOT / "prefect.yaml").read_text().replace(before, after, 1))
    with pytest.raises(Misconfigured, match=r"prefect\.yaml"):
        read_deployments(file)
