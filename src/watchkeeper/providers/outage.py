"""When asking a provider anything more is pointless."""

from watchkeeper.foundation.errors import Misconfigured, NotFound, Transient
from watchkeeper.providers.interface import CallFailure


class ProviderFailed(Transient):
    """A provider gave no answers; what it did give is stored and the work can go on later."""

    def __init__(self, provider: str, message: str) -> None:
        self.provider = provider
        super().__init__(message)


def stop_if_pointless(failure: CallFailure, provider: str, model: str) -> None:
    """Give up when every further call of this model would fail in the same way.

    Raises:
        NotFound: If the provider does not know the model.
        Misconfigured: If the key is refused.
        ProviderFailed: If the provider is unreachable, or its quota is used up.
    """
    match failure.error_type:
        case "model_not_found":
            raise NotFound("model", f"{provider}/{model}", [], where=f"at provider {provider!r}")
        case "auth":
            raise Misconfigured(f"provider {provider!r} refused the key: {failure.message}")
        case "quota_exhausted" | "circuit_open":
            raise ProviderFailed(provider, f"provider {provider!r}: {failure.message}")
