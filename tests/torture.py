"""Thousands of faults against the commit: kills, crashes, failing disks, damaged files, races, hangs; then counting.

    python tests/torture.py --faults 10000 [--seed 1]

Every few faults a run is completed, and must hold every slot exactly once and the same data as a run left in peace.
Most faults hit forked workers (milliseconds each); a part hits real simulator children under a real supervisor.
Prints a JSON object at the end; exits with 1 when anything was lost, doubled or different.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "store"))

from store_helpers import POINTS, runner_of

from synthgen.core.errors import StorageError
from synthgen.core.failpoint import VARIABLE, arm
from synthgen.core.plan import Shard
from synthgen.core.project import Project
from synthgen.engine.settings import Job, Settings
from synthgen.engine.supervisor import Supervisor
from synthgen.store.finalize import finalize
from synthgen.store.gc import orphans, remove
from synthgen.store.run import RunStore
from synthgen.store.spool import Spool
from synthgen.store.verify import requeue, verify_run
from synthgen.testing.fake_source import fake_plan
from synthgen.testing.tiny_exporter import dataset_digest, exporter

PLAN = fake_plan(12, embodiments=("franka", "g1"), shard_size=3)
EXPORTERS = {"tiny": exporter}
# The places a worker passes, and those of a simulator.
STEPS = (*POINTS, "fake.boot", "fake.reset", "fake.step", "fake.render")
ACTIONS = ("kill",) * 6 + ("exit 0", "exit 1", "segfault", "enospc", "eio", "error")
QUICK = {"cold": 20.0, "boot": 20.0, "reset": 0.5, "step": 0.5, "render": 0.5, "write": 3.0, "close": 0.5}


class Torture:
    """One run folder at a time, ill-treated until it is complete, then counted."""

    def __init__(self, base: Path, seed: int) -> None:
        self.base = base
        self.chance = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.runs = 0
        self.wrong: list[str] = []
        self.armed = base / "faults"
        os.environ["SYNTHGEN_FAKE"] = "success=0.7"
        self.reference = self.peaceful()

    def peaceful(self) -> dict[str, str]:
        """The data of a run that nothing happens to."""
        store = RunStore.create(self.base / "peaceful", PLAN)
        for shard in store.missing():
            runner_of(store, shard).run(shard, defer=(), stop=lambda: False)
        return self.digests(store)

    def digests(self, store: RunStore) -> dict[str, str]:
        finalize(store, EXPORTERS)
        return {e: dataset_digest(store.root / "tiny" / e) for e in ("franka", "g1")}

    def one_run(self) -> None:
        """Faults upon faults until the run is complete; then check it."""
        root = self.base / f"run{self.runs}"
        self.runs += 1
        store = RunStore.create(root, PLAN)
        for _ in range(self.chance.randrange(20, 60)):
            missing = list(store.missing())
            if not missing:
                break
            shard = self.chance.choice(missing)
            draw = self.chance.random()
            if draw < 0.85:
                self.forked(store, shard, workers=2 if draw < 0.15 else 1)
            elif draw < 0.87:
                self.supervised(store, shard)
            elif draw < 0.95:
                self.damage_spool(store, shard)
            elif draw < 0.98:
                self.damage_committed(store)
            else:
                remove(store, list(orphans(store, older_than=0)))
            store = RunStore.open(root)
        for shard in store.missing():
            runner_of(store, shard).run(shard, defer=(), stop=lambda: False)
        if self.chance.random() < 0.3:
            self.forked_finalize(store)
        self.check(store)
        shutil.rmtree(root)

    def forked(self, store: RunStore, shard: Shard, *, workers: int) -> None:
        """Workers on one shard; each meets at most one fault, and may be stopped after some slots."""
        for _ in range(workers):
            point = self.chance.choice(STEPS)
            detail = f"{shard.name}.{self.chance.randrange(shard.start, shard.stop)}" if "shard.add" in point else ""
            arm(self.armed, point, self.chance.choice(ACTIONS), detail=detail)
        stop_after = self.chance.choice((1, 2, 3, 1000))
        pids = [self.fork(lambda: self.work(store, shard, stop_after)) for _ in range(workers)]
        for pid in pids:
            os.waitpid(pid, 0)
        self.count()

    def work(self, store: RunStore, shard: Shard, stop_after: int) -> None:
        asked = iter(range(10_000))
        os.environ[VARIABLE] = str(self.armed)
        runner_of(store, shard).run(shard, defer=(), stop=lambda: next(asked) >= stop_after)

    def forked_finalize(self, store: RunStore) -> None:
        """Finalize, killed in the middle."""
        arm(self.armed, self.chance.choice(("finalize.built", "finalize.between")), "kill")

        def work() -> None:
            os.environ[VARIABLE] = str(self.armed)
            finalize(store, EXPORTERS)

        os.waitpid(self.fork(work), 0)
        self.count()

    def supervised(self, store: RunStore, shard: Shard) -> None:
        """A real simulator child under a real supervisor; the fault may also be a hang."""
        point = self.chance.choice(STEPS)
        action = self.chance.choice((*ACTIONS, "hang", "hang-gil"))
        if action.startswith("hang") and not point.startswith(("fake.r", "fake.s")):
            action = "kill"
        arm(self.armed, point, action)
        environment = {VARIABLE: str(self.armed), "SYNTHGEN_FAKE": "success=0.7"}
        settings = Settings(environment=environment, deadlines=QUICK, strikes=1 << 30, deaths=1 << 30)
        job = Job(root=store.root, plan=PLAN, project=Project.of(), asset_root=None, settings=settings)
        supervisor = Supervisor(job, "tortured")
        end = supervisor.run_shard(shard, alone=True)
        supervisor.close()
        # A format that raises stops a run by name, so that someone mends it; nothing is lost by that.
        broken_format = action == "error" and end.get("type") == "ExporterError"
        if end["end"] not in ("committed", "storage") and not broken_format:
            self.wrong.append(f"supervised {point} {action}: {end}")
        self.count()

    def damage_spool(self, store: RunStore, shard: Shard) -> None:
        """A spooled file is truncated, altered or lost."""
        for path in sorted(Spool(store.root, shard).folder.glob("*.episode"))[:1]:
            self.spoil(path)
            self.faults["spool file damaged"] += 1

    def damage_committed(self, store: RunStore) -> None:
        """A committed file is truncated, altered or lost; found by verify, and its shard made missing again."""
        names = sorted(store.committed())
        if not names:
            return
        record = store.record(self.chance.choice(names))
        path = store.root / record.folder / "tiny" / self.chance.choice(sorted(record.formats["tiny"].files))
        self.spoil(path)
        found = list(verify_run(store, EXPORTERS))
        if [d.shard for d in found] != [record.shard]:
            self.wrong.append(f"damage of {path} found as {found}")
        requeue(store, [d.shard for d in found])
        self.faults["committed file damaged"] += 1

    def spoil(self, path: Path) -> None:
        data = bytearray(path.read_bytes())
        how = self.chance.randrange(3)
        if how == 0 or len(data) < 2:
            path.unlink()
        elif how == 1:
            path.write_bytes(data[: self.chance.randrange(len(data))])
        else:
            data[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)
            path.write_bytes(data)

    def fork(self, work: object) -> int:
        pid = os.fork()
        if pid == 0:
            code = 1
            with suppress(StorageError, RuntimeError, OSError):
                work()  # type: ignore[operator]
                code = 0
            os._exit(code)
        return pid

    def count(self) -> None:
        """Count what fired and disarm the rest."""
        for path in list(self.armed.iterdir()):
            if ".fired." in path.name:
                name = path.name.split(".fired.")[0].split("@")[0]
                self.faults[f"{path.read_text()} at {name}"] += 1
            path.unlink()

    def check(self, store: RunStore) -> None:
        """Every slot once, and the data as in peace."""
        slots = sorted((r.cell, s.slot) for r in store.records() for s in r.slots)
        expected = sorted((c.name, i) for c in PLAN.cells for i in range(c.n))
        if slots != expected:
            self.wrong.append(f"{store.root}: slots {slots}")
        if list(verify_run(store, EXPORTERS)):
            self.wrong.append(f"{store.root}: does not verify")
        if self.digests(store) != self.reference:
            self.wrong.append(f"{store.root}: other data")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="torture-"))
    devnull = os.open(os.devnull, os.O_WRONLY)
    began = time.monotonic()
    torture = Torture(base, options.seed)
    torture.armed.mkdir(exist_ok=True)
    os.dup2(devnull, 2)  # crash reports of what is meant to crash
    told = 0
    while torture.faults.total() < options.faults and not torture.wrong:
        torture.one_run()
        if torture.faults.total() // 500 > told:
            told = torture.faults.total() // 500
            print(json.dumps({"faults": torture.faults.total(), "runs": torture.runs}), flush=True)
    end = {
        "faults": torture.faults.total(),
        "runs": torture.runs,
        "slots_checked": torture.runs * sum(c.n for c in PLAN.cells),
        "wrong": torture.wrong,
        "seconds": round(time.monotonic() - began, 1),
        "by_kind": dict(torture.faults.most_common()),
    }
    print(json.dumps(end), flush=True)
    shutil.rmtree(base, ignore_errors=True)
    return 1 if torture.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
