# Everything the repository does. Needs python3 (3.11 or later, with venv), make and coreutils; each target sets up what it needs.
# `test` needs bubblewrap too, and installs it as root on Debian.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What the tests start beside Python: command=Debian package.
SYSTEM := bwrap=bubblewrap prlimit=util-linux setpriv=util-linux
export PATH := $(CURDIR)/$(BIN):$(PATH)
# A module of another checkout on the caller's path never stands in for this one.
unexport PYTHONPATH

.PHONY: install run demo test apart long check conformance grid bench bench-quick docs lock clean

install: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Customhouse needs Python 3.11 or later; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --no-index -e .
	@touch $@

run: install
	@$(BIN)/customhouse quickstart

demo: install
	@$(BIN)/customhouse quickstart --tour

test: install
	@scripts/debian $(SYSTEM)
	$(BIN)/python -m pytest --cov --cov-report=term -m "not long and not apart" tests

apart: install
	@scripts/debian $(SYSTEM)
	$(BIN)/python -m pytest -m "apart and not long" tests

long: install
	@scripts/debian $(SYSTEM)
	$(BIN)/python -m pytest -s -m long tests

check: install
	@scripts/check

conformance: install
	@scripts/conformance

grid: install
	@scripts/grid

bench: install
	@scripts/bench

bench-quick: install
	@scripts/bench --quick

docs: install
	@scripts/docs

lock:
	@scripts/lock

clean:
	rm -rf $(VENV) .cache .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
