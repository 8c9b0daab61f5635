# Two targets do everything on a machine with python3 (3.11+), make and a package index: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test test-all lint docs-check clean

demo: $(STAMP)
	$(BIN)/crmbridge demo

# Unit, property, contract, protocol, migration, house and journey tests, but for the ones marked slow.
test: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m "not slow and not node"

# What CI runs besides: the slow ones, lint, types and import contracts.
test-all: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m "not node"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright
	$(BIN)/deptry .

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing crmbridge into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev --editable ".[all]"
	@touch $(STAMP)

clean:
	rm -rf $(VENV) dist build .pytest_cache .ruff_cache .hypothesis
