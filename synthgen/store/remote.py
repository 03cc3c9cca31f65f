"""A run in an object store. What is committed is there; what is being made is in a working folder of each machine.

In the store, under the run's prefix, objects are named as the files of a run folder are (see ``synthgen.store.run``).
Only ``spool/`` and ``logs/`` stay in the working folder, so a lost machine costs the episodes of its shards that were
not committed yet. A shard's files are uploaded and checked before its record is published with a conditional put.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from synthgen.core.errors import MachineError, StorageError, UsageError
from synthgen.core.failpoint import failpoint
from synthgen.core.plan import RunPlan, Shard
from synthgen.store.files import dump, inside, load, parse, replace, storage_errors, token
from synthgen.store.lease import Lease
from synthgen.store.plans import Read, chain, settle
from synthgen.store.record import CommitRecord, FormatRecord
from synthgen.store.remote_files import RemoteFiles, in_parallel
from synthgen.store.run import FINALIZED, RunStore
from synthgen.store.s3 import Bucket
from synthgen.store.url import S3Url, working_folder

PROBE = "probe-"
CHECK_PATIENCE = 20.0  # seconds: a wrong endpoint should be told soon


class RemoteRunStore(RunStore):
    """A run at an ``S3Url``; ``root`` is this machine's working folder for it.

    Methods do what they do in ``RunStore``, and raise what ``Bucket`` raises.

    Args:
        url: where the run is.
        plan: its plan.
        work: where this machine's working folders lie; None: see ``working_folder``.
        bucket: None = the URL's, with the client library's ordinary settings.
    """

    def __init__(self, url: S3Url, plan: RunPlan, *, work: Path | None = None, bucket: Bucket | None = None) -> None:
        super().__init__(working_folder(url, work), plan)
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        self.url = url
        self.bucket = bucket or Bucket(url.bucket)
        self.files = RemoteFiles(url, self.bucket)
        self._etags: dict[str, str] = {}  # of the commits known so far; "" = not known

    @classmethod
    def start(cls, url: S3Url, plan: RunPlan, *, work: Path | None = None) -> RemoteRunStore:
        """As ``RunStore.create``."""
        bucket = Bucket(url.bucket)
        then = settle(str(url), plan, _reader(url, bucket), lambda name, data: bucket.create(url.key(name), data))
        return cls(url, then, work=work, bucket=bucket)

    @classmethod
    def join(cls, url: S3Url, *, work: Path | None = None) -> RemoteRunStore:
        """As ``RunStore.open``."""
        found = plans_at(url)
        if not found:
            raise UsageError(f"{url}: no run there (no plan.json)", remedy="give the --out URL of a run")
        return cls(url, found[-1], work=work)

    @property
    def place(self) -> str:
        """The URL."""
        return str(self.url)

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.name

    def watched(self, alive: Callable[[], None]) -> None:
        """Call ``alive`` before every request."""
        self.bucket.alive = alive

    def committed(self) -> set[str]:
        """Names of the committed shards; lists the store's commits and reads none."""
        found = {n: e.etag for n, e in self.files.below("commits").items() if n.endswith(".json") and "/" not in n}
        self._etags = {n.removesuffix(".json"): etag for n, etag in found.items()}
        return set(self._etags)

    def is_committed(self, shard: Shard) -> bool:
        """Whether a commit record of the shard exists; asks the store only while it is not known to."""
        if shard.name in self._etags:
            return True
        there = self.bucket.exists(self.url.key(f"commits/{shard.name}.json"))
        if there:
            self._etags[shard.name] = ""
        return there

    def read(self, relative: str) -> bytes | None:
        """A small object."""
        return _reader(self.url, self.bucket)(relative)

    def write(self, relative: str, data: bytes) -> None:
        """Put a small object."""
        self.bucket.put(self.url.key(relative), data)

    def here(self, relative: str) -> Path:
        """A small object as a file in the working folder."""
        path = inside(relative, self.root)
        self.files.download([(relative, None)], self.root)
        return path

    def names(self, folder: str) -> list[str]:
        """Names of the objects right under ``folder/``."""
        return sorted(n for n in self.files.below(folder) if "/" not in n)

    def remove(self, relative: str) -> None:
        """Delete an object."""
        self.bucket.delete([self.url.key(relative)])

    def gather(self, names: Iterable[str]) -> None:
        """Read many commit records at once into the working folder, where ``record`` finds them."""
        in_parallel(self._fetch, [n for n in names if not self._kept(n)])

    def _raw_record(self, name: str) -> dict[str, Any]:
        where = f"{self.url}/commits/{name}.json"
        kept = self._kept(name)
        if kept is not None:
            return load(kept)
        data = self._fetch(name)
        if data is None:
            raise StorageError(f"{where}: no such record")
        return parse(where, data)

    def upload(self, folder: str, formats: Mapping[str, FormatRecord]) -> None:
        """Put the files that a commit record is going to name, and check what arrived."""
        for key, form in formats.items():
            self.files.upload(self.root / folder / key, f"{folder}/{key}", form.files)

    def commit(self, record: CommitRecord) -> bool:
        """Publish a record with a conditional put."""
        failpoint("s3.before_publish", record.shard)
        won = self.bucket.create(self.url.key(f"commits/{record.shard}.json"), dump(record.to_json()))
        failpoint("s3.after_publish", record.shard)
        self._etags.setdefault(record.shard, "")
        return won

    def settle(self, record: CommitRecord, *, won: bool) -> None:
        """Drop the local files of a try, which the store has, and the store's when another's count."""
        shutil.rmtree(self.root / record.folder, ignore_errors=True)
        if not won:
            with suppress(StorageError):  # then gc has it
                self.files.delete(record.folder, self.files.below(record.folder))

    def take_back(self, name: str) -> None:
        """Move a commit record to ``damaged/``."""
        data = self.read(f"commits/{name}.json")
        if data is not None:
            self.write(f"damaged/{name}.{token()}.json", data)
            self.remove(f"commits/{name}.json")
        self._etags.pop(name, None)

    @contextmanager
    def fetched(self, wanted: Iterable[tuple[str, str, FormatRecord]], *, check: bool = True) -> Generator[list[Path]]:
        """The folders of shards' files, in the working folder for a while."""
        listed = list(wanted)
        names = [
            (f"{folder}/{key}/{name}", sha256 if check else None)
            for folder, key, form in listed
            for name, (_, sha256) in form.files.items()
        ]
        with self._scratch() as base:
            self.files.download(names, base, must=check)
            yield [base / folder / key for folder, key, _ in listed]

    def datasets(self) -> list[str]:
        """``<format>/<name>`` of the data sets that were finished, by their markers."""
        named = [n.removesuffix(".json").partition(".") for n in self.names(FINALIZED)]
        return [f"{f}/{name}" for f in self.plan.formats for key, _, name in named if key == f]

    @contextmanager
    def dataset(self, relative: str) -> Generator[Path]:
        """A finished data set, in the working folder for a while."""
        with self._scratch() as base:
            self.files.download([(f"{relative}/{n}", None) for n in self.files.below(relative)], base)
            yield base / relative

    def has_dataset(self, relative: str) -> bool:
        """Whether a data set is there; what ``replace_dataset`` left is told by its marker, so this asks nothing."""
        return True

    def replace_dataset(self, fresh: Path, relative: str) -> None:
        """Upload a data set to its place, metadata last."""
        self.files.replace_dataset(fresh, relative)

    def drop_dataset(self, relative: str) -> None:
        """Delete a data set."""
        self.files.delete(relative, self.files.below(relative))

    @contextmanager
    def finalizing(self) -> Generator[None]:
        """Be the only one who finalizes: on this machine, and by a lease in the store on all others."""
        with super().finalizing(), Lease(self.bucket, self.url.key("finalize.lock")).held():
            yield

    def _plans(self) -> list[RunPlan]:
        return plans_at(self.url, self.bucket)

    def _kept(self, name: str) -> Path | None:
        """Where a record was kept in the working folder; one that was made again has another ETag."""
        path = self._keep(name)
        return path if path is not None and path.is_file() else None

    def _keep(self, name: str) -> Path | None:
        etag = self._etags.get(name)
        digest = hashlib.sha256((etag or "").encode()).hexdigest()[:16]
        return inside(f"records/{name}.{digest}.json", self.root) if etag else None

    def _fetch(self, name: str) -> bytes | None:
        found = self.bucket.get(self.url.key(f"commits/{name}.json"))
        if found is None:
            return None
        data, self._etags[name] = found
        path = self._keep(name)
        if path is not None:
            replace(path, data)
        return data

    @contextmanager
    def _scratch(self) -> Generator[Path]:
        base = self.root / "fetched" / token()
        try:
            yield base
        finally:
            shutil.rmtree(base, ignore_errors=True)


def plans_at(url: S3Url, bucket: Bucket | None = None) -> list[RunPlan]:
    """See ``chain``; of a run in an object store. Without a bucket, an endpoint that does not answer is told soon."""
    return chain(str(url), _reader(url, bucket or _impatient(url)))


def _impatient(url: S3Url) -> Bucket:
    bucket = Bucket(url.bucket)
    bucket.patience = min(bucket.patience, CHECK_PATIENCE)
    return bucket


def check_store(url: S3Url) -> None:
    """Refuse a store that cannot be reached, or that does not keep what a conditional put promises.

    Raises:
        MachineError: it ignores ``If-None-Match``, so exactly once could not be promised; or credentials are missing.
        UsageError: no such bucket.
        StorageError: it does not answer.
    """
    bucket = _impatient(url)
    probe = url.key(f"{PROBE}{token()}")
    try:
        first, second = bucket.create(probe, b"1"), bucket.create(probe, b"2")
    finally:
        with suppress(StorageError, MachineError, UsageError):
            bucket.delete([probe])
    if not first or second:
        raise MachineError(
            f"{url}: the store overwrites an object in spite of If-None-Match, so a slot could be committed twice",
            remedy="use a store that knows conditional puts",
        )


def _reader(url: S3Url, bucket: Bucket) -> Read:
    def read(relative: str) -> bytes | None:
        found = bucket.get(url.key(relative))
        return None if found is None else found[0]

    return read
