"""Any order of working, crashing, racing and resuming: never lost, never twice."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from store_helpers import POINTS, in_a_process, in_processes, runner_of

from synthgen.core.failpoint import VARIABLE, arm
from synthgen.core.plan import Shard
from synthgen.store.finalize import finalize
from synthgen.store.gc import orphans, remove
from synthgen.store.run import RunStore
from synthgen.store.spool import Spool
from synthgen.testing.fake_source import fake_plan
from synthgen.testing.tiny_exporter import dataset_digest, exporter

PLAN = fake_plan(5, embodiments=("franka", "g1"), shard_size=2)
SHARDS = list(PLAN.shards())


class CommitMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="machine-"))
        self.faults = self.base / "faults"
        self.faults.mkdir()
        os.environ[VARIABLE] = str(self.faults)
        self.store = RunStore.create(self.base / "run", PLAN)
        self.known: dict[str, bytes] = {}

    @rule(shard=st.sampled_from(SHARDS), slots=st.integers(0, 2))
    def work_on_some_slots(self, shard: Shard, slots: int) -> None:
        """A worker that is stopped after a few slots (drained, or its node taken away between episodes)."""
        asked = iter(range(1000))
        runner_of(self.store, shard).run(shard, defer=(), stop=lambda: next(asked) >= slots)

    @rule(shard=st.sampled_from(SHARDS), point=st.sampled_from(POINTS))
    def die_at(self, shard: Shard, point: str) -> None:
        """A worker that is killed at a step of its work (if it comes by there)."""
        arm(self.faults, point, "kill")
        code = in_a_process(lambda: runner_of(self.store, shard).run(shard, defer=(), stop=lambda: False))
        assert code in (0, -signal.SIGKILL)
        (self.faults / point).unlink(missing_ok=True)

    @rule(shard=st.sampled_from(SHARDS))
    def race(self, shard: Shard) -> None:
        """Two workers on the same shard."""
        work = lambda: runner_of(self.store, shard).run(shard, defer=(), stop=lambda: False)  # noqa: E731
        assert in_processes(work, 2) == [0, 0]

    @rule(shard=st.sampled_from(SHARDS), chance=st.randoms(use_true_random=False))
    def damage_the_spool(self, shard: Shard, chance: object) -> None:
        for path in sorted(Spool(self.store.root, shard).folder.glob("*.episode")):
            data = bytearray(path.read_bytes())
            data[chance.randrange(len(data))] ^= 255  # type: ignore[attr-defined]
            path.write_bytes(data)
            break

    @rule()
    def collect_garbage(self) -> None:
        remove(self.store, list(orphans(self.store, older_than=0)))

    @rule()
    def resume_elsewhere(self) -> None:
        self.store = RunStore.create(self.base / "run", PLAN)

    @precondition(lambda self: next(self.store.missing(), None) is None)
    @rule()
    def finish(self) -> None:
        finalize(self.store, {"tiny": exporter})

    @invariant()
    def committed_stays_as_it_was(self) -> None:
        now = {name: self.store.commit_path(name).read_bytes() for name in self.store.committed()}
        for name, content in self.known.items():
            assert now.get(name) == content
        self.known = now
        for name in now:
            record = self.store.record(name)
            for key, form in record.formats.items():
                found = exporter.verify(self.store.root / record.folder / key, record.dataset)  # type: ignore[arg-type]
                assert found == (form.episodes, form.frames)

    def teardown(self) -> None:
        for shard in self.store.missing():
            runner_of(self.store, shard).run(shard, defer=(), stop=lambda: False)
        slots = sorted((r.cell, s.slot) for r in self.store.records() for s in r.slots)
        assert slots == sorted((c.name, i) for c in PLAN.cells for i in range(c.n))
        finalize(self.store, {"tiny": exporter})
        digest = {e: dataset_digest(self.store.root / "tiny" / e) for e in ("franka", "g1")}
        assert REFERENCE.setdefault("digest", digest) == digest
        os.environ.pop(VARIABLE, None)
        shutil.rmtree(self.base)


REFERENCE: dict[str, dict[str, str]] = {}
CommitMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("SYNTHGEN_MACHINE", "15")),
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestCommitMachine = CommitMachine.TestCase
