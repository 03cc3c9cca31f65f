"""A data set format made of pieces: everything that does not depend on how a piece stores its frames.

A format says how one episode is written (``open_shard``), where a piece's files are, how pieces are numbered together
(``Assembly``), how a piece is checked and how its arrays and videos are read back. This class makes of that: verify,
finalize, merge, check, and reading episodes without loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.core.errors import DamagedShardError, UsageError
from synthgen.core.exporter import DatasetSpec, DatasetSummary, ShardFiles, ShardWriter
from synthgen.formats.card import write_card
from synthgen.formats.folder import building, link
from synthgen.formats.manifest import (
    ShardManifest,
    join_manifests,
    read_dataset_manifest,
    read_shard_manifest,
    same_columns,
    write_dataset_manifest,
)
from synthgen.formats.piece import RECORDS_PATH, ROWS_PATH, Piece, numbered_path
from synthgen.formats.problem import Problem, of_error, raise_first
from synthgen.formats.records import count_records, read_records
from synthgen.formats.summary import DatasetStatistics

STATISTICS = Path("meta") / "statistics.npz.zst"


class Assembly(ABC):
    """Joins pieces into a data set folder, one by one; memory holds one piece's rows at most."""

    @abstractmethod
    def add(self, piece: Piece, rows: pa.Table) -> None:
        """Take the next piece: number it, link or copy its files."""

    @abstractmethod
    def finish(self, manifest: ShardManifest, statistics: DatasetStatistics) -> None:
        """Write the format's metadata; what readers open first, last."""

    def close(self) -> None:
        """Close what is open; called at the end, also after an error."""
        return


class PieceFormat(ABC):
    """Base of the built-in exporters; see the module's text."""

    relative = False  # whether statistics of relative action chunks are kept

    def __init__(self, name: str, summary: str) -> None:
        self.name, self.summary = name, summary

    # -- what a format defines ---------------------------------------------------------------------------------------

    @abstractmethod
    def open_shard(self, folder: Path, dataset: DatasetSpec) -> ShardWriter:
        """Start writing a shard into an empty folder; it ends with ``finish_shard``."""

    @abstractmethod
    def shard_files(self, folder: Path, dataset: DatasetSpec) -> dict[str, tuple[Path, ...]]:
        """A shard's files by kind."""

    @abstractmethod
    def dataset_files(self, root: Path, kind: str, start: int, stop: int) -> tuple[Path, ...]:
        """Files number ``start`` to ``stop`` of a kind in a finished data set."""

    @abstractmethod
    def assembly(self, root: Path, manifest: ShardManifest) -> Assembly:
        """Start joining pieces in an empty folder."""

    @abstractmethod
    def check_piece(self, piece: Piece, rows: pa.Table, dataset: DatasetSpec, *, decode: bool) -> Iterator[Problem]:
        """Hold a piece's files against its rows."""

    @abstractmethod
    def check_dataset(self, root: Path, manifest: ShardManifest, pieces: Sequence[Piece]) -> Iterator[Problem]:
        """Hold a finished data set's numbering and metadata against its pieces."""

    def read_piece(
        self, piece: Piece, rows: pa.Table, dataset: DatasetSpec, wanted: Sequence[int]
    ) -> Iterator[tuple[Mapping[str, NDArray], Mapping[str, bytes]]]:
        """For each wanted row, ascending: the arrays that the records leave out, and mp4 bytes by camera.

        As it is, for formats whose records leave nothing out.
        """
        yield from (({}, {}) for _ in wanted)

    def subtask_names(self, root: Path) -> tuple[str, ...] | None:
        """Names by number, if the format numbers subtasks over the whole data set."""
        return None

    # -- what follows ------------------------------------------------------------------------------------------------

    def verify(self, folder: Path, dataset: DatasetSpec) -> tuple[int, int]:
        """Re-open a written shard and check all of it; see ``Exporter``."""
        manifest = read_shard_manifest(folder, self.name, dataset)
        if manifest.episodes:
            raise_first(folder, self._check_pieces([self._of_shard(folder, dataset)], manifest, decode=True))
            statistics = DatasetStatistics.load(folder / "statistics.npz.zst", dataset)
            raise_first(folder, _check_statistics("statistics.npz.zst", statistics, manifest))
        return manifest.episodes, manifest.frames

    def finalize(self, shards: Sequence[ShardFiles], root: Path, dataset: DatasetSpec) -> DatasetSummary:
        """Make the data set from shards in slot order; see ``Exporter``."""
        manifest, filled = join_manifests([s.folder for s in shards], self.name, dataset)
        statistics = DatasetStatistics(dataset, relative=self.relative)
        for folder in filled:
            statistics.merge(DatasetStatistics.load(folder / "statistics.npz.zst", dataset))
        return self._assemble((self._of_shard(f, dataset) for f in filled), manifest, statistics, root)

    def merge(self, roots: Sequence[Path], out: Path) -> DatasetSummary:
        """Join finished data sets, in order, into a new one; large files are linked.

        Raises:
            UsageError: formats, layouts or features differ; the message names the fields.
            DamagedShardError, StorageError.
        """
        found = [read_dataset_manifest(r)[0] for r in roots]
        first = found[0].dataset
        for root, manifest in zip(roots, found, strict=True):
            if manifest.format != self.name:
                raise UsageError(
                    f"{root}: format is {manifest.format!r}, {roots[0]} is {self.name!r}",
                    remedy=f"make it {self.name!r} first: `synthgen export {root} --format {self.name} --out ...`",
                )
            same_columns(root, manifest.dataset, first)
        tasks = tuple(dict.fromkeys(t for m in found for t in m.dataset.tasks))
        commands = "\n".join(dict.fromkeys(m.dataset.command for m in found))
        joined = ShardManifest(format=self.name, dataset=replace(first, tasks=tasks, command=commands))
        statistics = DatasetStatistics(first, relative=self.relative)
        for root, manifest in zip(roots, found, strict=True):
            joined.add(manifest)
            statistics.merge(DatasetStatistics.load(root / STATISTICS, first))
        pieces = (p for root in roots for p in self.pieces(root))
        return self._assemble(pieces, joined, statistics, out)

    def check(self, root: Path, *, decode: bool = True) -> Iterator[Problem]:
        """Everything wrong with a finished data set. ``decode=False`` counts video packets without decoding them.

        Raises:
            DamagedShardError: it cannot be recognised at all.
        """
        manifest, _ = read_dataset_manifest(root)
        try:
            statistics = DatasetStatistics.load(root / STATISTICS, manifest.dataset)
            yield from _check_statistics(STATISTICS.as_posix(), statistics, manifest)
        except DamagedShardError as error:
            yield of_error(root, error)
        try:
            pieces = list(self.pieces(root))
            yield from self._check_pieces(pieces, manifest, decode=decode)
            yield from self.check_dataset(root, manifest, pieces)
        except DamagedShardError as error:
            yield of_error(root, error)
        except KeyError as error:
            yield Problem(file=".", where=str(error), what="missing")

    def read_shard(self, folder: Path, dataset: DatasetSpec) -> Iterator[Episode]:
        """A shard's episodes again, without loss, one in memory at a time."""
        if read_shard_manifest(folder, self.name, dataset).episodes:
            yield from self.episodes(self._of_shard(folder, dataset), dataset)

    def read(self, root: Path, episodes: Sequence[int] | None = None) -> Iterator[Episode]:
        """A finished data set's episodes (all, or those of the ascending numbers), without loss.

        Raises:
            DamagedShardError: a file is missing or damaged.
        """
        manifest, listed = read_dataset_manifest(root)
        start = 0
        for piece, described in zip(self.pieces(root), listed, strict=True):
            stop = start + described["episodes"]
            wanted = None if episodes is None else [e - start for e in episodes if start <= e < stop]
            if wanted is None or wanted:
                yield from self.episodes(piece, manifest.dataset, wanted)
            start = stop

    def pieces(self, root: Path) -> Iterator[Piece]:
        """The pieces a finished data set was made of."""
        _, listed = read_dataset_manifest(root)
        subtasks = self.subtask_names(root)
        at: dict[str, int] = {}
        for number, described in enumerate(listed):
            files: dict[str, tuple[Path, ...]] = {}
            for kind, count in described["files"].items():
                start = at.get(kind, 0)
                files[kind] = self.dataset_files(root, kind, start, start + count)
                at[kind] = start + count
            yield Piece(
                root=root,
                rows=numbered_path(root, ROWS_PATH, number),
                records=numbered_path(root, RECORDS_PATH, number),
                files=files,
                subtasks=subtasks,
            )

    def episodes(self, piece: Piece, dataset: DatasetSpec, wanted: Sequence[int] | None = None) -> Iterator[Episode]:
        """A piece's episodes (all, or those of the ascending row numbers), one in memory at a time."""
        rows = piece.places()
        wanted = list(range(len(rows)) if wanted is None else wanted)
        read = self.read_piece(piece, rows, dataset, wanted)
        for record, (arrays, videos) in zip(read_records(piece.records, wanted), read, strict=True):
            yield record.episode(videos, arrays)

    def _of_shard(self, folder: Path, dataset: DatasetSpec) -> Piece:
        return Piece(
            root=folder,
            rows=folder / "rows.parquet",
            records=folder / "records.parquet",
            files=self.shard_files(folder, dataset),
        )

    def _assemble(
        self, pieces: Iterable[Piece], manifest: ShardManifest, statistics: DatasetStatistics, root: Path
    ) -> DatasetSummary:
        episodes = frames = 0
        listed: list[dict[str, Any]] = []
        with building(root) as new, closing(self.assembly(new, manifest)) as work:
            for number, piece in enumerate(pieces):
                rows = piece.table()
                work.add(piece, rows)
                link(piece.rows, numbered_path(new, ROWS_PATH, number))
                link(piece.records, numbered_path(new, RECORDS_PATH, number))
                listed.append({"episodes": len(rows), "files": {k: len(f) for k, f in piece.files.items()}})
                episodes += len(rows)
                frames += int(rows.column("length").to_numpy().sum())
            if (episodes, frames) != (manifest.episodes, manifest.frames):
                raise DamagedShardError(
                    f"{root}: the rows count {episodes} episodes of {frames} frames, "
                    f"the manifests {manifest.episodes} of {manifest.frames}"
                )
            statistics.save(new / STATISTICS)
            write_dataset_manifest(new, manifest, listed)
            write_card(new, manifest)
            work.finish(manifest, statistics)
        return DatasetSummary(root=root, episodes=episodes, frames=frames)

    def _check_pieces(self, pieces: Sequence[Piece], manifest: ShardManifest, *, decode: bool) -> Iterator[Problem]:
        for piece in pieces:
            try:
                rows = piece.places()
                length = rows.column("length").to_pylist()
                yield from self.check_piece(piece, rows, manifest.dataset, decode=decode)
                yield from _check_records(piece, length, whole=decode)
            except DamagedShardError as error:
                yield of_error(piece.root, error)
            except KeyError as error:
                yield Problem(file=piece.name(piece.rows), where="", what=f"column {error} missing")


def _check_records(piece: Piece, length: list[int], *, whole: bool) -> Iterator[Problem]:
    name = piece.name(piece.records)
    try:
        frames = count_records(piece.records)
        if whole:
            frames = [r.identity["frames"] for r in read_records(piece.records)]
    except DamagedShardError as error:
        yield Problem(file=name, where="", what=error.message)
        return
    if frames != length:
        yield Problem(file=name, where="frames", what="differ from the rows' lengths")


def _check_statistics(file: str, statistics: DatasetStatistics, manifest: ShardManifest) -> Iterator[Problem]:
    if statistics.rows != manifest.frames:
        yield Problem(file=file, where="count", what=f"counts {statistics.rows} of {manifest.frames} frames")
    for name, values in statistics.summary().items():
        if not all(np.isfinite(v).all() for v in values.values()):
            yield Problem(file=file, where=name, what="is not finite")
