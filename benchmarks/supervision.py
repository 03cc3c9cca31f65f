"""What supervision and commit cost, with the fake simulator: overhead, scaling, resume scan, driver memory.

    python benchmarks/supervision.py overhead|scaling|scan|memory|hang|costs [--workers 1,4,16,64]

Prints one JSON object per measurement. Nothing is simulated; episodes sleep.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthgen.core.failpoint import arm
from synthgen.core.plan import RunPlan
from synthgen.core.project import Project
from synthgen.engine.driver import Driver, Interrupts
from synthgen.engine.progress import Progress, Tracker
from synthgen.engine.ray_pool import LOOPBACK, POLLS_PER_SECOND, QUIET, RayPool
from synthgen.engine.schedule import Schedule
from synthgen.engine.settings import Job, Settings
from synthgen.store.files import dump
from synthgen.store.record import CommitRecord, FormatRecord, SlotRecord
from synthgen.store.run import RunStore
from synthgen.store.status import status
from synthgen.testing.fake_source import FakeOptions, FakeSource, fake_plan


class Silent:
    """A view that keeps the last progress."""

    def __init__(self) -> None:
        self.seen: list[Progress] = []

    def progress(self, progress: Progress) -> None:
        """See ``View``."""
        self.seen.append(progress)

    def say(self, event: str, message: str, **fields: Any) -> None:
        """See ``View``."""
        print(json.dumps({"event": event, "message": message}), file=sys.stderr)


def tell(**values: Any) -> None:
    print(json.dumps({k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in values.items()}), flush=True)


def run(
    plan: RunPlan, *, workers: int, fake: str, settings: Settings | None = None, faults: Path | None = None
) -> Path:
    """Run a plan on a local cluster; the run folder."""
    root = Path(tempfile.mkdtemp(prefix="supervision-"))
    environment = {"SYNTHGEN_FAKE": fake} | ({"SYNTHGEN_FAULTS": str(faults)} if faults else {})
    store = RunStore.create(root, plan)
    settings = replace(settings or Settings(cpus=0.01), environment=environment)
    job = Job(root=root, plan=plan, project=Project.of(), asset_root=None, settings=settings)
    pool = RayPool(job)
    view = Silent()
    Driver(store=store, pool=pool, settings=settings, workers=workers, view=view, interrupts=Interrupts()).run()
    return root


BARE = """
import time
from synthgen.testing.fake_source import FakeOptions, FakeSource, fake_plan
source = FakeSource(fake_plan(100_000), "fake", "franka", FakeOptions(seconds=1.0, success=1.0))
for n, _ in enumerate(source.run(range(100_000), beat=lambda *_: None)):
    print(n, time.time(), flush=True)
"""


def overhead(shards: int = 4, size: int = 64) -> None:
    """Wall time per episode under supervision, commit included, against a bare loop over the same source.

    Both run at the same time, so that a busy machine disturbs both alike. Shards have the default size.
    """
    bare = subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE, text=True)
    root = run(fake_plan(shards * size, shard_size=size), workers=1, fake="seconds=1,success=1")
    bare.kill()
    finished = sorted(r.finished for r in RunStore.open(root).records())
    lines = [line.split() for line in bare.communicate()[0].splitlines()]
    ends = [float(at) for _, at in lines[:-1] if finished[0] <= float(at) <= finished[-1]]
    alone = (ends[-1] - ends[0]) / (len(ends) - 1)
    ours = (finished[-1] - finished[0]) / (size * (shards - 1))
    tell(
        measured="overhead",
        shard=size,
        episodes=size * (shards - 1),
        bare_seconds=alone,
        supervised_seconds=ours,
        overhead=ours / alone - 1,
    )
    shutil.rmtree(root)


def scaling(counts: list[int], seconds: float) -> None:
    """Seconds per episode of sleeping episodes, against the sleep."""
    for workers in counts:
        plan = fake_plan(workers * (12 + workers // 2), shard_size=4)  # while the last boot, the first go on
        began = time.monotonic()
        root = run(plan, workers=workers, fake=f"seconds={seconds},success=1")
        # The steady part: from when every worker had finished its first shard, so that none is booting.
        per_worker: dict[str, list[float]] = {}
        for record in RunStore.open(root).records():
            per_worker.setdefault(record.worker, []).append(record.finished)
        all_up = max(min(times) for times in per_worker.values())
        gaps = [
            b - a
            for times in per_worker.values()
            for a, b in zip(sorted(times), sorted(times)[1:], strict=False)
            if a >= all_up
        ]
        per_episode = sum(gaps) / len(gaps) / 4
        tell(
            measured="scaling",
            workers=len(per_worker),
            episodes=4 * len(gaps),
            seconds_per_episode=per_episode,
            efficiency=seconds / per_episode,
            run_seconds=time.monotonic() - began,
        )
        shutil.rmtree(root)


def scan() -> None:
    """Listing, and full status, of 12 188 commits of 64 slots each."""
    plan = fake_plan(780_000, shard_size=64)
    root = Path(tempfile.mkdtemp(prefix="supervision-"))
    store = RunStore.create(root, plan)
    (root / "commits").mkdir()
    size = 0
    for shard in plan.shards():
        slots = tuple(
            SlotRecord(
                slot=s,
                attempts=1,
                failures={},
                seconds={p: 0.123456 for p in ("sample", "plan", "physics", "check", "render", "encode")},
                frames=150,
                steps=150,
                replayed=True,
            )
            for s in range(shard.start, shard.stop)
        )
        files = {f"videos/camera{i}/file-000.mp4": (1_000_000, "0" * 64) for i in range(4)}
        record = CommitRecord(
            shard=shard.name,
            cell=shard.cell,
            start=shard.start,
            stop=shard.stop,
            plan=store.digest,
            folder=f"shards/{shard.name}-0",
            slots=slots,
            quarantined=(),
            formats={"lerobot": FormatRecord(files=files, episodes=len(slots), frames=9600)},
            dataset=FakeSource(plan, "fake", "franka", FakeOptions()).dataset(),
            worker="w0000",
            finished=time.time(),
            versions={},
        )
        data = dump(record.to_json())
        size += len(data)
        store.commit_path(shard.name).write_bytes(data)
    began = time.perf_counter()
    missing = sum(1 for _ in RunStore.open(root).missing())
    listed = time.perf_counter() - began
    began = time.perf_counter()
    state = status(RunStore.open(root))
    read = time.perf_counter() - began
    assert missing == 0 and state.complete
    tell(measured="scan", commits=state.shards, bytes=size, resume_seconds=listed, status_seconds=read)
    shutil.rmtree(root)


def memory() -> None:
    """Peak resident memory of the driver's own state for plans of several sizes, everything handed out once."""
    for n in (10_000, 100_000, 780_000):
        line = subprocess.run(
            [sys.executable, __file__, "_memory", str(n)], capture_output=True, text=True, check=True
        ).stdout
        print(line, end="", flush=True)


def _memory(n: int) -> None:
    root = Path(tempfile.mkdtemp(prefix="supervision-"))
    store = RunStore.create(root, fake_plan(n, shard_size=64))
    schedule = Schedule(store.plan, done=store.is_committed)
    tracker = Tracker(store.plan, status(store), 256)
    handed = 0
    while True:
        workers = [f"w{i:04d}" for i in range(256)]
        given = [w for w in workers if schedule.next(w, workers) is not None]
        handed += len(given)
        tracker.update({}, 0)
        for w in given:
            schedule.finish(w)
        if not given:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    tell(measured="memory", slots=n, shards=handed, peak_mib=peak / (1 << 20))
    shutil.rmtree(root)


def hang() -> None:
    """From the last sign of life of a hung simulator to its replacement running, beyond the deadline."""
    for action in ("hang", "hang-gil"):
        faults = Path(tempfile.mkdtemp(prefix="faults-"))
        arm(faults, "fake.step", action, detail="franka.2.0")
        arm(faults, "fake.reset", "sleep 0", detail="franka.3.0")
        deadline = 5.0
        settings = Settings(cpus=0.01, deadlines={"step": deadline, "boot": 60, "cold": 60})
        root = run(fake_plan(4, shard_size=4), workers=1, fake="success=1", settings=settings, faults=faults)
        fired = {p.name.split("@")[0]: p.stat() for p in faults.glob("*.fired.*")}
        # A rename keeps the file's time but sets its change time: when it fired.
        waited = fired["fake.reset"].st_ctime - fired["fake.step"].st_ctime
        tell(measured="hang", action=action, deadline=deadline, replacement_after=waited, beyond=waited - deadline)
        shutil.rmtree(root)
        shutil.rmtree(faults)


class Echo:
    """An actor that answers as a worker does, at once or not at all."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer

    def snapshot(self) -> dict[str, Any]:
        """See ``WorkerActor.snapshot``."""
        return self.answer

    def hold(self) -> None:
        """A shard that takes long."""
        time.sleep(1000)


def snapshot(cells: int = 3) -> dict[str, Any]:
    """What a busy worker says of itself."""
    failures = {"missed_grasp": 3, "dropped": 2, "not_in_receptacle": 1}
    seconds = {p: 123.456 for p in ("sample", "plan", "physics", "check", "render", "encode")}
    tally = {"attempts": 64, "successes": 58, "fresh": 58, "failures": failures, "seconds": seconds}
    now = {"state": "running", "cell": "fake.franka", "shard": "fake.franka.000001", "phase": "step", "slot": 77}
    counts = {"commits": 9, "conflicts": 0, "boots": 2, "failed_boots": 0, "restarts": {"hang": 1}}
    told = {f"fake.{e}": tally for e in ("franka", "gr1", "g1")[:cells]}
    return {**now, "memory": 1 << 30, "number": 7, "events": [], **counts, "cells": told}


def per(work: Any, times: int) -> float:
    """CPU seconds of this process per call."""
    began = time.process_time()
    for i in range(times):
        work(i)
    return (time.process_time() - began) / times


def costs() -> None:
    """What one driver spends, and what that makes of more workers than this machine can hold."""
    import ray

    root = Path(tempfile.mkdtemp(prefix="supervision-"))
    plan = fake_plan(260_000, embodiments=("franka", "gr1", "g1"), shard_size=64)
    store = RunStore.create(root, plan)
    state = status(store)
    poll, pending = _ray_costs(ray)
    for workers in (64, 256, 2048):
        names = [f"w{i:04d}" for i in range(workers)]
        schedule = Schedule(plan, done=store.is_committed)
        for name in names:
            schedule.next(name, names)

        def again(i: int, schedule: Schedule = schedule, names: list[str] = names) -> None:
            schedule.finish(names[i % len(names)])
            schedule.next(names[i % len(names)], names)

        assign = per(again, 200)
        tracker = Tracker(plan, state, workers)
        said = {name: snapshot() for name in names}
        tick = per(lambda _, t=tracker, s=said: t.update(s, 0), 10)
        every = max(1.0, workers / POLLS_PER_SECOND)
        # An episode of 2 s on every worker: a shard of 64 every 128 s. The loop goes round for every shard that ends
        # and at least twice a second, and each time asks Ray about every call that is pending.
        ends = workers / 128
        rounds = 2 + ends
        load = workers / every * poll + 2 * tick + ends * (assign + poll) + rounds * workers * pending
        tell(
            measured="driver",
            workers=workers,
            assign_seconds=assign,
            tick_seconds=tick,
            poll_seconds=poll,
            pending_seconds=pending,
            polled_every=every,
            driver_cpu=load,
        )
    shutil.rmtree(root)


def _ray_costs(ray: Any) -> tuple[float, float]:
    """CPU seconds of the driver per call that an actor answers, and per call that is looked at in vain."""
    os.environ.update(QUIET | LOOPBACK)
    ray.init(address="local", num_cpus=4, object_store_memory=80 << 20, include_dashboard=False, log_to_driver=False)
    remote = ray.remote(Echo)
    actors = [remote.options(num_cpus=0.01).remote(snapshot()) for _ in range(4)]
    ray.get([a.snapshot.remote() for a in actors])

    def poll(_: int) -> None:
        asked = [a.snapshot.remote() for a in actors for _ in range(16)]
        done, _ = ray.wait(asked, num_returns=len(asked), timeout=10)
        for reference in done:
            ray.get(reference)

    each = per(poll, 20) / 64
    held = [actors[0].hold.remote() for _ in range(2048)]
    look = per(lambda _: ray.wait(held, num_returns=len(held), timeout=0), 20) / len(held)
    ray.shutdown()
    return each, look


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["overhead", "scaling", "scan", "memory", "hang", "costs", "_memory"])
    parser.add_argument("n", nargs="?", type=int, default=0)
    parser.add_argument("--workers", default="1,4,16")
    parser.add_argument("--seconds", type=float, default=4.0, help="Length of an episode, for scaling.")
    options = parser.parse_args()
    if options.what == "_memory":
        _memory(options.n)
    elif options.what == "scaling":
        scaling([int(w) for w in options.workers.split(",")], options.seconds)
    else:
        {"overhead": overhead, "scan": scan, "memory": memory, "hang": hang, "costs": costs}[options.what]()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
