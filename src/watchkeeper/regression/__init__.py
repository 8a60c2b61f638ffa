"""May this change ship? Suites, the runner, and the three-way verdict."""
