"""Which models the providers offer."""

from contextlib import suppress

from watchkeeper.app import App, provider_configs, rubric_shelf
from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.model_watch import service as model_watch
from watchkeeper.model_watch.service import WatchReport
from watchkeeper.model_watch.sighting import FollowedRoute
from watchkeeper.settings import Settings


def watch_models(app: App) -> WatchReport:
    """Read every provider's model list and remember it; a list that cannot be read changes nothing."""
    return model_watch.watch(
        app.store, provider_configs(app.settings), followed_routes(app.settings), now=app.clock.now()
    )


def followed_routes(settings: Settings) -> list[FollowedRoute]:
    """The configured routes, and the rubrics' judges as routes of their own, as the model watch sees them.

    A judge upgrades to nothing by itself: no suite says whether another judge is as good, people's labels do.
    """
    routes = [
        FollowedRoute(route=name, model=route.model, upgrades=route.upgrades) for name, route in settings.routes.items()
    ]
    shelf = rubric_shelf(settings)
    for name in shelf.names():
        with suppress(Misconfigured):  # `rubrics lint` says what is wrong with it
            rubric = shelf.read(name)
            routes.append(FollowedRoute(route=rubric.route, model=rubric.model, upgrades=""))
    return routes
