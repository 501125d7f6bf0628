# Only python3 (3.11 or newer) with its venv module is assumed; everything else is installed into .venv.
.DEFAULT_GOAL := help
.PHONY: help demo test check format docs

BIN := .venv/bin
REQUIREMENTS := setup.py pyproject.toml constraints.txt .ci/install
PYTEST_FLAGS ?= -n 2 --dist loadfile -q
DEMO_FLAGS ?=

help:
	@echo "make demo    a small language model learns where to look in long videos; ends in a table and report.html"
	@echo "make test    the whole test suite"
	@echo "make check   lint, format, types, import contracts"
	@echo "make format  let ruff rewrite what it can"
	@echo "make docs    the documentation, in docs/_build/html"

demo: .venv/.installed-demo
	@$(BIN)/vz demo $(DEMO_FLAGS)

test: .venv/.installed-dev
	@$(BIN)/python -m pytest $(PYTEST_FLAGS)

check: .venv/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/.installed-dev
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

docs: .venv/.installed-dev
	@$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

# A stamp is written last, so an interrupted install starts over; it is older than a requirement file that has changed.
.venv/.installed-demo: $(REQUIREMENTS)
	@.ci/install llm,bench
	@touch $@

.venv/.installed-dev: $(REQUIREMENTS)
	@.ci/install dev
	@touch .venv/.installed-demo $@
