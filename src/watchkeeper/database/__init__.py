"""The one place that opens SQLite or PostgreSQL."""
