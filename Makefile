# Needs Python 3.11+, make and git; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONSTRAINTS ?= constraints.txt

.PHONY: help install demo docs test test-all test-statistical lint format bench clean

help:
	@echo "make demo      set up, then run on separable data and on digits"
	@echo "make docs      set up, then the documentation site in docs/_build/html"
	@echo "make test      set up, then the test suite"
	@echo "make test-all  the test suite with its slow tests"
	@echo "make test-statistical OFFSETS='1 2 3'   the tests that draw, with other seeds"
	@echo "make bench     one step of stage one against plain autograd"
	@echo "make lint      format, lint, types, import directions"

install: $(STAMP)

$(STAMP): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'gibbsnet needs Python 3.11 or newer, got ' + sys.version)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e ".[app,fast,mnist,dev]"
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/gibbsnet run --data separable --activation sigmoid --gamma 3 --steps 5000 --controls --out runs/demo-separable --force
	$(BIN)/gibbsnet run --data digits --out runs/demo-digits --force

docs: $(VENV)/.docs
	$(BIN)/python -P benchmarks/results/table.py > docs/benchmarks/engine_table.txt
	rm -rf docs/reference/generated
	OMP_NUM_THREADS=1 $(BIN)/python -P -m sphinx -W --keep-going -n -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e ".[app,fast,mnist,docs]"
	touch $@

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal

test-all: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "slow or not slow"

OFFSETS ?= 1 2 3
test-statistical: $(STAMP)
	set -e; for k in $(OFFSETS); do \
	    $(BIN)/python -m pytest -n auto --dist worksteal -q -m statistical --seed-offset $$k; done

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -P tests/support/lint_seeds.py
	$(BIN)/python -P tests/support/lint_words.py

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	$(BIN)/python -P benchmarks/engine.py

clean:
	rm -rf $(VENV) build dist docs/_build docs/gallery docs/reference/generated .pytest_cache .mypy_cache .ruff_cache
