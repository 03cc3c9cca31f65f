"""A disk that is full at any moment: one clear error, nothing left behind, and the next try works.

The limit is the kernel's own on the size of a file, so that every library meets it where it writes.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from synthgen.core.errors import StorageError
from synthgen.core.project import Project
from synthgen.formats.transfer import write_dataset
from synthgen.testing.episodes import dataset_spec, made_episode

FORMATS = Project.of().load("exporters", "exporter")
EPISODES = [made_episode(slot, dataset_spec()) for slot in range(2)]


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 2_000, 12_000])
@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk(tmp_path, name, size):
    with room(size), pytest.raises(StorageError, match="File too large"):
        write_dataset(FORMATS[name], dataset_spec(), iter(EPISODES), tmp_path / "set")
    assert list(tmp_path.iterdir()) == []
    assert write_dataset(FORMATS[name], dataset_spec(), iter(EPISODES), tmp_path / "set").episodes == 2
    assert list(FORMATS[name].check(tmp_path / "set")) == []
