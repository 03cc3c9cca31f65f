"""What supervision and commit cost, with the fake simulator: overhead, scaling, resume scan, driver memory.

    python benchmarks/supervision.py overhead|scaling|scan|memory|hang [--workers 1,4,16,64]

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
from synthgen.engine.ray_pool import RayPool
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
    print(json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}), flush=True)


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


def overhead() -> None:
    """Wall time per episode under supervision, commit included, against a bare loop over the same source."""
    shards, size = 5, 16
    plan = fake_plan(shards * size, shard_size=size)
    source = FakeSource(plan, "fake", "franka", FakeOptions(seconds=1.0, success=1.0))
    began = time.perf_counter()
    for _ in source.run(range(size), beat=lambda *_: None):
        pass
    bare = (time.perf_counter() - began) / size
    root = run(plan, workers=1, fake="seconds=1,success=1")
    finished = sorted(r.finished for r in RunStore.open(root).records())
    ours = (finished[-1] - finished[0]) / (size * (shards - 1))
    tell(measured="overhead", bare_seconds=bare, supervised_seconds=ours, overhead=ours / bare - 1)
    shutil.rmtree(root)


def scaling(counts: list[int]) -> None:
    """Trajectories per second of sleeping episodes against workers times the rate of one."""
    seconds = 4.0
    for workers in counts:
        plan = fake_plan(workers * 16, shard_size=4)
        root = run(plan, workers=workers, fake=f"seconds={seconds},success=1")
        # The steady part: without each worker's first shard (boots) and last (the tail of the plan).
        per_worker: dict[str, list[float]] = {}
        for record in RunStore.open(root).records():
            per_worker.setdefault(record.worker, []).append(record.finished)
        gaps = [b - a for t in per_worker.values() for a, b in zip(sorted(t), sorted(t)[1:], strict=False)]
        per_episode = sum(gaps) / len(gaps) / 4
        tell(
            measured="scaling",
            workers=len(per_worker),
            seconds_per_episode=per_episode,
            efficiency=seconds / per_episode,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["overhead", "scaling", "scan", "memory", "hang", "_memory"])
    parser.add_argument("n", nargs="?", type=int, default=0)
    parser.add_argument("--workers", default="1,4,16")
    options = parser.parse_args()
    if options.what == "_memory":
        _memory(options.n)
    elif options.what == "scaling":
        scaling([int(w) for w in options.workers.split(",")])
    else:
        {"overhead": overhead, "scan": scan, "memory": memory, "hang": hang}[options.what]()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
