# make demo and make test set up all that they need in a virtual environment of their own.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ENV    := PYTHONDONTWRITEBYTECODE=

.PHONY: demo test lint check simulate mutants bench bench-failover docs deploy clean

demo: $(VENV)/runs
	@$(ENV) $(BIN)/python -m kubevip demo

# What is timed by the wall clock runs one after the other, and the rest beside it. WORKERS=0: all in one process.
WORKERS ?= 2
test: lint
	$(ENV) $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadgroup $(PYTEST_FLAGS)

# What can be told without running anything: style, types, the direction of imports, generated files.
lint: $(VENV)/tests
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }
	$(BIN)/python -m kubevip.manifest.deploy --check

# Whole agents in virtual time, faults by seed; see docs/simulation.md. Each seed that fails is told with how to replay it.
SEEDS ?= 2000
simulate: $(VENV)/runs
	$(ENV) $(BIN)/python -m kubevip.testing.simulation --count $(SEEDS) $(SIMULATE)

# Known bugs of one line each, and the seeds that it takes to find them.
mutants: $(VENV)/tests
	$(ENV) $(BIN)/python tests/simulation/mutants.py $(MUTANTS)

bench: $(VENV)/tests
	$(ENV) $(BIN)/python tests/bench/run.py $(BENCH)

# Beside keepalived, where it is installed; needs root, and half an hour for seven runs.
bench-failover: $(VENV)/tests
	$(ENV) $(BIN)/python tests/bench/contest.py --json failover.json --svg failover.svg $(BENCH)

docs: $(VENV)/tests
	$(BIN)/python -m kubevip.config.docs > docs/settings.md
	$(BIN)/python -m kubevip.manifest.deploy

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# An environment that runs kubevip, and one that tests it too; made anew when what is installed changes.
$(VENV)/runs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/tests: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/runs

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "kubevip needs Python 3.11 or newer; $(PYTHON) is older. Name another one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "making a virtual environment failed; on Debian: apt-get install python3-venv"; exit 1; }
