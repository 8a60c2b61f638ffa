"""What an application carries: requests and their steps as OpenTelemetry spans, spooled to disk, then sent."""
