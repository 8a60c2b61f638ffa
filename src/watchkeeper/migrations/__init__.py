"""The schema's history: numbered, named, reversible steps."""
