"""Which offered models are new, and for which routes they are an upgrade worth checking."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

# A version at the end of a model's name: -0613, -2024-08-06, -20250929, -4-5, .1, -v2, -latest, -preview.
_VERSION = re.compile(r"(?:[-.@:](?:v?\d[\d.]*|latest|preview|exp))+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedRoute:
    """A route, the model it calls now, and the glob of models it would upgrade to, if it names one."""

    route: str
    model: str  # PROVIDER/MODEL
    upgrades: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Appeared:
    """A new model that routes on `baseline` would upgrade to."""

    baseline: str  # PROVIDER/MODEL
    candidate: str  # PROVIDER/MODEL
    routes: tuple[str, ...]


def family(model: str) -> str:
    """A model's name without its version: "gpt-4-0613" and "gpt-5" are "gpt", "gpt-4o-2024-08-06" is "gpt-4o"."""
    stem = _VERSION.sub("", model)
    return stem or model


def is_upgrade(route: FollowedRoute, candidate: str) -> bool:
    """Whether `candidate` (PROVIDER/MODEL) is a model the route follows.

    With a glob it must match it, with or without the provider's name. Without one it must be of
    the same provider and of the same family: other words in the name ("-mini", "-turbo") make
    another family, other numbers do not.
    """
    if candidate == route.model:
        return False
    provider, _, model = candidate.partition("/")
    if route.upgrades is not None:
        return fnmatchcase(candidate, route.upgrades) or fnmatchcase(model, route.upgrades)
    own_provider, _, own_model = route.model.partition("/")
    return provider == own_provider and family(model) == family(own_model)


def new_models(offered: Collection[str], seen: Collection[str]) -> list[str]:
    """What is offered and was never seen, sorted."""
    return sorted(set(offered) - set(seen))


def appearances(candidates: Sequence[str], routes: Sequence[FollowedRoute]) -> list[Appeared]:
    """One entry per new model and model in use; routes on the same model are checked together."""
    found: dict[tuple[str, str], list[str]] = {}
    for candidate in candidates:
        for route in routes:
            if is_upgrade(route, candidate):
                found.setdefault((route.model, candidate), []).append(route.route)
    return [
        Appeared(baseline=baseline, candidate=candidate, routes=tuple(sorted(names)))
        for (baseline, candidate), names in sorted(found.items())
    ]
