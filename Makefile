# `make run` and `make test` are all a newcomer needs; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
AS_OF ?= 2021-10-31
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help run test unit check format lock airflow benchmark clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

# Bytecode is compiled once, here: Great Expectations imports three times slower without it.
$(VENV)/runtime: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --require-hashes -r requirements.txt
	$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib pipelines dags || true
	@touch $@

$(VENV)/dev: $(VENV)/runtime requirements-dev.txt
	$(BIN)/pip install --quiet --no-compile --require-hashes -r requirements-dev.txt
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib || true
	@touch $@

run: $(VENV)/runtime ## land the sample city and run the whole night on it
	$(BIN)/citybrain sample data/landing --until $(AS_OF)
	$(BIN)/citybrain run --as-of $(AS_OF) --fail-on never

test: $(VENV)/dev ## every test
	$(BIN)/pytest -n 2 --dist loadgroup

unit: $(VENV)/dev ## the tests that take seconds
	$(BIN)/pytest tests/unit tests/sql

check: $(VENV)/dev ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev ## rewrite the code in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Needs uv on PATH; nothing that the locks install needs it.
lock: ## resolve pyproject.toml into the hashed lock files
	uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url pyproject.toml -o requirements.txt
	uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

clean: ## delete what this machine built (never data/)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
