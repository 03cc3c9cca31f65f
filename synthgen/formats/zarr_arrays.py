"""Writing and reading Zarr arrays the way the data sets need them: whole shards at a time, nothing left out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec
from zarr.core.array_spec import ArrayConfigParams

from synthgen.core.errors import DamagedShardError
from synthgen.formats.problem import Problem

ROWS_PER_CHUNK = 1024
ROWS_PER_SHARD = 65536
BLOBS_PER_SHARD = 16
# Without it a chunk of zeros is not stored, and a missing file would read as zeros.
KEEP: ArrayConfigParams = {"write_empty_chunks": True}


@contextmanager
def bytes_are_allowed() -> Iterator[None]:
    """Silence: variable-length bytes have no final Zarr specification; docs/formats.md says what reads them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*VariableLengthBytes.*")
        yield


def write_rows(root: zarr.Group, name: str, values: NDArray[Any]) -> None:
    """An array (N,) or (N, D) in sharded, compressed chunks; one write per shard."""
    tail = values.shape[1:]
    array = root.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=(ROWS_PER_CHUNK, *tail),
        shards=(ROWS_PER_SHARD, *tail),
        compressors=BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"),
        config=KEEP,
    )
    array[...] = values


class BlobWriter:
    """Appends byte strings to an array, a shard at a time; memory holds one shard."""

    def __init__(self, root: zarr.Group, name: str, per_shard: int = BLOBS_PER_SHARD) -> None:
        with bytes_are_allowed():
            self._array = root.create_array(
                name,
                shape=(0,),
                dtype="variable_length_bytes",
                chunks=(1,),
                shards=(per_shard,),
                compressors=None,
                config=KEEP,
            )
        self._per_shard = per_shard
        self._pending: list[bytes] = []

    def append(self, blob: bytes) -> None:
        """Add one."""
        self._pending.append(blob)
        if len(self._pending) == self._per_shard:
            self.flush()

    def flush(self) -> None:
        """Write what is pending; only the last flush may be of a part of a shard."""
        if self._pending:
            start = self._array.shape[0]
            blobs = np.empty(len(self._pending), object)
            blobs[:] = self._pending
            with bytes_are_allowed():
                self._array.resize((start + len(blobs),))
                self._array[start:] = blobs
            self._pending = []


def open_store(path: Path) -> zarr.Group:
    """A store, for reading.

    Raises:
        DamagedShardError: it is missing or cannot be read.
    """
    try:
        return zarr.open_group(str(path), mode="r")
    except (OSError, ValueError, KeyError) as error:
        raise DamagedShardError(f"{path}: cannot be read: {error}") from error


def read_rows(store: zarr.Group, name: str, rows: slice = slice(None)) -> NDArray[Any]:
    """An array's values.

    Raises:
        KeyError: there is none of that name.
        DamagedShardError: it cannot be read.
    """
    try:
        with bytes_are_allowed():
            array = store[name]
            if not isinstance(array, zarr.Array):
                raise KeyError(name)
            return np.asarray(array[rows])
    except KeyError:
        raise
    except Exception as error:  # a damaged chunk raises whatever its codec raises
        raise DamagedShardError(f"{store.store_path}/{name}: cannot be read: {error}") from error


def read_blob(store: zarr.Group, name: str, row: int) -> bytes:
    """One byte string of an array of ``BlobWriter``."""
    return read_rows(store, name, slice(row, row + 1))[0]


def check_complete(file: str, path: Path, store: zarr.Group, names: Sequence[str]) -> Iterator[Problem]:
    """That every array exists, and every one of its shards as a file: Zarr reads a missing one as zeros."""
    for name in sorted({n.partition("/")[0] for n in names}):
        try:
            found: Any = store[name]
        except (OSError, ValueError, KeyError) as error:
            yield Problem(file=file, where=name, what=f"missing or damaged: {error}")
            continue
        if not isinstance(found, zarr.Group):
            yield Problem(file=file, where=name, what="is not a group")
    for name in names:
        try:
            with bytes_are_allowed():
                array = store[name]
        except (OSError, ValueError, KeyError) as error:
            yield Problem(file=file, where=name, what=f"missing or damaged: {error}")
            continue
        if not isinstance(array, zarr.Array):
            yield Problem(file=file, where=name, what="is a group, not an array")
            continue
        unit = array.shards or array.chunks
        expected = math.prod(-(-n // u) for n, u in zip(array.shape, unit, strict=True))
        found = sum(1 for p in (path / name).rglob("*") if p.is_file() and not p.name.startswith((".z", "zarr.json")))
        if found != expected:
            yield Problem(file=file, where=name, what=f"has {found} of its {expected} files; the others read as zeros")


def attributes(store: zarr.Group) -> Mapping[str, Any]:
    """A store's attributes as plain values."""
    return dict(store.attrs)
