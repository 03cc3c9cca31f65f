"""LeRobot v3.0, written directly: one parquet file and one mp4 per camera and shard, joined by renumbering.

A shard's files are final but for the data set's global numbering. ``finalize`` rewrites the small data files with that
numbering, links the videos, and writes the metadata last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synthgen.core.episode import Episode
from synthgen.core.errors import DamagedShardError
from synthgen.core.exporter import DatasetSpec, DatasetSummary, ShardFiles
from synthgen.formats.check import check_episode
from synthgen.formats.features import frame_columns
from synthgen.formats.lerobot import data_array, data_features, data_schema, image_key, info_features
from synthgen.formats.lerobot_v3 import LANGUAGE, Piece, assemble, language_rows, read_piece
from synthgen.formats.lerobot_v3_check import check_piece
from synthgen.formats.manifest import ShardManifest, join_manifests, read_shard_manifest
from synthgen.formats.problem import raise_first
from synthgen.formats.records import RecordWriter
from synthgen.formats.summary import DatasetStatistics
from synthgen.media.packets import VideoWriter

DATA_FILE_BYTES = 100_000_000
VIDEO_FILE_BYTES = 200_000_000


class LerobotShard:
    """Writes one shard; holds one episode and the shard's episodes table in memory."""

    def __init__(self, folder: Path, dataset: DatasetSpec, *, language: bool, format_name: str) -> None:
        self._folder, self._dataset, self._language = folder, dataset, language
        extra, described = ([LANGUAGE.field], {LANGUAGE.name: LANGUAGE.described}) if language else ([], {})
        self._schema = data_schema(data_features(dataset), extra, described)
        self._manifest = ShardManifest(format=format_name, dataset=dataset)
        self._statistics = DatasetStatistics(dataset)
        self._records = RecordWriter(folder / "records.parquet", without=held_by_columns(dataset))
        self._rows: list[dict[str, Any]] = []
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
        row: dict[str, Any] = {
            "tasks": [episode.instruction],
            "length": len(episode),
            "subtasks": list(episode.subtasks),
            "data_file": self._append_data(episode, columns),
        }
        for camera in self._dataset.cameras:
            file, start = self._append_video(camera.name, episode)
            row[f"video_file/{camera.name}"], row[f"from_frame/{camera.name}"] = file, start
        for feature, values in self._statistics.add(columns, episode.videos).items():
            row.update({f"stats/{feature}/{k}": v.tolist() for k, v in values.items()})
        self._rows.append(row)
        self._records.add(episode)
        self._manifest.count(episode)
        if self._manifest.info is None:
            self._manifest.info = info_features(self._dataset, data_features(self._dataset), episode.videos)
            if self._language:
                self._manifest.info[LANGUAGE.name] = LANGUAGE.info

    def close(self) -> Sequence[Path]:
        """Finish every file; see ``ShardWriter``."""
        self._close_writers()
        if self._rows:
            pq.write_table(pa.Table.from_pylist(self._rows), self._folder / "episodes.parquet", compression="zstd")
        self._statistics.save(self._folder / "statistics.npz")
        self._manifest.write(self._folder)
        return sorted(p.relative_to(self._folder) for p in self._folder.rglob("*") if p.is_file())

    def abort(self) -> None:
        """Close without finishing; see ``ShardWriter``."""
        self._close_writers()

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
            self._data = pq.ParquetWriter(path, self._schema, compression="snappy")
            self._data_files, self._data_bytes = self._data_files + 1, 0
        self._data.write_table(table)  # one row group per episode
        self._data_bytes += table.nbytes
        return self._data_files - 1

    def _append_video(self, camera: str, episode: Episode) -> tuple[int, int]:
        video = episode.videos[camera]
        if camera in self._videos and self._video_bytes[camera] + len(video.data) > VIDEO_FILE_BYTES:
            self._videos.pop(camera).close()
        if camera not in self._videos:
            path = self._folder / f"{image_key(camera)}-{self._video_files[camera]:03d}.mp4"
            self._videos[camera] = VideoWriter(path)
            self._video_files[camera], self._video_bytes[camera] = self._video_files[camera] + 1, 0
        start, _ = self._videos[camera].append(video)
        self._video_bytes[camera] += len(video.data)
        return self._video_files[camera] - 1, start

    def _close_writers(self) -> None:
        self._records.close()
        if self._data is not None:
            self._data.close()
        for writer in self._videos.values():
            writer.close()


class Lerobot:
    """The exporter. ``language``: write the ``language_persistent`` column, which needs lerobot >= 0.6."""

    def __init__(self, name: str, summary: str, *, language: bool) -> None:
        self.name, self.summary, self._language = name, summary, language

    def open_shard(self, folder: Path, dataset: DatasetSpec) -> LerobotShard:
        """Start writing a shard; see ``Exporter``."""
        return LerobotShard(folder, dataset, language=self._language, format_name=self.name)

    def verify(self, folder: Path, dataset: DatasetSpec) -> tuple[int, int]:
        """Re-open a written shard and check all of it; see ``Exporter``."""
        manifest = read_shard_manifest(folder, self.name, dataset)
        if manifest.episodes:
            piece = Piece.of_shard(folder, dataset)
            raise_first(folder, check_piece(piece, folder, dataset, language=self._language))
            statistics = DatasetStatistics.load(folder / "statistics.npz", dataset)
            if statistics.rows != manifest.frames:
                raise DamagedShardError(
                    f"{folder / 'statistics.npz'}: counts {statistics.rows} of {manifest.frames} frames"
                )
        return manifest.episodes, manifest.frames

    def finalize(self, shards: Sequence[ShardFiles], root: Path, dataset: DatasetSpec) -> DatasetSummary:
        """Make the data set from shards in slot order; see ``Exporter``."""
        manifest, filled = join_manifests([s.folder for s in shards], self.name, dataset)
        statistics = DatasetStatistics(dataset)
        for folder in filled:
            statistics.merge(DatasetStatistics.load(folder / "statistics.npz", dataset))
        return assemble((Piece.of_shard(f, dataset) for f in filled), manifest, statistics, root)

    def read_shard(self, folder: Path, dataset: DatasetSpec) -> Iterator[Episode]:
        """A shard's episodes again, without loss."""
        if read_shard_manifest(folder, self.name, dataset).episodes:
            yield from read_piece(Piece.of_shard(folder, dataset), dataset)


def held_by_columns(dataset: DatasetSpec) -> frozenset[str]:
    """Arrays of an episode that the data files' columns hold exactly."""
    poses = (f"{kind}/{e}" for kind in ("eef_pose", "eef_target") for e in dataset.end_effectors)
    return frozenset(("state", "action", "velocity", "reward", "done", *poses))


exporter = (
    Lerobot("lerobot", "LeRobot v3.0, as lerobot 0.4 and later read it", language=False),
    Lerobot(
        "lerobot-language", "LeRobot v3.0 with the language_persistent column of lerobot 0.6 and later", language=True
    ),
)
