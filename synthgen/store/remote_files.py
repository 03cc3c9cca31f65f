"""Many objects at once: a shard's files, a data set's, and commit records, between a run's prefix and a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TypeVar

from synthgen.core.errors import StorageError
from synthgen.core.failpoint import failpoint
from synthgen.store.files import digest_file, inside, storage_errors
from synthgen.store.s3 import Bucket, Entry
from synthgen.store.url import S3Url

T = TypeVar("T")
AT_ONCE = 16  # requests at a time


class RemoteFiles:
    """The objects of a run; names are relative to its prefix, and cannot lead out of it."""

    def __init__(self, url: S3Url, bucket: Bucket) -> None:
        self.url = url
        self.bucket = bucket

    def below(self, folder: str) -> dict[str, Entry]:
        """Everything below a folder, by name relative to it. What is not named as ours are is left out."""
        prefix = self.url.key(folder) + "/"
        return {e.key.removeprefix(prefix): e for e in self.bucket.list(prefix) if self.url.relative(e.key) is not None}

    def upload(self, folder: Path, relative: str, files: Mapping[str, tuple[int, str]]) -> None:
        """Put ``files`` (name -> bytes, sha256) of a folder, one by one, below ``relative``."""
        for name, (size, sha256) in files.items():
            self.bucket.upload(inside(name, folder), self.url.key(f"{relative}/{name}"), size=size, sha256=sha256)
            failpoint("s3.uploaded", relative.replace("/", "."))

    def download(self, wanted: Iterable[tuple[str, str | None]], target: Path, *, must: bool = True) -> None:
        """Get objects, (name, sha256 or None), as files of the same names below ``target``.

        Raises:
            StorageError: with ``must``, one is gone or damaged.
        """

        def fetch(file: tuple[str, str | None]) -> None:
            relative, sha256 = file
            there = self.bucket.download(self.url.key(relative), inside(relative, target), sha256=sha256)
            if must and not there:
                raise StorageError(
                    f"{self.url}/{relative}: gone, though a record names it",
                    remedy=f"run `synthgen verify {self.url} --repair`",
                )

        with storage_errors(target):
            in_parallel(fetch, wanted)

    def replace_dataset(self, fresh: Path, relative: str) -> None:
        """Put a data set in its place. Its metadata goes first and comes last, so that a reader never finds metadata
        of files that are not there: it sees the old data set, none, or the new one."""
        before = set(self.below(relative))
        files = {p.relative_to(fresh).as_posix(): digest_file(p) for p in sorted(fresh.rglob("*")) if p.is_file()}
        self.delete(relative, [n for n in before if is_metadata(n)])
        failpoint("s3.dataset.cleared", relative.replace("/", "."))
        for last in (False, True):
            group = [{n: f} for n, f in files.items() if is_metadata(n) is last]
            in_parallel(lambda one: self.upload(fresh, relative, one), group)
            failpoint("s3.dataset.described" if last else "s3.dataset.filled", relative.replace("/", "."))
        self.delete(relative, [n for n in before if n not in files and not is_metadata(n)])

    def delete(self, folder: str, names: Iterable[str]) -> None:
        """Delete objects of a folder."""
        self.bucket.delete([self.url.key(f"{folder}/{n}") for n in sorted(names)])


def is_metadata(name: str) -> bool:
    """Whether a reader of a data set looks at that file first: what it holds, rather than a part of it."""
    path = PurePosixPath(name)
    return "meta" in path.parts[:-1] or path.suffix in (".json", ".jsonl")


def in_parallel(work: Callable[[T], object], things: Iterable[T]) -> None:
    """Do something with every thing, several at a time; the first error ends it."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(work, thing) for thing in things]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()
