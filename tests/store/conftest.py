"""Fixtures of the store's tests: runs on the fake source, in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_helpers import Fill, runner_of

from synthgen.core.plan import Shard
from synthgen.store.run import RunStore
from synthgen.testing.fake_source import fake_plan


@pytest.fixture
def fill() -> Fill:
    """Run shards of a store to their commit: ``fill(store)`` all, ``fill(store, shard, …)`` some."""

    def run(store: RunStore, *shards: Shard, worker: str = "test") -> None:
        for shard in shards or tuple(store.plan.shards()):
            runner_of(store, shard, worker).run(shard, defer=(), stop=lambda: False)

    return run


@pytest.fixture
def armed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of armed failpoints, in force in this process and in those it starts."""
    folder = tmp_path / "faults"
    folder.mkdir()
    monkeypatch.setenv("SYNTHGEN_FAULTS", str(folder))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """An empty run of 2 x 8 slots in shards of 4."""
    return RunStore.create(tmp_path / "run", fake_plan(8, embodiments=("franka", "g1")))
