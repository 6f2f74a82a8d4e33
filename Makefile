# `make run` and `make test` are all a newcomer needs; both make .venv when it is not there.

PYTHON ?= python3
MODEL  ?= models/iris.mlp
ARGS   ?=
BIN    := .venv/bin

# pyright is pinned and comes inside its package: it need not ask the network for a newer one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help run test test-all lint format tables editors bench bench-scale campaign clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/installed  ## install what is needed, then mlpc run models/iris.mlp (MODEL=file.mlp, ARGS="--set train.epochs=5")
	$(BIN)/mlpc run $(MODEL) $(ARGS)

test: lint  ## what CI runs: ruff, pyright, pytest (ARGS="-k plan")
	$(BIN)/pytest -q $(ARGS)

test-all: export MLPC_REQUIRE := all
test-all: test  ## the same, and a tool that is not installed is a failure instead of a skip

lint: .venv/installed-test  ## ruff and pyright alone
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet || { echo "the layout of the files above is not ruff's: make format"; exit 1; }
	$(BIN)/pyright

format: .venv/installed-test  ## lay the code out and sort the imports
	$(BIN)/ruff check --quiet --fix --select I
	$(BIN)/ruff format

tables: .venv/installed  ## rewrite the parser's tables, dsl/tables.json, after a change of the grammar
	$(BIN)/python -m mlpc.dsl.tables

editors: .venv/installed  ## rewrite the files for editors after a change of the grammar, the vocabulary or std
	$(BIN)/python -m mlpc.editors

bench: .venv/installed-test  ## what mlpc costs and reaches: compile time, printing a plan, iris over 100 seeds, a step, a whole process (PYTHONS: others, with scikit-learn or PyTorch)
	@set -e; for script in compile_time plan_page iris_seeds memory scale techniques speed; do echo "== benchmarks/$$script.py"; $(BIN)/python benchmarks/$$script.py $(ARGS); done
	@echo "== benchmarks/cold_start.py"; $(BIN)/python benchmarks/cold_start.py $(addprefix --python=,$(PYTHONS))

bench-scale: .venv/installed-test  ## 40 million rows (3.24 GB, in TMPDIR) trained in 600 MB of memory (ARGS="--rows 1000000")
	$(BIN)/python benchmarks/scale.py --rows 40000000 $(ARGS)

campaign: .venv/installed-test  ## the long random tests with a fresh seed (MLPC_SEED=n to repeat one)
	@seed=$${MLPC_SEED:-$$($(BIN)/python -c 'import secrets; print(secrets.randbits(32))')}; \
	echo "MLPC_SEED=$$seed make campaign"; MLPC_SEED=$$seed $(BIN)/pytest -q -m campaign $(ARGS)

clean:  ## remove .venv and everything else that was made
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps stand for what pip installed; they are older than a changed pyproject.toml, and then pip runs again.
.venv/installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "mlpc needs Python 3.11 or later, and there is no $(PYTHON): make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v < (3, 11) and sys.exit("mlpc needs Python 3.11 or later, and $(PYTHON) is %d.%d: make $(MAKECMDGOALS) PYTHON=python3.11" % v[:2])'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@
