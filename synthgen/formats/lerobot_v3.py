"""Joining pieces into a LeRobot v3.0 data set: numbering, the episodes table, the metadata."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.core.errors import DamagedShardError
from synthgen.formats.base import Assembly
from synthgen.formats.folder import MAX_FILES_PER_CHUNK, link, numbered, write_json
from synthgen.formats.lerobot import (
    Names,
    column_values,
    constant,
    data_array,
    image_key,
    numbering_statistics,
    of_range,
    plain_statistics,
    write_names,
)
from synthgen.formats.manifest import ShardManifest
from synthgen.formats.piece import Piece, read_table
from synthgen.formats.statistics import exact, of_counts
from synthgen.formats.summary import DatasetStatistics

DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
ROWS_PER_GROUP = 1000  # of the episodes table
EPISODES_PER_FILE = 10_000
RENUMBERED = ("episode_index", "index", "task_index", "subtask_index")

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


class LerobotAssembly(Assembly):
    """Numbers pieces as they come; memory holds one data file and ``ROWS_PER_GROUP`` rows of the episodes table."""

    def __init__(self, root: Path, manifest: ShardManifest) -> None:
        self._root, self._fps = root, manifest.dataset.fps
        self._cameras = [c.name for c in manifest.dataset.cameras]
        self._episodes = self._frames = 0
        self._tasks, self._subtasks = Names(), Names()
        self._lengths: list[NDArray] = []
        self._episode_tasks: list[NDArray] = []
        self._subtask_frames = np.zeros(0, np.int64)
        self._data_files = 0
        self._video_files = dict.fromkeys(self._cameras, 0)
        self._table = _EpisodesTable(root)

    def add(self, piece: Piece, rows: pa.Table) -> None:
        """See ``Assembly``."""
        length = rows.column("length").to_numpy()
        tasks = np.array([self._tasks.number(t[0]) for t in rows.column("tasks").to_pylist()])
        subtask_stats = self._rewrite(piece, rows, length, tasks)
        for camera in self._cameras:
            videos = piece.files[image_key(camera)]
            for i, video in enumerate(videos):
                link(video, video_path(self._root, camera, self._video_files[camera] + i))
        self._table.add(self._global_rows(rows, length, tasks, subtask_stats))
        self._data_files += len(piece.files["data"])
        for camera in self._cameras:
            self._video_files[camera] += len(piece.files[image_key(camera)])
        self._lengths.append(length)
        self._episode_tasks.append(tasks)
        self._episodes += len(length)
        self._frames += int(length.sum())

    def finish(self, manifest: ShardManifest, statistics: DatasetStatistics) -> None:
        """See ``Assembly``."""
        self._table.close()
        meta, tasks = self._root / "meta", self._tasks.all()
        write_names(meta / "tasks.parquet", "task", "task_index", tasks)
        write_names(meta / "subtasks.parquet", "subtask", "subtask_index", self._subtasks.all())
        numbering = numbering_statistics(np.concatenate(self._lengths), np.concatenate(self._episode_tasks))
        numbering["subtask_index"] = of_counts(np.arange(len(self._subtask_frames)), self._subtask_frames)
        write_json(meta / "stats.json", plain_statistics({**statistics.summary(), **numbering}))
        write_json(
            meta / "info.json",
            {
                "codebase_version": "v3.0",
                "robot_type": manifest.dataset.robot_type,
                "total_episodes": self._episodes,
                "total_frames": self._frames,
                "total_tasks": len(tasks),
                "chunks_size": 1000,
                "data_files_size_in_mb": 100,
                "video_files_size_in_mb": 200,
                "fps": self._fps,
                "splits": {"train": f"0:{self._episodes}"},
                "data_path": DATA_PATH,
                "video_path": VIDEO_PATH if self._cameras else None,
                "features": manifest.info,
            },
        )

    def _rewrite(self, piece: Piece, rows: pa.Table, length: NDArray, tasks: NDArray) -> list[dict[str, NDArray]]:
        """Copy the data files with global numbers in them; returns each episode's statistics of ``subtask_index``."""
        names = rows.column("subtasks").to_pylist()
        of_file = rows.column("data_file").to_numpy()
        out: list[dict[str, NDArray]] = []
        frame = self._frames
        for number, path in enumerate(piece.files["data"]):
            table = read_table(path)
            mine = np.flatnonzero(of_file == number)
            if len(table) != length[mine].sum():
                raise DamagedShardError(f"{path}: {len(table)} rows, its episodes have {length[mine].sum()}")
            local = column_values(table, "subtask_index")
            ends = np.cumsum(length[mine])
            subtask = np.empty(len(table), np.int64)
            for e, start, end in zip(mine, ends - length[mine], ends, strict=True):
                known = np.array([self._subtasks.number(n) for n in piece.subtasks or names[e]])
                subtask[start:end] = known[local[start:end]]
                out.append(exact(subtask[start:end, None]))
            self._count_subtasks(subtask)
            columns = {
                "episode_index": np.repeat(self._episodes + mine, length[mine]),
                "index": frame + np.arange(len(table)),
                "task_index": np.repeat(tasks[mine], length[mine]),
                "subtask_index": subtask,
            }
            for name, values in columns.items():
                at = table.schema.get_field_index(name)
                table = table.set_column(at, table.schema.field(at), data_array(values, table.schema.field(at)))
            target = data_path(self._root, self._data_files + number)
            target.parent.mkdir(parents=True, exist_ok=True)
            with pq.ParquetWriter(target, table.schema, compression="snappy") as writer:
                for start, end in zip(ends - length[mine], ends, strict=True):
                    writer.write_table(table.slice(start, end - start))  # one row group per episode
            frame += len(table)
        return out

    def _count_subtasks(self, subtask: NDArray) -> None:
        counts = np.bincount(subtask, minlength=len(self._subtask_frames))
        counts[: len(self._subtask_frames)] += self._subtask_frames
        self._subtask_frames = counts

    def _global_rows(
        self, rows: pa.Table, length: NDArray, tasks: NDArray, subtask: list[dict[str, NDArray]]
    ) -> pa.Table:
        n, fps = len(length), self._fps
        index = self._episodes + np.arange(n)
        ends = self._frames + np.cumsum(length)
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
            path = episodes_path(self._root, self._file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(path, table.schema, compression="snappy")
        self._writer.write_table(table)


def data_path(root: Path, number: int) -> Path:
    """The n-th data file."""
    chunk, file = numbered(number)
    return root / DATA_PATH.format(chunk_index=chunk, file_index=file)


def video_path(root: Path, camera: str, number: int) -> Path:
    """The n-th video of a camera."""
    chunk, file = numbered(number)
    return root / VIDEO_PATH.format(video_key=image_key(camera), chunk_index=chunk, file_index=file)


def episodes_path(root: Path, number: int) -> Path:
    """The n-th file of the episodes table."""
    chunk, file = numbered(number)
    return root / EPISODES_PATH.format(chunk_index=chunk, file_index=file)


def _file_columns(prefix: str, numbers: NDArray) -> dict[str, NDArray]:
    chunk, file = np.divmod(numbers, MAX_FILES_PER_CHUNK)
    return {f"{prefix}/chunk_index": chunk, f"{prefix}/file_index": file}
