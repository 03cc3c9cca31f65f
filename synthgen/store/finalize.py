"""From committed shards to data sets: ``<run>/<format>/<embodiment>``, in slot order, whoever made them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from synthgen.core.errors import StorageError
from synthgen.core.exporter import DatasetSpec, DatasetSummary, Exporter, ShardFiles, blame
from synthgen.store.files import TEMPORARY, dump, parse, storage_errors
from synthgen.store.record import CommitRecord, FormatRecord
from synthgen.store.run import FINALIZED, RunStore

EPISODES_PER_DATASET = 50_000
INDEX = "datasets.json"


@dataclass(frozen=True, kw_only=True)
class _Committed:
    """What finalizing needs of a commit record; without its slots, of which a run has many."""

    shard: str
    folder: str
    episodes: int
    formats: Mapping[str, FormatRecord]


def finalize(
    store: RunStore,
    exporters: Mapping[str, Exporter],
    *,
    command: str = "",
    episodes_per_dataset: int = EPISODES_PER_DATASET,
) -> list[DatasetSummary]:
    """Make every data set of the run from what is committed. Idempotent; a second caller waits for the first.

    A data set is built beside its place and then moved there in one step, so a reader sees the old one or the new one
    (in an object store: the old one, none, or the new one).
    An embodiment with more episodes than ``episodes_per_dataset`` gets several, cut between shards:
    ``<embodiment>-000``, ``-001`` and so on. ``datasets.json`` lists them all.
    ``command``: the command line that makes the run again, for the data set's card.

    Raises:
        StorageError.
    """
    with storage_errors(store.root), store.finalizing():
        made: list[DatasetSummary] = []
        index: list[dict[str, Any]] = []
        shards, described = _committed(store, command)
        for key in store.plan.formats:
            for embodiment, mine in shards.items():
                parts = _parts(mine, episodes_per_dataset)
                for number, part in enumerate(parts):
                    name = embodiment if len(parts) == 1 else f"{embodiment}-{number:03d}"
                    summary = _one(store, key, exporters[key], name, shards=part, dataset=described[embodiment])
                    made.append(summary)
                    where = {"format": key, "embodiment": embodiment, "path": f"{key}/{name}"}
                    counts = {"episodes": summary.episodes, "frames": summary.frames}
                    index.append({**where, **counts, "shards": [part[0].shard, part[-1].shard]})
        store.write(INDEX, dump({"datasets": index}))
        _remove_others(store, {entry["path"] for entry in index})
        return made


def _committed(store: RunStore, command: str) -> tuple[dict[str, list[_Committed]], dict[str, DatasetSpec]]:
    """Non-empty shards by embodiment, cells in plan order, slots in order within a cell; and what their sets are."""
    place = {c.name: i for i, c in enumerate(store.plan.cells)}
    embodiment_of = {c.name: c.embodiment for c in store.plan.cells}
    keyed: dict[str, list[tuple[tuple[int, int], _Committed]]] = {}
    first: dict[str, tuple[tuple[int, int], CommitRecord]] = {}
    for r in store.records():
        if not r.slots:
            continue
        embodiment, order = embodiment_of[r.cell], (place[r.cell], r.start)
        shard = _Committed(shard=r.shard, folder=r.folder, episodes=len(r.slots), formats=r.formats)
        keyed.setdefault(embodiment, []).append((order, shard))
        if embodiment not in first or order < first[embodiment][0]:
            first[embodiment] = (order, r)
    shards = {e: [s for _, s in sorted(found, key=lambda x: x[0])] for e, found in keyed.items()}
    return shards, {e: _dataset(store, e, record, command) for e, (_, record) in first.items()}


def _parts(shards: list[_Committed], limit: int) -> list[list[_Committed]]:
    """Consecutive shards of at most ``limit`` episodes together; a shard is never divided."""
    parts: list[list[_Committed]] = []
    room = 0
    for shard in shards:
        if not parts or shard.episodes > room:
            parts.append([])
            room = limit
        parts[-1].append(shard)
        room -= shard.episodes
    return parts


def _one(
    store: RunStore, key: str, exporter: Exporter, name: str, *, shards: list[_Committed], dataset: DatasetSpec
) -> DatasetSummary:
    relative = f"{key}/{name}"
    marker = f"{FINALIZED}/{key}.{name}.json"
    digest = hashlib.sha256(repr([(s.folder, s.shard) for s in shards]).encode()).hexdigest()
    said = store.read(marker)
    if said is not None and store.has_dataset(relative):
        known = parse(f"{store.place}/{marker}", said)
        if known.get("shards") == digest:
            return _summary(store, relative, int(known["episodes"]), int(known["frames"]))
    work = store.root / "finalizing"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    with store.fetched([(s.folder, key, s.formats[key]) for s in shards]) as folders:
        files = [
            ShardFiles(folder=folder, files=form.files, episodes=form.episodes, frames=form.frames)
            for folder, form in zip(folders, (s.formats[key] for s in shards), strict=True)
        ]
        with blame(key, f"joining shards into {relative}"):
            summary = exporter.finalize(files, work / name, replace(dataset, name=name))
    expected = sum(s.episodes for s in files), sum(s.frames for s in files)
    if (summary.episodes, summary.frames) != expected:
        raise StorageError(
            f"exporter {key!r} made a data set of {summary.episodes} episodes, {summary.frames} frames from shards of "
            f"{expected[0]} episodes, {expected[1]} frames",
            remedy="mend the exporter's finalize()",
        )
    store.replace_dataset(work / name, relative)
    store.write(marker, dump({"shards": digest, "episodes": summary.episodes, "frames": summary.frames}))
    shutil.rmtree(work, ignore_errors=True)
    return _summary(store, relative, summary.episodes, summary.frames)


def _summary(store: RunStore, relative: str, episodes: int, frames: int) -> DatasetSummary:
    return DatasetSummary(root=store.root / relative, episodes=episodes, frames=frames)


def _remove_others(store: RunStore, paths: set[str]) -> None:
    """Remove data sets that an earlier finalize made and this one did not: the run was divided differently."""
    for marker in store.names(FINALIZED):
        key, _, name = marker.removesuffix(".json").partition(".")
        if marker.endswith(".json") and not marker.startswith(TEMPORARY) and f"{key}/{name}" not in paths:
            store.write(f"{FINALIZED}/{marker}", dump({"shards": ""}))  # should this die: what is left is no data set
            store.drop_dataset(f"{key}/{name}")
            store.remove(f"{FINALIZED}/{marker}")


def _dataset(store: RunStore, embodiment: str, record: CommitRecord, command: str) -> DatasetSpec:
    first = record.dataset
    if first is None:
        raise StorageError(f"{record.shard}: committed without a data set description")
    tasks = tuple(dict.fromkeys(c.task for c in store.plan.cells if c.embodiment == embodiment))
    extra = {**first.extra, "plan": store.digest, "seed": store.plan.seed, "versions": dict(record.versions)}
    return replace(first, tasks=tasks, command=first.command or command, extra=extra)
