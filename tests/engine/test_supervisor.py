"""One worker without Ray: every way a simulator can die, on real processes."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from engine_helpers import GONE, PYTHON, QUICK, MakeJob, caught, kill, simulators, spawn, spooled, wait_for

from synthgen.core.failpoint import arm
from synthgen.engine.settings import Job
from synthgen.engine.supervisor import Supervisor
from synthgen.store.run import RunStore
from synthgen.store.status import status
from synthgen.store.strikes import Strikes
from synthgen.testing.fake_source import fake_plan


def run_all(job: Job, **options: bool) -> tuple[Supervisor, list[dict[str, object]]]:
    supervisor = Supervisor(job, "w0")
    try:
        return supervisor, [supervisor.run_shard(s, alone=options.get("alone", True)) for s in job.plan.shards()]
    finally:
        supervisor.close()


def slots(job: Job) -> list[tuple[str, int]]:
    return [(r.cell, s.slot) for r in RunStore.open(job.root).records() for s in r.slots]


def test_runs_shards_of_several_cells(make_job: MakeJob) -> None:
    job = make_job(fake_plan(3, embodiments=("franka", "g1"), shard_size=2), fake="success=0.6")
    supervisor, results = run_all(job)
    assert [r["end"] for r in results] == ["committed"] * 4
    assert sorted(slots(job)) == [(f"fake.{e}", i) for e in ("franka", "g1") for i in range(3)]
    said = supervisor.snapshot()
    assert said["boots"] >= 2 and said["failed_boots"] == 0 and said["restarts"] == {}
    assert said["cells"]["fake.g1"]["successes"] == 3
    assert simulators() == []


@pytest.mark.parametrize(
    ("action", "label"),
    [
        ("kill", "killed by SIGKILL"),
        ("segfault", "killed by SIGSEGV"),
        ("exit 0", "exit code 0 without finishing"),
        ("exit 1", "exit code 1"),
        ("error", "error"),
        ("hang", "hang"),
        ("hang-gil", "hang"),
    ],
)
@pytest.mark.parametrize("phase", ["step"])
def test_a_dying_simulator_is_replaced_and_costs_one_episode(
    make_job: MakeJob, faults: Path, action: str, label: str, phase: str
) -> None:
    job = make_job(deadlines=QUICK)
    arm(faults, f"fake.{phase}", action, detail="franka.2.0")
    supervisor, results = run_all(job)
    assert [r["end"] for r in results] == ["committed"]
    assert slots(job) == [("fake.franka", i) for i in range(4)]
    said = supervisor.snapshot()
    assert said["restarts"] == {label: 1}
    assert said["cells"]["fake.franka"]["successes"] == 4, "no finished episode was made twice"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "action"), [("boot", "hang-gil"), ("reset", "hang-gil"), ("render", "hang"), ("close", "hang-gil")]
)
def test_a_hang_in_any_phase_ends_at_its_deadline(make_job: MakeJob, faults: Path, action: str, phase: str) -> None:
    job = make_job(deadlines=QUICK | {"cold": 20.0, "boot": 20.0})
    arm(faults, f"fake.{phase}", action)
    _, results = run_all(job)
    (fired,) = faults.glob("*.fired.*")
    assert [r["end"] for r in results] == ["committed"]
    assert time.time() - fired.stat().st_ctime < job.settings.deadline(phase) + 60


def test_a_stopped_process_is_noticed_by_the_supervisors_clock(make_job: MakeJob, faults: Path) -> None:
    job = make_job(deadlines=QUICK)
    arm(faults, "fake.step", "sleep 60", detail="franka.1.0")
    thread, done = start(job)
    caught(faults, "fake.step", "franka.1.0").send_signal(signal.SIGSTOP)
    thread.join(timeout=QUICK["step"] + 60)
    assert done[0]["end"] == "committed"


def start(job: Job) -> tuple[threading.Thread, list[dict[str, object]]]:
    done: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: done.extend(run_all(job)[1]))
    thread.start()
    return thread, done


def test_kill_of_the_guard_takes_the_simulator_along_and_it_is_replaced(make_job: MakeJob, faults: Path) -> None:
    job = make_job()
    arm(faults, "fake.step", "sleep 60", detail="franka.1.0")
    thread, done = start(job)
    child = caught(faults, "fake.step", "franka.1.0")
    kill(child.parent())
    wait_for(lambda: not child.is_running(), GONE)
    thread.join(timeout=60)
    assert done[0]["end"] == "committed"
    assert slots(job) == [("fake.franka", i) for i in range(4)]


SUPERVISE = """
import json, sys
from synthgen.engine.settings import Job
from synthgen.engine.supervisor import Supervisor
job = Job.from_json(json.loads(sys.argv[1]))
supervisor = Supervisor(job, "other")
for shard in job.plan.shards():
    supervisor.run_shard(shard, alone=True)
"""


def test_kill_of_the_supervisor_leaves_no_orphan(make_job: MakeJob, faults: Path) -> None:
    job = make_job()
    arm(faults, "fake.step", "sleep 60", detail="franka.0.0")
    supervisor = spawn([PYTHON, "-c", SUPERVISE, json.dumps(job.to_json())])
    child = caught(faults, "fake.step", "franka.0.0")
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not simulators() and not child.is_running(), GONE)


def test_helpers_of_the_simulator_go_with_it_even_from_their_own_session(make_job: MakeJob, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    task = f"""
import subprocess, time
helper = subprocess.Popen(["sleep", "1000"], start_new_session=True)
open({str(note)!r}, "w").write(str(helper.pid))
"""
    site = tmp_path / "site"
    site.mkdir()
    when = f"'synthgen.engine.child' in sys.orig_argv and not os.path.exists({str(note)!r})"
    lines = "".join(f"    {line}\n" for line in task.strip().splitlines())
    (site / "sitecustomize.py").write_text(f"import os, sys\nif {when}:\n{lines}")
    job = make_job(environment={"PYTHONPATH": str(site)})
    _, results = run_all(job)
    assert results[0]["end"] == "committed"
    helper = int(note.read_text())
    wait_for(lambda: not Path(f"/proc/{helper}").exists(), GONE)


def test_a_slot_that_kills_two_simulators_is_quarantined(make_job: MakeJob, faults: Path) -> None:
    job = make_job()
    arm(faults, "fake.step", "segfault", detail="franka.1.0", always=True)
    supervisor, results = run_all(job)
    assert [r["end"] for r in results] == ["committed"]
    record = next(RunStore.open(job.root).records())
    assert [s.slot for s in record.slots] == [0, 2, 3]
    (poison,) = record.quarantined
    assert (poison.slot, poison.reason) == (1, "strikes")
    assert "attempt 0: killed by SIGSEGV in step" in poison.detail
    assert supervisor.snapshot()["restarts"] == {"killed by SIGSEGV": 2}
    bundle = json.loads((job.root / "quarantine" / "fake.franka.000000001.json").read_text())
    assert [s["phase"] for s in bundle["strikes"]] == ["step", "step"]
    assert "Segmentation fault" in bundle["strikes"][0]["log"] and "fake_source.py" in bundle["strikes"][0]["log"]
    assert bundle["command"].endswith("--slot 1")


def test_the_slot_that_killed_it_is_left_to_another_worker(make_job: MakeJob, faults: Path) -> None:
    job = make_job()
    arm(faults, "fake.step", "kill", detail="franka.1.0")
    _, results = run_all(job, alone=False)
    assert [r["end"] for r in results] == ["deferred"]
    shard = next(job.plan.shards())
    strike = Strikes(job.store(), shard).by_slot()[1][0]
    assert (strike.phase, strike.cause, strike.worker) == ("step", "killed by SIGKILL", "w0")
    other = Supervisor(job, "w1")
    assert other.run_shard(shard, alone=False)["end"] == "committed"
    other.close()
    assert slots(job) == [("fake.franka", i) for i in range(4)]


def test_a_worker_that_only_dies_is_given_up_and_its_strikes_are_taken_back(make_job: MakeJob, faults: Path) -> None:
    job = make_job()
    arm(faults, "fake.step", "kill", always=True)
    supervisor, results = run_all(job)
    assert results[0]["end"] == "given_up"
    assert "died 3 times" in str(results[0]["message"])
    assert Strikes(job.store(), next(job.plan.shards())).by_slot() == {}
    assert supervisor.snapshot()["boots"] == 3


def test_failed_boots_are_counted_and_strike_nobody(make_job: MakeJob, faults: Path) -> None:
    job = make_job()
    arm(faults, "fake.boot", "exit 1")
    supervisor, results = run_all(job)
    assert results[0]["end"] == "committed"
    said = supervisor.snapshot()
    assert (said["boots"], said["failed_boots"]) == (2, 1)
    assert not (job.root / "strikes").exists()


def test_an_error_that_no_restart_cures_is_reported_as_it_is(make_job: MakeJob) -> None:
    job = make_job(fake="nonsense=1")
    _, results = run_all(job)
    assert results[0]["end"] == "fatal"
    assert results[0]["type"] == "UsageError"
    assert "known names" in str(results[0]["remedy"])


def test_a_full_disk_is_reported_not_restarted(make_job: MakeJob, faults: Path) -> None:
    job = make_job()
    arm(faults, "tiny.add", "enospc")
    supervisor, results = run_all(job)
    assert results[0]["end"] == "storage"
    assert "No space left" in str(results[0]["message"])
    assert supervisor.snapshot()["boots"] == 1
    assert run_all(job)[1][0]["end"] == "committed"


def test_an_exporter_that_raises_is_reported_and_no_strike_against_the_slot(make_job: MakeJob, faults: Path) -> None:
    job = make_job()
    arm(faults, "tiny.add", "raise")
    _, results = run_all(job)
    assert (results[0]["end"], results[0]["type"]) == ("fatal", "ExporterError")
    assert "format 'tiny' failed writing slot 0" in str(results[0]["message"])
    assert not (job.root / "strikes").exists()
    assert run_all(job)[1][0]["end"] == "committed"


def test_a_leaking_simulator_is_replaced_between_episodes(
    make_job: MakeJob, faults: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthgen.engine.supervisor.MEMORY_EVERY", 0.0)
    job = make_job(memory=400 << 20)
    arm(faults, "fake.reset", "leak 350", detail="franka.1.0")
    arm(faults, "fake.step", "sleep 5", detail="franka.1.0")  # time to see it
    supervisor, results = run_all(job)
    assert results[0]["end"] == "committed"
    said = supervisor.snapshot()
    assert said["restarts"] == {"memory": 1}
    assert said["cells"]["fake.franka"]["successes"] == 4
    assert not (job.root / "strikes").exists()


def test_a_simulator_far_over_its_memory_is_ended_at_once(
    make_job: MakeJob, faults: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthgen.engine.supervisor.MEMORY_EVERY", 0.0)
    job = make_job(memory=300 << 20)
    arm(faults, "fake.reset", "leak 600", detail="franka.1.0")
    arm(faults, "fake.step", "sleep 10", detail="franka.1.0")  # so that it cannot get away
    supervisor, results = run_all(job)
    assert results[0]["end"] == "committed"
    said = supervisor.snapshot()
    assert said["restarts"] == {"memory": 1}
    assert "far over the budget" in said["events"][0]["cause"]
    assert slots(job) == [("fake.franka", i) for i in range(4)]


def test_when_memory_runs_out_the_kernel_takes_the_simulator_first(make_job: MakeJob, faults: Path) -> None:
    job = make_job()
    arm(faults, "fake.step", "sleep 60", detail="franka.1.0")
    thread, done = start(job)
    child = caught(faults, "fake.step", "franka.1.0")
    scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (child.pid, child.ppid(), os.getpid())]
    assert scores[0] == 1000 > max(scores[1:])
    kill(child)  # what the kernel does then
    thread.join(timeout=60)
    assert done[0]["end"] == "committed"
    assert slots(job) == [("fake.franka", i) for i in range(4)]


JUMPING = """
import sys, time
if "synthgen.engine.child" in sys.orig_argv:
    real, calls = time.time, iter(range(1 << 60))
    time.time = lambda: real() + (3600, 0, -3600)[next(calls) % 3]
"""


def test_a_clock_that_jumps_by_an_hour_changes_nothing(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(JUMPING)
    real, calls = time.time, iter(range(1 << 60))
    monkeypatch.setattr(time, "time", lambda: real() + (3600, 0, -3600)[next(calls) % 3])
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    job = make_job(fake_plan(6, shard_size=2), environment={"PYTHONPATH": path}, deadlines=QUICK)
    supervisor, results = run_all(job)
    assert [r["end"] for r in results] == ["committed"] * 3
    assert supervisor.snapshot()["restarts"] == {}
    finished = [r.finished for r in RunStore.open(job.root).records()]
    assert max(finished) - min(finished) > 3000, "the clock did jump"
    assert slots(job) == [("fake.franka", i) for i in range(6)]
    assert status(RunStore.open(job.root)).complete


def test_an_old_simulator_is_replaced(make_job: MakeJob) -> None:
    job = make_job(fake_plan(6, shard_size=2), episodes_per_child=2)
    supervisor, results = run_all(job)
    assert [r["end"] for r in results] == ["committed"] * 3
    assert supervisor.snapshot()["boots"] == 3


def test_exit_after_the_commit_counts_as_committed(make_job: MakeJob, faults: Path) -> None:
    job = make_job()
    arm(faults, "child.done", "exit 1")
    supervisor, results = run_all(job)
    assert results[0]["end"] == "committed"
    assert supervisor.snapshot()["boots"] == 1


def test_drain_finishes_the_episode_under_way(make_job: MakeJob, faults: Path) -> None:
    job = make_job()
    arm(faults, "fake.step", "sleep 5", detail="franka.1.0")
    supervisor = Supervisor(job, "w0")
    done: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: done.append(supervisor.run_shard(next(job.plan.shards()), alone=True)))
    thread.start()
    caught(faults, "fake.step", "franka.1.0")
    supervisor.drain()
    thread.join(timeout=60)
    supervisor.close()
    assert done[0]["end"] == "stopped"
    assert spooled(job.root) == ["fake.franka.000000/000000000", "fake.franka.000000/000000001"]
    assert run_all(job)[1][0]["end"] == "committed"
    assert slots(job) == [("fake.franka", i) for i in range(4)]


def test_an_endless_attempt_with_signs_of_life_is_ended(make_job: MakeJob) -> None:
    job = make_job(fake="seconds=1000", attempt_limit=2.0, deaths=1)
    _, results = run_all(job)
    assert results[0]["end"] == "given_up"
    assert "longer than 2 s" in str(results[0]["message"])
