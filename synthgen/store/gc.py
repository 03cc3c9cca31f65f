"""Removing what no commit names: orphans of tries that died, and nothing else."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthgen.store.files import TEMPORARY, storage_errors
from synthgen.store.run import RunStore

OLD = 3600.0  # seconds: younger files of an unfinished run may belong to a worker that is alive


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """Something to remove: a file or folder, why, and its bytes."""

    path: Path
    why: str
    bytes: int


def orphans(store: RunStore, *, older_than: float | None = None) -> Iterator[Orphan]:
    """Find what no commit names.

    Args:
        store: the run.
        older_than: seconds that a try must not have been touched; None = an hour while the run is unfinished (a live
            worker's files look like an orphan's), 0 when every shard is committed.

    Raises:
        StorageError: a commit record is damaged (then nothing is known to be an orphan).
    """
    named = {store.root / r.folder for r in store.records()}
    done = store.committed()
    finished = next(store.missing(), None) is None
    age = older_than if older_than is not None else (0.0 if finished else OLD)
    now = time.time()
    for path in _children(store.root / "shards"):
        if path not in named and now - _touched(path) >= age:
            yield Orphan(path=path, why="a try at a shard that was not committed", bytes=_size(path))
    for kind in ("spool", "strikes"):
        for path in _children(store.root / kind):
            if path.name in done:
                yield Orphan(path=path, why=f"{kind} of a committed shard", bytes=_size(path))
    for folder in ("", "commits", "finalized"):
        for path in _children(store.root / folder):
            if path.name.startswith(TEMPORARY) and path.is_file() and now - _touched(path) >= age:
                yield Orphan(path=path, why="a temporary file", bytes=_size(path))


def remove(store: RunStore, found: list[Orphan]) -> int:
    """Remove orphans; returns the bytes freed.

    Raises:
        StorageError.
    """
    with storage_errors(store.root):
        for orphan in found:
            if orphan.path.is_dir() and not orphan.path.is_symlink():
                shutil.rmtree(orphan.path)
            else:
                orphan.path.unlink(missing_ok=True)
    return sum(o.bytes for o in found)


def sweep(store: RunStore) -> None:
    """Drop the spool of committed shards: what a worker would have done had it lived a moment longer."""
    done = store.committed()
    for path in _children(store.root / "spool"):
        if path.name in done:
            shutil.rmtree(path, ignore_errors=True)


def _children(folder: Path) -> list[Path]:
    # A link may lead out of the run folder, which may come from somebody else: nothing behind one is ours to remove.
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _files(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        yield from path.rglob("*")


def _touched(path: Path) -> float:
    return max(p.lstat().st_mtime for p in _files(path))


def _size(path: Path) -> int:
    return sum(p.lstat().st_size for p in _files(path) if not p.is_dir())
