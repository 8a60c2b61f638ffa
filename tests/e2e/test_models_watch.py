"""`watchkeeper models watch` by hand: looking loses nothing, checking settles it."""

from pathlib import Path
from typing import Any

from tests.e2e.conftest import Project, recorded, write_recording
from tests.e2e.test_upgrade import cases, prompts

WATCH = ("models", "watch")


def test_a_model_stays_new_for_the_schedule_until_it_is_checked(project: Project, replay: Any, tmp_path: Path) -> None:
    project.suite("s", cases(80))
    calls = write_recording(tmp_path / "calls.jsonl", recorded("old-1", prompts(80)))
    with replay([calls]) as url:
        project.config(url)
        config = project.root / "watchkeeper.toml"
        config.write_text(
            config.read_text().replace('model = "replay/old-1"', 'model = "replay/old-1"\nupgrades = "replay/new-*"')
        )
        assert "new" not in project.run(*WATCH).out
        write_recording(calls, recorded("new-1", prompts(80)), mode="a")
        looked = [project.run(*WATCH).out for _ in range(2)]
        assert all("new since the last scheduled round: replay/new-1, an upgrade for answers" in out for out in looked)
        checked = project.run(*WATCH, "--check")
        assert (checked.code, "\nnew: replay/new-1" in checked.out) == (0, True), checked.err
        assert "checked: pass" in checked.out
        assert "replay/new-1" not in project.run(*WATCH).out
