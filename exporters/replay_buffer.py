"""Zarr v2, as diffusion_policy's ReplayBuffer reads it: one store, decoded pictures, everything (N, ...) in ``data/``.

ReplayBuffer reads the data set whole, so this is for sets that fit into memory. Shards hold the episodes' records with
their mp4 files; ``finalize`` decodes them into the one store. Columns are named with underscores: its policies use the
names as those of PyTorch modules and parameters, which may hold no dots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zarr
from numcodecs import Blosc
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.base import Assembly, PieceFormat
from synthgen.formats.check import check_episode
from synthgen.formats.columns_check import check_columns
from synthgen.formats.features import CONVENTIONS, frame_columns, frame_features
from synthgen.formats.lerobot import Names, image_key, info_features, renumber
from synthgen.formats.manifest import ShardManifest
from synthgen.formats.piece import Piece
from synthgen.formats.problem import Problem
from synthgen.formats.records import read_records
from synthgen.formats.shard import ShardBook
from synthgen.formats.summary import DatasetStatistics
from synthgen.formats.video_check import check_video
from synthgen.formats.zarr_arrays import KEEP, attributes, check_complete, open_store, read_rows
from synthgen.media.video import decode

STORE = "replay.zarr"
ROWS_PER_CHUNK = 1024
PICTURES_PER_CHUNK = 16


class ReplayShard:
    """Writes one shard; memory holds one episode."""

    def __init__(self, folder: Path, dataset: DatasetSpec, format_name: str) -> None:
        self._dataset = dataset
        self._book = ShardBook(folder, dataset, format_name)

    def add(self, episode: Episode) -> None:
        """Append an episode; see ``ShardWriter``."""
        check_episode(episode, self._dataset)
        self._book.add(episode, frame_columns(episode, self._dataset), {})
        if self._book.manifest.info is None:
            self._book.manifest.info = info_features(self._dataset, frame_features(self._dataset), episode.videos)

    def close(self) -> Sequence[Path]:
        """Finish every file; see ``ShardWriter``."""
        return self._book.close()

    def abort(self) -> None:
        """Close without finishing; see ``ShardWriter``."""
        self._book.abort()


class ReplayAssembly(Assembly):
    """Decodes episodes into the store one by one."""

    def __init__(self, profile: ReplayBuffer, root: Path, manifest: ShardManifest) -> None:
        self._profile, self._manifest, self._frames = profile, manifest, 0
        self._tasks, self._subtasks = Names(), Names()
        self._ends: list[int] = []
        self._episode_tasks: list[int] = []
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._root = zarr.open_group(str(root / STORE), mode="w", zarr_format=2)
        dataset, n = manifest.dataset, manifest.frames
        for f in frame_features(dataset):
            self._create(key(f.name), (n,) if f.width == 1 else (n, f.width), f.dtype, ROWS_PER_CHUNK)
        for c in dataset.cameras:
            self._create(key(image_key(c.name)), (n, c.height, c.width, 3), "uint8", PICTURES_PER_CHUNK)

    def add(self, piece: Piece, rows: pa.Table) -> None:
        """See ``Assembly``."""
        dataset = self._manifest.dataset
        for episode in self._profile.episodes(piece, dataset):
            columns = frame_columns(episode, dataset)
            columns["subtask_index"] = renumber(columns["subtask_index"], episode.subtasks, self._subtasks)
            columns |= {image_key(c.name): decode(episode.videos[c.name].data) for c in dataset.cameras}
            end = self._frames + len(episode)
            for name, values in columns.items():
                self._arrays[key(name)][self._frames : end] = values
            self._frames = end
            self._ends.append(end)
            self._episode_tasks.append(self._tasks.number(episode.instruction))

    def finish(self, manifest: ShardManifest, statistics: DatasetStatistics) -> None:
        """See ``Assembly``."""
        for name, values in (("episode_ends", self._ends), ("task_index", self._episode_tasks)):
            self._create(f"meta/{name}", (len(values),), "int64", max(1, len(values)))
            self._arrays[f"meta/{name}"][...] = np.array(values, np.int64)
        names = {"tasks": self._tasks.all(), "subtasks": self._subtasks.all()}
        features = {"features": manifest.info, "conventions": dict(CONVENTIONS)}
        self._root.attrs.update({"fps": manifest.dataset.fps, **names, **features})

    def _create(self, name: str, shape: tuple[int, ...], dtype: str, rows: int) -> None:
        codec = Blosc(cname="zstd", clevel=1 if dtype == "uint8" else 5, shuffle=Blosc.BITSHUFFLE)
        # Kept and used again: an array opened by name would not write chunks of zeros.
        self._arrays[name] = self._root.create_array(
            name, shape=shape, dtype=dtype, chunks=(rows, *shape[1:]), compressors=codec, config=KEEP
        )


class ReplayBuffer(PieceFormat):
    """The exporter."""

    def open_shard(self, folder: Path, dataset: DatasetSpec) -> ReplayShard:
        """Start writing a shard; see ``Exporter``."""
        return ReplayShard(folder, dataset, self.name)

    def shard_files(self, folder: Path, dataset: DatasetSpec) -> dict[str, tuple[Path, ...]]:
        """See ``PieceFormat``: the records hold everything."""
        return {}

    def dataset_files(self, root: Path, kind: str, start: int, stop: int) -> tuple[Path, ...]:
        """See ``PieceFormat``."""
        return ()

    def assembly(self, root: Path, manifest: ShardManifest) -> ReplayAssembly:
        """See ``PieceFormat``."""
        return ReplayAssembly(self, root, manifest)

    def check_piece(self, piece: Piece, rows: pa.Table, dataset: DatasetSpec, *, decode: bool) -> Iterator[Problem]:
        """See ``PieceFormat``."""
        file = piece.name(piece.records)
        for i, record in enumerate(read_records(piece.records)):
            n = record.identity["frames"]
            for camera in dataset.cameras:
                blob = record.arrays[f"mp4/{camera.name}"].tobytes()
                name = f"{file}[{i}]/{camera.name}"
                yield from check_video(name, blob, np.array([0]), n, decode=decode)

    def check_dataset(self, root: Path, manifest: ShardManifest, pieces: Sequence[Piece]) -> Iterator[Problem]:
        """See ``PieceFormat``."""
        length = np.concatenate([p.places().column("length").to_numpy() for p in pieces])
        store = open_store(root / STORE)
        dataset = manifest.dataset
        features = frame_features(dataset)
        names = [key(n) for n in [*(f.name for f in features), *(image_key(c.name) for c in dataset.cameras)]]
        yield from check_complete(STORE, root / STORE, store, [*names, "meta/episode_ends", "meta/task_index"])
        said = [t[0] for p in pieces for t in p.places().column("tasks").to_pylist()]
        names = list(attributes(store).get("tasks", ()))
        numbers = {n: i for i, n in enumerate(names)}
        for name, want in (("episode_ends", np.cumsum(length)), ("task_index", [numbers.get(t, -1) for t in said])):
            if not np.array_equal(read_rows(store, f"meta/{name}"), want):
                what = "does not follow from the episodes' lengths and the attribute tasks"
                yield Problem(file=STORE, where=f"meta/{name}", what=what)
        if -1 in [numbers.get(t, -1) for t in said]:
            yield Problem(file=STORE, where="attribute tasks", what="lacks recorded instructions")
        yield from check_columns(STORE, lambda n: read_rows(store, key(n)), features, length, dataset)
        for camera in dataset.cameras:
            yield from _check_pictures(store, key(image_key(camera.name)), length)


def key(column: str) -> str:
    """Where a column lies in the store."""
    return f"data/{column.replace('.', '_')}"


def _check_pictures(store: zarr.Group, name: str, length: NDArray[Any]) -> Iterator[Problem]:
    """Read pictures an episode at a time: a damaged chunk raises; an all-black episode was never written."""
    ends = np.cumsum(length)
    for i, (start, end) in enumerate(zip(ends - length, ends, strict=True)):
        if not read_rows(store, name, slice(int(start), int(end))).any():
            yield Problem(file=STORE, where=f"{name}, episode {i}", what="is all black")


exporter = ReplayBuffer("zarr-v2", "Zarr v2 as diffusion_policy's ReplayBuffer reads it; for sets that fit into memory")
