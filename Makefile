# Every target does its own set-up from a fresh clone: Python 3.11+, git and make are enough (uv is used when present).
.PHONY: demo test check lint bench test-editors setup lock clean
.DEFAULT_GOAL := help

PY := .venv/bin/python
JOBS ?= auto

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: ## make .venv with the locked versions (quick the second time)
	@sh scripts/setup

demo: setup ## fix a real bug in a real project, through the language server, with no key
	@$(PY) -m agent_lsp demo

test: setup ## run the tests with coverage (at least 85 %)
	@rm -f .coverage .coverage.*
	@$(PY) -m coverage run -m pytest -q -n $(JOBS) --dist worksteal -m "not editor" $(PYTEST_ARGS)
	@$(PY) -m coverage combine -q
	@$(PY) -m coverage report

lint: setup ## ruff (lint and format) and mypy --strict
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

check: lint test ## what CI runs: lint, format, types, tests

test-editors: setup ## drive a real Neovim
	@$(PY) -m pytest -q -m editor tests/editors

bench: setup ## measure; docs/benchmarks.md tells what the figures mean
	@$(PY) -m tests.bench

lock: setup ## write requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile -q pyproject.toml --extra dev --universal --generate-hashes --python-version 3.11 --no-header -o requirements.lock

clean: ## remove what the targets above made
	rm -rf .venv .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
