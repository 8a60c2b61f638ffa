"""Which models providers offer, which of them are new, and what an upgrade would do."""
