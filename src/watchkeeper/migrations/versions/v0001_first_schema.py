"""First schema: records, suite runs and verdicts, model sightings, incidents and their outbox."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString as Text
from sqlmodel.sql.sqltypes import UTCDateTime as Time

revision, down_revision = "0001", None


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("trace_id", Text(), nullable=False),
        sa.Column("span_id", Text(), nullable=False),
        sa.Column("request_span_id", Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("provider", Text()),
        sa.Column("model_requested", Text()),
        sa.Column("model_served", Text()),
        sa.Column("system_fingerprint", Text()),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("message_hashes", sa.JSON(), nullable=False),
        sa.Column("response_hash", Text()),
        sa.Column("finish_reason", Text()),
        sa.Column("tokens_input", sa.BigInteger()),
        sa.Column("tokens_output", sa.BigInteger()),
        sa.Column("tokens_cache_read", sa.BigInteger()),
        sa.Column("tokens_cache_write", sa.BigInteger()),
        sa.Column("tokens_reasoning", sa.BigInteger()),
        sa.Column("ttft_ms", sa.Float()),
        sa.Column("latency_ms", sa.Float()),
        sa.Column("error_type", Text()),
        sa.Column("cost_nano_usd", sa.BigInteger()),
        sa.Column("price_id", Text()),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("more", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "span_id", name="pk_calls"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "catalog_polls",
        sa.Column("provider", Text(), nullable=False),
        sa.Column("read_at", Time()),
        sa.Column("failed_at", Time()),
        sa.Column("error", Text()),
        sa.PrimaryKeyConstraint("provider", name="pk_catalog_polls"),
    )
    op.create_table(
        "feedback",
        sa.Column("trace_id", Text(), nullable=False),
        sa.Column("request_span_id", Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("value", Text()),
        sa.Column("comment", Text()),
        sa.Column("at", Time()),
        sa.Column("more", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "request_span_id", "place", name="pk_feedback"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "incidents",
        sa.Column("id", Text(), nullable=False),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("severity", Text(), nullable=False),
        sa.Column("status", Text(), nullable=False),
        sa.Column("subject", sa.JSON(), nullable=False),
        sa.Column("dedup_key", Text(), nullable=False),
        sa.Column("summary", Text(), nullable=False),
        sa.Column("first_move", Text(), nullable=False),
        sa.Column("opened_at", Time(), nullable=False),
        sa.Column("last_seen_at", Time(), nullable=False),
        sa.Column("acknowledged_at", Time()),
        sa.Column("acknowledged_by", Text()),
        sa.Column("resolved_at", Time()),
        sa.Column("resolved_by", Text()),
        sa.Column("occurrences", sa.Integer(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("links", sa.JSON(), nullable=False),
        sa.Column("slack_channel", Text()),
        sa.Column("slack_ts", Text()),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
    )
    op.create_index("ix_incidents_dedup_key", "incidents", ["dedup_key"])
    op.create_index("ix_incidents_kind", "incidents", ["kind"])
    op.create_index("ix_incidents_opened_at", "incidents", ["opened_at"])
    op.create_index(
        "uq_incidents_one_open",
        "incidents",
        ["dedup_key"],
        unique=True,
        sqlite_where=sa.text("resolved_at IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "intake_counts",
        sa.Column("day", Text(), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "name", name="pk_intake_counts"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "model_sightings",
        sa.Column("provider", Text(), nullable=False),
        sa.Column("model", Text(), nullable=False),
        sa.Column("first_seen_at", Time(), nullable=False),
        sa.Column("last_seen_at", Time(), nullable=False),
        sa.Column("retires_on", Text()),
        sa.Column("announced_at", Time()),
        sa.PrimaryKeyConstraint("provider", "model", name="pk_model_sightings"),
    )
    op.create_table(
        "requests",
        sa.Column("trace_id", Text(), nullable=False),
        sa.Column("span_id", Text(), nullable=False),
        sa.Column("started_at", Time(), nullable=False),
        sa.Column("route", Text(), nullable=False),
        sa.Column("source", Text()),
        sa.Column("segment", Text()),
        sa.Column("session_id", Text()),
        sa.Column("job_id", Text()),
        sa.Column("environment", Text()),
        sa.Column("release", Text()),
        sa.Column("prompt_id", Text()),
        sa.Column("prompt_version", Text()),
        sa.Column("experiment", Text()),
        sa.Column("variant", Text()),
        sa.Column("input_hash", Text()),
        sa.Column("response_hash", Text()),
        sa.Column("error_type", Text()),
        sa.Column("ttft_ms", sa.Float()),
        sa.Column("latency_ms", sa.Float()),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("unpriced", sa.Integer(), nullable=False),
        sa.Column("tokens_input", sa.BigInteger()),
        sa.Column("tokens_output", sa.BigInteger()),
        sa.Column("tokens_cache_read", sa.BigInteger()),
        sa.Column("tokens_cache_write", sa.BigInteger()),
        sa.Column("tokens_reasoning", sa.BigInteger()),
        sa.Column("cost_nano_usd", sa.BigInteger()),
        sa.Column("retrieval_missed", sa.Boolean()),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "span_id", name="pk_requests"),
    )
    op.create_index("ix_requests_job_id", "requests", ["job_id"])
    op.create_index("ix_requests_session_id", "requests", ["session_id"])
    op.create_index("ix_requests_started_at_route", "requests", ["started_at", "route"])
    op.create_table(
        "retrievals",
        sa.Column("trace_id", Text(), nullable=False),
        sa.Column("span_id", Text(), nullable=False),
        sa.Column("request_span_id", Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("documents", sa.JSON(), nullable=False),
        sa.Column("more", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "span_id", name="pk_retrievals"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "suite_runs",
        sa.Column("id", Text(), nullable=False),
        sa.Column("identity", Text(), nullable=False),
        sa.Column("suite", Text(), nullable=False),
        sa.Column("suite_version", Text(), nullable=False),
        sa.Column("provider", Text(), nullable=False),
        sa.Column("model", Text(), nullable=False),
        sa.Column("prompt", Text()),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("planned", sa.Integer(), nullable=False),
        sa.Column("status", Text(), nullable=False),
        sa.Column("owner", Text()),
        sa.Column("seen_at", Time(), nullable=False),
        sa.Column("started_at", Time(), nullable=False),
        sa.Column("finished_at", Time()),
        sa.PrimaryKeyConstraint("id", name="pk_suite_runs"),
    )
    op.create_index("ix_suite_runs_identity", "suite_runs", ["identity"])
    op.create_table(
        "texts",
        sa.Column("hash", Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_texts"),
    )
    op.create_table(
        "tool_calls",
        sa.Column("trace_id", Text(), nullable=False),
        sa.Column("span_id", Text(), nullable=False),
        sa.Column("request_span_id", Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("name", Text()),
        sa.Column("arguments", sa.Text()),
        sa.Column("result_hash", Text()),
        sa.Column("error_type", Text()),
        sa.Column("more", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "span_id", name="pk_tool_calls"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "traces",
        sa.Column("trace_id", Text(), nullable=False),
        sa.Column("spans", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", name="pk_traces"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "verdicts",
        sa.Column("id", Text(), nullable=False),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("baseline", Text(), nullable=False),
        sa.Column("candidate", Text(), nullable=False),
        sa.Column("verdict", Text(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("override_by", Text()),
        sa.Column("override_why", Text()),
        sa.Column("decided_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_verdicts"),
    )
    op.create_table(
        "attempts",
        sa.Column("run_id", Text(), nullable=False),
        sa.Column("case_id", Text(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("response", Text()),
        sa.Column("error_type", Text()),
        sa.Column("error", Text()),
        sa.Column("model_served", Text()),
        sa.Column("system_fingerprint", Text()),
        sa.Column("finish_reason", Text()),
        sa.Column("request_id", Text()),
        sa.Column("tokens_input", sa.Integer()),
        sa.Column("tokens_output", sa.Integer()),
        sa.Column("tokens_cache_read", sa.Integer()),
        sa.Column("tokens_cache_write", sa.Integer()),
        sa.Column("tokens_reasoning", sa.Integer()),
        sa.Column("cost_nano_usd", sa.BigInteger()),
        sa.Column("ttft_ms", sa.Float()),
        sa.Column("latency_ms", sa.Float()),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("finished_at", Time(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["suite_runs.id"], name="fk_attempts_run_id_suite_runs"),
        sa.PrimaryKeyConstraint("run_id", "case_id", "repeat", name="pk_attempts"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", Text(), nullable=False),
        sa.Column("incident_id", Text()),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("action", Text(), nullable=False),
        sa.Column("key", Text(), nullable=False),
        sa.Column("payload", sa.JSON()),
        sa.Column("status", Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("not_before", Time()),
        sa.Column("held_by", Text()),
        sa.Column("owner", Text()),
        sa.Column("claimed_until", Time()),
        sa.Column("first_tried_at", Time()),
        sa.Column("last_error", Text()),
        sa.Column("target", Text()),
        sa.Column("channel", Text()),
        sa.Column("ts", Text()),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("sent_at", Time()),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_deliveries_incident_id_incidents"),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("incident_id", "seq", name="uq_deliveries_incident_id_seq"),
        sa.UniqueConstraint("key", name="uq_deliveries_key"),
    )
    op.create_index("ix_deliveries_waiting", "deliveries", ["status", "created_at"])
    op.create_table(
        "incident_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", Text(), nullable=False),
        sa.Column("at", Time(), nullable=False),
        sa.Column("what", Text(), nullable=False),
        sa.Column("who", Text(), nullable=False),
        sa.Column("detail", Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_incident_events_incident_id_incidents"),
        sa.PrimaryKeyConstraint("id", name="pk_incident_events"),
    )
    op.create_index("ix_incident_events_incident_id", "incident_events", ["incident_id"])
    op.create_table(
        "verdict_runs",
        sa.Column("verdict_id", Text(), nullable=False),
        sa.Column("run_id", Text(), nullable=False),
        sa.Column("side", Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["suite_runs.id"], name="fk_verdict_runs_run_id_suite_runs"),
        sa.ForeignKeyConstraint(["verdict_id"], ["verdicts.id"], name="fk_verdict_runs_verdict_id_verdicts"),
        sa.PrimaryKeyConstraint("verdict_id", "run_id", "side", name="pk_verdict_runs"),
    )
    op.create_table(
        "posted_feedback",
        sa.Column("id", Text(), nullable=False),
        sa.Column("trace_id", Text(), nullable=False),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("value", Text()),
        sa.Column("comment", Text()),
        sa.Column("at", Time()),
        sa.Column("received_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_posted_feedback"),
    )
    op.create_index("ix_posted_feedback_trace_id", "posted_feedback", ["trace_id"])
    op.create_table(
        "resolutions",
        sa.Column("job_id", Text(), nullable=False),
        sa.Column("resolved", sa.Boolean(), nullable=False),
        sa.Column("at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_resolutions"),
    )
    op.create_table(
        "touched_hours",
        sa.Column("hour", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", name="pk_touched_hours"),
    )
    op.create_table(
        "fact_hours",
        sa.Column("fact", Text(), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("file", Text()),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("fact", "hour", name="pk_fact_hours"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "price_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("trace_id", Text(), nullable=False),
        sa.Column("span_id", Text(), nullable=False),
        sa.Column("old_cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("old_price_id", Text(), nullable=False),
        sa.Column("new_cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("new_price_id", Text(), nullable=False),
        sa.Column("why", Text(), nullable=False),
        sa.Column("changed_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_price_changes"),
    )
    op.create_index("ix_price_changes_trace_id", "price_changes", ["trace_id"])
    op.create_table(
        "unpriced_calls",
        sa.Column("trace_id", Text(), nullable=False),
        sa.Column("span_id", Text(), nullable=False),
        sa.Column("reason", Text(), nullable=False),
        sa.Column("detail", Text(), nullable=False),
        sa.Column("looked_in", Text(), nullable=False),
        sa.Column("provider", Text()),
        sa.Column("model", Text()),
        sa.Column("tokens_input", sa.BigInteger()),
        sa.Column("tokens_output", sa.BigInteger()),
        sa.Column("looked_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "span_id", name="pk_unpriced_calls"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("unpriced_calls")
    op.drop_index("ix_price_changes_trace_id", table_name="price_changes")
    op.drop_table("price_changes")
    op.drop_table("fact_hours")
    op.drop_table("touched_hours")
    op.drop_table("resolutions")
    op.drop_index("ix_posted_feedback_trace_id", table_name="posted_feedback")
    op.drop_table("posted_feedback")
    op.drop_table("verdict_runs")
    op.drop_index("ix_incident_events_incident_id", table_name="incident_events")
    op.drop_table("incident_events")
    op.drop_index("ix_deliveries_waiting", table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_table("attempts")
    op.drop_table("verdicts")
    op.drop_table("traces")
    op.drop_table("tool_calls")
    op.drop_table("texts")
    op.drop_index("ix_suite_runs_identity", table_name="suite_runs")
    op.drop_table("suite_runs")
    op.drop_table("retrievals")
    op.drop_index("ix_requests_started_at_route", table_name="requests")
    op.drop_index("ix_requests_session_id", table_name="requests")
    op.drop_index("ix_requests_job_id", table_name="requests")
    op.drop_table("requests")
    op.drop_table("model_sightings")
    op.drop_table("intake_counts")
    op.drop_index(
        "uq_incidents_one_open",
        table_name="incidents",
        sqlite_where=sa.text("resolved_at IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.drop_index("ix_incidents_opened_at", table_name="incidents")
    op.drop_index("ix_incidents_kind", table_name="incidents")
    op.drop_index("ix_incidents_dedup_key", table_name="incidents")
    op.drop_table("incidents")
    op.drop_table("feedback")
    op.drop_table("catalog_polls")
    op.drop_table("calls")
