"""The source of a configuration section: its module is imported only when it is used."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from watchkeeper.sources.http import Pace
from watchkeeper.sources.interface import Kind, Source, SourceConfig

_CLASSES: Mapping[Kind, str] = MappingProxyType(
    {
        "langfuse": "Langfuse",
        "phoenix": "Phoenix",
        "langsmith": "LangSmith",
        "helicone": "Helicone",
        "weave": "Weave",
    }
)


def connect(config: SourceConfig, pace: Pace | None = None) -> Source:
    """The source, ready to be asked; nothing is sent yet.

    Raises:
        Misconfigured: If its section lacks something the source needs.
    """
    module = import_module(f"watchkeeper.sources.{config.kind}")
    source: Source = getattr(module, _CLASSES[config.kind])(config, pace)
    return source
