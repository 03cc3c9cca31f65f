"""HDF5 data sets: one file of demonstrations per shard, and one small file that links to them all.

Pictures are decoded, since the readers of these formats want arrays. The mp4 files are kept in the episode records,
where they weigh under a hundredth of the pictures, so that nothing is lost.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.base import Assembly, PieceFormat
from synthgen.formats.check import check_episode
from synthgen.formats.features import frame_columns
from synthgen.formats.folder import link
from synthgen.formats.hdf5_file import Disk, new_file
from synthgen.formats.manifest import ShardManifest
from synthgen.formats.piece import Piece, numbered_path
from synthgen.formats.problem import Problem
from synthgen.formats.shard import ShardBook
from synthgen.formats.summary import DatasetStatistics
from synthgen.media.video import decode

SHARDS = "shards/chunk-{chunk:03d}/file-{file:03d}.hdf5"
MAIN = "dataset.hdf5"
# Demo contents as nested mappings of arrays.
Tree = Mapping[str, Any]


class Hdf5Format(PieceFormat):
    """Base of the HDF5 profiles: what a demonstration holds is the profile's."""

    @abstractmethod
    def demo(self, episode: Episode, dataset: DatasetSpec, pictures: Mapping[str, NDArray[np.uint8]]) -> Tree:
        """The arrays of a demonstration; ``pictures`` (T, H, W, 3) by camera."""

    @abstractmethod
    def attributes(self, episode: Episode) -> Mapping[str, Any]:
        """The attributes of a demonstration, beside num_samples."""

    @abstractmethod
    def join(
        self, root: Path, file: h5py.File, demos: Sequence[tuple[str, str]], manifest: ShardManifest, summary: Any
    ) -> None:
        """Fill the data set's file, in ``root``; ``demos``: (shard file there, path within) of every episode."""

    def open_shard(self, folder: Path, dataset: DatasetSpec) -> Hdf5Shard:
        """Start writing a shard; see ``Exporter``."""
        return Hdf5Shard(self, folder, dataset)

    def shard_files(self, folder: Path, dataset: DatasetSpec) -> dict[str, tuple[Path, ...]]:
        """See ``PieceFormat``."""
        return {"hdf5": (folder / "shard.hdf5",)}

    def dataset_files(self, root: Path, kind: str, start: int, stop: int) -> tuple[Path, ...]:
        """See ``PieceFormat``."""
        return tuple(numbered_path(root, SHARDS, n) for n in range(start, stop))

    def assembly(self, root: Path, manifest: ShardManifest) -> Hdf5Assembly:
        """See ``PieceFormat``."""
        return Hdf5Assembly(self, root)

    def check_piece(self, piece: Piece, rows: pa.Table, dataset: DatasetSpec, *, decode: bool) -> Iterator[Problem]:
        """See ``PieceFormat``: every array is read whole, which checks its checksums."""
        path = piece.files["hdf5"][0]
        try:
            with h5py.File(path) as file:
                yield from _check_demos(piece.name(path), group(file, "data"), rows, whole=decode)
        except (OSError, KeyError, RuntimeError) as error:
            yield Problem(file=piece.name(path), where="", what=f"cannot be read: {error}")

    def check_dataset(self, root: Path, manifest: ShardManifest, pieces: Sequence[Piece]) -> Iterator[Problem]:
        """See ``PieceFormat``."""
        lengths = [n for p in pieces for n in p.places().column("length").to_pylist()]
        try:
            with h5py.File(root / MAIN) as file:
                data = group(file, "data")
                if data.attrs["total"] != manifest.frames:
                    what = f"is {data.attrs['total']}, expected {manifest.frames}"
                    yield Problem(file=MAIN, where="data, attribute total", what=what)
                if len(data) != len(lengths):
                    what = f"holds {len(data)} demonstrations, expected {len(lengths)}"
                    yield Problem(file=MAIN, where="data", what=what)
                for i, n in enumerate(lengths):
                    yield from self.check_demo(data, f"demo_{i}", n)
        except (OSError, KeyError, RuntimeError) as error:
            yield Problem(file=MAIN, where="", what=f"cannot be read: {error}")

    def check_demo(self, data: h5py.Group, name: str, frames: int) -> Iterator[Problem]:
        """One demonstration as a reader sees it through the data set's file."""
        if name not in data:
            yield Problem(file=MAIN, where=f"data/{name}", what="missing, or its shard is")
            return
        demo = group(data, name)
        if demo.attrs["num_samples"] != frames or len(array(demo, "actions")) != frames:
            what = f"num_samples is {demo.attrs['num_samples']}, expected {frames}"
            yield Problem(file=MAIN, where=f"data/{name}", what=what)


class Hdf5Shard:
    """Writes one shard; memory holds one episode with its pictures."""

    def __init__(self, profile: Hdf5Format, folder: Path, dataset: DatasetSpec) -> None:
        self._profile, self._dataset = profile, dataset
        self._book = ShardBook(folder, dataset, profile.name)
        self._disk = Disk(folder / "shard.hdf5")
        self._file = h5py.File(self._disk, "w")
        self._data = self._file.create_group("data")

    def add(self, episode: Episode) -> None:
        """Append an episode; see ``ShardWriter``."""
        check_episode(episode, self._dataset)
        pictures = {c.name: decode(episode.videos[c.name].data) for c in self._dataset.cameras}
        demo = self._data.create_group(f"demo_{len(self._data)}")
        demo.attrs["num_samples"] = len(episode)
        for name, value in self._profile.attributes(episode).items():
            demo.attrs[name] = value
        _write(demo, self._profile.demo(episode, self._dataset, pictures))
        self._disk.raise_failure()
        self._book.add(episode, frame_columns(episode, self._dataset), {})
        if self._book.manifest.info is None:
            self._book.manifest.info = {n: [list(d.shape[1:]), str(d.dtype)] for n, d in leaves(demo) if _everywhere(n)}

    def close(self) -> Sequence[Path]:
        """Finish every file; see ``ShardWriter``."""
        self._close()
        self._disk.raise_failure()
        return self._book.close()

    def abort(self) -> None:
        """Close without finishing; see ``ShardWriter``."""
        self._close()
        self._book.abort()

    def _close(self) -> None:
        self._file.close()
        self._disk.close()


class Hdf5Assembly(Assembly):
    """Links shards, then lets the profile write the file that joins them."""

    def __init__(self, profile: Hdf5Format, root: Path) -> None:
        self._profile, self._root = profile, root
        self._demos: list[tuple[str, str]] = []
        self._shards = 0

    def add(self, piece: Piece, rows: pa.Table) -> None:
        """See ``Assembly``."""
        target = numbered_path(self._root, SHARDS, self._shards)
        link(piece.files["hdf5"][0], target)
        name = target.relative_to(self._root).as_posix()
        self._demos += [(name, f"/data/demo_{i}") for i in range(len(rows))]
        self._shards += 1

    def finish(self, manifest: ShardManifest, statistics: DatasetStatistics) -> None:
        """See ``Assembly``."""
        with new_file(self._root / MAIN) as file:
            self._profile.join(self._root, file, self._demos, manifest, statistics.summary())


def leaves(parent: h5py.Group, prefix: str = "") -> Iterator[tuple[str, h5py.Dataset]]:
    """Every array under a group with its path."""
    for name, item in parent.items():
        if isinstance(item, h5py.Group):
            yield from leaves(item, f"{prefix}{name}/")
        elif isinstance(item, h5py.Dataset):
            yield f"{prefix}{name}", item


def array(parent: h5py.Group, name: str) -> NDArray[Any]:
    """The whole of an array in a group.

    Raises:
        KeyError: there is none of that name.
    """
    found = parent[name]
    if not isinstance(found, h5py.Dataset):
        raise KeyError(f"{name} is not an array")
    return found[()]


def group(parent: h5py.Group, name: str) -> h5py.Group:
    """A group in a group.

    Raises:
        KeyError: there is none of that name.
    """
    found = parent[name]
    if not isinstance(found, h5py.Group):
        raise KeyError(f"{name} is not a group")
    return found


def _everywhere(name: str) -> bool:
    """Whether every episode has that array; which objects and subtasks there are varies."""
    return not any(part in name for part in ("datagen_info/", "rigid_object/"))


def _write(parent: h5py.Group, tree: Tree) -> None:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            _write(parent.create_group(name), value)
        elif value.size:
            # A chunk per picture, since samples are drawn at random. gzip and not lzf: lzf writes other bytes each
            # time (its table starts uninitialised), and only h5py reads it.
            chunks = (1, *value.shape[1:]) if value.ndim == 4 else True
            parent.create_dataset(
                name, data=value, chunks=chunks, compression="gzip", compression_opts=1, fletcher32=True
            )
        else:
            parent.create_dataset(name, data=value)


def _check_demos(file: str, data: h5py.Group, rows: pa.Table, *, whole: bool) -> Iterator[Problem]:
    lengths = rows.column("length").to_pylist()
    if len(data) != len(lengths):
        yield Problem(file=file, where="data", what=f"holds {len(data)} demonstrations, expected {len(lengths)}")
        return
    for i, n in enumerate(lengths):
        demo = group(data, f"demo_{i}")
        if demo.attrs["num_samples"] != n:
            what = f"is {demo.attrs['num_samples']}, expected {n}"
            yield Problem(file=file, where=f"data/demo_{i}, num_samples", what=what)
        for name, found in leaves(demo):
            where = f"data/demo_{i}/{name}"
            if len(found) != n and not name.startswith("initial_state"):
                yield Problem(file=file, where=where, what=f"holds {len(found)} frames, expected {n}")
            elif found.dtype.kind == "f" and not np.isfinite(found[()]).all():
                yield Problem(file=file, where=where, what="holds a value that is not finite")
            elif whole and found.dtype.kind != "f":
                found[()]  # raises where a checksum is wrong
