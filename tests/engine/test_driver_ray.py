"""Whole runs on a real Ray cluster of two CPUs: whatever dies, the data set is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine_helpers import GONE, PYTHON, MakeJob, attempts_of, caught, kill, simulators, spawn, wait_for

from synthgen.core.errors import IncompleteRunError
from synthgen.core.failpoint import arm
from synthgen.core.plan import RunPlan
from synthgen.engine.driver import Driver, Interrupts
from synthgen.engine.pool import InProcessPool
from synthgen.engine.progress import Progress
from synthgen.engine.ray_pool import LOOPBACK, QUIET, RayPool
from synthgen.engine.settings import Job
from synthgen.store.finalize import finalize
from synthgen.store.run import RunStore
from synthgen.store.status import status
from synthgen.testing.fake_source import fake_plan
from synthgen.testing.tiny_exporter import dataset_digest, exporter

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.slow]
PLAN = fake_plan(8, embodiments=("franka", "g1"), shard_size=2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster of two CPUs; its address."""
    os.environ.update(QUIET | LOOPBACK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray

        ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=80 << 20,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


class Listener:
    """A view that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.fields: dict[str, dict[str, Any]] = {}
        self.last: Progress | None = None

    def progress(self, progress: Progress) -> None:
        self.last = progress

    def say(self, event: str, message: str, **fields: Any) -> None:
        self.said.append(event)
        self.fields[event] = fields


def drive(
    job: Job, *, workers: int = 2, view: Listener | None = None, interrupts: Interrupts | None = None
) -> Listener:
    view = view or Listener()
    store = RunStore.open(job.root)
    pool = RayPool(job) if workers else InProcessPool(job)
    Driver(
        store=store,
        pool=pool,
        settings=job.settings,
        workers=workers,
        view=view,
        interrupts=interrupts or Interrupts(),
    ).run()
    return view


def in_background(job: Job, **options: Any) -> tuple[threading.Thread, list[Any]]:
    end: list[Any] = []

    def work() -> None:
        try:
            end.append(drive(job, **options))
        except Exception as error:
            end.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, end


def finished(job: Job) -> dict[str, str]:
    """Check that every slot is there exactly once; the data sets' digests."""
    store = RunStore.open(job.root)
    slots = sorted((r.cell, s.slot) for r in store.records() for s in r.slots)
    assert slots == sorted((c.name, i) for c in job.plan.cells for i in range(c.n))
    finalize(store, {"tiny": exporter})
    return {e: dataset_digest(job.root / "tiny" / e) for e in ("franka", "g1")}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The data sets of the plan made by one worker in this process."""
    from synthgen.core.project import Project
    from synthgen.engine.settings import Settings

    before = os.environ.get("SYNTHGEN_FAKE")
    os.environ["SYNTHGEN_FAKE"] = "success=0.7"
    try:
        store = RunStore.create(tmp_path_factory.mktemp("reference"), PLAN)
        job = Job(root=store.root, plan=PLAN, project=Project.of(), asset_root=None, settings=Settings())
        drive(job, workers=0)
        return finished(job)
    finally:
        if before is None:
            del os.environ["SYNTHGEN_FAKE"]
        else:
            os.environ["SYNTHGEN_FAKE"] = before


def test_two_workers_make_the_same_data_as_one(cluster: str, reference: dict[str, str], make_job: MakeJob) -> None:
    job = make_job(PLAN, fake="success=0.7")
    view = drive(job)
    assert finished(job) == reference
    assert view.last is not None and view.last.done == 16
    before = status(RunStore.open(job.root))
    assert before.complete and before.cells[0].failures
    drive(job)
    assert status(RunStore.open(job.root)).cells == before.cells, "a complete run has nothing to do"


def test_kill_of_a_child_costs_the_attempt_it_was_on_and_nothing_else(
    cluster: str, reference: dict[str, str], make_job: MakeJob, faults: Path, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    job = make_job(PLAN, fake=f"success=0.7,log={begun}")
    arm(faults, "fake.step", "sleep 60", detail="g1.3.0")
    thread, end = in_background(job)
    kill(caught(faults, "fake.step", "g1.3.0"))
    thread.join(120)
    assert isinstance(end[0], Listener), end
    assert end[0].last.restarts == {"killed by SIGKILL": 1}
    told = end[0].fields["simulator_died"]
    assert (told["shard"], told["slot"], told["attempt"], told["phase"]) == ("fake.g1.000001", 3, 0, "step")
    assert told["worker"] in ("w0000", "w0001") and told["cause"] == "killed by SIGKILL"
    assert finished(job) == reference
    assert Counter(begun.read_text().split()) == attempts_of(job) + Counter(["g1.3.0"])


def test_kill_of_an_actor_costs_the_attempt_it_was_on_and_nothing_else(
    cluster: str, reference: dict[str, str], make_job: MakeJob, faults: Path, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    job = make_job(PLAN, fake=f"success=0.7,log={begun}")
    arm(faults, "fake.step", "sleep 60", detail="g1.3.0")
    thread, end = in_background(job)
    child = caught(faults, "fake.step", "g1.3.0")
    actor = child.parent().parent()
    assert "WorkerActor" in actor.cmdline()[0]
    kill(actor)
    wait_for(lambda: not child.is_running(), GONE)
    thread.join(120)
    assert isinstance(end[0], Listener), end
    assert "worker_lost" in end[0].said
    assert finished(job) == reference
    assert Counter(begun.read_text().split()) == attempts_of(job) + Counter(["g1.3.0"])


def test_kill_of_the_driver_leaves_no_orphan_and_resumes_with_other_workers(
    cluster: str, reference: dict[str, str], make_job: MakeJob, faults: Path, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    job = make_job(PLAN, fake=f"success=0.7,log={begun}")
    for embodiment in ("franka", "g1"):
        arm(faults, "fake.step", "sleep 60", detail=f"{embodiment}.3.0")
    driver = command(job, cluster)
    caught(faults, "fake.step", "franka.3.0")
    caught(faults, "fake.step", "g1.3.0")
    driver.kill()
    driver.communicate()
    wait_for(lambda: not simulators(), GONE)
    left = status(RunStore.open(job.root))
    assert left.shards_committed == 2 and [c.spooled for c in left.cells] == [1, 1]
    drive(job, workers=1)
    assert finished(job) == reference
    assert Counter(begun.read_text().split()) == attempts_of(job) + Counter(["franka.3.0", "g1.3.0"])


def test_two_drivers_on_one_folder_commit_everything_once(
    cluster: str, reference: dict[str, str], make_job: MakeJob
) -> None:
    job = make_job(PLAN, fake="seconds=0.1,success=0.7")
    other = command(job, cluster, workers=1)
    drive(job, workers=1)
    other.communicate(timeout=120)
    assert other.returncode == 0
    assert finished(job) == reference


def test_an_interrupt_finishes_the_episodes_under_way_and_resumes(
    cluster: str, reference: dict[str, str], make_job: MakeJob, faults: Path
) -> None:
    job = make_job(PLAN, fake="success=0.7")
    for embodiment in ("franka", "g1"):
        arm(faults, "fake.step", "sleep 5", detail=f"{embodiment}.3.0")
    driver = command(job, cluster)
    caught(faults, "fake.step", "franka.3.0")
    caught(faults, "fake.step", "g1.3.0")
    driver.send_signal(signal.SIGINT)
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 3, said
    assert "trajectories are safe in" in said and "resume with: synthgen run --tasks fake --n 16" in said
    wait_for(lambda: not simulators(), GONE)
    assert [c.committed for c in status(RunStore.open(job.root)).cells] == [4, 4], "the episodes under way were kept"
    drive(job)
    assert finished(job) == reference


def test_a_second_interrupt_stops_at_once(cluster: str, make_job: MakeJob, faults: Path) -> None:
    job = make_job(PLAN)
    for embodiment in ("franka", "g1"):
        arm(faults, "fake.step", "sleep 100", detail=f"{embodiment}.0.0")
    driver = command(job, cluster)
    for embodiment in ("franka", "g1"):
        caught(faults, "fake.step", f"{embodiment}.0.0")
    driver.send_signal(signal.SIGINT)
    assert driver.stderr is not None
    assert any('"draining"' in line for line in driver.stderr)
    driver.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, said = driver.communicate(timeout=120)
    assert time.monotonic() - began < 60, "it did not wait for the sleep in the episodes"
    assert driver.returncode == 3, said
    assert "stopped at once" in said
    wait_for(lambda: not simulators(), GONE)


def command(job: Job, address: str, *, workers: int = 2) -> subprocess.Popen[str]:
    """``synthgen run`` of the job's plan, as a process."""
    plan: RunPlan = job.plan
    store = RunStore.open(job.root)
    script = f"""
import json, sys
from synthgen.cli.errors import guarded
from synthgen.cli.run import execute
from synthgen.engine.settings import Job
from synthgen.store.run import RunStore
job = Job.from_json(json.loads(sys.stdin.read()))
sys.exit(guarded(lambda: execute(job, RunStore.open(job.root), workers={workers}, address={address!r}, as_json=True)))
"""
    assert plan.digest() == store.digest
    process = spawn(
        [PYTHON, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
    )
    import json

    assert process.stdin is not None
    process.stdin.write(json.dumps(job.to_json()))
    process.stdin.close()
    process.stdin = None
    return process


def test_more_workers_than_places_says_so_and_starts(
    cluster: str, reference: dict[str, str], make_job: MakeJob
) -> None:
    job = make_job(PLAN, fake="success=0.7")
    view = drive(job, workers=5)
    assert "few_places" in view.said
    assert finished(job) == reference


def test_a_poison_slot_is_quarantined_and_the_rest_is_made(cluster: str, make_job: MakeJob, faults: Path) -> None:
    job = make_job(PLAN, fake="success=0.7")
    arm(faults, "fake.step", "kill", detail="g1.3.0", always=True)
    drive(job)
    state = status(RunStore.open(job.root))
    assert state.complete and state.quarantined == 1
    assert state.cells[1].quarantined[0]["slot"] == 3
    strikes = state.cells[1].quarantined[0]["detail"]
    assert strikes.count("killed by SIGKILL") == 2


def test_simulators_that_never_start_stop_the_run(cluster: str, make_job: MakeJob, faults: Path) -> None:
    job = make_job(PLAN)
    arm(faults, "fake.boot", "exit 1", always=True)
    with pytest.raises(IncompleteRunError, match="died 3 times"):
        drive(job)


def test_too_many_failed_boots_stop_the_run_loudly(cluster: str, make_job: MakeJob, faults: Path) -> None:
    job = make_job(PLAN, deaths=100)
    arm(faults, "fake.boot", "exit 1", always=True)
    with pytest.raises(IncompleteRunError, match=r"\d+ of \d+ simulators failed to start"):
        drive(job)


def test_success_rate_zero_quarantines_every_slot(cluster: str, make_job: MakeJob) -> None:
    plan = fake_plan(2, shard_size=1, max_attempts=3)
    job = make_job(plan, fake="success=0")
    drive(job)
    state = status(RunStore.open(job.root))
    assert state.complete and state.quarantined == 2 and state.cells[0].success_rate == 0
    assert state.cells[0].attempts == 6 == state.cells[0].failures.total()


def test_full_disk_stops_the_run_and_it_resumes(
    cluster: str, reference: dict[str, str], make_job: MakeJob, faults: Path
) -> None:
    from synthgen.core.errors import StorageError

    job = make_job(PLAN, fake="success=0.7")
    arm(faults, "shard.add", "enospc", detail="fake.g1.000001.2")
    with pytest.raises(StorageError, match="No space left"):
        drive(job)
    drive(job)
    assert finished(job) == reference


def test_nothing_of_ours_listens_beyond_this_machine(cluster: str) -> None:
    import ray

    assert ray.get_runtime_context().gcs_address.startswith("127.0.0.1:")
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            for connection in process.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    where = connection.laddr.ip.removeprefix("::ffff:")
                    assert where in ("127.0.0.1", "::1"), (process.cmdline()[:2], connection.laddr)
