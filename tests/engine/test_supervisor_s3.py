"""A worker of a run in an object store that does not answer, or refuses it: the run ends with that error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthgen.core.project import Project
from synthgen.engine.driver import _as_error
from synthgen.engine.settings import Job, Settings
from synthgen.engine.supervisor import Supervisor
from synthgen.store.url import S3Url, working_folder
from synthgen.testing.fake_source import fake_plan

pytestmark = pytest.mark.xdist_group("s3")


@pytest.fixture
def job(object_store: Any, tmp_path: Path) -> Job:
    url = S3Url.parse(object_store.url)
    return Job(
        root=working_folder(url, tmp_path / "w"),
        plan=fake_plan(4),
        project=Project.of(None),
        asset_root=None,
        settings=Settings(),
        url=url,
        work=tmp_path / "w",
    )


def test_a_job_finds_its_run_on_every_machine(job: Job) -> None:
    same = Job.from_json(job.to_json())
    assert same == job
    store = same.store()
    assert (store.place, store.root) == (str(job.url), job.root)


def test_a_store_that_does_not_answer(job: Job, object_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHGEN_S3_PATIENCE", "0.5")
    object_store.proxy.rule("cut", times=float("inf"))
    result = Supervisor(job, "w0").run_shard(next(job.plan.shards()), alone=True)
    assert result["end"] == "storage"
    error = _as_error(result)
    assert error.exit_code == 3 and "resumes" in error.remedy


def test_a_node_without_credentials(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    result = Supervisor(job, "w0").run_shard(next(job.plan.shards()), alone=True)
    assert result["end"] == "fatal"
    error = _as_error(result)
    assert error.exit_code == 2 and "on every node" in error.remedy
