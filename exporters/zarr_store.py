"""LeRobot's tables with the frames in Zarr: one immutable store per shard, written whole by one writer.

Profiles: one mp4 per episode (default), or one JPEG per frame. ``exporters/replay_buffer.py`` has the Zarr v2 one.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zarr
from numpy.typing import NDArray
from PIL import Image

from synthgen.core.episode import Episode
from synthgen.core.errors import DamagedShardError
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.base import Assembly, PieceFormat
from synthgen.formats.check import check_episode
from synthgen.formats.columns_check import check_columns, check_info
from synthgen.formats.episodes_table import EpisodesTable
from synthgen.formats.features import CONVENTIONS, frame_columns, frame_features
from synthgen.formats.folder import link, write_json
from synthgen.formats.lerobot import Names, image_key, info_features, renumber
from synthgen.formats.manifest import ShardManifest
from synthgen.formats.piece import Piece
from synthgen.formats.problem import Problem, raise_first
from synthgen.formats.shard import ShardBook, column_of, held_by_columns
from synthgen.formats.summary import DatasetStatistics
from synthgen.formats.tables_check import check_episodes, check_names, check_stats
from synthgen.formats.video_check import check_video
from synthgen.formats.zarr_arrays import (
    BlobWriter,
    attributes,
    check_complete,
    open_store,
    read_blob,
    read_rows,
    write_rows,
)
from synthgen.media.video import iterate

LAYOUT = "0.1"
STORE = "stores/s-{number:06d}.zarr"
JPEG_QUALITY = 90
JPEGS_PER_SHARD = 512


class ZarrShard:
    """Writes one store; memory holds the shard's columns, and a few of its videos."""

    def __init__(self, folder: Path, dataset: DatasetSpec, format_name: str, *, jpeg: bool) -> None:
        self._folder, self._dataset, self._jpeg = folder, dataset, jpeg
        self._book = ShardBook(folder, dataset, format_name, without=None if jpeg else held_by_columns(dataset))
        self._columns: dict[str, list[NDArray]] = {f.name: [] for f in frame_features(dataset)}
        self._tasks, self._subtasks = Names(), Names()
        self._episode_tasks: list[int] = []
        self._ends: list[int] = []
        self._root = zarr.open_group(str(folder / "store.zarr"), mode="w", zarr_format=3)
        keys = [image_key(c.name) for c in dataset.cameras]
        self._blobs = {
            k: BlobWriter(self._root, f"data/{k}", JPEGS_PER_SHARD) if jpeg else BlobWriter(self._root, f"videos/{k}")
            for k in keys
        }

    def add(self, episode: Episode) -> None:
        """Append an episode; see ``ShardWriter``."""
        check_episode(episode, self._dataset)
        columns = frame_columns(episode, self._dataset)
        start = self._ends[-1] if self._ends else 0
        self._ends.append(start + len(episode))
        self._episode_tasks.append(self._tasks.number(episode.instruction))
        numbers = renumber(columns["subtask_index"], episode.subtasks, self._subtasks)
        for name, values in {**columns, "subtask_index": numbers}.items():
            self._columns[name].append(values)
        for camera in self._dataset.cameras:
            data = episode.videos[camera.name].data
            for blob in map(jpeg, iterate(data)) if self._jpeg else (data,):
                self._blobs[image_key(camera.name)].append(blob)
        self._book.add(episode, columns, {"row_from": start, "row_to": self._ends[-1]})
        if self._book.manifest.info is None:
            self._book.manifest.info = info_features(self._dataset, frame_features(self._dataset), episode.videos)

    def close(self) -> Sequence[Path]:
        """Finish every file; see ``ShardWriter``."""
        if self._ends:
            for name, values in self._columns.items():
                write_rows(self._root, f"data/{name}", np.concatenate(values))
            write_rows(self._root, "meta/episode_ends", np.array(self._ends, np.int64))
            write_rows(self._root, "meta/task_index", np.array(self._episode_tasks, np.int64))
        for blobs in self._blobs.values():
            blobs.flush()
        self._root.attrs.update(
            {
                "zarr_layout": LAYOUT,
                "fps": self._dataset.fps,
                "embodiment": self._dataset.embodiment,
                "features": self._book.manifest.info or {},
                "tasks": self._tasks.all(),
                "subtasks": self._subtasks.all(),
                "conventions": dict(CONVENTIONS),
            }
        )
        return self._book.close()

    def abort(self) -> None:
        """Close without finishing; see ``ShardWriter``."""
        self._book.abort()


class ZarrAssembly(Assembly):
    """Links stores and writes the tables beside them; memory holds one store's subtask numbers."""

    def __init__(self, root: Path, manifest: ShardManifest, *, jpeg: bool) -> None:
        self._root, self._dataset, self._jpeg = root, manifest.dataset, jpeg
        self._table = EpisodesTable(root)
        self._stores = 0

    def add(self, piece: Piece, rows: pa.Table) -> None:
        """See ``Assembly``."""
        source = piece.files["store"][0]
        raise_first(source.parent, incomplete(source, source.name, self._dataset, jpeg=self._jpeg))
        name = STORE.format(number=self._stores)
        for path in sorted(source.rglob("*")):
            if path.is_file():
                link(path, self._root / name / path.relative_to(source))
        store = open_store(source)
        ends = rows.column("row_to").to_numpy()
        local = read_rows(store, "data/subtask_index")
        if len(local) != ends[-1]:
            raise DamagedShardError(f"{source}/data/subtask_index: {len(local)} rows, its episodes have {ends[-1]}")
        names = list(attributes(store)["subtasks"])
        subtasks = [renumber(s, names, self._table.subtasks) for s in np.split(local, ends[:-1])]
        tasks = np.array([self._table.tasks.number(t[0]) for t in rows.column("tasks").to_pylist()])
        places: dict[str, Any] = {
            "zarr/store": pa.array([name] * len(rows)),
            "zarr/episode": np.arange(len(rows)),
            "zarr/row_from": rows.column("row_from"),
            "zarr/row_to": rows.column("row_to"),
        }
        self._table.add(rows, tasks, subtasks, places)
        self._stores += 1

    def finish(self, manifest: ShardManifest, statistics: DatasetStatistics) -> None:
        """See ``Assembly``."""
        self._table.finish(statistics)
        dataset = manifest.dataset
        write_json(
            self._root / "meta" / "info.json",
            {
                **layout(jpeg=self._jpeg),
                "robot_type": dataset.robot_type,
                "total_episodes": self._table.episodes,
                "total_frames": self._table.frames,
                "total_tasks": len(self._table.tasks.all()),
                "total_stores": self._stores,
                "fps": dataset.fps,
                "splits": {"train": f"0:{self._table.episodes}"},
                "features": manifest.info,
            },
        )

    def close(self) -> None:
        """See ``Assembly``."""
        self._table.close()


class Zarr(PieceFormat):
    """The exporter. ``jpeg``: one JPEG per frame instead of one mp4 per episode."""

    def __init__(self, name: str, summary: str, *, jpeg: bool) -> None:
        super().__init__(name, summary)
        self._jpeg = jpeg

    def open_shard(self, folder: Path, dataset: DatasetSpec) -> ZarrShard:
        """Start writing a shard; see ``Exporter``."""
        return ZarrShard(folder, dataset, self.name, jpeg=self._jpeg)

    def shard_files(self, folder: Path, dataset: DatasetSpec) -> dict[str, tuple[Path, ...]]:
        """See ``PieceFormat``."""
        return {"store": (folder / "store.zarr",)}

    def dataset_files(self, root: Path, kind: str, start: int, stop: int) -> tuple[Path, ...]:
        """See ``PieceFormat``."""
        return tuple(root / STORE.format(number=n) for n in range(start, stop))

    def assembly(self, root: Path, manifest: ShardManifest) -> ZarrAssembly:
        """See ``PieceFormat``."""
        return ZarrAssembly(root, manifest, jpeg=self._jpeg)

    def check_piece(self, piece: Piece, rows: pa.Table, dataset: DatasetSpec, *, decode: bool) -> Iterator[Problem]:
        """See ``PieceFormat``."""
        path = piece.files["store"][0]
        file = piece.name(path)
        store = open_store(path)
        features = frame_features(dataset)
        keys = [image_key(c.name) for c in dataset.cameras]
        yield from incomplete(path, file, dataset, jpeg=self._jpeg)
        length = rows.column("length").to_numpy()
        ends = np.cumsum(length)
        for name, want in (("meta/episode_ends", ends), ("row_to", ends), ("row_from", ends - length)):
            found = read_rows(store, name) if name.startswith("meta/") else rows.column(name).to_numpy()
            if not np.array_equal(found, want):
                yield Problem(file=file, where=name, what="does not follow from the episodes' lengths")
        names = list(attributes(store)["tasks"])
        tasks = [names[i] if i < len(names) else None for i in read_rows(store, "meta/task_index")]
        if tasks != [t[0] for t in rows.column("tasks").to_pylist()]:
            yield Problem(file=file, where="meta/task_index", what="does not name the recorded instructions")
        yield from check_columns(file, lambda n: read_rows(store, f"data/{n}"), features, length, dataset)
        for key in keys:
            yield from self._check_pictures(file, store, key, length, decode=decode)

    def check_dataset(self, root: Path, manifest: ShardManifest, pieces: Sequence[Piece]) -> Iterator[Problem]:
        """See ``PieceFormat``."""
        length = np.concatenate([p.places().column("length").to_numpy() for p in pieces])
        yield from check_info(root, manifest, length, layout(jpeg=self._jpeg))
        yield from check_names(root, "tasks", "task")
        yield from check_names(root, "subtasks", "subtask")
        tables = [p.places() for p in pieces]
        yield from check_episodes(root, manifest, tables, _places(tables))
        readers = (partial(_column, open_store(p.files["store"][0])) for p in pieces)
        # Subtasks are numbered within a store, and anew over the data set.
        features = [f for f in frame_features(manifest.dataset) if f.name != "subtask_index"]
        yield from check_stats(root, manifest, readers, features)
        named = {p.files["store"][0] for p in pieces}
        for path in sorted(root.glob("stores/*")):
            if path not in named:
                yield Problem(file=path.relative_to(root).as_posix(), where="", what="belongs to no episode")

    def read_piece(
        self, piece: Piece, rows: pa.Table, dataset: DatasetSpec, wanted: Sequence[int]
    ) -> Iterator[tuple[Mapping[str, NDArray], Mapping[str, bytes]]]:
        """See ``PieceFormat``."""
        if self._jpeg:  # the records leave nothing out
            yield from super().read_piece(piece, rows, dataset, wanted)
            return
        path = piece.files["store"][0]
        raise_first(path.parent, incomplete(path, path.name, dataset, jpeg=False))
        store = open_store(path)
        columns = {name: read_rows(store, f"data/{column}") for name, column in column_of(dataset).items()}
        for row in wanted:
            mine = slice(rows.column("row_from")[row].as_py(), rows.column("row_to")[row].as_py())
            videos = {c.name: read_blob(store, self._blob(image_key(c.name)), row) for c in dataset.cameras}
            yield {name: values[mine] for name, values in columns.items()}, videos

    def _blob(self, key: str) -> str:
        return blob(key, jpeg=self._jpeg)

    def _check_pictures(
        self, file: str, store: zarr.Group, key: str, length: NDArray, *, decode: bool
    ) -> Iterator[Problem]:
        name = self._blob(key)
        where = f"{file}/{name}"
        expected = int(length.sum()) if self._jpeg else len(length)
        blobs = read_rows(store, name) if decode else read_rows(store, name, slice(0, 0))
        if decode and len(blobs) != expected:
            yield Problem(file=where, where="", what=f"holds {len(blobs)} entries, expected {expected}")
            return
        for i, blob in enumerate(blobs):
            if not self._jpeg:
                yield from check_video(f"{where}[{i}]", blob, np.array([0]), int(length[i]), decode=decode)
                continue
            try:
                Image.open(io.BytesIO(blob)).load()
            except OSError as error:
                yield Problem(file=where, where=f"row {i}", what=f"is no JPEG: {error}")


def incomplete(path: Path, file: str, dataset: DatasetSpec, *, jpeg: bool) -> Iterator[Problem]:
    """Arrays or files that a store lacks, which Zarr would read as zeros; ``file``: the store's name in messages."""
    blobs = [blob(image_key(c.name), jpeg=jpeg) for c in dataset.cameras]
    arrays = [f"data/{f.name}" for f in frame_features(dataset)] + ["meta/episode_ends", "meta/task_index"]
    return check_complete(file, path, open_store(path), [*arrays, *blobs])


def blob(key: str, *, jpeg: bool) -> str:
    """Where a camera's pictures lie in a store."""
    return f"data/{key}" if jpeg else f"videos/{key}"


def _column(store: zarr.Group, name: str) -> NDArray:
    return read_rows(store, f"data/{name}")


def _places(tables: Sequence[pa.Table]) -> dict[str, NDArray]:
    """What the episodes table must say of where an episode's data lie."""
    stores = [np.repeat(STORE.format(number=i), len(t)) for i, t in enumerate(tables)]
    rows = {f"zarr/{k}": np.concatenate([t.column(k).to_numpy() for t in tables]) for k in ("row_from", "row_to")}
    episodes = np.concatenate([np.arange(len(t)) for t in tables])
    return {"zarr/store": np.concatenate(stores).astype(object), "zarr/episode": episodes, **rows}


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """A picture (H, W, 3) as a JPEG file."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


def layout(*, jpeg: bool) -> dict[str, Any]:
    """Entries of info.json that say how the frames are stored."""
    return {
        "codebase_version": "v3.0",
        "storage_format": "zarr",
        "zarr_layout": LAYOUT,
        "pictures": "jpeg per frame" if jpeg else "mp4 per episode",
        "data_path": "stores/s-*.zarr",
        "video_path": None,
    }


exporter = (
    Zarr("zarr", "LeRobot's tables with frames in Zarr, one mp4 per episode", jpeg=False),
    Zarr("zarr-jpeg", "the same with one JPEG per frame", jpeg=True),
)
