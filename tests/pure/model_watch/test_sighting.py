"""Which new model is an upgrade, and for which routes."""

import pytest

from watchkeeper.model_watch.sighting import Appeared, FollowedRoute, appearances, family, is_upgrade, new_models


@pytest.mark.parametrize(
    ("model", "stem"),
    [
        ("gpt-4-0613", "gpt"),
        ("gpt-5", "gpt"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-5-mini-2026-01-01", "gpt-5-mini"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet"),
        ("mistral-large-latest", "mistral-large"),
        ("simulated-desk-2026-05", "simulated-desk"),
        ("llama-3.1-8b-instruct", "llama-3.1-8b-instruct"),
        ("4", "4"),
    ],
)
def test_a_family_is_the_name_without_its_version(model: str, stem: str) -> None:
    assert family(model) == stem


@pytest.mark.parametrize(
    ("candidate", "followed"),
    [
        ("openai/gpt-4-0613", True),
        ("openai/gpt-5", True),
        ("openai/gpt-4-0314", False),  # itself
        ("openai/gpt-4-mini", False),  # another size
        ("other/gpt-4-0613", False),  # another provider
    ],
)
def test_without_a_glob_newer_versions_of_the_family_are_followed(candidate: str, followed: bool) -> None:
    route = FollowedRoute(route="r", model="openai/gpt-4-0314", upgrades=None)
    assert is_upgrade(route, candidate) is followed


@pytest.mark.parametrize("glob", ["openai/gpt-5*", "gpt-5*"])
def test_a_glob_decides_alone(glob: str) -> None:
    route = FollowedRoute(route="r", model="openai/gpt-4-0314", upgrades=glob)
    assert is_upgrade(route, "openai/gpt-5-mini")
    assert not is_upgrade(route, "openai/gpt-4-0613")


def test_routes_on_one_model_are_checked_together() -> None:
    routes = [FollowedRoute(route=name, model="p/m-1", upgrades=None) for name in ("b", "a")]
    assert appearances(["p/m-2", "p/x-2"], routes) == [Appeared(baseline="p/m-1", candidate="p/m-2", routes=("a", "b"))]


def test_new_is_what_is_offered_and_was_never_seen() -> None:
    assert new_models({"b", "a", "c"}, {"b", "gone"}) == ["a", "c"]
