"""The pages an alert links to, the ingest API, and the replay server."""
