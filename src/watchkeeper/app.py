"""The composition root: the one place where settings, store and clock are brought together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.database.engine import Store, open_store
from watchkeeper.evaluation.rubric import RubricShelf
from watchkeeper.foundation.clock import Clock, SystemClock
from watchkeeper.foundation.packaged import packaged
from watchkeeper.incidents.runbook import RunbookShelf
from watchkeeper.migrations.migrate import migrate
from watchkeeper.providers.connect import ProviderConfig
from watchkeeper.regression.suite import Suite
from watchkeeper.regression.suite_files import read_suite
from watchkeeper.settings import Settings, find_config, load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An installation that is open for work.

    Attributes:
        root: The folder of watchkeeper.toml; every relative path of the settings is under it.
    """

    settings: Settings
    store: Store
    clock: Clock
    root: Path


@contextmanager
def open_app(config: Path | None = None, *, clock: Clock | None = None) -> Iterator[App]:
    """Open the installation of `config` (or the one found), its store migrated.

    Raises:
        Misconfigured: If there is no configuration, it is wrong, or the store is of a newer version.
        StoreFailed: If the store cannot be reached.
    """
    path = find_config(config)
    settings = load_settings(path)
    store = open_store(settings.store.url)
    try:
        migrate(settings.store.url)
        yield App(settings=settings, store=store, clock=clock or SystemClock(), root=path.parent)
    finally:
        store.close()


def provider_configs(settings: Settings) -> dict[str, ProviderConfig]:
    """Every provider of the configuration, its key read from the environment."""
    return {
        name: ProviderConfig(
            name=name,
            kind=section.kind,
            base_url=section.base_url,
            api_key=section.api_key,
            concurrency=section.concurrency,
            timeout_s=section.timeout_seconds,
            max_retries=section.max_retries,
        )
        for name, section in settings.providers.items()
    }


def rubric_shelf(settings: Settings) -> RubricShelf:
    """The rubrics of the installation, and the model that judges where one names none."""
    return RubricShelf(folder=settings.judge.path, model=settings.judge.model)


def configured_suite(settings: Settings, name: str) -> Suite:
    """One suite of the installation, with its prompts and rubrics.

    Raises:
        NotFound: If there is no such suite.
        Misconfigured: If it is malformed.
        NothingToCheck: If it has no cases.
    """
    return read_suite(settings.suites.path, name, prompts=settings.suites.prompts, rubrics=rubric_shelf(settings))


def runbook_shelf(settings: Settings) -> RunbookShelf:
    """The runbooks: the team's own pages first, then ours."""
    return RunbookShelf((settings.runbooks.path, packaged("runbooks")))
