from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_helpers import POINTS, Fill, in_a_process, in_processes, runner_of

from synthgen.core.errors import DamagedShardError, ExporterError, PlanMismatchError, StorageError, UsageError
from synthgen.core.failpoint import arm
from synthgen.engine import runner as runner_module
from synthgen.store.gc import orphans, remove, sweep
from synthgen.store.record import CommitRecord
from synthgen.store.run import RunStore
from synthgen.store.spool import Spool
from synthgen.store.status import status
from synthgen.testing.fake_source import FakeSource, fake_plan


def fill_in_a_process(store: RunStore) -> int:
    def work() -> None:
        for shard in store.missing():
            runner_of(store, shard).run(shard, defer=(), stop=lambda: False)

    return in_a_process(work)


def assert_whole(store: RunStore) -> None:
    """Every slot exactly once, every named file there, and nothing uncommitted left in the spool."""
    seen: list[tuple[str, int]] = []
    for record in store.records():
        seen += [(record.cell, s.slot) for s in record.slots]
        for name, form in record.formats.items():
            for file, (size, _) in form.files.items():
                assert (store.root / record.folder / name / file).stat().st_size == size
    expected = [(c.name, slot) for c in store.plan.cells for slot in range(c.n)]
    assert sorted(seen) == sorted(expected)
    sweep(store)
    assert not list((store.root / "spool").rglob("*.episode"))


def test_a_run_is_committed_whole(store: RunStore, fill: Fill) -> None:
    fill(store)
    assert_whole(store)
    assert list(store.missing()) == []
    state = status(store)
    assert state.complete and state.cells[0].committed == 8 == state.cells[0].replay_passed
    assert state.cells[0].attempts == 8 + state.cells[0].failures.total()
    assert state.cells[0].success_rate == 8 / state.cells[0].attempts


def test_a_commit_says_what_writing_and_idling_took(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = next(store.plan.shards())
    runner = runner_of(store, shard)
    add = Spool.add

    def slowly(*arguments: object, **named: object) -> bool:
        time.sleep(0.05)
        return add(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Spool, "add", slowly)
    time.sleep(0.1)  # before the first shard the worker has nothing to do
    assert runner.run(shard, defer=(), stop=lambda: False) == "committed"
    record = store.record(shard.name)
    assert set(record.seconds) == {"write", "idle"}
    assert record.seconds["write"] >= 0.05 * len(record.slots)
    assert record.seconds["idle"] >= 0.1
    cell = status(store).cells[0]
    assert cell.seconds["write"] == pytest.approx(record.seconds["write"])
    assert CommitRecord.from_json(record.to_json(), store.root) == record


def test_a_commit_tried_again_counts_no_attempt_as_idling(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = next(store.plan.shards())
    runner = runner_of(store, shard)
    run, commit, tries = FakeSource.run, runner_module.commit_shard, []

    def slowly(*arguments: Any, **named: Any) -> Iterator[Any]:
        for outcome, episode in run(*arguments, **named):
            time.sleep(0.2)
            yield replace(outcome, seconds={"physics": 0.2}), episode

    def fails_once(*arguments: Any, **named: Any) -> bool:
        tries.append(named["seconds"])
        if len(tries) == 1:
            raise DamagedShardError("a spooled file")
        return commit(*arguments, **named)

    monkeypatch.setattr(FakeSource, "run", slowly)
    monkeypatch.setattr(runner_module, "commit_shard", fails_once)
    assert runner.run(shard, defer=(), stop=lambda: False) == "committed"
    assert len(tries) == 2 and tries[1]["write"] == tries[0]["write"] > 0
    assert tries[1]["idle"] - tries[0]["idle"] < 0.5 * 0.2 * 4, "four attempts of 0.2 s are not idling"


def test_records_survive_json_and_refuse_to_leave_the_run_folder(store: RunStore, fill: Fill) -> None:
    fill(store, next(store.plan.shards()))
    path = store.commit_path("fake.franka.000000")
    d = json.loads(path.read_text())
    record = CommitRecord.from_json(d, path)
    assert json.loads(json.dumps(record.to_json())) == d
    files = d["formats"]["tiny"]["files"]
    for change in (
        {"folder": "../elsewhere"},
        {"folder": "/etc"},
        {"folder": "shards/../../x"},
        {"formats": {"tiny": {**d["formats"]["tiny"], "files": {**files, "../../x": [1, "0"]}}}},
        {"formats": {"../tiny": d["formats"]["tiny"]}},
        {"slots": [{"slot": 1}]},
        {"version": 99},
    ):
        with pytest.raises(DamagedShardError):
            CommitRecord.from_json(d | change, path)


def test_the_same_plan_joins_and_another_is_refused_with_the_fields(tmp_path: Path) -> None:
    first = RunStore.create(tmp_path, fake_plan(8))
    assert RunStore.create(tmp_path, fake_plan(8)).digest == first.digest
    with pytest.raises(PlanMismatchError) as caught:
        RunStore.create(tmp_path, fake_plan(7, seed=5))
    assert "seed: 0 there, 5 asked for" in caught.value.message
    assert "n of fake.franka: 8 there, 7 asked for" in caught.value.message
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match=r"no plan\.json"):
        RunStore.open(tmp_path / "nowhere")


def test_concurrent_duplicate_work_commits_once(store: RunStore, fill: Fill) -> None:
    shard = next(store.plan.shards())

    def work() -> None:
        name = f"p{os.getpid()}"
        assert runner_of(store, shard, name).run(shard, defer=(), stop=lambda: False) == "committed"

    for _ in range(3):
        assert in_processes(work, 4) == [0] * 4
    record = store.record(shard.name)
    assert [s.slot for s in record.slots] == [0, 1, 2, 3]
    assert [p.name for p in (store.root / "shards").iterdir()] == [Path(record.folder).name]
    fill(store)
    assert_whole(store)


@pytest.mark.parametrize("point", POINTS)
def test_kill_at_every_step_loses_and_doubles_nothing(store: RunStore, armed: Path, point: str) -> None:
    for again in range(2):
        arm(armed, point, "kill")
        assert fill_in_a_process(store) == -signal.SIGKILL, f"{point} was never passed"
        assert len(list(armed.glob("*.fired.*"))) == again + 1
    assert fill_in_a_process(store) == 0
    assert_whole(store)


@pytest.mark.parametrize("action", ["enospc", "eio"])
@pytest.mark.parametrize("point", ["tiny.add", "shard.written", "publish.before_link"])
def test_a_failing_disk_is_one_clear_error_and_resumes(
    store: RunStore, fill: Fill, armed: Path, action: str, point: str
) -> None:
    arm(armed, point, action)
    with pytest.raises(StorageError) as caught:
        fill(store)
    assert caught.value.remedy.endswith("it resumes")
    assert not [p for p in (store.root / "shards").glob("*") if p.name not in committed_folders(store)]
    fill(store)
    assert_whole(store)


def committed_folders(store: RunStore) -> set[str]:
    return {Path(r.folder).name for r in store.records()}


def test_a_file_size_limit_stops_the_write_and_resumes(store: RunStore) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    shard = next(store.plan.shards())
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(StorageError, match="File too large"):
            runner_of(store, shard).run(shard, defer=(), stop=lambda: False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not store.is_committed(shard)
    assert fill_in_a_process(store) == 0
    assert_whole(store)


def test_a_damaged_spool_file_is_made_again(store: RunStore, fill: Fill) -> None:
    shard = next(store.plan.shards())
    runner = runner_of(store, shard)
    assert runner.run(shard, defer=[3], stop=lambda: False) == "deferred"
    path = Spool(store.root, shard).path(1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    fill(store)
    assert_whole(store)


def test_files_that_do_not_verify_are_never_committed(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from synthgen.testing import tiny_exporter

    def zeros(self: object, episode: object) -> None:
        np.savez(self._folder / "fake.000000.npz", state=np.full((1, 8), np.nan), action=np.zeros((1, 8)))  # type: ignore[attr-defined]
        self._lines = [json.dumps({"file": "fake.000000.npz", "frames": 1})]  # type: ignore[attr-defined]

    monkeypatch.setattr(tiny_exporter.TinyShardWriter, "add", zeros)
    shard = next(store.plan.shards())
    with pytest.raises(DamagedShardError, match="finite False"):
        runner_of(store, shard).run(shard, defer=(), stop=lambda: False)
    assert store.committed() == set()
    assert list((store.root / "shards").iterdir()) == []


@pytest.mark.parametrize(("point", "doing"), [("tiny.add", "writing slot 0 of fake"), ("tiny.verify", "re-reading")])
def test_an_exporter_that_raises_is_named_and_the_run_goes_on(
    store: RunStore, fill: Fill, armed: Path, point: str, doing: str
) -> None:
    arm(armed, point, "raise")
    with pytest.raises(ExporterError, match=f"format 'tiny' failed {doing}.*RuntimeError") as caught:
        fill(store)
    assert "mend its exporter" in caught.value.remedy
    assert store.committed() == set()
    assert list((store.root / "shards").iterdir()) == []
    assert len(list((store.root / "spool").rglob("*.episode"))) > 0  # nothing is made twice
    fill(store)
    assert_whole(store)


def test_a_plan_of_any_size_costs_no_memory(tmp_path: Path) -> None:
    import tracemalloc

    store = RunStore.create(tmp_path, fake_plan(780_000, shard_size=64))
    tracemalloc.start()
    assert sum(1 for _ in store.missing()) == 12_188
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_names_of_commits_ignore_temporary_files(store: RunStore) -> None:
    folder = store.root / "commits"
    folder.mkdir()
    (folder / ".tmp-0123").write_text("{}")
    assert store.committed() == set()


def test_gc_removes_orphans_and_nothing_else(store: RunStore, fill: Fill, armed: Path) -> None:
    shards = list(store.plan.shards())
    fill(store, shards[0])
    for point in ("shard.synced", "shard.committed"):
        arm(armed, point, "kill")
        assert fill_in_a_process(store) == -signal.SIGKILL
    runner_of(store, shards[-1]).run(shards[-1], defer=[shards[-1].stop - 1], stop=lambda: False)
    kept = {p for p in store.root.rglob("*") if p.is_file()}
    assert list(orphans(store)) == [o for o in orphans(store, older_than=0) if "committed shard" in o.why]
    found = list(orphans(store, older_than=0))
    assert sorted(o.path.parent.name for o in found) == ["shards", "spool"]
    remove(store, found)
    gone = kept - {p for p in store.root.rglob("*") if p.is_file()}
    assert all(any(o.path in p.parents for o in found) for p in gone) and gone
    assert Spool(store.root, shards[-1]).spooled(), "unfinished work stays"
    fill(store)
    assert_whole(store)
    assert list(orphans(store)) == []


def test_a_larger_n_keeps_what_is_committed(store: RunStore, fill: Fill) -> None:
    fill(store)
    kept = {p.name: p.read_bytes() for p in (store.root / "commits").iterdir()}
    grown = RunStore.create(store.root, fake_plan(13, embodiments=("franka", "g1")))
    assert grown.digest != store.digest and [c.n for c in grown.plan.cells] == [13, 13]
    assert [s.start for s in grown.missing() if s.embodiment == "g1"] == [8, 12]
    assert RunStore.open(store.root).plan == grown.plan
    joined = RunStore.create(store.root, fake_plan(13, embodiments=("franka", "g1")))
    assert joined.plan == grown.plan
    fill(grown, *grown.missing())
    assert_whole(grown)
    assert {name: (store.root / "commits" / name).read_bytes() for name in kept} == kept
    with pytest.raises(PlanMismatchError, match="13 there, 8 asked for"):
        RunStore.create(store.root, fake_plan(8, embodiments=("franka", "g1")))
