# Every target does its own set-up from a fresh clone: Python 3.11+, git and make are enough (uv is used when present).
.PHONY: demo test check lint bench fuzz soak old-pytest test-editors test-neovim pictures setup schema lock clean
.DEFAULT_GOAL := help

PY := .venv/bin/python
# The tests wait more than they compute: one worker more than there are cores.
JOBS ?= $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
NEOVIM_TESTS ?= tests/editors

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

test-editors: setup ## drive the real VS Code (code-server in Chromium) and Neovim, and Emacs where there is one
	@sh scripts/setup-editors
	@$(PY) -m pytest -q -m editor tests/editors $(PYTEST_ARGS)

test-neovim: setup ## of these, the ones that need nothing but what `make setup` installs
	@$(PY) -m pytest -q -m editor $(NEOVIM_TESTS) --ignore-glob='*vscode*' $(PYTEST_ARGS)

pictures: setup ## take the pictures of the editors in docs/ anew
	@sh scripts/setup-editors
	@sh scripts/pictures

soak: setup ## 1,000 proposals made, typed over, accepted and rolled back at random, 50 more with the real gate, 100 processes killed at random moments of their runs (SEED=n)
	@SOAK_PROPOSALS=1000 SOAK_REAL_PROPOSALS=50 SOAK_KILLS=100 SOAK_SEED=$(or $(SEED),$(shell date +%s)) $(PY) -m pytest -q -p no:cacheprovider tests/soak

old-pytest: setup ## try the gate on pytest 3.10 to 9.0, each with a Python of its time (needs the network)
	@$(PY) -m tests.old_pytest

fuzz: setup ## send 200,000 generated messages to the edge (FUZZ_ARGS="--seed 7 --messages 20000"); needs the meta model of LSP
	@$(PY) -m tests.fuzz $(FUZZ_ARGS)

bench: setup ## measure; docs/benchmarks.md tells what the figures mean (PARTS="edge busy" measures only these)
	@$(PY) -m tests.bench $(PARTS)

schema: setup ## write docs/protocol.schema.json and the edge's table of params anew (the table needs LSP's meta model)
	@$(PY) -m tests.judge.schema
	@$(PY) -m tests.judge.lua_types
	@$(PY) -m tests.editors.protocol_ts
	@$(PY) -m tests.editors.vscode_manifest
	@$(PY) -m tests.judge.params_table

lock: setup ## write requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile -q pyproject.toml --extra dev --universal --generate-hashes --python-version 3.11 --no-header -o requirements.lock

clean: ## remove what the targets above made
	rm -rf .editors editors/vscode/node_modules editors/vscode/dist .venv .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
