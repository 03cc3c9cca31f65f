"""What holds for all tests; set before any of them imports Ray."""

import os
from contextlib import suppress

from s3_fixtures import object_store, s3_server  # noqa: F401 - fixtures

# Our clusters listen on this machine only (see synthgen/engine/ray_pool.py).
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

with suppress(ImportError):  # the environments of the readers and of Isaac Lab have no Hypothesis
    from hypothesis import HealthCheck, settings

    # How long an example takes says how busy the machine is. In CI the examples are the same every time: what fails
    # there is the change's fault; new examples are found at people's desks.
    settings.register_profile("desk", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("ci", parent=settings.get_profile("desk"), derandomize=True, print_blob=True)
    settings.load_profile("ci" if os.environ.get("CI") else "desk")
