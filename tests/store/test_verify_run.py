from __future__ import annotations

from pathlib import Path

import pytest
from store_helpers import Fill

from synthgen.store.finalize import finalize
from synthgen.store.run import RunStore
from synthgen.store.verify import requeue, verify_run
from synthgen.testing.tiny_exporter import dataset_digest, exporter

EXPORTERS = {"tiny": exporter}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


SPOIL = {
    "a flipped byte": (lambda f: flip(f / "fake.000001.npz"), "sha256 differs"),
    "a truncated file": (lambda f: (f / "fake.000002.npz").write_bytes(b"PK"), "2 bytes instead of"),
    "a missing file": (lambda f: (f / "fake.000003.npz").unlink(), "No such file"),
    "an empty index": (lambda f: (f / "index.jsonl").write_text(""), "0 bytes instead of"),
}


@pytest.mark.parametrize("how", SPOIL)
def test_damage_is_found_where_it_is_and_only_that_is_made_again(store: RunStore, fill: Fill, how: str) -> None:
    fill(store)
    finalize(store, EXPORTERS)
    want = dataset_digest(store.root / "tiny" / "franka")
    assert list(verify_run(store, EXPORTERS)) == []
    record = store.record("fake.franka.000000")
    spoil, what = SPOIL[how]
    spoil(store.root / record.folder / "tiny")
    (damage,) = verify_run(store, EXPORTERS)
    assert damage.shard == "fake.franka.000000" and what in damage.what
    assert damage.file.startswith(record.folder)
    others = {n: store.commit_path(n).read_bytes() for n in store.committed() - {damage.shard}}
    requeue(store, [damage.shard])
    assert [s.name for s in store.missing()] == [damage.shard]
    fill(store)
    assert {n: store.commit_path(n).read_bytes() for n in others} == others
    assert list(verify_run(store, EXPORTERS)) == []
    finalize(store, EXPORTERS)
    assert dataset_digest(store.root / "tiny" / "franka") == want


def test_a_record_that_is_not_one_is_damage(store: RunStore, fill: Fill) -> None:
    fill(store)
    store.commit_path("fake.g1.000001").write_text("{}")
    (damage,) = verify_run(store, EXPORTERS)
    assert damage.file == "commits/fake.g1.000001.json" and "not a commit record" in damage.what
