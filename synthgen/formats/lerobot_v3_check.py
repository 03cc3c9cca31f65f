"""What lerobot's loader accepts silently and we do not: each number of a v3.0 shard or data set against the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synthgen.core.errors import DamagedShardError
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.columns_check import check_columns, differs
from synthgen.formats.lerobot import column_values, data_features
from synthgen.formats.lerobot_v3 import LANGUAGE, Piece, read_table
from synthgen.formats.problem import Problem
from synthgen.formats.records import count_records
from synthgen.formats.video_check import check_video


def check_piece(
    piece: Piece, root: Path, dataset: DatasetSpec, *, language: bool, decode: bool = True
) -> Iterator[Problem]:
    """Data files, videos and records of a piece against its episodes table; file names relative to ``root``."""
    rows = piece.rows
    length = rows.column("length").to_numpy()
    of_file = rows.column("data_file").to_numpy()
    if len(piece.data) != of_file.max() + 1:
        where = f"{len(piece.data)} data files, the episodes table names {of_file.max() + 1}"
        yield Problem(file=_name(piece.records, root), where="", what=where)
        return
    for number, path in enumerate(piece.data):
        mine = of_file == number
        yield from _check_data(path, _name(path, root), length[mine], dataset, language)
    for camera in dataset.cameras:
        number, start = (rows.column(f"{k}/{camera.name}").to_numpy() for k in ("video_file", "from_frame"))
        for i, path in enumerate(piece.videos[camera.name]):
            mine = number == i
            expected = np.cumsum(length[mine]) - length[mine]
            yield from differs(
                _name(path, root), "from_timestamp (frames)", {"from_timestamp (frames)": start[mine]}, expected
            )
            yield from check_video(_name(path, root), path, expected, int(length[mine].sum()), decode=decode)
    try:
        frames = count_records(piece.records)
    except DamagedShardError as error:
        yield Problem(file=_name(piece.records, root), where="", what=error.message)
        return
    if frames != length.tolist():
        yield Problem(file=_name(piece.records, root), where="frames", what="differ from the episodes table's lengths")


def _check_data(path: Path, file: str, lengths: np.ndarray, dataset: DatasetSpec, language: bool) -> Iterator[Problem]:
    try:
        table = read_table(path)
        groups = [pq.read_metadata(path).row_group(i).num_rows for i in range(pq.read_metadata(path).num_row_groups)]
    except (DamagedShardError, OSError, pa.ArrowException) as error:
        yield Problem(file=file, where="", what=str(error).splitlines()[0])
        return
    if len(table) != lengths.sum():
        yield Problem(file=file, where="", what=f"holds {len(table)} rows, its episodes have {lengths.sum()}")
        return
    if groups != lengths.tolist():
        yield Problem(file=file, where="row groups", what="are not one per episode")
    if language and LANGUAGE.name not in table.column_names:
        yield Problem(file=file, where=f"column {LANGUAGE.name}", what="missing")
    yield from check_columns(file, lambda name: column_values(table, name), data_features(dataset), lengths, dataset)


def _name(path: Path, root: Path) -> str:
    return str(path.relative_to(root))
