"""From a provider's configuration to something that can be called."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.providers.anthropic_wire import AnthropicWire
from watchkeeper.providers.interface import ChatModel
from watchkeeper.providers.openai_wire import OpenAIWire
from watchkeeper.providers.retry import Retrier, RetryPolicy
from watchkeeper.providers.transport import Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """One provider.

    Attributes:
        name: PROVIDER of PROVIDER/MODEL.
        base_url: Root of its API.
        concurrency: Calls under way at once.
        timeout_s: Hard limit of one attempt, from connecting to the last byte, in seconds.
        max_retries: Retries of one call after its first attempt.
    """

    name: str
    kind: Literal["openai", "anthropic"]
    base_url: str
    api_key: str | None = None
    concurrency: int = 50
    timeout_s: float = 60.0
    max_retries: int = 4


def connect(config: ProviderConfig, *, policy: RetryPolicy | None = None) -> ChatModel:
    """A model provider with its own connections, limits and retry budget; close it after use.

    Raises:
        Misconfigured: If base_url is no web address, or the key cannot be sent.
    """
    if not _is_web_address(config.base_url):
        raise Misconfigured(f"providers.{config.name}.base_url: {config.base_url!r} is not an http(s) address")
    if config.api_key and not (config.api_key.isascii() and config.api_key.isprintable()):
        raise Misconfigured(
            f"providers.{config.name}: the API key holds a character no key has (a line break, a quote from a "
            "text editor); set its variable anew"
        )
    retrier = Retrier(policy=policy or RetryPolicy(max_retries=config.max_retries), concurrency=config.concurrency)
    if config.kind == "anthropic":
        headers = {"anthropic-version": "2023-06-01"}
        if config.api_key:
            headers["x-api-key"] = config.api_key
        root = config.base_url.rstrip("/").removesuffix("/v1")
        return AnthropicWire(config.name, _wire(config, root, headers), retrier)
    headers = {"authorization": f"Bearer {config.api_key}"} if config.api_key else {}
    return OpenAIWire(config.name, _wire(config, config.base_url, headers), retrier)


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, half an IPv6 address
        return False


def _wire(config: ProviderConfig, root: str, headers: dict[str, str]) -> Wire:
    return Wire(
        base_url=root,
        headers=headers,
        secret=config.api_key,
        timeout_s=config.timeout_s,
        concurrency=config.concurrency,
    )
