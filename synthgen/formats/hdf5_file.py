"""HDF5 files that survive a full disk: the library itself crashes the process when a write fails while it closes."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import h5py


class Disk:
    """A file for h5py that keeps a failed write to itself and drops what follows; ``raise_failure`` tells of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w+b", buffering=0)
        self._failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of it, or remember why not."""
        view = memoryview(data).cast("B")
        at = 0
        try:
            while self._failure is None and at < len(view):
                at += self._file.write(view[at:])
        except OSError as error:
            self._failure = error
        return len(view)

    def read(self, size: int = -1) -> bytes:
        """By its presence h5py knows a file; it calls ``readinto``."""
        return self._file.read(size)

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; beyond what a failed write left, with zeros."""
        view = memoryview(buffer).cast("B")
        found = self._file.readinto(view) or 0
        view[found:] = bytes(len(view) - found)
        return len(view)

    def seek(self, offset: int, whence: int = 0) -> int:
        """See ``io.IOBase``."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """See ``io.IOBase``."""
        return self._file.tell()

    def truncate(self, size: int) -> int:
        """Set the size, or remember why not."""
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._failure = self._failure or error
            return size

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def raise_failure(self) -> None:
        """Raise what was kept.

        Raises:
            OSError: a write failed.
        """
        if self._failure is not None:
            raise OSError(self._failure.errno, self._failure.strerror, str(self._path)) from self._failure


@contextmanager
def new_file(path: Path) -> Generator[h5py.File]:
    """Write an HDF5 file.

    Raises:
        OSError: the disk is full, or the like.
    """
    with closing(Disk(path)) as disk:
        try:
            with h5py.File(disk, "w") as file:
                yield file
        finally:
            disk.raise_failure()
