"""Set before any test imports Ray: our clusters listen on this machine only (see synthgen/engine/ray_pool.py)."""

import os

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
