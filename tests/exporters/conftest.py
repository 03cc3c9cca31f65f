from __future__ import annotations

import pytest

from synthgen.core.project import Project


@pytest.fixture(scope="session")
def formats():
    return Project.of().load("exporters", "exporter")
