# Isaac Lab in an environment of its own: `make isaac`, then .venv-isaac/bin/synthgen run --simulator ovphysx ...
# Included by the Makefile. 8.5 GB on disk, mostly torch's CUDA libraries, which it needs even without a GPU.
ISAAC_PYTHON ?= python3.12
ISAAC_VENV := .venv-isaac
ISAAC_BIN := $(ISAAC_VENV)/bin
ISAAC_CACHE ?= $(HOME)/.cache/synthgen/warp

.PHONY: isaac test-isaac lock-isaac

isaac: $(ISAAC_VENV)/.ready  ## .venv-isaac with Isaac Lab 3.0, for --simulator ovphysx and newton

test-isaac: $(ISAAC_VENV)/.ready  ## the tests that need Isaac Lab; no GPU, no Kit
	WARP_CACHE_PATH=$(ISAAC_CACHE) $(ISAAC_BIN)/python -m pytest tests/isaac -p no:cacheprovider $(ARGS)

$(ISAAC_BIN)/python:
	@$(ISAAC_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null || \
	  { echo "Isaac Lab 3.0 needs Python 3.12, and '$(ISAAC_PYTHON)' is not that." \
	         "Install python3.12 with its venv module, or: make isaac ISAAC_PYTHON=/path/to/python3.12" >&2; exit 2; }
	@case "$$(uname -sm)" in "Linux x86_64") ;; *) \
	  echo "the pinned Isaac Lab runs on Linux x86-64 with glibc 2.35 or newer; this is $$(uname -sm)" >&2; exit 2;; esac
	$(ISAAC_PYTHON) -m venv $(ISAAC_VENV)
	@sh cluster/install-gl.sh

# ovphysx pins an older `packaging` than hatchling takes: .venv builds synthgen's editable wheel.
$(ISAAC_VENV)/.ready: requirements/isaac.lock requirements/isaacsim-sources.lock pyproject.toml $(VENV)/.main | $(ISAAC_BIN)/python
	$(ISAAC_BIN)/python -m pip install --quiet --require-hashes -r requirements/isaac.lock
	@rm -rf build/isaac && mkdir -p build/isaac
	$(BIN)/python -c "from hatchling.build import build_editable; build_editable('build/isaac')" >/dev/null
	$(ISAAC_BIN)/python -m pip install --quiet --no-deps --force-reinstall build/isaac/*.whl
	$(ISAAC_BIN)/python -m pip download --quiet --no-deps --require-hashes -d $(ISAAC_VENV)/isaacsim \
	  -r requirements/isaacsim-sources.lock
	@touch $@

lock-isaac: | $(VENV)/bin/python  ## pin Isaac Lab's requirements anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --python-version 3.12 --python-platform x86_64-manylinux_2_35 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --extra isaac requirements/isaac.in pyproject.toml -o requirements/isaac.lock
