# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
N ?= 12
WORKERS ?= 2
FAULTS ?= 10000
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test readers torture check lint types imports lock clean setup setup-dev help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: setup  ## make 12 demonstrations with pictures in data/demo
	$(BIN)/synthgen run --tasks pick_place --n $(N) --workers $(WORKERS) --out data/demo

test: setup-dev  ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

readers:  ## .venv-readers: the programs that read our data sets, and their tests
	.ci/readers.sh test -q

torture: setup-dev  ## 10 000 injected faults (FAULTS=...): nothing may be lost or doubled
	$(BIN)/python tests/torture.py --faults $(FAULTS)

check: lint types imports  ## lint, types and the import contract

lint: setup-dev  ## ruff
	$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: setup-dev  ## pyright
	$(BIN)/pyright

imports: setup-dev  ## import-linter
	$(BIN)/lint-imports

setup: $(VENV)/.main  ## .venv with what synthgen runs on
setup-dev: $(VENV)/.dev  ## .venv with what its tests need

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "synthgen needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@sh cluster/install-gl.sh

$(VENV)/.main: requirements/main.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/main.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.main
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.lock
	@touch $@

lock: | $(VENV)/bin/python  ## pin the requirements anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --group build pyproject.toml -o requirements/main.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --group build --group dev -c requirements/main.lock pyproject.toml -o requirements/dev.lock

clean:  ## remove the environments and what was generated
	rm -rf .venv .venv-* data dist build

include cluster/check.mk
include requirements/isaac.mk
