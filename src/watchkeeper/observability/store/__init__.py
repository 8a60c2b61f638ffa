"""Reads and writes of requests, their spans and their texts; the only files that query them."""
