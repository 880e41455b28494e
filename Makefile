# Everything sets itself up in .venv; needs Python 3.11 to 3.13, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(STAMP) ## the example, the whole way on this machine; leaves build/example/report.html
	$(BIN)/mlgate run examples/iris/message.json --repository . --output build/example

test: $(STAMP) check browser ## everything that CI runs
	$(BIN)/pytest -n 2 --dist worksteal

check: $(STAMP) ## style, types and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## bring the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## measure against other notebook runners, side by side
	$(BIN)/uv pip install -q --python $(BIN)/python -e '.[local,dev,bench]'
	$(BIN)/python benchmarks/notebooks.py $(NOTEBOOKS)

# The report's tests look at it in a real browser. Only CI must have one; elsewhere they are skipped.
browser:
	@command -v chromium >/dev/null || test -z "$$CI" || \
		{ apt-get update -qq && apt-get install -y -qq chromium >/dev/null; }

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip install -q --python $(BIN)/python -e '.[local,dev]'
	@touch $@

.PHONY: help run test check format bench browser
