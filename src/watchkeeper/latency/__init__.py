"""Latencies against their own past: by route, model and prompt version; and requests that time out."""
