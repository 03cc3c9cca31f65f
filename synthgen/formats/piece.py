"""A piece of a data set: the files of one shard, in the shard's own folder or in a finished data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from synthgen.formats.folder import numbered
from synthgen.formats.tables import read_table

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

    def places(self) -> pa.Table:
        """The rows without the statistics, which are most of their size: for what looks at every piece at once.

        Raises:
            DamagedShardError: they cannot be read.
        """
        return read_table(self.rows, without="stats/")


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
