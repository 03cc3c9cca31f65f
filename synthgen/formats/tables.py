"""Parquet and Arrow files: pages with checksums, and one kind of error when a file cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synthgen.core.errors import DamagedShardError

ARROW = ".arrow"


def parquet_writer(path: Path, schema: pa.Schema, **options: Any) -> pq.ParquetWriter:
    """A writer whose pages have checksums; ``options`` as for ``pq.ParquetWriter``."""
    return pq.ParquetWriter(path, schema, write_page_checksum=True, **options)


def write_table(table: pa.Table, path: Path, **options: Any) -> None:
    """Write a whole parquet file; ``options`` as for ``pq.ParquetWriter``."""
    with parquet_writer(path, table.schema, **options) as writer:
        writer.write_table(table)


def open_parquet(path: Path) -> pq.ParquetFile:
    """A parquet file whose pages are checked when they are read."""
    return pq.ParquetFile(path, page_checksum_verification=True)


def write_arrow(table: pa.Table, path: Path) -> None:
    """Write a table that is read once more and then written anew: a quarter of parquet's time, and as small."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, table.schema, options=options) as writer:
        writer.write_table(table)


def read_table(path: Path, *, without: str | None = None) -> pa.Table:
    """A parquet file, or a file of ``write_arrow``; ``without``: columns that begin so are not read from parquet.

    Raises:
        DamagedShardError: it is missing or cannot be read.
    """
    try:
        if path.suffix == ARROW:
            with pa.OSFile(str(path)) as file:
                return pa.ipc.open_file(file).read_all()
        # Not pq.read_table: that would take parts of the path for partition keys.
        with open_parquet(path) as file:
            # Threads cost more than they give for files this small.
            names = None if without is None else [n for n in file.schema_arrow.names if not n.startswith(without)]
            return file.read(columns=names, use_threads=False)
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
        with open_parquet(path) as file:
            for group in groups:
                yield file.read_row_group(group, columns=columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DamagedShardError(f"{path}: cannot be read: {error}") from error
