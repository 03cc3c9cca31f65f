"""Fixtures of the store's tests: runs on the fake source, in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from synthgen.core.plan import RunPlan, Shard
from synthgen.engine.runner import ShardRunner
from synthgen.store.run import RunStore
from synthgen.testing.fake_source import FakeSource
from synthgen.testing.tiny_exporter import exporter

Fill = Callable[..., None]


@pytest.fixture
def fill() -> Fill:
    """Run shards of a store to their commit: ``fill(store)`` all, ``fill(store, shard, …)`` some."""

    def run(store: RunStore, *shards: Shard, worker: str = "test") -> None:
        for shard in shards or tuple(store.plan.shards()):
            runner_of(store, shard, worker).run(shard, defer=(), stop=lambda: False)

    return run


def runner_of(store: RunStore, shard: Shard, worker: str = "test") -> ShardRunner:
    return ShardRunner(
        store=store,
        source=FakeSource(store.plan, shard.task, shard.embodiment),
        exporters={"tiny": exporter},
        worker=worker,
        strikes=2,
        beat=lambda phase, slot, attempt: None,
        ended=lambda outcome, fresh: None,
    )


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
    return RunStore.create(tmp_path / "run", plan())


def plan() -> RunPlan:
    from synthgen.testing.fake_source import fake_plan

    return fake_plan(8, embodiments=("franka", "g1"))
