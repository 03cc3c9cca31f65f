from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from store_helpers import Fill

from synthgen.core.failpoint import arm
from synthgen.store.finalize import finalize
from synthgen.store.run import RunStore
from synthgen.testing.tiny_exporter import dataset_digest, exporter

EXPORTERS = {"tiny": exporter}


def digests(store: RunStore) -> dict[str, str]:
    return {p.name: dataset_digest(p) for p in sorted((store.root / "tiny").iterdir())}


def test_one_data_set_per_embodiment_in_slot_order(store: RunStore, fill: Fill) -> None:
    fill(store, *reversed(list(store.plan.shards())))
    made = finalize(store, EXPORTERS, command="synthgen run")
    assert [(d.root.name, d.episodes) for d in made] == [("franka", 8), ("g1", 8)]
    index = (store.root / "tiny" / "franka" / "index.jsonl").read_text().splitlines()
    assert [f'"slot": {i},' in line for i, line in enumerate(index)] == [True] * 8


def test_order_and_worker_of_the_shards_do_not_matter(store: RunStore, fill: Fill, tmp_path: Path) -> None:
    fill(store)
    finalize(store, EXPORTERS)
    other = RunStore.create(tmp_path / "other", store.plan)
    for i, shard in enumerate(reversed(list(other.plan.shards()))):
        fill(other, shard, worker=f"w{i % 3}")
    finalize(other, EXPORTERS)
    assert digests(store) == digests(other)


def test_a_second_finalize_changes_nothing(store: RunStore, fill: Fill) -> None:
    fill(store)
    first = finalize(store, EXPORTERS)
    stamp = (store.root / "tiny" / "g1" / "index.jsonl").stat().st_mtime_ns
    assert finalize(store, EXPORTERS) == first
    assert (store.root / "tiny" / "g1" / "index.jsonl").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("point", ["finalize.built", "finalize.between"])
def test_a_crash_while_finalizing_is_made_good(store: RunStore, fill: Fill, armed: Path, point: str) -> None:
    fill(store)
    finalize(store, EXPORTERS)
    want = digests(store)
    shutil.rmtree(store.root / "finalized")
    arm(armed, point, "error")
    with pytest.raises(RuntimeError):
        finalize(store, EXPORTERS)
    finalize(store, EXPORTERS)
    assert digests(store) == want
    assert not (store.root / "finalizing").exists()


def test_large_runs_are_divided_between_shards(store: RunStore, fill: Fill) -> None:
    fill(store)
    whole = finalize(store, EXPORTERS)
    parts = finalize(store, EXPORTERS, episodes_per_dataset=5)
    assert sum(d.episodes for d in parts) == sum(d.episodes for d in whole)
    assert [d.root.name for d in parts] == ["franka-000", "franka-001", "g1-000", "g1-001"]
    assert max(d.episodes for d in parts) <= 5
    assert sorted(p.name for p in (store.root / "tiny").iterdir()) == [d.root.name for d in parts]
    index = json.loads((store.root / "datasets.json").read_text())["datasets"]
    assert [(e["path"], e["episodes"]) for e in index] == [(f"tiny/{d.root.name}", d.episodes) for d in parts]
    assert [d.root.name for d in finalize(store, EXPORTERS)] == ["franka", "g1"]
