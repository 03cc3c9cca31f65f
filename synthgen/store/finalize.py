"""From committed shards to data sets: ``<run>/<format>/<embodiment>``, in slot order, whoever made them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from synthgen.core.errors import StorageError
from synthgen.core.exporter import DatasetSpec, DatasetSummary, Exporter, ShardFiles
from synthgen.core.failpoint import failpoint
from synthgen.store.files import dump, load, storage_errors, sync_tree, token
from synthgen.store.files import replace as write
from synthgen.store.record import CommitRecord
from synthgen.store.run import RunStore


def finalize(store: RunStore, exporters: Mapping[str, Exporter], *, command: str = "") -> list[DatasetSummary]:
    """Make every data set of the run from what is committed. Idempotent; a second caller waits for the first.

    A data set is built beside its place and then moved there in one step, so a reader sees the old one or the new one.
    ``command``: the command line that makes the run again, for the data set's card.

    Raises:
        StorageError.
    """
    with storage_errors(store.root), _lock(store.root / "finalize.lock"):
        made: list[DatasetSummary] = []
        records = _by_embodiment(store)
        for key in store.plan.formats:
            for embodiment, shards in records.items():
                made.append(_one(store, key, exporters[key], embodiment, records=shards, command=command))
        return made


def _by_embodiment(store: RunStore) -> dict[str, list[CommitRecord]]:
    """Non-empty shards by embodiment: cells in plan order, slots in order within a cell."""
    place = {c.name: i for i, c in enumerate(store.plan.cells)}
    records = sorted((r for r in store.records() if r.slots), key=lambda r: (place[r.cell], r.start))
    found: dict[str, list[CommitRecord]] = {}
    embodiment_of = {c.name: c.embodiment for c in store.plan.cells}
    for record in records:
        found.setdefault(embodiment_of[record.cell], []).append(record)
    return found


def _one(
    store: RunStore, key: str, exporter: Exporter, embodiment: str, *, records: list[CommitRecord], command: str
) -> DatasetSummary:
    dataset = _dataset(store, embodiment, records, command)
    root = store.root / key / embodiment
    marker = store.root / "finalized" / f"{key}.{embodiment}.json"
    digest = hashlib.sha256(repr([(r.folder, r.shard) for r in records]).encode()).hexdigest()
    if root.is_dir() and marker.is_file():
        known = load(marker)
        if known.get("shards") == digest:
            return DatasetSummary(root=root, episodes=int(known["episodes"]), frames=int(known["frames"]))
    shards = [
        ShardFiles(
            folder=store.root / r.folder / key,
            files=r.formats[key].files,
            episodes=r.formats[key].episodes,
            frames=r.formats[key].frames,
        )
        for r in records
    ]
    work = store.root / "finalizing"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    fresh = work / embodiment
    summary = exporter.finalize(shards, fresh, dataset)
    expected = sum(s.episodes for s in shards), sum(s.frames for s in shards)
    if (summary.episodes, summary.frames) != expected:
        raise StorageError(
            f"exporter {key!r} made a data set of {summary.episodes} episodes, {summary.frames} frames from shards of "
            f"{expected[0]} episodes, {expected[1]} frames",
            remedy="mend the exporter's finalize()",
        )
    sync_tree(fresh)
    failpoint("finalize.built", f"{key}.{embodiment}")
    root.parent.mkdir(parents=True, exist_ok=True)
    if root.exists():
        root.rename(work / f"old-{token()}")
    failpoint("finalize.between", f"{key}.{embodiment}")
    fresh.rename(root)
    write(marker, dump({"shards": digest, "episodes": summary.episodes, "frames": summary.frames}))
    shutil.rmtree(work, ignore_errors=True)
    return DatasetSummary(root=root, episodes=summary.episodes, frames=summary.frames)


def _dataset(store: RunStore, embodiment: str, records: list[CommitRecord], command: str) -> DatasetSpec:
    first = records[0].dataset
    if first is None:
        raise StorageError(f"{records[0].shard}: committed without a data set description")
    tasks = tuple(dict.fromkeys(c.task for c in store.plan.cells if c.embodiment == embodiment))
    extra = {**first.extra, "plan": store.digest, "seed": store.plan.seed, "versions": dict(records[0].versions)}
    return replace(first, tasks=tasks, command=first.command or command, extra=extra)


@contextmanager
def _lock(path: Path) -> Generator[None]:
    """Hold an exclusive lock; the kernel gives it back when its holder dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
