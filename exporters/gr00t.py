"""LeRobot v2.1 with meta/modality.json, as Isaac-GR00T and openpi read it: one parquet and one mp4 per episode.

An episode's video file is written as it was encoded, and linked into the data set. Its columns lie in the shard as an
Arrow file, since only ``finalize`` knows the numbers that belong into the parquet file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.core.errors import DamagedShardError
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.base import Assembly, PieceFormat
from synthgen.formats.check import check_episode
from synthgen.formats.features import Feature, frame_columns, frame_features
from synthgen.formats.folder import link, write_json
from synthgen.formats.gr00t_check import check_dataset, check_piece, sentences
from synthgen.formats.lerobot import (
    GLOBAL,
    Names,
    column_values,
    constant,
    data_array,
    data_schema,
    dictionary_columns,
    image_key,
    info_features,
    of_range,
    plain_statistics,
    renumber,
)
from synthgen.formats.manifest import ShardManifest
from synthgen.formats.piece import Piece
from synthgen.formats.problem import Problem
from synthgen.formats.relative import eef_key
from synthgen.formats.shard import ShardBook, column_of, held_by_columns
from synthgen.formats.summary import DatasetStatistics
from synthgen.formats.tables import ARROW, read_table, write_arrow, write_table

CHUNK = 1000
DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
TASK, VALIDITY, SUBTASK = (
    f"annotation.{n}" for n in ("human.action.task_description", "human.validity", "synthgen.subtask")
)
VALID = "valid"


def columns_of(dataset: DatasetSpec) -> tuple[Feature, ...]:
    """The data columns: annotations are indices into tasks.jsonl."""
    annotations = tuple(Feature(name=n, dtype="int64", width=1) for n in (TASK, VALIDITY, SUBTASK))
    return (*(f for f in frame_features(dataset) if f.name != "subtask_index"), *annotations, *GLOBAL)


def modality(dataset: DatasetSpec) -> dict[str, Any]:
    """modality.json: which slice of which column each group is. Relative action groups have a state group like them."""
    out: dict[str, Any] = {"state": {}, "action": {}, "video": {}, "annotation": {}}
    at = 0
    for g in dataset.groups:
        for kind in ("state", "action"):
            out[kind][g.name] = {"start": at, "end": at + len(g.joints)}
        at += len(g.joints)
    for eef in dataset.end_effectors:
        for kind, side in (("state", "observation"), ("action", "target")):
            out[kind][eef_key(eef)] = {"start": 0, "end": 9, "original_key": f"{side}.eef_9d.{eef}"}
    for camera in dataset.cameras:
        out["video"][camera.name] = {"original_key": image_key(camera.name)}
    out["annotation"] = {n.removeprefix("annotation."): {} for n in (TASK, VALIDITY, SUBTASK)}
    # Configurations of Isaac-GR00T's robots ask for the instruction under these names too.
    out["annotation"] |= {n: {"original_key": TASK} for n in ("human.task_description", "human.coarse_action")}
    return out


class Gr00tShard:
    """Writes one shard; holds one episode in memory, and the shard's rows."""

    def __init__(self, folder: Path, dataset: DatasetSpec, format_name: str) -> None:
        self._folder, self._dataset = folder, dataset
        self._schema = data_schema(columns_of(dataset), list_type="Sequence")  # its readers have datasets < 4
        self._book = ShardBook(folder, dataset, format_name, without=held_by_columns(dataset), relative=True)
        self._episodes = 0

    def add(self, episode: Episode) -> None:
        """Append an episode; see ``ShardWriter``."""
        check_episode(episode, self._dataset)
        columns = frame_columns(episode, self._dataset)
        zeros = np.zeros(len(episode), np.int64)
        values = {**columns, SUBTASK: columns["subtask_index"]}
        arrays = [data_array(values.get(f.name, zeros), f) for f in self._schema]
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        write_arrow(table, shard_file(self._folder, "data", self._episodes))
        for camera in self._dataset.cameras:
            path = shard_file(self._folder, image_key(camera.name), self._episodes)
            path.write_bytes(episode.videos[camera.name].data)
        self._book.add(episode, columns, {})
        if self._book.manifest.info is None:
            self._book.manifest.info = info_features(self._dataset, columns_of(self._dataset), episode.videos)
        self._episodes += 1

    def close(self) -> Sequence[Path]:
        """Finish every file; see ``ShardWriter``."""
        return self._book.close()

    def abort(self) -> None:
        """Close without finishing; see ``ShardWriter``."""
        self._book.abort()


class Gr00tAssembly(Assembly):
    """Numbers pieces as they come; memory holds one episode, and the names of tasks."""

    def __init__(self, root: Path, dataset: DatasetSpec) -> None:
        self._root, self._dataset = root, dataset
        self._names = Names()
        self._episodes = self._frames = 0
        (root / "meta").mkdir()
        self._list = (root / "meta" / "episodes.jsonl").open("w")
        self._stats = (root / "meta" / "episodes_stats.jsonl").open("w")

    def add(self, piece: Piece, rows: pa.Table) -> None:
        """See ``Assembly``."""
        for i, row in enumerate(rows.to_pylist()):
            self._data(piece, i, row)
            for camera in self._dataset.cameras:
                key = image_key(camera.name)
                link(piece.files[key][i], dataset_file(self._root, key, self._episodes))
            self._episodes += 1
            self._frames += row["length"]

    def finish(self, manifest: ShardManifest, statistics: DatasetStatistics) -> None:
        """See ``Assembly``."""
        self.close()
        meta, names = self._root / "meta", self._names.all()
        with (meta / "tasks.jsonl").open("w") as out:
            out.writelines(json.dumps({"task_index": i, "task": n}) + "\n" for i, n in enumerate(names))
        write_json(meta / "modality.json", modality(self._dataset))
        keys = ("mean", "std", "min", "max", "q01", "q99")
        numeric = {n: {k: s[k] for k in keys} for n, s in statistics.summary().items() if n != "frame_index"}
        write_json(meta / "stats.json", plain_statistics({n: s for n, s in numeric.items() if s["mean"].ndim == 1}))
        write_json(meta / "relative_stats.json", statistics.relative.summary() if statistics.relative else {})
        chunks = -(-self._episodes // CHUNK)
        write_json(
            meta / "info.json",
            {
                "codebase_version": "v2.1",
                "robot_type": self._dataset.robot_type,
                "total_episodes": self._episodes,
                "total_frames": self._frames,
                "total_tasks": len(names),
                "total_videos": self._episodes * len(self._dataset.cameras),
                "total_chunks": chunks,
                "chunks_size": CHUNK,
                "fps": self._dataset.fps,
                "splits": {"train": f"0:{self._episodes}"},
                "data_path": DATA_PATH,
                "video_path": VIDEO_PATH if self._dataset.cameras else None,
                "features": manifest.info,
            },
        )

    def close(self) -> None:
        """See ``Assembly``."""
        self._list.close()
        self._stats.close()

    def _data(self, piece: Piece, i: int, row: dict[str, Any]) -> None:
        """Write an episode's data file with global numbers, and its lines in the lists."""
        n = row["length"]
        table = read_table(piece.files["data"][i])
        task, valid = self._names.number(row["tasks"][0]), self._names.number(VALID)
        local, texts = column_values(table, SUBTASK), piece.subtasks or row["subtasks"]
        subtask = renumber(local, texts, self._names)
        numbers = {TASK: task, "task_index": task, VALIDITY: valid, "episode_index": self._episodes}
        columns = {k: np.full(n, v) for k, v in numbers.items()}
        columns |= {"index": self._frames + np.arange(n), SUBTASK: subtask}
        for name, values in columns.items():
            at = table.schema.get_field_index(name)
            table = table.set_column(at, table.schema.field(at), data_array(values, table.schema.field(at)))
        target = dataset_file(self._root, "data", self._episodes)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_table(table, target, compression="snappy", use_dictionary=dictionary_columns(table.schema))
        for sentence in sentences(row):
            self._names.number(sentence)
        starts = np.flatnonzero(np.diff(local, prepend=-1))
        ends = [*starts[1:], n]
        line = {
            "episode_index": self._episodes,
            "tasks": sentences(row),
            "length": n,
            "sub_tasks": [
                {"start": int(a), "end": int(b), "text": texts[local[a]]} for a, b in zip(starts, ends, strict=True)
            ],
        }
        self._list.write(json.dumps(line) + "\n")
        stats: dict[str, Any] = {}
        for key, value in row.items():
            if key.startswith("stats/"):
                _, feature, statistic = key.split("/")
                stats.setdefault(feature, {})[statistic] = value
        numbering = {"index": of_range(n, self._frames)} | {k: constant(v, n) for k, v in numbers.items()}
        stats |= plain_statistics(numbering)
        self._stats.write(json.dumps({"episode_index": self._episodes, "stats": stats}) + "\n")


class Gr00t(PieceFormat):
    """The exporter."""

    relative = True

    def open_shard(self, folder: Path, dataset: DatasetSpec) -> Gr00tShard:
        """Start writing a shard; see ``Exporter``."""
        return Gr00tShard(folder, dataset, self.name)

    def shard_files(self, folder: Path, dataset: DatasetSpec) -> dict[str, tuple[Path, ...]]:
        """See ``PieceFormat``."""
        videos = {k: tuple(sorted(folder.glob(f"{k}-*.mp4"))) for k in (image_key(c.name) for c in dataset.cameras)}
        return {"data": tuple(sorted(folder.glob(f"data-*{ARROW}"))), **videos}

    def dataset_files(self, root: Path, kind: str, start: int, stop: int) -> tuple[Path, ...]:
        """See ``PieceFormat``."""
        return tuple(dataset_file(root, kind, n) for n in range(start, stop))

    def subtask_names(self, root: Path) -> tuple[str, ...]:
        """See ``PieceFormat``: the annotation's numbers are those of tasks.jsonl."""
        path = root / "meta" / "tasks.jsonl"
        try:
            with path.open() as lines:
                return tuple(json.loads(line)["task"] for line in lines)
        except (OSError, ValueError, KeyError) as error:
            raise DamagedShardError(f"{path}: cannot be read: {error}") from error

    def assembly(self, root: Path, manifest: ShardManifest) -> Gr00tAssembly:
        """See ``PieceFormat``."""
        return Gr00tAssembly(root, manifest.dataset)

    def check_piece(self, piece: Piece, rows: pa.Table, dataset: DatasetSpec, *, decode: bool) -> Iterator[Problem]:
        """See ``PieceFormat``."""
        return check_piece(piece, rows, dataset, columns_of(dataset), decode=decode)

    def check_dataset(self, root: Path, manifest: ShardManifest, pieces: Sequence[Piece]) -> Iterator[Problem]:
        """See ``PieceFormat``."""
        expected = {"codebase_version": "v2.1", "chunks_size": CHUNK, "data_path": DATA_PATH}
        return check_dataset(root, manifest, pieces, expected, modality(manifest.dataset))

    def read_piece(
        self, piece: Piece, rows: pa.Table, dataset: DatasetSpec, wanted: Sequence[int]
    ) -> Iterator[tuple[Mapping[str, NDArray], Mapping[str, bytes]]]:
        """See ``PieceFormat``."""
        columns = column_of(dataset)
        for row in wanted:
            table = read_table(piece.files["data"][row])
            videos = {c.name: piece.files[image_key(c.name)][row].read_bytes() for c in dataset.cameras}
            yield {name: column_values(table, column) for name, column in columns.items()}, videos


def shard_file(folder: Path, kind: str, number: int) -> Path:
    """The n-th file of a kind in a shard."""
    return folder / f"{kind}-{number:06d}{ARROW if kind == 'data' else '.mp4'}"


def dataset_file(root: Path, kind: str, number: int) -> Path:
    """The n-th file of a kind in a data set."""
    template = DATA_PATH if kind == "data" else VIDEO_PATH
    return root / template.format(episode_chunk=number // CHUNK, episode_index=number, video_key=kind)


exporter = Gr00t("gr00t", "LeRobot v2.1 with modality.json, as Isaac-GR00T reads it")
