"""Pieces of a LeRobot v3.0 data set, and joining them: into a new one, or back into episodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.core.errors import DamagedShardError
from synthgen.core.exporter import DatasetSpec, DatasetSummary
from synthgen.formats.card import write_card
from synthgen.formats.folder import MAX_FILES_PER_CHUNK, building, link, numbered, write_json
from synthgen.formats.lerobot import (
    Names,
    column_values,
    constant,
    data_array,
    image_key,
    numbering_statistics,
    of_range,
    plain_statistics,
    read_names,
    write_names,
)
from synthgen.formats.manifest import ShardManifest, read_dataset_manifest, write_dataset_manifest
from synthgen.formats.records import read_records
from synthgen.formats.statistics import exact, of_counts
from synthgen.formats.summary import DatasetStatistics
from synthgen.media.packets import extract

DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
RECORDS_PATH = "meta/records/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
STATISTICS = Path("meta") / "statistics.npz"
ROWS_PER_GROUP = 1000  # of the episodes table
EPISODES_PER_FILE = 10_000

# One row per subtask, the same list on every frame of the episode; ``tool_calls`` typed by hand, since nothing in it.
LANGUAGE = SimpleNamespace(
    name="language_persistent",
    field=pa.field(
        "language_persistent",
        pa.list_(
            pa.struct(
                [
                    pa.field("role", pa.string(), nullable=False),
                    pa.field("content", pa.string()),
                    pa.field("style", pa.string()),
                    pa.field("timestamp", pa.float32(), nullable=False),
                    pa.field("camera", pa.string()),
                    pa.field("tool_calls", pa.list_(pa.string())),
                ]
            )
        ),
    ),
    described={
        "feature": {
            **{k: {"dtype": "string", "_type": "Value"} for k in ("role", "content", "style", "camera")},
            "timestamp": {"dtype": "float32", "_type": "Value"},
            "tool_calls": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
        },
        "_type": "List",
    },
    info={"dtype": "language", "shape": [1], "names": None},
)


def language_rows(episode: Episode) -> list[dict[str, Any]]:
    """Rows of ``language_persistent``: each subtask from the frame where it starts, and the paraphrases."""
    starts = np.flatnonzero(np.diff(episode.subtask, prepend=-1))

    def row(role: str, style: str, content: str, frame: int) -> dict[str, Any]:
        time = float(np.float32(frame / episode.fps))
        return {"role": role, "content": content, "style": style, "timestamp": time, "camera": None, "tool_calls": None}

    out = [row("user", "task_aug", p, 0) for p in (episode.instruction, *episode.paraphrases)]
    return out + [row("assistant", "subtask", episode.subtasks[episode.subtask[f]], int(f)) for f in starts]


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """The files of one shard, wherever they lie: in the shard's own folder or in a finished data set.

    Attributes:
        data, records: data files in order, and the file of episode records.
        videos: by camera name, in order.
        rows: the episodes table with the shard's own numbering: tasks, length, subtasks, data_file,
            video_file/<camera>, from_frame/<camera>, and stats/...
    """

    data: tuple[Path, ...]
    videos: dict[str, tuple[Path, ...]]
    records: Path
    rows: pa.Table

    @staticmethod
    def of_shard(folder: Path, dataset: DatasetSpec) -> Piece:
        """The piece a shard's folder holds.

        Raises:
            DamagedShardError: its episodes table cannot be read.
        """
        return Piece(
            data=tuple(sorted(folder.glob("data-*.parquet"))),
            videos={c.name: tuple(sorted(folder.glob(f"{image_key(c.name)}-*.mp4"))) for c in dataset.cameras},
            records=folder / "records.parquet",
            rows=read_table(folder / "episodes.parquet"),
        )

    @staticmethod
    def of_dataset(root: Path) -> Iterator[Piece]:
        """The pieces a finished data set was made of, one at a time.

        Raises:
            DamagedShardError: its metadata cannot be read.
        """
        manifest, pieces = read_dataset_manifest(root)
        cameras = [c.name for c in manifest.dataset.cameras]
        subtasks = read_names(root / "meta" / "subtasks.parquet", "subtask")
        rows = _episode_tables(root, [p["episodes"] for p in pieces])
        data = 0
        videos = dict.fromkeys(cameras, 0)
        for number, (piece, table) in enumerate(zip(pieces, rows, strict=True)):
            yield Piece(
                data=tuple(_path(root, DATA_PATH, data + i) for i in range(piece["data"])),
                videos={
                    c: tuple(_path(root, VIDEO_PATH, videos[c] + i, c) for i in range(piece["videos"][c]))
                    for c in cameras
                },
                records=_path(root, RECORDS_PATH, number),
                rows=_local_rows(table, subtasks, cameras, manifest.dataset.fps),
            )
            data += piece["data"]
            for c in cameras:
                videos[c] += piece["videos"][c]


def assemble(
    pieces: Iterable[Piece], manifest: ShardManifest, statistics: DatasetStatistics, root: Path
) -> DatasetSummary:
    """Join pieces, in order, into a data set at ``root``; what was there is replaced at the very end.

    ``manifest`` and ``statistics`` are those of all pieces together.

    Raises:
        DamagedShardError, StorageError.
    """
    with building(root) as new:
        work = _Assembly(new, manifest.dataset)
        for piece in pieces:
            work.add(piece)
        work.finish()
        if (work.episodes, work.frames) != (manifest.episodes, manifest.frames):
            raise DamagedShardError(
                f"{root}: shards hold {work.episodes} episodes of {work.frames} frames, "
                f"their manifests say {manifest.episodes} of {manifest.frames}"
            )
        _write_metadata(new, manifest, statistics, work)
    return DatasetSummary(root=root, episodes=manifest.episodes, frames=manifest.frames)


class _Assembly:
    """Numbers pieces as they come; memory holds one data file and ``ROWS_PER_GROUP`` rows of the episodes table."""

    def __init__(self, root: Path, dataset: DatasetSpec) -> None:
        self._root, self._dataset = root, dataset
        self._cameras = [c.name for c in dataset.cameras]
        self.episodes = self.frames = 0
        self.tasks, self.subtasks = Names(), Names()
        self.lengths: list[NDArray] = []
        self.episode_tasks: list[NDArray] = []
        self.subtask_frames = np.zeros(0, np.int64)
        self.pieces: list[dict[str, Any]] = []
        self._data_files = 0
        self._video_files = dict.fromkeys(self._cameras, 0)
        self._table = _EpisodesTable(root)

    def add(self, piece: Piece) -> None:
        rows = piece.rows
        length = rows.column("length").to_numpy()
        tasks = np.array([self.tasks.number(t[0]) for t in rows.column("tasks").to_pylist()])
        subtask_stats = self._rewrite(piece, length, tasks)
        for camera in self._cameras:
            for i, video in enumerate(piece.videos[camera]):
                link(video, _path(self._root, VIDEO_PATH, self._video_files[camera] + i, camera))
        link(piece.records, _path(self._root, RECORDS_PATH, len(self.pieces)))
        self._table.add(self._global_rows(rows, length, tasks, subtask_stats))
        self.pieces.append(
            {
                "episodes": len(length),
                "data": len(piece.data),
                "videos": {c: len(piece.videos[c]) for c in self._cameras},
            }
        )
        self._data_files += len(piece.data)
        for camera in self._cameras:
            self._video_files[camera] += len(piece.videos[camera])
        self.lengths.append(length)
        self.episode_tasks.append(tasks)
        self.episodes += len(length)
        self.frames += int(length.sum())

    def finish(self) -> None:
        self._table.close()

    def _rewrite(self, piece: Piece, length: NDArray, tasks: NDArray) -> list[dict[str, NDArray]]:
        """Copy the data files with global numbers in them; returns each episode's statistics of ``subtask_index``."""
        names = piece.rows.column("subtasks").to_pylist()
        of_file = piece.rows.column("data_file").to_numpy()
        out: list[dict[str, NDArray]] = []
        frame = self.frames
        for number, path in enumerate(piece.data):
            table = read_table(path)
            mine = np.flatnonzero(of_file == number)
            if len(table) != length[mine].sum():
                raise DamagedShardError(f"{path}: {len(table)} rows, its episodes have {length[mine].sum()}")
            local = column_values(table, "subtask_index")
            ends = np.cumsum(length[mine])
            subtask = np.empty(len(table), np.int64)
            for e, start, end in zip(mine, ends - length[mine], ends, strict=True):
                known = np.array([self.subtasks.number(n) for n in names[e]])
                subtask[start:end] = known[local[start:end]]
                out.append(exact(subtask[start:end, None]))
            self._count_subtasks(subtask)
            columns = {
                "episode_index": np.repeat(self.episodes + mine, length[mine]),
                "index": frame + np.arange(len(table)),
                "task_index": np.repeat(tasks[mine], length[mine]),
                "subtask_index": subtask,
            }
            for name, values in columns.items():
                at = table.schema.get_field_index(name)
                table = table.set_column(at, table.schema.field(at), data_array(values, table.schema.field(at)))
            target = _path(self._root, DATA_PATH, self._data_files + number)
            target.parent.mkdir(parents=True, exist_ok=True)
            with pq.ParquetWriter(target, table.schema, compression="snappy") as writer:
                for start, end in zip(ends - length[mine], ends, strict=True):
                    writer.write_table(table.slice(start, end - start))  # one row group per episode
            frame += len(table)
        return out

    def _count_subtasks(self, subtask: NDArray) -> None:
        counts = np.bincount(subtask, minlength=len(self.subtask_frames))
        counts[: len(self.subtask_frames)] += self.subtask_frames
        self.subtask_frames = counts

    def _global_rows(
        self, rows: pa.Table, length: NDArray, tasks: NDArray, subtask: list[dict[str, NDArray]]
    ) -> pa.Table:
        n, fps = len(length), self._dataset.fps
        index = self.episodes + np.arange(n)
        ends = self.frames + np.cumsum(length)
        columns: dict[str, Any] = {"episode_index": index, "tasks": rows.column("tasks"), "length": length}
        columns |= _file_columns("data", self._data_files + rows.column("data_file").to_numpy())
        columns |= {"dataset_from_index": ends - length, "dataset_to_index": ends}
        for camera in self._cameras:
            key = f"videos/{image_key(camera)}"
            start = rows.column(f"from_frame/{camera}").to_numpy()
            columns |= _file_columns(key, self._video_files[camera] + rows.column(f"video_file/{camera}").to_numpy())
            columns |= {f"{key}/from_timestamp": start / fps, f"{key}/to_timestamp": (start + length) / fps}
        columns |= {c: rows.column(c) for c in rows.column_names if c.startswith("stats/")}
        numbering = {
            "subtask_index": subtask,
            "episode_index": [constant(int(i), k) for i, k in zip(index, length, strict=True)],
            "index": [of_range(int(k), int(e - k)) for k, e in zip(length, ends, strict=True)],
            "task_index": [constant(int(t), k) for t, k in zip(tasks, length, strict=True)],
        }
        for name, statistics in numbering.items():
            for key in statistics[0]:
                columns[f"stats/{name}/{key}"] = [s[key] for s in statistics]
        columns |= _file_columns("meta/episodes", index // EPISODES_PER_FILE)
        return pa.table(columns)


class _EpisodesTable:
    """Writes the episodes files: ``EPISODES_PER_FILE`` episodes each, rows buffered into large row groups."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._writer: pq.ParquetWriter | None = None
        self._file = 0
        self._pending: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        for number in np.unique(table.column("episode_index").to_numpy() // EPISODES_PER_FILE):
            mine = table.filter(pa.array(table.column("episode_index").to_numpy() // EPISODES_PER_FILE == number))
            if number != self._file:
                self.close()
                self._file = int(number)
            self._pending.append(mine)
            if sum(map(len, self._pending)) >= ROWS_PER_GROUP:
                self._flush()

    def close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self) -> None:
        if not self._pending:
            return
        table = pa.concat_tables(self._pending)
        self._pending = []
        if self._writer is None:
            path = _path(self._root, EPISODES_PATH, self._file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(path, table.schema, compression="snappy")
        self._writer.write_table(table)


def _write_metadata(root: Path, manifest: ShardManifest, statistics: DatasetStatistics, work: _Assembly) -> None:
    """Everything under ``meta/`` that describes the whole; info.json, which readers open first, last."""
    dataset = manifest.dataset
    lengths, tasks = np.concatenate(work.lengths), np.concatenate(work.episode_tasks)
    counted = of_counts(np.arange(len(work.subtask_frames)), work.subtask_frames)
    summary = {**statistics.summary(), **numbering_statistics(lengths, tasks), "subtask_index": counted}
    write_names(root / "meta" / "tasks.parquet", "task", "task_index", work.tasks.all())
    write_names(root / "meta" / "subtasks.parquet", "subtask", "subtask_index", work.subtasks.all())
    write_json(root / "meta" / "stats.json", plain_statistics(summary))
    statistics.save(root / STATISTICS)
    write_dataset_manifest(root, manifest, work.pieces)
    write_card(root, manifest)
    write_json(
        root / "meta" / "info.json",
        {
            "codebase_version": "v3.0",
            "robot_type": dataset.robot_type,
            "total_episodes": manifest.episodes,
            "total_frames": manifest.frames,
            "total_tasks": len(work.tasks.all()),
            "chunks_size": 1000,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": dataset.fps,
            "splits": {"train": f"0:{manifest.episodes}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH if dataset.cameras else None,
            "features": manifest.info,
        },
    )


def read_piece(piece: Piece, dataset: DatasetSpec, rows: Sequence[int] | None = None) -> Iterator[Episode]:
    """A piece's episodes (all, or those of the given rows in ascending order), one in memory at a time.

    Raises:
        DamagedShardError: a file is missing or damaged.
    """
    wanted = range(len(piece.rows)) if rows is None else rows
    of_file = piece.rows.column("data_file").to_numpy()
    group = np.arange(len(of_file)) - np.searchsorted(of_file, of_file)  # an episode's row group within its file
    for row, record in zip(wanted, read_records(piece.records, wanted), strict=True):
        where = {k: piece.rows.column(k)[row].as_py() for k in piece.rows.column_names if not k.startswith("stats/")}
        table = read_table(piece.data[where["data_file"]], group=int(group[row]))
        arrays = {"state": "observation.state", "action": "action", "velocity": "observation.velocity"}
        arrays |= {"reward": "next.reward", "done": "next.done"}
        for e in dataset.end_effectors:
            arrays |= {f"eef_pose/{e}": f"observation.eef_pose.{e}", f"eef_target/{e}": f"target.eef_pose.{e}"}
        videos = {
            c.name: extract(
                piece.videos[c.name][where[f"video_file/{c.name}"]], where[f"from_frame/{c.name}"], where["length"]
            )
            for c in dataset.cameras
        }
        yield record.episode(videos, {name: column_values(table, column) for name, column in arrays.items()})


def read_table(path: Path, *, group: int | None = None) -> pa.Table:
    """A parquet file, or one row group of it.

    Raises:
        DamagedShardError: it cannot be read.
    """
    try:
        # Not pq.read_table: that would take parts of the path for partition keys.
        with pq.ParquetFile(path) as file:
            return file.read() if group is None else file.read_row_group(group)
    except (pa.ArrowException, OSError) as error:
        raise DamagedShardError(f"{path}: cannot be read: {error}") from error


def _path(root: Path, template: str, number: int, camera: str = "") -> Path:
    chunk, file = numbered(number)
    return root / template.format(chunk_index=chunk, file_index=file, video_key=image_key(camera))


def _file_columns(prefix: str, numbers: NDArray) -> dict[str, NDArray]:
    chunk, file = np.divmod(numbers, MAX_FILES_PER_CHUNK)
    return {f"{prefix}/chunk_index": chunk, f"{prefix}/file_index": file}


def _episode_tables(root: Path, sizes: Sequence[int]) -> Iterator[pa.Table]:
    """The episodes table cut into consecutive tables of the given numbers of rows."""
    groups = _row_groups(root)
    held: pa.Table | None = None
    for size in sizes:
        while held is None or len(held) < size:
            more = next(groups, None)
            if more is None:
                raise DamagedShardError(f"{root / 'meta/episodes'}: fewer rows than meta/synthgen.json says")
            held = more if held is None else pa.concat_tables([held, more])
        yield held.slice(0, size)
        held = held.slice(size)


def _row_groups(root: Path) -> Iterator[pa.Table]:
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        for group in range(pq.read_metadata(path).num_row_groups):
            yield read_table(path, group=group)


def _local_rows(table: pa.Table, subtasks: list[str], cameras: Sequence[str], fps: int) -> pa.Table:
    """Global rows of one piece -> its own numbering; the inverse of ``_Assembly._global_rows``."""

    def file_number(prefix: str) -> NDArray:
        chunk, file = (table.column(f"{prefix}/{k}_index").to_numpy() for k in ("chunk", "file"))
        number = chunk * MAX_FILES_PER_CHUNK + file
        return number - number.min()

    columns: dict[str, Any] = {
        "tasks": table.column("tasks"),
        "length": table.column("length"),
        "subtasks": [subtasks] * len(table),  # the data files' indices are global: every name, by number
        "data_file": file_number("data"),
    }
    for camera in cameras:
        key = f"videos/{image_key(camera)}"
        columns[f"video_file/{camera}"] = file_number(key)
        columns[f"from_frame/{camera}"] = np.rint(table.column(f"{key}/from_timestamp").to_numpy() * fps).astype(
            np.int64
        )
    numbered_anew = ("subtask_index", "episode_index", "index", "task_index")
    for name in table.column_names:
        if name.startswith("stats/") and name.split("/")[1] not in numbered_anew:
            columns[name] = table.column(name)
    return pa.table(columns)
