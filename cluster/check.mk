# Checks of cluster/ that need root or minutes; those that need neither are tests/cluster.
.PHONY: container-check lock-cluster

container-check:  ## install.sh in a bare Debian (root, debootstrap), then the tiny scene in it
	BASE=1 sh cluster/container/check.sh $(ARGS)

lock-cluster: | $(VENV)/bin/python  ## pin what nodes of a cluster need anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --group build -c requirements/main.lock pyproject.toml requirements/cluster.in \
	  -o requirements/cluster.lock
