"""prefect.yaml as a value: read strictly, because Prefect itself ignores what it does not know."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.foundation.packaged import packaged


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Schedule(_Strict):
    """When a deployment runs by itself."""

    cron: str
    timezone: str = "UTC"
    slug: str
    active: bool = True


class Trigger(_Strict):
    """The event that starts a deployment, and the parameters taken from it."""

    type: Literal["event"]
    enabled: bool
    posture: Literal["Reactive"]
    expect: list[str]
    match: dict[str, str]
    parameters: dict[str, str] = {}


class ConcurrencyLimit(_Strict):
    """How many runs of a deployment may be under way, and what becomes of one too many."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]


class WorkPool(_Strict):
    """Where workers of your own pick the runs up; not used by `watchkeeper up`."""

    name: str
    work_queue_name: str


class Deployment(_Strict):
    """One row of prefect.yaml."""

    name: str
    description: str
    entrypoint: str
    tags: list[str]
    parameters: dict[str, Any]
    concurrency_limit: ConcurrencyLimit
    schedules: list[Schedule]
    triggers: list[Trigger] = []
    work_pool: WorkPool

    def when(self) -> str:
        """For people: its schedules and triggers."""
        parts = [f"cron {s.cron} {s.timezone}" for s in self.schedules if s.active]
        parts += [f"on {event}" for t in self.triggers if t.enabled for event in t.expect]
        return ", ".join(parts) or "on demand"


class _PrefectFile(_Strict):
    name: Literal["watchkeeper"]
    definitions: dict[str, Any]
    pull: list[dict[str, Any]]
    deployments: list[Deployment]


def read_deployments(path: Path | None = None) -> list[Deployment]:
    """Every deployment of prefect.yaml.

    Raises:
        Misconfigured: If the file holds a key or a value that is not known here.
    """
    path = path or packaged("prefect.yaml")
    try:
        return _PrefectFile.model_validate(yaml.safe_load(path.read_text("utf-8"))).deployments
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Misconfigured(f"{path.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, yaml.YAMLError) as error:
        raise Misconfigured(f"{path.name}: cannot be read: {error}") from None
