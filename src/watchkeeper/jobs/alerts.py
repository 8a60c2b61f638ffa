"""What the channel is told."""

from watchkeeper.app import App
from watchkeeper.incidents import service as incidents
from watchkeeper.incidents.outbox import DeliveryReport
from watchkeeper.incidents.slack import SlackChannel
from watchkeeper.jobs.scoring import tell_stalled


def deliver_alerts(app: App) -> DeliveryReport:
    """Send what waits in the outbox; without a token it keeps waiting and nothing is lost."""
    # A schedule that stands still cannot say so itself.
    tell_stalled(app)
    slack = app.settings.slack
    return incidents.deliver(
        app.store,
        SlackChannel(token=slack.token, channel=slack.channel, api_url=slack.api_url) if slack.token else None,
        base_url=app.settings.web.base_url,
        runbooks_url=app.settings.runbooks.base_url,
        clock=app.clock,
    )
