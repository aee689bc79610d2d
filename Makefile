# `make run` and `make test` are all a newcomer needs; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
AS_OF ?= 2021-10-31
AIRFLOW_PORT ?= 8080
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help run test test-stack explore chaos soak hostile fuzz unit check docs format lock airflow benchmark clean

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

# `airflow standalone` would also serve task logs on every interface, so its four parts are started
# here without that: only the page listens, on this machine alone. It ends when one of them does.
airflow: DATA := $(abspath $(or $(CITYBRAIN_DATA_DIR),data))
airflow: export CITYBRAIN_DATA_DIR := $(DATA)
airflow: export CITYBRAIN_AS_OF := $(AS_OF)
airflow: export AIRFLOW_HOME := $(DATA)/airflow
airflow: export AIRFLOW__CORE__DAGS_FOLDER := $(CURDIR)/dags
airflow: export AIRFLOW__CORE__LOAD_EXAMPLES := false
airflow: export AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION := false
airflow: export AIRFLOW__CORE__DEFAULT_TIMEZONE := Asia/Shanghai
airflow: export AIRFLOW__CORE__EXECUTOR := LocalExecutor
airflow: export AIRFLOW__CORE__PARALLELISM := 3
airflow: export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS := true
airflow: export AIRFLOW__API__HOST := 127.0.0.1
airflow: export AIRFLOW__API__PORT := $(AIRFLOW_PORT)
airflow: export AIRFLOW__API__BASE_URL := http://127.0.0.1:$(AIRFLOW_PORT)
airflow: $(VENV)/runtime ## run the DAGs on the sample city, at http://127.0.0.1:8080
	@if [ ! -e $(DATA)/warehouse.duckdb ] && [ -z "$$(ls -A $(DATA)/landing 2>/dev/null)" ]; then \
	    $(BIN)/citybrain sample $(DATA)/landing --until $(AS_OF); fi
	@$(BIN)/airflow db migrate >/dev/null
	@$(BIN)/airflow pools set warehouse 1 "the warehouse has one writer" >/dev/null
	@echo "Airflow: $$AIRFLOW__API__BASE_URL (no password; Ctrl-C ends it); figures as of $(AS_OF)"
	@trap 'kill $$(jobs -p) 2>/dev/null; wait' EXIT; trap 'exit 0' INT TERM; \
	    $(BIN)/airflow api-server --workers 1 & \
	    until $(BIN)/python docker/healthy.py $$AIRFLOW__API__BASE_URL/api/v2/monitor/health 2>/dev/null; \
	        do kill -0 $$! 2>/dev/null || exit 1; sleep 1; done; \
	    $(BIN)/airflow scheduler --skip-serve-logs & \
	    $(BIN)/airflow dag-processor & \
	    $(BIN)/airflow triggerer --skip-serve-logs & \
	    wait -n

# Property tests draw the same examples every time here, so that what passed once passes again;
# `make explore` draws others.
test: $(VENV)/dev ## every test but those of test-stack
	CITYBRAIN_NORMALISER_CELLS=100000 $(BIN)/pytest -n 2 --dist loadgroup --ignore=tests/stack \
	    --hypothesis-profile=ci

# Installs Debian's postgresql when there is none; where that cannot be, its tests say so and skip.
test-stack: $(VENV)/dev ## Airflow as deployed, on SQLite and PostgreSQL, and a chaos pass
	@tests/stack/install-postgresql.sh || echo "POSTGRESQL COULD NOT BE INSTALLED" >&2
	$(BIN)/pytest tests/stack

chaos: $(VENV)/dev ## kill 200 runs at random instants and compare (half an hour)
	$(BIN)/python tests/stack/chaos.py --kills 200

soak: $(VENV)/dev ## 20 minutes of runs, readers and deliveries all at once
	$(BIN)/python tests/stack/soak.py --minutes 20

SECONDS ?= 600
explore: $(VENV)/dev ## draw new examples for the property tests, for SECONDS=600
	end=$$(( $$(date +%s) + $(SECONDS) )); while [ $$(date +%s) -lt $$end ]; do \
	    $(BIN)/pytest -q -n 2 -m hypothesis --ignore=tests/stack --hypothesis-profile=default || exit 1; done

hostile: $(VENV)/dev ## what files made to hurt cost, each in a night of its own (minutes)
	$(BIN)/python tests/hostile/measure.py

fuzz: $(VENV)/dev ## feed the readers damaged exports, for SECONDS=600
	$(BIN)/python tests/hostile/fuzz.py --seconds $(SECONDS) --seeds .cache/samples

unit: $(VENV)/dev ## the tests that take seconds
	$(BIN)/pytest tests/unit tests/sql

check: $(VENV)/dev ## format, lint, types, import rules, language
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/style.py

docs: $(VENV)/runtime ## write the files that are derived from the code
	$(BIN)/python docs/generate.py

format: $(VENV)/dev ## rewrite the code in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Needs uv on PATH; nothing that the locks install needs it.
lock: ## resolve pyproject.toml into the hashed lock files
	uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url pyproject.toml -o requirements.txt
	uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

benchmark: $(VENV)/runtime ## how long a night takes (minutes)
	$(BIN)/python benchmarks/night.py

clean: ## delete what this machine built (never data/)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
