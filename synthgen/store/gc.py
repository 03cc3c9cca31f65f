"""Removing what no commit names: orphans of tries that died, and nothing else."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthgen.store.files import TEMPORARY, storage_errors
from synthgen.store.remote import PROBE, RemoteRunStore
from synthgen.store.run import RunStore
from synthgen.store.s3 import Entry, Upload

TRY, STRIKES = "a try at a shard that was not committed", "strikes of a committed shard"
OLD = 3 * 3600.0  # seconds: younger files of an unfinished run may belong to a live worker (clocks may be an hour off)


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """Something to remove.

    Attributes:
        path: a file or folder; of what is in an object store: where it would be in a run folder.
        why: why nobody needs it; bytes: its size.
        objects: names of the objects it is, relative to the run; empty for what is on this machine.
        upload: it is an upload in parts that was left open.
    """

    path: Path
    why: str
    bytes: int
    objects: tuple[str, ...] = ()
    upload: Upload | None = None


def orphans(store: RunStore, *, older_than: float | None = None) -> Iterator[Orphan]:
    """Find what no commit names.

    Args:
        store: the run.
        older_than: seconds that a try must not have been touched; None = ``OLD`` while the run is unfinished (a live
            worker's files look like an orphan's), 0 when every shard is committed.

    Raises:
        StorageError: a commit record is damaged (then nothing is known to be an orphan).
    """
    named = {r.folder for r in store.records()}
    done = store.committed()
    finished = next(store.missing(), None) is None
    age = older_than if older_than is not None else (0.0 if finished else OLD)
    now = time.time()
    if isinstance(store, RemoteRunStore):
        yield from _remote_orphans(store, named, done, age)
        named = set[str]()  # what is committed is not needed here any more
        for path in _children(store.root / "fetched"):
            if now - _touched(path) >= max(age, OLD):
                yield Orphan(path=path, why="a copy of what is in the store", bytes=_size(path))
    for path in _children(store.root / "shards"):
        if f"shards/{path.name}" not in named and now - _touched(path) >= age:
            yield Orphan(path=path, why=TRY, bytes=_size(path))
    for kind in ("spool", "strikes"):
        for path in _children(store.root / kind):
            if path.name in done:
                yield Orphan(
                    path=path, why=STRIKES if kind == "strikes" else "spool of a committed shard", bytes=_size(path)
                )
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
            if isinstance(store, RemoteRunStore) and (orphan.objects or orphan.upload):
                _remove_remote(store, orphan)
            elif orphan.path.is_dir() and not orphan.path.is_symlink():
                shutil.rmtree(orphan.path)
            else:
                orphan.path.unlink(missing_ok=True)
    return sum(o.bytes for o in found)


def _remote_orphans(store: RemoteRunStore, named: set[str], done: set[str], age: float) -> Iterator[Orphan]:
    """What no commit names in an object store. Ages are by the store's clock."""
    tries: dict[str, dict[str, Entry]] = {}
    for name, entry in store.files.below("shards").items():
        tries.setdefault(f"shards/{name.partition('/')[0]}", {})[f"shards/{name}"] = entry
    for folder, entries in tries.items():
        if folder not in named and min(e.age for e in entries.values()) >= age:
            size = sum(e.bytes for e in entries.values())
            yield Orphan(path=store.root / folder, why=TRY, bytes=size, objects=tuple(entries))
    for name, entry in store.files.below("strikes").items():
        if name.partition("/")[0] in done:
            path = f"strikes/{name}"
            yield Orphan(path=store.root / path, why=STRIKES, bytes=entry.bytes, objects=(path,))
    for entry in store.bucket.list(store.url.key(PROBE)):
        name = store.url.relative(entry.key)
        if name is not None and entry.age >= age:
            yield Orphan(path=store.root / name, why="a temporary file", bytes=entry.bytes, objects=(name,))
    for upload in store.bucket.uploads(f"{store.url.prefix}/"):
        name = store.url.relative(upload.key)
        if name is not None and upload.age >= age:
            yield Orphan(path=store.root / name, why="an upload that was not completed", bytes=0, upload=upload)


def _remove_remote(store: RemoteRunStore, orphan: Orphan) -> None:
    if orphan.upload is not None:
        store.bucket.abort(orphan.upload)
    store.bucket.delete([store.url.key(name) for name in orphan.objects])


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
