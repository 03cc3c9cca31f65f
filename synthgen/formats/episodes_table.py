"""The episodes table of LeRobot v3.0, which the Zarr layout has too: one row per episode, with global numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from synthgen.formats.folder import MAX_FILES_PER_CHUNK, numbered, write_json
from synthgen.formats.lerobot import (
    Names,
    constant,
    numbering_statistics,
    of_range,
    plain_statistics,
    write_names,
)
from synthgen.formats.statistics import of_counts
from synthgen.formats.summary import DatasetStatistics
from synthgen.formats.tables import parquet_writer

EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
ROWS_PER_GROUP = 1000
EPISODES_PER_FILE = 10_000


class EpisodesTable:
    """Numbers episodes, and writes them: ``EPISODES_PER_FILE`` to a file, rows buffered into large row groups.

    Attributes:
        episodes, frames: so far.
        tasks, subtasks: names by number so far.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.episodes = self.frames = 0
        self.tasks, self.subtasks = Names(), Names()
        self._lengths: list[NDArray] = []
        self._episode_tasks: list[NDArray] = []
        self._subtask_frames = np.zeros(0, np.int64)
        self._writer: pq.ParquetWriter | None = None
        self._file = 0
        self._pending: list[pa.Table] = []

    def add(self, rows: pa.Table, tasks: NDArray, subtasks: list[NDArray], places: dict[str, Any]) -> None:
        """Take the next piece's rows.

        Args:
            rows: of the piece.
            tasks: (E,) task number of each episode.
            subtasks: for each episode (T,) subtask numbers.
            places: columns that say where the episodes' data lie.
        """
        length = rows.column("length").to_numpy()
        index = self.episodes + np.arange(len(length))
        ends = self.frames + np.cumsum(length)
        columns: dict[str, Any] = {"episode_index": index, "tasks": rows.column("tasks"), "length": length, **places}
        columns |= {"dataset_from_index": ends - length, "dataset_to_index": ends}
        columns |= {c: rows.column(c) for c in ("paraphrases", "seed")}
        columns |= {c: rows.column(c) for c in rows.column_names if c.startswith("stats/")}
        counted = [np.bincount(s) for s in subtasks]
        numbering = {
            "subtask_index": [of_counts(np.arange(len(c)), c) for c in counted],
            "episode_index": [constant(int(i), k) for i, k in zip(index, length, strict=True)],
            "index": [of_range(int(k), int(e - k)) for k, e in zip(length, ends, strict=True)],
            "task_index": [constant(int(t), k) for t, k in zip(tasks, length, strict=True)],
        }
        for name, statistics in numbering.items():
            for key in statistics[0]:
                columns[f"stats/{name}/{key}"] = [s[key] for s in statistics]
        columns |= file_columns("meta/episodes", index // EPISODES_PER_FILE)
        self._write(pa.table(columns), index)
        self.episodes += len(length)
        self.frames += int(length.sum())
        self._lengths.append(length)
        self._episode_tasks.append(tasks)
        for c in counted:
            total = np.zeros(max(len(c), len(self._subtask_frames)), np.int64)
            total[: len(c)] += c
            total[: len(self._subtask_frames)] += self._subtask_frames
            self._subtask_frames = total

    def finish(self, statistics: DatasetStatistics) -> None:
        """Complete the table; write tasks.parquet, subtasks.parquet and stats.json."""
        self._flush()
        self.close()
        meta = self._root / "meta"
        write_names(meta / "tasks.parquet", "task", "task_index", self.tasks.all())
        write_names(meta / "subtasks.parquet", "subtask", "subtask_index", self.subtasks.all())
        numbering = numbering_statistics(np.concatenate(self._lengths), np.concatenate(self._episode_tasks))
        numbering["subtask_index"] = of_counts(np.arange(len(self._subtask_frames)), self._subtask_frames)
        write_json(meta / "stats.json", plain_statistics({**statistics.summary(), **numbering}))

    def _write(self, table: pa.Table, index: NDArray) -> None:
        for number in np.unique(index // EPISODES_PER_FILE):
            if number != self._file:
                self._flush()
                self.close()
                self._file = int(number)
            self._pending.append(table.filter(pa.array(index // EPISODES_PER_FILE == number)))
            if sum(map(len, self._pending)) >= ROWS_PER_GROUP:
                self._flush()

    def close(self) -> None:
        """Close the open file, without what is buffered."""
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
            self._writer = parquet_writer(path, table.schema, compression="snappy")
        self._writer.write_table(table)


def episodes_path(root: Path, number: int) -> Path:
    """The n-th file of the episodes table."""
    chunk, file = numbered(number)
    return root / EPISODES_PATH.format(chunk_index=chunk, file_index=file)


def file_columns(prefix: str, numbers: NDArray) -> dict[str, NDArray]:
    """The two columns that name the n-th file."""
    chunk, file = np.divmod(numbers, MAX_FILES_PER_CHUNK)
    return {f"{prefix}/chunk_index": chunk, f"{prefix}/file_index": file}
