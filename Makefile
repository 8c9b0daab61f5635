# Two targets do everything on a machine with python3 (3.11 or later), make and a package index: `make demo` and
# `make test`. The first time they make a virtual environment and install into it; the second time they start at once.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check
READY  := $(VENV)/.ready
TOOLS  := $(VENV)/.ready-for-tests

.PHONY: demo test test-slow clients models sbom lint style imports dependencies types clean help

help:
	@echo "make demo       see it all at work, on a sandbox of both CRMs on this machine"
	@echo "make test       unit, property, contract, protocol, migration, house and journey tests"
	@echo "make test-slow  the long ones: kill points, load, two hosts, installation from the wheel"
	@echo "make clients    the sandbox, driven by clients that other people wrote; installs them, with npm for some"
	@echo "make models     every state of the write protocol's models, within stated bounds; needs spin and gcc"
	@echo "make sbom       what comes along with crmbridge, as CycloneDX JSON in dist/"
	@echo "make lint       style, import contracts, types, dependencies"
	@echo "make clean      remove the virtual environment and what was built"

demo: $(READY)
	@$(BIN)/crmbridge demo

# Brings its own broker and PostgreSQL; nothing has to run on this machine.
test: $(TOOLS)
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not clients"

test-slow: $(TOOLS)
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "slow and not clients"

# Environments of their own under CRMBRIDGE_CLIENTS_DIR, by default ~/.cache/crmbridge-clients.
clients: $(TOOLS)
	$(BIN)/python -m tests.clients.environments
	$(BIN)/python -m pytest -n 2 --dist loadfile -m clients tests/clients

# Installs nothing but the project: spin and gcc come from the system (Debian, Ubuntu: apt-get install spin gcc).
models: $(TOOLS)
	$(BIN)/python -m tests.models.spin

# The packages that crmbridge[all] brings along, as CycloneDX JSON.
sbom: $(TOOLS)
	$(BIN)/python -m tests.support.sbom dist/crmbridge.cdx.json

lint: style imports dependencies types

style: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

imports: $(TOOLS)
	$(BIN)/lint-imports

dependencies: $(TOOLS)
	$(BIN)/deptry .

types: $(TOOLS)
	$(BIN)/basedpyright

# Some systems ship python3 without the part that makes virtual environments; virtualenv does as well.
$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "crmbridge needs Python 3.11 or later; python3 is not there, or is older. \
	Install it, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV) && { \
	  $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m virtualenv --quiet $(VENV) 2>/dev/null; }; } \
	  || { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment here. \
	On Debian and Ubuntu: apt-get install python3-venv; elsewhere: $(PYTHON) -m pip install virtualenv. Then again." >&2; exit 1; }; }
	@echo "Installing crmbridge into $(VENV); this is done once ..." >&2
	@$(PIP) install --editable ".[all]"
	@touch $@

$(TOOLS): $(READY)
	@echo "Installing what the tests need into $(VENV); this is done once ..." >&2
	@$(PIP) install --upgrade "pip>=25.1"
	@$(PIP) install --group dev
	@touch $@

clean:
	rm -rf $(VENV) dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
