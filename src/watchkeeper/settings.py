"""Every setting, with its unit and its reason; read once, from watchkeeper.toml and the environment.

The file is found by --config, else WATCHKEEPER_CONFIG, else upward from the working directory.
Every key can be set as WATCHKEEPER_SECTION__KEY, which wins over the file. Secrets are named by
environment variable and never written in the file.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from watchkeeper.foundation.clock import parse_age
from watchkeeper.foundation.errors import Misconfigured, NotFound
from watchkeeper.sections import BudgetSettings, LatencySettings, PriceOverrideSettings, PriceSettings, Section

if TYPE_CHECKING:
    from watchkeeper.observability.redact import Policy

CONFIG_NAME = "watchkeeper.toml"


class StoreSettings(Section):
    """Where records, runs and incidents are kept."""

    url: str = Field(
        "sqlite:///watchkeeper.db",
        description="SQLAlchemy URL, sqlite:///… or postgresql+psycopg://…; a relative path is under its folder.",
    )
    facts: Path = Field(
        Path("facts"),
        description="Folder of the facts (Parquet, an hour a file), under the file's folder; may be deleted.",
    )


class WebSettings(Section):
    """The pages and the ingest API."""

    host: str = Field("127.0.0.1", description="Address to listen on; loopback unless you put a proxy in front.")
    port: int = Field(8700, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    base_url: str = Field("http://127.0.0.1:8700", description="How people reach the pages; used in messages.")


class ProviderSettings(Section):
    """One model provider; its section's name is the PROVIDER of PROVIDER/MODEL."""

    kind: Literal["openai", "anthropic"] = Field("openai", description="The wire it speaks.")
    base_url: str = Field(description="Root of the API, e.g. https://api.openai.com/v1.")
    api_key_env: str | None = Field(None, description="Environment variable that holds the key.")
    concurrency: int = Field(50, ge=1, le=2000, description="Calls under way at once.")
    timeout_seconds: float = Field(60.0, gt=0, description="Hard limit of one attempt, in seconds.")
    max_retries: int = Field(4, ge=0, le=10, description="Retries of one call after its first attempt.")

    @property
    def api_key(self) -> str | None:
        """The key's value, or None when no variable is named or it is empty."""
        return (os.environ.get(self.api_key_env) or None) if self.api_key_env else None


class RouteSettings(Section):
    """One feature or endpoint of the application."""

    model: str = Field(description="The model it calls now, PROVIDER/MODEL.")
    contract: str | None = Field(None, description="The format contract its answers keep.")
    upgrades: str | None = Field(
        None,
        description="Glob of models to check when they appear, e.g. openai/gpt-5*; default: the model's own family.",
    )

    content: Literal["full", "hashed", "none"] | None = Field(
        None, description="What is kept of its texts; default: privacy.content."
    )
    judge: list[str] = Field([], description="Rubrics by which a sample of its live answers is judged.")
    scorers_of: str | None = Field(
        None, description="Suite whose scorers score a sample of its live answers, those that need no reference."
    )

    @field_validator("model")
    @classmethod
    def _names_a_provider(cls, value: str) -> str:
        provider, _, model = value.partition("/")
        if not provider or not model:
            raise ValueError(f"write PROVIDER/MODEL, got {value!r}")
        return value


class SlackSettings(Section):
    """Where the team is told."""

    channel: str = Field("#llm-oncall", description="Channel name or id.")
    token_env: str = Field("SLACK_BOT_TOKEN", description="Environment variable of the bot token (xoxb-…).")
    signing_secret_env: str = Field("SLACK_SIGNING_SECRET", description="Environment variable of the signing secret.")
    api_url: str = Field("https://slack.com/api/", description="Any server that speaks Slack's Web API.")

    @property
    def token(self) -> str | None:
        """The bot token, or None: then messages wait in the outbox and are printed."""
        return os.environ.get(self.token_env) or None


class RunbookSettings(Section):
    """The team's own pages; they win over ours of the same name."""

    path: Path = Field(Path("runbooks"), description="Folder of your own pages, under the file's folder.")
    base_url: str = Field("", description="Where the pages are published; empty: the web page of this installation.")


class SuiteSettings(Section):
    """Regression suites."""

    path: Path = Field(Path("suites"), description="Folder of the suites, under the file's folder.")
    prompts: Path = Field(Path("prompts"), description="Folder of prompt versions, prompts/ID/VERSION.md.")


class JudgeSettings(Section):
    """Models that judge answers by a rubric."""

    path: Path = Field(Path("rubrics"), description="Folder of the rubrics, under the file's folder.")
    model: str | None = Field(None, description="The model that judges where a rubric names none, PROVIDER/MODEL.")

    @field_validator("model")
    @classmethod
    def _names_a_provider(cls, value: str | None) -> str | None:
        if value is not None and not all(value.partition("/")):
            raise ValueError(f"write PROVIDER/MODEL, got {value!r}")
        return value


class SamplingSettings(Section):
    """How many live answers are judged."""

    rate: float = Field(0.02, ge=0, le=1, description="Share of live answers to judge.")
    judge_budget_usd_per_day: float = Field(5.0, ge=0, description="Most to spend on judging, US dollars a day (UTC).")
    settle_minutes: float = Field(
        10.0,
        ge=0,
        le=1440,
        description="Minutes after its end a request may be chosen: until then more of it comes in.",
    )
    accepted_loss: float = Field(
        0.05, gt=0, lt=1, description="Loss of quality that nobody is told of; 0.05 is 5 points."
    )
    multiples: dict[str, float] = Field(
        {}, description="Signal = times the rate at which its requests are sampled; docs/quality.md has the usual ones."
    )

    @field_validator("multiples")
    @classmethod
    def _are_of_signals(cls, value: dict[str, float]) -> dict[str, float]:
        if value:
            from watchkeeper.scoring.signals import STRATA

            for name, times in value.items():
                if name not in STRATA:
                    raise ValueError(str(NotFound("signal", name, STRATA)))
                if not 0 < times <= 1000:
                    raise ValueError(f"{name}: a multiple is above 0 and at most 1000, not {times:g}")
        return value


class SourceSettings(Section):
    """A tool that records requests already: they are pulled from it, and scores are pushed back."""

    kind: Literal["langfuse", "phoenix", "langsmith", "helicone", "weave"]
    base_url: str | None = Field(None, description="Root of its API; default: the kind's cloud. Phoenix has none.")
    project: str | None = Field(None, description='Name or id, "entity/project" of Weave; where the key says none.')
    api_key_env: str | None = Field(None, description="Environment variable of the key; of Langfuse the secret key's.")
    public_key_env: str | None = Field(None, description="Environment variable of Langfuse's public key.")
    timeout_seconds: float = Field(30.0, gt=0, description="Seconds one answer may take.")
    overlap_minutes: float = Field(
        15.0,
        ge=0,
        le=10_080,
        description="How far behind the watermark is read again: longer than your longest request.",
    )
    settle_seconds: float = Field(120.0, ge=0, le=86_400, description="How far behind the present a pull stops.")
    first_pull: str = Field("24h", description="How far back the very first pull begins: 30m, 24h, 7d.")

    @field_validator("first_pull")
    @classmethod
    def _is_an_age(cls, value: str) -> str:
        if parse_age(value) > timedelta(days=3650):
            raise ValueError("is more than ten years; write 24h or 90d")
        return value

    @model_validator(mode="after")
    def _has_an_address(self) -> "SourceSettings":
        if self.base_url is None and self.kind not in CLOUDS:
            raise ValueError(f'a {self.kind} server is your own: write base_url, e.g. "http://127.0.0.1:6006"')
        return self


CLOUDS: Mapping[str, str] = MappingProxyType(
    {
        "langfuse": "https://cloud.langfuse.com",
        "langsmith": "https://api.smith.langchain.com",
        "helicone": "https://api.helicone.ai",
        "weave": "https://trace.wandb.ai",
    }
)
"""Kind of source -> the root of its vendor's own API."""


class PrivacySettings(Section):
    """What is taken out of records before they are stored."""

    redact: bool = Field(True, description="Mask e-mail addresses, phone and card numbers, keys and your own patterns.")
    content: Literal["full", "hashed", "none"] = Field("full", description="What is kept of texts.")
    patterns: dict[str, str] = Field({}, description="NAME = regular expression; what matches becomes [NAME].")
    keep: list[str] = Field([], description="Names of attributes that are never changed.")
    user_id_secret_env: str = Field(
        "WATCHKEEPER_USER_ID_SECRET", description="Environment variable of the secret that user ids are hashed with."
    )

    @property
    def user_id_secret(self) -> bytes | None:
        """The secret, or None: then user ids are not kept at all."""
        return os.environ.get(self.user_id_secret_env, "").encode() or None

    @field_validator("patterns")
    @classmethod
    def _compiles(cls, value: dict[str, str]) -> dict[str, str]:
        for name, pattern in value.items():
            if not re.fullmatch(r"[a-z0-9_]{1,40}", name):
                raise ValueError(f"{name[:60]!r}: a pattern's name has a-z, 0-9 and _")
            try:
                matches_nothing = re.compile(pattern).fullmatch("") is not None
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"{name}: not a regular expression: {error}") from None
            if matches_nothing:
                raise ValueError(f"{name}: matches the empty text; write what must be there")
        return value


class Settings(BaseSettings):
    """All settings of one installation."""

    model_config = SettingsConfigDict(env_prefix="WATCHKEEPER_", env_nested_delimiter="__", extra="forbid", frozen=True)

    store: StoreSettings = StoreSettings()
    web: WebSettings = WebSettings()
    providers: dict[str, ProviderSettings] = {}
    routes: dict[str, RouteSettings] = {}
    slack: SlackSettings = SlackSettings()
    runbooks: RunbookSettings = RunbookSettings()
    suites: SuiteSettings = SuiteSettings()
    judge: JudgeSettings = JudgeSettings()
    sampling: SamplingSettings = SamplingSettings()
    budgets: list[BudgetSettings] = []
    latency: LatencySettings = LatencySettings()
    prices: PriceSettings = PriceSettings()
    privacy: PrivacySettings = PrivacySettings()
    sources: dict[str, SourceSettings] = {}

    @field_validator("budgets")
    @classmethod
    def _have_names_of_their_own(cls, value: list[BudgetSettings]) -> list[BudgetSettings]:
        names = [budget.name.strip().casefold() for budget in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two budgets are named {twice[0]!r}; give each a name of its own")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The file's values come in as arguments; the environment wins over them.
        return env_settings, init_settings


def privacy_policy(settings: Settings) -> "Policy":
    """What may be stored; made once at the start of a process, for own patterns are tried out here.

    Raises:
        Misconfigured: If an own pattern is too slow to be used on hostile text, or texts shall be hashed and
            there is no secret.
    """
    from watchkeeper.observability.masking import Redactor, slow_pattern
    from watchkeeper.observability.redact import Policy

    privacy = settings.privacy
    contents = {name: route.content for name, route in settings.routes.items() if route.content is not None}
    if "hashed" in (privacy.content, *contents.values()) and privacy.user_id_secret is None:
        raise Misconfigured(f'privacy.content = "hashed" needs a secret: set {privacy.user_id_secret_env}')
    if privacy.redact and (slow := slow_pattern(privacy.patterns)) is not None:
        raise Misconfigured(
            f"privacy.patterns.{slow}: too slow on long texts; bound what repeats, e.g. [a-z]{{1,60}}, "
            "and begin with \\b or a fixed text"
        )
    return Policy(
        redactor=Redactor(privacy.patterns) if privacy.redact else None,
        content=privacy.content,
        routes=contents,
        secret=privacy.user_id_secret,
        keep=frozenset(privacy.keep),
    )


def find_config(explicit: Path | None, *, start: Path | None = None) -> Path:
    """The watchkeeper.toml to use.

    Raises:
        Misconfigured: If there is none; names every place that was searched, in order.
    """
    if explicit is not None:
        if explicit.is_file():
            return explicit.resolve()
        raise Misconfigured(f"--config {explicit}: no such file")
    if named := os.environ.get("WATCHKEEPER_CONFIG"):
        if Path(named).is_file():
            return Path(named).resolve()
        raise Misconfigured(f"WATCHKEEPER_CONFIG={named}: no such file")
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / CONFIG_NAME).is_file():
            return folder / CONFIG_NAME
    raise Misconfigured(
        f"no {CONFIG_NAME} in {here} or above. Make one: watchkeeper init . ; or name it: --config PATH"
    )


def load_settings(path: Path) -> Settings:
    """Read the settings of one installation; relative paths are made absolute under the file's folder.

    Raises:
        Misconfigured: One line naming the file, the key and the problem.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{path.name}: not TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}: cannot be read: {error}") from None
    try:
        settings = Settings(**raw)
    except ValidationError as error:
        raise Misconfigured(_explain(path, error)) from None
    except Exception as error:  # a JSON value in an environment variable that cannot be read
        raise Misconfigured(f"environment WATCHKEEPER_…: {error}".splitlines()[0]) from None
    return _anchored(settings, path.parent)


def _anchored(settings: Settings, root: Path) -> Settings:
    url = settings.store.url
    prefix = "sqlite:///"
    if url.startswith(prefix) and not url.startswith(prefix + "/") and url != prefix + ":memory:":
        url = f"{prefix}{root / url.removeprefix(prefix)}"
    return settings.model_copy(
        update={
            "store": settings.store.model_copy(update={"url": url, "facts": root / settings.store.facts}),
            "runbooks": settings.runbooks.model_copy(update={"path": root / settings.runbooks.path}),
            "judge": settings.judge.model_copy(update={"path": root / settings.judge.path}),
            "suites": settings.suites.model_copy(
                update={"path": root / settings.suites.path, "prompts": root / settings.suites.prompts}
            ),
        }
    )


def _explain(path: Path, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        near = get_close_matches(str(first["loc"][-1]), sorted(_known_keys()), n=1)
        message = "unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    return f"{path.name}: {key}: {message}"


def _known_keys() -> set[str]:
    sections = (
        StoreSettings, WebSettings, ProviderSettings, RouteSettings, SlackSettings, RunbookSettings, SuiteSettings,
        JudgeSettings, SamplingSettings, BudgetSettings, LatencySettings, PriceSettings, PriceOverrideSettings,
        PrivacySettings, SourceSettings,
    )  # fmt: skip
    return set(Settings.model_fields).union(*(section.model_fields for section in sections))
