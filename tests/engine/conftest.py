"""Fixtures of the engine's tests: real child processes, real Ray, the fake source."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine_helpers import MakeJob, children_of_this_test, end_spawned

from synthgen.core.plan import RunPlan
from synthgen.core.project import Project
from synthgen.engine.settings import Job, Settings
from synthgen.store.run import RunStore
from synthgen.testing.fake_source import fake_plan


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    """A folder for armed failpoints; ``make_job`` hands it to the simulator children only."""
    folder = tmp_path / "faults"
    folder.mkdir()
    return folder


@pytest.fixture
def make_job(tmp_path: Path, faults: Path) -> MakeJob:
    """``make_job(plan, fake="seconds=0.1", **settings)``: a job in a fresh run folder."""

    def make(
        plan: RunPlan | None = None, *, fake: str = "success=1", environment: Mapping[str, str] = {}, **settings: Any
    ) -> Job:
        plan = plan or fake_plan(4, shard_size=4)
        store = RunStore.create(tmp_path / "run", plan)
        children = {"SYNTHGEN_FAULTS": str(faults), "SYNTHGEN_FAKE": fake, **environment}
        return Job(
            root=store.root,
            plan=plan,
            project=Project.of(),
            asset_root=None,
            settings=Settings(environment=children, **settings),
        )

    return make


@pytest.fixture(autouse=True)
def no_orphans() -> Iterator[None]:
    """Whatever a test does, no simulator child may outlive it by more than 15 s."""
    yield
    end_spawned()
    end = time.monotonic() + 15
    while children_of_this_test() and time.monotonic() < end:
        time.sleep(0.1)
    left = children_of_this_test()
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    assert not left, f"orphans: {left}"
