"""What lerobot's loader accepts silently and we do not: each number of a v3.0 shard or data set against the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from synthgen.core.errors import DamagedShardError
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.columns_check import check_columns, check_info, differs
from synthgen.formats.lerobot import column_values, data_features, image_key
from synthgen.formats.lerobot_v3 import DATA_PATH, LANGUAGE, VIDEO_PATH
from synthgen.formats.manifest import ShardManifest
from synthgen.formats.piece import Piece, tables_of
from synthgen.formats.problem import Problem
from synthgen.formats.tables import read_table
from synthgen.formats.tables_check import check_episodes, check_names, check_stats
from synthgen.formats.video_check import check_video

REWRITE = "make the data set again from the run (`synthgen export`), or restore the file from a copy"


def check_piece(
    piece: Piece, rows: pa.Table, dataset: DatasetSpec, *, language: bool, decode: bool = True
) -> Iterator[Problem]:
    """Data files and videos of a piece against its rows."""
    length = rows.column("length").to_numpy()
    of_file = rows.column("data_file").to_numpy()
    named = {"data": of_file}
    for camera in dataset.cameras:
        named[image_key(camera.name)] = rows.column(f"video_file/{camera.name}").to_numpy()
    for kind, numbers in named.items():
        found = len(piece.files[kind])
        if found != numbers.max() + 1:
            what = f"there are {found} files of {kind}, its episodes name {numbers.max() + 1}"
            yield Problem(file=piece.name(piece.rows), where=kind, what=what)
            return
    for number, path in enumerate(piece.files["data"]):
        yield from _check_data(path, piece.name(path), length[of_file == number], dataset, language)
    for camera in dataset.cameras:
        number, start = named[image_key(camera.name)], rows.column(f"from_frame/{camera.name}").to_numpy()
        for i, path in enumerate(piece.files[image_key(camera.name)]):
            mine = number == i
            expected = np.cumsum(length[mine]) - length[mine]
            column = f"from_frame/{camera.name}"
            yield from differs(piece.name(piece.rows), column, {column: start[mine]}, expected)
            yield from check_video(piece.name(path), path, expected, int(length[mine].sum()), decode=decode)


def check_dataset(root: Path, manifest: ShardManifest, pieces: Sequence[Piece]) -> Iterator[Problem]:
    """The numbering over all files, the episodes table, and the metadata."""
    dataset = manifest.dataset
    tables = [p.places() for p in pieces]
    length = np.concatenate([t.column("length").to_numpy() for t in tables])
    tasks = [t[0] for table in tables for t in table.column("tasks").to_pylist()]
    layout: dict[str, str | None] = {"codebase_version": "v3.0", "data_path": DATA_PATH}
    layout["video_path"] = VIDEO_PATH if dataset.cameras else None
    yield from check_info(root, manifest, length, layout)
    known = yield from check_names(root, "tasks", "task")
    subtasks = yield from check_names(root, "subtasks", "subtask")
    if known is None or subtasks is None:
        return
    absent = sorted(set(tasks) - set(known))
    if absent:
        yield Problem(file="meta/tasks.parquet", where=f"task {absent[0]!r}", what="missing")
        return
    index = {t: i for i, t in enumerate(known)}
    task_index = np.array([index[t] for t in tasks])
    yield from _check_numbering(pieces, tables, task_index, len(subtasks))
    yield from check_episodes(root, manifest, tables, _places(dataset, tables, length))
    yield from _check_stray(root, pieces)
    readers = (partial(column_values, table) for table in tables_of(pieces, "data"))
    yield from check_stats(root, manifest, readers, data_features(dataset))


def _check_data(path: Path, file: str, lengths: NDArray, dataset: DatasetSpec, language: bool) -> Iterator[Problem]:
    try:
        table = read_table(path)
        metadata = pq.read_metadata(path)
    except (DamagedShardError, OSError, pa.ArrowException) as error:
        yield Problem(file=file, where="", what=str(error).splitlines()[0])
        return
    if len(table) != lengths.sum():
        yield Problem(file=file, where="", what=f"holds {len(table)} rows, its episodes have {lengths.sum()}")
        return
    if [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] != lengths.tolist():
        yield Problem(file=file, where="row groups", what="are not one per episode")
    expected = {f.name for f in data_features(dataset)} | ({LANGUAGE.name} if language else set())
    for name in sorted(set(table.column_names) ^ expected):
        what = "is not a feature of the data set" if name in table.column_names else "missing"
        yield Problem(file=file, where=f"column {name}", what=what)
    yield from check_columns(file, lambda name: column_values(table, name), data_features(dataset), lengths, dataset)


def _check_numbering(
    pieces: Sequence[Piece], tables: Sequence[pa.Table], task_index: NDArray, subtasks: int
) -> Iterator[Problem]:
    """episode_index, index and task_index run through all data files; subtask_index names a subtask."""
    episode = frame = 0
    for piece, rows in zip(pieces, tables, strict=True):
        length, of_file = rows.column("length").to_numpy(), rows.column("data_file").to_numpy()
        for number, path in enumerate(piece.files["data"]):
            mine = np.flatnonzero(of_file == number)
            n = int(length[mine].sum())
            try:
                table = read_table(path)
                values = {k: column_values(table, k) for k in ("episode_index", "index", "task_index", "subtask_index")}
            except (DamagedShardError, KeyError):
                frame += n  # reported with the piece
                continue
            expected = {
                "episode_index": np.repeat(episode + mine, length[mine]),
                "index": frame + np.arange(n),
                "task_index": np.repeat(task_index[episode + mine], length[mine]),
            }
            for name, want in expected.items():
                if len(values[name]) == n:
                    yield from differs(piece.name(path), name, values, want)
            wrong = np.flatnonzero((values["subtask_index"] < 0) | (values["subtask_index"] >= subtasks))
            if len(wrong):
                where, what = f"column subtask_index, row {wrong[0]}", f"is not one of {subtasks} subtasks"
                yield Problem(file=piece.name(path), where=where, what=what)
            frame += n
        episode += len(length)


def _places(dataset: DatasetSpec, tables: Sequence[pa.Table], length: NDArray) -> dict[str, NDArray]:
    """What the episodes table must say of where an episode's data lie."""
    out = {"data/file_index": _running([t.column("data_file").to_numpy() for t in tables])}
    for camera in dataset.cameras:
        key = f"videos/{image_key(camera.name)}"
        start = np.concatenate([t.column(f"from_frame/{camera.name}").to_numpy() for t in tables])
        out[f"{key}/file_index"] = _running([t.column(f"video_file/{camera.name}").to_numpy() for t in tables])
        out[f"{key}/from_timestamp"] = start / dataset.fps
        out[f"{key}/to_timestamp"] = (start + length) / dataset.fps
    return out


def _check_stray(root: Path, pieces: Sequence[Piece]) -> Iterator[Problem]:
    """Readers take every file they find, in the order of its path."""
    named = {f for p in pieces for files in p.files.values() for f in files}
    for path in sorted([*root.glob("data/*/*.parquet"), *root.glob("videos/*/*/*.mp4")]):
        if path not in named:
            name = path.relative_to(root).as_posix()
            yield Problem(file=name, where="", what="belongs to no episode", remedy="move the file out of the data set")
    data = [f for p in pieces for f in p.files["data"]]
    if [str(f) for f in data] != sorted(str(f) for f in data):
        yield Problem(file="data", where="", what="file names do not sort in episode order")


def _running(numbers: Sequence[NDArray]) -> NDArray:
    """File numbers that start at 0 in each piece -> over all pieces."""
    out, at = [], 0
    for n in numbers:
        out.append(at + n)
        at += int(n.max()) + 1
    return np.concatenate(out)
