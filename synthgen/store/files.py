"""Writing files so that a crash at any moment leaves the old state or the new one, never half of it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, cast

from synthgen.core.errors import DamagedShardError, StorageError
from synthgen.core.failpoint import failpoint

TEMPORARY = ".tmp-"
SYNCS_AT_ONCE = 8
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def storage_errors(path: Path) -> Generator[None]:
    """Turn an OSError into a StorageError that names the file and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            remedy = "free space (or raise the quota), then run the same command again: it resumes"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "make the folder writable, then run the same command again: it resumes"
        elif error.errno in (errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV):
            remedy = "use a file system with hard links"
        else:
            remedy = "check the disk, then run the same command again: it resumes"
        raise StorageError(f"{error.filename or path}: {error.strerror or error}", remedy=remedy) from error


def token() -> str:
    """16 hex digits that no other process draws (names only, never results)."""
    return secrets.token_hex(8)


def publish(path: Path, data: bytes, *, durable: bool = True) -> bool:
    """Create ``path`` with ``data``, durably and exclusively; False when it exists already.

    Readers see the whole file or none: written under a temporary name, fsynced, then hard-linked to its own.
    ``durable=False`` leaves the fsync out, for what can be made again and whose damage is noticed: whatever process
    dies, the file is there; after a power cut of the machine it may be missing or cut short.

    Raises:
        StorageError.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{TEMPORARY}{token()}"
        try:
            write_synced(temporary, data) if durable else write_new(temporary, data)
            failpoint("publish.before_link", path.name)
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            failpoint("publish.after_link", path.name)
        finally:
            with suppress(OSError):
                temporary.unlink()
        if durable:
            sync_folder(path.parent)
        return True


def replace(path: Path, data: bytes) -> None:
    """Write ``path`` durably, replacing what is there in one step.

    Raises:
        StorageError.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{TEMPORARY}{token()}"
        try:
            write_synced(temporary, data)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink()
        sync_folder(path.parent)


def write_new(path: Path, data: bytes) -> None:
    """Write a new file."""
    with path.open("xb") as f:
        f.write(data)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and fsync it."""
    with path.open("xb") as f:
        f.write(data)
        f.flush()
        failpoint("write.before_fsync", path.name)
        os.fsync(f.fileno())


def sync_file(path: Path) -> None:
    """Fsync an existing file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Fsync every file and folder below ``folder``, and itself: several at once, which the file system joins."""
    entries = [(Path(root), names) for root, _, names in os.walk(folder)]
    with ThreadPoolExecutor(SYNCS_AT_ONCE) as pool:
        for _ in pool.map(sync_file, [root / name for root, names in entries for name in names]):
            pass
    for root, _ in entries:
        sync_folder(root)


def digest_file(path: Path) -> tuple[int, str]:
    """(bytes, sha256) of a file."""
    with path.open("rb") as f:
        return os.fstat(f.fileno()).st_size, hashlib.file_digest(f, "sha256").hexdigest()


def dump(value: Mapping[str, Any]) -> bytes:
    """Canonical JSON with a newline."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def load(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        StorageError: missing, unreadable, or not a JSON object.
    """
    with storage_errors(path):
        data = path.read_bytes()
    return parse(path, data)


def parse(path: Path | str, data: bytes) -> dict[str, Any]:
    """Parse a JSON object; ``path`` names it in the error."""
    try:
        value: Any = json.loads(data)
    except ValueError as error:
        raise DamagedShardError(f"{path}: not JSON ({error})", remedy="run `synthgen verify RUN --repair`") from error
    if not isinstance(value, dict):
        raise DamagedShardError(f"{path}: not a JSON object", remedy="run `synthgen verify RUN --repair`")
    return cast("dict[str, Any]", value)


def inside(relative: str, where: Path, *, told: str = "") -> Path:
    """``where / relative``, refusing anything that could leave ``where``; ``told``: what to call it in the error.

    Raises:
        DamagedShardError: absolute, empty, with "..", a backslash or a NUL.
    """
    pure = PurePosixPath(relative)
    if not relative or pure.is_absolute() or ".." in pure.parts or "\\" in relative or "\0" in relative:
        raise DamagedShardError(
            f"{told or where}: a record names {relative!r}, which leaves the run folder",
            remedy="do not trust this run folder; make it again",
        )
    return where / pure
