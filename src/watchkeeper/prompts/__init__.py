"""Which words are sent: templates, their rendering, and versions kept as files."""
