"""LeRobot v3.0, written directly: one parquet file and one mp4 per camera and shard, joined by renumbering.

A shard's files are final but for the data set's global numbering. ``finalize`` rewrites the small data files with that
numbering, links the videos, and writes the metadata last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.base import PieceFormat
from synthgen.formats.check import check_episode
from synthgen.formats.features import frame_columns
from synthgen.formats.lerobot import (
    column_values,
    data_array,
    data_features,
    data_schema,
    dictionary_columns,
    image_key,
    info_features,
    read_names,
)
from synthgen.formats.lerobot_v3 import LANGUAGE, LerobotAssembly, data_path, language_rows, video_path
from synthgen.formats.lerobot_v3_check import check_dataset, check_piece
from synthgen.formats.manifest import ShardManifest
from synthgen.formats.piece import Piece
from synthgen.formats.problem import Problem
from synthgen.formats.shard import ShardBook, column_of, held_by_columns
from synthgen.formats.tables import parquet_writer, read_groups
from synthgen.media.packets import VideoWriter, cut

DATA_FILE_BYTES = 100_000_000
VIDEO_FILE_BYTES = 200_000_000


class LerobotShard:
    """Writes one shard; holds one episode in memory, and the shard's rows."""

    def __init__(self, folder: Path, dataset: DatasetSpec, *, language: bool, format_name: str) -> None:
        self._folder, self._dataset, self._language = folder, dataset, language
        extra, described = ([LANGUAGE.field], {LANGUAGE.name: LANGUAGE.described}) if language else ([], {})
        self._schema = data_schema(data_features(dataset), extra, described)
        self._book = ShardBook(folder, dataset, format_name, without=held_by_columns(dataset))
        self._data: pq.ParquetWriter | None = None
        self._data_bytes = 0
        self._data_files = 0
        self._videos: dict[str, VideoWriter] = {}
        self._video_bytes = dict.fromkeys((c.name for c in dataset.cameras), 0)
        self._video_files = dict.fromkeys((c.name for c in dataset.cameras), 0)

    def add(self, episode: Episode) -> None:
        """Append an episode; see ``ShardWriter``.

        Raises:
            UsageError: the episode does not fit the data set.
        """
        check_episode(episode, self._dataset)
        columns = frame_columns(episode, self._dataset)
        place: dict[str, Any] = {"data_file": self._append_data(episode, columns)}
        for camera in self._dataset.cameras:
            place |= self._append_video(camera.name, episode)
        self._book.add(episode, columns, place)
        if self._book.manifest.info is None:
            info = info_features(self._dataset, data_features(self._dataset), episode.videos)
            self._book.manifest.info = info | ({LANGUAGE.name: LANGUAGE.info} if self._language else {})

    def close(self) -> Sequence[Path]:
        """Finish every file; see ``ShardWriter``."""
        self._close_writers()
        return self._book.close()

    def abort(self) -> None:
        """Close without finishing; see ``ShardWriter``."""
        self._close_writers()
        self._book.abort()

    def _append_data(self, episode: Episode, columns: dict[str, Any]) -> int:
        zeros = [0] * len(episode)
        arrays = []
        for field in self._schema:
            if field.name == LANGUAGE.name:
                arrays.append(pa.array([language_rows(episode)] * len(episode), type=field.type))
            elif field.name in columns:
                arrays.append(data_array(columns[field.name], field))
            else:
                arrays.append(pa.array(zeros, type=field.type))  # numbered by ``finalize``
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        if self._data is not None and self._data_bytes + table.nbytes > DATA_FILE_BYTES:
            self._data.close()
            self._data = None
        if self._data is None:
            path = self._folder / f"data-{self._data_files:03d}.parquet"
            self._data = parquet_writer(
                path, self._schema, compression="snappy", use_dictionary=dictionary_columns(self._schema)
            )
            self._data_files, self._data_bytes = self._data_files + 1, 0
        self._data.write_table(table)  # one row group per episode
        self._data_bytes += table.nbytes
        return self._data_files - 1

    def _append_video(self, camera: str, episode: Episode) -> dict[str, int]:
        video = episode.videos[camera]
        if camera in self._videos and self._video_bytes[camera] + len(video.data) > VIDEO_FILE_BYTES:
            self._videos.pop(camera).close()
        if camera not in self._videos:
            path = self._folder / f"{image_key(camera)}-{self._video_files[camera]:03d}.mp4"
            self._videos[camera] = VideoWriter(path)
            self._video_files[camera], self._video_bytes[camera] = self._video_files[camera] + 1, 0
        start, _ = self._videos[camera].append(video)
        self._video_bytes[camera] += len(video.data)
        return {f"video_file/{camera}": self._video_files[camera] - 1, f"from_frame/{camera}": start}

    def _close_writers(self) -> None:
        if self._data is not None:
            self._data.close()
        for writer in self._videos.values():
            writer.close()


class Lerobot(PieceFormat):
    """The exporter. ``language``: write the ``language_persistent`` column, which needs lerobot >= 0.6."""

    def __init__(self, name: str, summary: str, *, language: bool) -> None:
        super().__init__(name, summary)
        self._language = language

    def open_shard(self, folder: Path, dataset: DatasetSpec) -> LerobotShard:
        """Start writing a shard; see ``Exporter``."""
        return LerobotShard(folder, dataset, language=self._language, format_name=self.name)

    def shard_files(self, folder: Path, dataset: DatasetSpec) -> dict[str, tuple[Path, ...]]:
        """See ``PieceFormat``."""
        keys = [image_key(c.name) for c in dataset.cameras]
        videos = {k: tuple(sorted(folder.glob(f"{k}-*.mp4"))) for k in keys}
        return {"data": tuple(sorted(folder.glob("data-*.parquet"))), **videos}

    def dataset_files(self, root: Path, kind: str, start: int, stop: int) -> tuple[Path, ...]:
        """See ``PieceFormat``."""
        camera = kind.removeprefix(image_key(""))
        numbers = range(start, stop)
        return tuple(data_path(root, n) if kind == "data" else video_path(root, camera, n) for n in numbers)

    def subtask_names(self, root: Path) -> tuple[str, ...]:
        """See ``PieceFormat``."""
        return tuple(read_names(root / "meta" / "subtasks.parquet", "subtask"))

    def assembly(self, root: Path, manifest: ShardManifest) -> LerobotAssembly:
        """See ``PieceFormat``."""
        return LerobotAssembly(root, manifest)

    def check_piece(self, piece: Piece, rows: pa.Table, dataset: DatasetSpec, *, decode: bool) -> Iterator[Problem]:
        """See ``PieceFormat``."""
        return check_piece(piece, rows, dataset, language=self._language, decode=decode)

    def check_dataset(self, root: Path, manifest: ShardManifest, pieces: Sequence[Piece]) -> Iterator[Problem]:
        """See ``PieceFormat``."""
        return check_dataset(root, manifest, pieces)

    def read_piece(
        self, piece: Piece, rows: pa.Table, dataset: DatasetSpec, wanted: Sequence[int]
    ) -> Iterator[tuple[Mapping[str, NDArray], Mapping[str, bytes]]]:
        """See ``PieceFormat``."""
        columns = column_of(dataset)
        tables = _tables(piece, rows, wanted, list(columns.values()))
        videos = {c.name: _cut(piece, rows, c.name, wanted) for c in dataset.cameras}
        for table in tables:
            arrays = {name: column_values(table, column) for name, column in columns.items()}
            yield arrays, {camera: next(cuts) for camera, cuts in videos.items()}


def _tables(piece: Piece, rows: pa.Table, wanted: Sequence[int], columns: list[str]) -> Iterator[pa.Table]:
    """The wanted episodes' columns, each data file opened once."""
    of_file = rows.column("data_file").to_numpy()
    group = np.arange(len(of_file)) - np.searchsorted(of_file, of_file)  # a row's row group within its file
    for number, path in enumerate(piece.files["data"]):
        yield from read_groups(path, [int(group[r]) for r in wanted if of_file[r] == number], columns)


def _cut(piece: Piece, rows: pa.Table, camera: str, wanted: Sequence[int]) -> Iterator[bytes]:
    """The wanted episodes' videos of a camera, each joined file opened once."""
    file, start, length = (
        rows.column(k).to_numpy() for k in (f"video_file/{camera}", f"from_frame/{camera}", "length")
    )
    for number, path in enumerate(piece.files[image_key(camera)]):
        mine = [(int(start[r]), int(length[r])) for r in wanted if file[r] == number]
        if mine:
            yield from cut(path, mine)


exporter = (
    Lerobot("lerobot", "LeRobot v3.0, as lerobot 0.4 and later read it", language=False),
    Lerobot("lerobot-language", "LeRobot v3.0 with the language_persistent column of lerobot >= 0.6", language=True),
)
