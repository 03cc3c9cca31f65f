"""A run folder: its plan, and what of it is committed. Everything is answered from storage alone.

plan.json                     the plan, published once; plan.0001.json … once n has grown
spool/<shard>/<slot>.episode  finished episodes of shards that are not committed yet
spool/<shard>/<slot>.json     slots whose attempts are used up
strikes/<shard>/*.json        simulators that died, by the slot they were on
quarantine/<cell>.<slot>.json slots given up: why, and the logs of the simulators they killed
shards/<shard>-<token>/<format>/…   data files; one folder per try, never renamed
commits/<shard>.json          published exclusively: the shard is done
<format>/<embodiment>/        the finished data sets
logs/                         what the simulators printed
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synthgen.core.errors import StorageError, UsageError
from synthgen.core.failpoint import failpoint
from synthgen.core.plan import RunPlan, Shard
from synthgen.store.files import (
    TEMPORARY,
    dump,
    load,
    publish,
    replace,
    storage_errors,
    sync_folder,
    sync_tree,
    token,
)
from synthgen.store.plans import Read, chain, settle
from synthgen.store.record import CommitRecord, FormatRecord

FINALIZED = "finalized"


class RunStore:
    """One run folder. Any number of processes may use it at once; publishing decides who was first."""

    def __init__(self, root: Path, plan: RunPlan) -> None:
        self.root = root
        self.plan = plan
        self.digest = plan.digest()
        self._digests = {self.digest}

    @classmethod
    def create(cls, root: Path, plan: RunPlan) -> RunStore:
        """Start a run in ``root``; join it when the same plan is there already; grow it when only n is larger.

        The store's plan is the one in the folder: of a grown run, it also says where n was before.

        Raises:
            PlanMismatchError: ``root`` belongs to another plan; names the fields that differ.
            StorageError: it cannot be written.
        """
        root = root.resolve()
        return cls(root, settle(str(root), plan, _reader(root), lambda name, data: publish(root / name, data)))

    @classmethod
    def open(cls, root: Path) -> RunStore:
        """Open an existing run.

        Raises:
            UsageError: no run there.
        """
        root = root.resolve()
        found = plans(root)
        if not found:
            raise UsageError(f"{root}: not a run folder (no plan.json)", remedy="give the --out folder of a run")
        return cls(root, found[-1])

    @property
    def place(self) -> str:
        """Where the run is, for people: the folder."""
        return str(self.root)

    @property
    def name(self) -> str:
        """The run's name: its folder's."""
        return self.root.name

    def watched(self, alive: Callable[[], None]) -> None:
        """Have ``alive`` called while something that may take long is waited for."""

    def committed(self) -> set[str]:
        """Names of the committed shards; reads one folder listing and no record."""
        folder = self.root / "commits"
        with storage_errors(folder):
            try:
                with os.scandir(folder) as entries:
                    names = [e.name for e in entries]
            except FileNotFoundError:
                return set()
        return {n.removesuffix(".json") for n in names if n.endswith(".json") and not n.startswith(TEMPORARY)}

    def is_committed(self, shard: Shard) -> bool:
        """Whether a commit record of the shard exists."""
        return self.commit_path(shard.name).exists()

    def commit_path(self, name: str) -> Path:
        """Where the commit record of the shard of that name is."""
        return self.root / "commits" / f"{name}.json"

    def read(self, relative: str) -> bytes | None:
        """A small file of the run; None when there is none."""
        return _reader(self.root)(relative)

    def write(self, relative: str, data: bytes) -> None:
        """Write a small file of the run, whole and durably, replacing what is there."""
        replace(self.root / relative, data)

    def here(self, relative: str) -> Path:
        """A small file of the run as a file on this machine."""
        return self.root / relative

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder of the run."""
        path = self.root / folder
        with storage_errors(path):
            return sorted(p.name for p in path.iterdir() if p.is_file()) if path.is_dir() else []

    def remove(self, relative: str) -> None:
        """Remove a small file of the run, if it is there."""
        with storage_errors(self.root / relative):
            (self.root / relative).unlink(missing_ok=True)

    def missing(self) -> Iterator[Shard]:
        """Shards of the plan without a commit, in plan order; lazily, so a plan of any size costs no memory."""
        done = self.committed()
        return (s for s in self.plan.shards() if s.name not in done)

    def record(self, name: str) -> CommitRecord:
        """Read one commit record.

        Raises:
            StorageError: missing or damaged, or of another plan.
        """
        path = f"{self.place}/commits/{name}.json"
        record = CommitRecord.from_json(self._raw_record(name), path)
        if record.plan not in self._digests:
            self._digests = {plan.digest() for plan in self._plans()}  # the run may have grown
        if record.shard != name or record.plan not in self._digests:
            raise StorageError(
                f"{path}: belongs to another plan", remedy="use an --out folder of its own for each plan"
            )
        return record

    def records(self) -> Iterator[CommitRecord]:
        """Commit records in plan order."""
        done = self.committed()
        self.gather(done)
        return (self.record(s.name) for s in self.plan.shards() if s.name in done)

    def gather(self, names: Iterable[str]) -> None:
        """Make ready to read many records: a place that is far away brings them here."""

    def _raw_record(self, name: str) -> dict[str, Any]:
        return load(self.commit_path(name))

    def _plans(self) -> list[RunPlan]:
        return plans(self.root)

    def new_folder(self, shard: Shard) -> tuple[str, Path]:
        """Make a folder for one try at writing the shard: (name relative to the run folder, path)."""
        name = f"shards/{shard.name}-{token()}"
        path = self.root / name
        with storage_errors(path):
            path.mkdir(parents=True)
        return name, path

    def commit(self, record: CommitRecord) -> bool:
        """Publish a record; False when another worker's try was first (whose files then count)."""
        return publish(self.commit_path(record.shard), dump(record.to_json()))

    def upload(self, folder: str, formats: Mapping[str, FormatRecord]) -> None:
        """Bring the files that a commit record is going to name to where the run is: here they are there already."""

    def settle(self, record: CommitRecord, *, won: bool) -> None:
        """After ``commit``: drop the files of a try that did not count."""
        if not won:
            shutil.rmtree(self.root / record.folder, ignore_errors=True)

    def take_back(self, name: str) -> None:
        """Take a commit back; its record is kept under ``damaged/``.

        Raises:
            StorageError.
        """
        kept = self.root / "damaged" / f"{name}.{token()}.json"
        with storage_errors(kept):
            kept.parent.mkdir(exist_ok=True)
            self.commit_path(name).rename(kept)
            sync_folder(self.root / "commits")

    @contextmanager
    def fetched(self, wanted: Iterable[tuple[str, str, FormatRecord]], *, check: bool = True) -> Generator[list[Path]]:
        """Folders on this machine with the files of shards, while in the context.

        Args:
            wanted: (``CommitRecord.folder``, format, its record) of each.
            check: whether what has to be brought here must be there and have its sha256.

        Raises:
            StorageError: something is gone or damaged.
        """
        yield [self.root / folder / key for folder, key, _ in wanted]

    def datasets(self) -> list[str]:
        """``<format>/<name>`` of the data sets that are there, by format."""
        found = [(f, d) for f in self.plan.formats for d in sorted((self.root / f).glob("*")) if d.is_dir()]
        return [f"{f}/{d.name}" for f, d in found]

    @contextmanager
    def dataset(self, relative: str) -> Generator[Path]:
        """A folder on this machine with the data set ``<format>/<name>``, while in the context."""
        yield self.root / relative

    def has_dataset(self, relative: str) -> bool:
        """Whether the data set ``<format>/<name>`` is there."""
        return (self.root / relative).is_dir()

    def replace_dataset(self, fresh: Path, relative: str) -> None:
        """Move a finished data set from its work folder to its place; a reader sees the old one or the new one.

        Raises:
            StorageError.
        """
        root = self.root / relative
        with storage_errors(root):
            sync_tree(fresh)
            failpoint("finalize.built", relative.replace("/", "."))
            root.parent.mkdir(parents=True, exist_ok=True)
            if root.exists():
                root.rename(fresh.parent / f"old-{token()}")
            failpoint("finalize.between", relative.replace("/", "."))
            fresh.rename(root)

    def drop_dataset(self, relative: str) -> None:
        """Remove a data set."""
        shutil.rmtree(self.root / relative, ignore_errors=True)

    @contextmanager
    def finalizing(self) -> Generator[None]:
        """Be the only one who finalizes the run; the kernel takes the right back when its holder dies."""
        with storage_errors(self.root):
            descriptor = os.open(self.root / "finalize.lock", os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)


def quarantine_file(cell: str, slot: int) -> str:
    """Where in a run it is kept what is known of a slot that was given up."""
    return f"quarantine/{cell}.{slot:09d}.json"


def plans(root: Path) -> list[RunPlan]:
    """See ``chain``; of a run folder."""
    return chain(str(root), _reader(root))


def _reader(root: Path) -> Read:
    def read(name: str) -> bytes | None:
        path = root / name
        with storage_errors(path):
            return path.read_bytes() if path.is_file() else None

    return read
