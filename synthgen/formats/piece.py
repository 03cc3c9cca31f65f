"""A piece of a data set: the files of one shard, in the shard's own folder or in a finished data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from synthgen.core.errors import DamagedShardError
from synthgen.formats.folder import numbered

ARROW = ".arrow"
ROWS_PATH = "meta/rows/chunk-{chunk:03d}/file-{file:03d}.parquet"
RECORDS_PATH = "meta/records/chunk-{chunk:03d}/file-{file:03d}.parquet"


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """Where a shard's files lie. Pieces are joined in order; nothing in ``rows`` and ``records`` changes by that.

    Attributes:
        root: the folder that file names in messages are relative to.
        rows: parquet, one row per episode: tasks, length, subtasks, paraphrases, seed, what the format needs to find
            the episode in its files, and stats/<feature>/<statistic>.
        records: what ``records.RecordWriter`` wrote.
        files: the format's own files by kind, in order.
        subtasks: names by number when the files hold the data set's subtask numbers; None when they hold each
            episode's own.
    """

    root: Path
    rows: Path
    records: Path
    files: Mapping[str, tuple[Path, ...]] = field(default_factory=dict[str, tuple[Path, ...]])
    subtasks: tuple[str, ...] | None = None

    def name(self, path: Path) -> str:
        """A file's name for messages."""
        return path.relative_to(self.root).as_posix()

    def table(self) -> pa.Table:
        """The rows.

        Raises:
            DamagedShardError: they cannot be read.
        """
        return read_table(self.rows)


def write_arrow(table: pa.Table, path: Path) -> None:
    """Write a table that is read once more and then written anew: a quarter of parquet's time, and as small."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, table.schema, options=options) as writer:
        writer.write_table(table)


def read_table(path: Path, *, group: int | None = None) -> pa.Table:
    """A parquet file, or one row group of it; or a whole file of ``write_arrow``.

    Raises:
        DamagedShardError: it is missing or cannot be read.
    """
    try:
        if path.suffix == ARROW:
            with pa.OSFile(str(path)) as file:
                return pa.ipc.open_file(file).read_all()
        # Not pq.read_table: that would take parts of the path for partition keys.
        with pq.ParquetFile(path) as file:
            # Threads cost more than they give for files this small.
            return file.read(use_threads=False) if group is None else file.read_row_group(group, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DamagedShardError(f"{path}: cannot be read: {error}") from error


def read_groups(path: Path, groups: Sequence[int], columns: list[str]) -> Iterator[pa.Table]:
    """Some columns of some row groups of a parquet file, one table each; the file is opened once.

    Raises:
        DamagedShardError: it is missing or cannot be read.
    """
    if not groups:
        return
    try:
        with pq.ParquetFile(path) as file:
            for group in groups:
                yield file.read_row_group(group, columns=columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DamagedShardError(f"{path}: cannot be read: {error}") from error


def tables_of(pieces: Sequence[Piece], kind: str) -> Iterator[pa.Table]:
    """Every parquet file of a kind, one in memory at a time.

    Raises:
        DamagedShardError: one is missing or cannot be read.
    """
    for piece in pieces:
        for path in piece.files[kind]:
            yield read_table(path)


def numbered_path(root: Path, template: str, number: int) -> Path:
    """The n-th file of a template with fields ``chunk`` and ``file``."""
    chunk, file = numbered(number)
    return root / template.format(chunk=chunk, file=file)
