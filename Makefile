.DEFAULT_GOAL := help
PY := .venv/bin/python
.PHONY: help setup demo test lint bench chaos lock

help: ## what can be made
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

setup: .venv/.ready-ops ## .venv with the command .venv/bin/watchkeeper; needs Python 3.11+, nothing else

demo: .venv/.ready-ops ## the whole thread on simulated traffic; ARGS=--once stops by itself
	@.venv/bin/watchkeeper demo $(ARGS)

test: .venv/.ready-dev .venv-phoenix/.ready ## every test: real Prefect server, real SQLite and PostgreSQL, real HTTP
	@$(PY) -m pytest -n auto --dist loadfile $(ARGS)

lint: .venv/.ready-dev ## ruff, mypy, import arrows, runbooks
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy && .venv/bin/lint-imports && .venv/bin/watchkeeper runbooks lint

bench: .venv/.ready-dev ## every benchmark; the last line of each is one JSON object
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(PY) $$file || exit 1; done

chaos: .venv/.ready-dev ## long: kill the runner again and again; nothing stored is lost
	@$(PY) -m pytest tests/chaos -m chaos

lock: ## compile the hash-pinned locks anew (needs uv)
	@./tools/install lock

.venv/.ready-ops: requirements.lock pyproject.toml
	@./tools/install ops && touch $@

.venv/.ready-dev: requirements-dev.lock pyproject.toml
	@./tools/install dev && touch $@ .venv/.ready-ops

.venv-phoenix/.ready: requirements-phoenix.lock
	@./tools/install phoenix && touch $@
