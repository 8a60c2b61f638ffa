"""`watchkeeper init`: the project it makes holds together."""

import subprocess
import sys
from pathlib import Path

from watchkeeper.regression.suite_files import read_suite

INIT = [sys.executable, "-m", "watchkeeper", "init"]


def test_a_new_project_has_a_prompt_that_its_suite_names(tmp_path: Path) -> None:
    done = subprocess.run([*INIT, str(tmp_path / "ops")], capture_output=True, text=True, check=True)
    prompts = tmp_path / "ops" / "prompts"
    assert str(prompts / "answer" / "1.md") in done.stdout
    suite = read_suite(tmp_path / "ops" / "suites", "answer", prompts=prompts)
    assert suite.prompt == "answer@1"
    assert "{{ input }}" in suite.template
    assert len(suite.cases) == 3
