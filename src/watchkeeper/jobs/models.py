"""Which models the providers offer."""

from watchkeeper.app import App, provider_configs
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
    """The configured routes as the model watch sees them."""
    return [
        FollowedRoute(route=name, model=route.model, upgrades=route.upgrades) for name, route in settings.routes.items()
    ]
