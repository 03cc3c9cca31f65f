"""Joining pieces into a LeRobot v3.0 data set: numbering, the episodes table, the metadata."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.core.errors import DamagedShardError
from synthgen.formats.base import Assembly
from synthgen.formats.episodes_table import EpisodesTable, file_columns
from synthgen.formats.folder import link, numbered, write_json
from synthgen.formats.lerobot import column_values, data_array, dictionary_columns, image_key, renumber
from synthgen.formats.manifest import ShardManifest
from synthgen.formats.piece import Piece
from synthgen.formats.summary import DatasetStatistics
from synthgen.formats.tables import parquet_writer, read_table

DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"

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
    """Numbers pieces as they come; memory holds one data file and some rows of the episodes table."""

    def __init__(self, root: Path, manifest: ShardManifest) -> None:
        self._root, self._fps = root, manifest.dataset.fps
        self._cameras = [c.name for c in manifest.dataset.cameras]
        self._table = EpisodesTable(root)
        self._data_files = 0
        self._video_files = dict.fromkeys(self._cameras, 0)

    def add(self, piece: Piece, rows: pa.Table) -> None:
        """See ``Assembly``."""
        tasks = np.array([self._table.tasks.number(t[0]) for t in rows.column("tasks").to_pylist()])
        subtasks = self._rewrite(piece, rows, tasks)
        length = rows.column("length").to_numpy()
        places = file_columns("data", self._data_files + rows.column("data_file").to_numpy())
        for camera in self._cameras:
            key, before = f"videos/{image_key(camera)}", self._video_files[camera]
            for i, video in enumerate(piece.files[image_key(camera)]):
                link(video, video_path(self._root, camera, before + i))
                self._video_files[camera] += 1
            start = rows.column(f"from_frame/{camera}").to_numpy()
            places |= file_columns(key, before + rows.column(f"video_file/{camera}").to_numpy())
            # Of frame numbers, never of sums: floating point would drift.
            places |= {f"{key}/from_timestamp": start / self._fps, f"{key}/to_timestamp": (start + length) / self._fps}
        self._table.add(rows, tasks, subtasks, places)
        self._data_files += len(piece.files["data"])

    def finish(self, manifest: ShardManifest, statistics: DatasetStatistics) -> None:
        """See ``Assembly``."""
        self._table.finish(statistics)
        write_json(
            self._root / "meta" / "info.json",
            {
                "codebase_version": "v3.0",
                "robot_type": manifest.dataset.robot_type,
                "total_episodes": self._table.episodes,
                "total_frames": self._table.frames,
                "total_tasks": len(self._table.tasks.all()),
                "chunks_size": 1000,
                "data_files_size_in_mb": 100,
                "video_files_size_in_mb": 200,
                "fps": self._fps,
                "splits": {"train": f"0:{self._table.episodes}"},
                "data_path": DATA_PATH,
                "video_path": VIDEO_PATH if self._cameras else None,
                "features": manifest.info,
            },
        )

    def close(self) -> None:
        """See ``Assembly``."""
        self._table.close()

    def _rewrite(self, piece: Piece, rows: pa.Table, tasks: NDArray) -> list[NDArray]:
        """Copy the data files with global numbers in them; returns each episode's subtask numbers."""
        length = rows.column("length").to_numpy()
        names = rows.column("subtasks").to_pylist()
        of_file = rows.column("data_file").to_numpy()
        subtasks: list[NDArray] = []
        frame = self._table.frames
        for number, path in enumerate(piece.files["data"]):
            table = read_table(path)
            mine = np.flatnonzero(of_file == number)
            ends = np.cumsum(length[mine])
            if len(table) != ends[-1]:
                raise DamagedShardError(f"{path}: holds {len(table)} rows, its episodes have {ends[-1]}")
            local = np.split(column_values(table, "subtask_index"), ends[:-1])
            own = [
                renumber(v, piece.subtasks or names[e], self._table.subtasks) for e, v in zip(mine, local, strict=True)
            ]
            columns = {
                "episode_index": np.repeat(self._table.episodes + mine, length[mine]),
                "index": frame + np.arange(len(table)),
                "task_index": np.repeat(tasks[mine], length[mine]),
                "subtask_index": np.concatenate(own),
            }
            for name, values in columns.items():
                at = table.schema.get_field_index(name)
                table = table.set_column(at, table.schema.field(at), data_array(values, table.schema.field(at)))
            target = data_path(self._root, self._data_files + number)
            target.parent.mkdir(parents=True, exist_ok=True)
            dictionary = dictionary_columns(table.schema)
            with parquet_writer(target, table.schema, compression="snappy", use_dictionary=dictionary) as writer:
                for end, n in zip(ends, length[mine], strict=True):
                    writer.write_table(table.slice(end - n, n))  # one row group per episode
            frame += len(table)
            subtasks += own
        return subtasks


def data_path(root: Path, number: int) -> Path:
    """The n-th data file."""
    chunk, file = numbered(number)
    return root / DATA_PATH.format(chunk_index=chunk, file_index=file)


def video_path(root: Path, camera: str, number: int) -> Path:
    """The n-th video of a camera."""
    chunk, file = numbered(number)
    return root / VIDEO_PATH.format(video_key=image_key(camera), chunk_index=chunk, file_index=file)
