"""Who must do what now: incidents, the outbox, Slack, runbooks."""
