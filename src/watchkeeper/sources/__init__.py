"""Requests that another tool already records: pulled from it, and scores pushed back to it."""
