"""The regression benchmark's options, with few calls: what it says it measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "regression_run.py"


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(BENCHMARK), *args], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("args", "name"), [(("--repeat", "1"), "regression_run"), (("--fault", "429=0.1"), "regression_run_faults")]
)
def test_cases_are_calls_in_all_half_on_each_model(args: tuple[str, ...], name: str) -> None:
    done = run("--cases", "40", *args)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["benchmark"] == name
    details = document["details"]
    assert (details["calls"], details["cases"], details["models"]) == (40, 20, 2)
    assert details.get("stored", 40) == 40


def test_faults_may_be_repeated_and_are_told() -> None:
    done = run("--cases", "40", "--fault", "429=0.1", "--fault", "500=0.05")
    assert done.returncode == 0, done.stderr
    details = json.loads(done.stdout.splitlines()[-1])["details"]
    assert details["faults"] == ["429=0.1", "500=0.05"]
    assert sum(details["retried"].values()) > 0


def test_a_fault_that_cannot_be_read_is_one_line() -> None:
    done = run("--fault", "often")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "--fault often: write STATUS=PROBABILITY" in done.stderr
