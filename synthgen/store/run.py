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

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthgen.core.errors import PlanMismatchError, StorageError, UsageError
from synthgen.core.plan import RunPlan, Shard
from synthgen.store.files import TEMPORARY, dump, load, publish, storage_errors, token
from synthgen.store.record import CommitRecord


class RunStore:
    """One run folder. Any number of processes may use it at once; publishing decides who was first."""

    def __init__(self, root: Path, plan: RunPlan) -> None:
        self.root = root
        self.plan = plan
        self.digest = plan.digest()

    @classmethod
    def create(cls, root: Path, plan: RunPlan) -> RunStore:
        """Start a run in ``root``; join it when the same plan is there already; grow it when only n is larger.

        The store's plan is the one in the folder: of a grown run, it also says where n was before.

        Raises:
            PlanMismatchError: ``root`` belongs to another plan; names the fields that differ.
            StorageError: it cannot be written.
        """
        root = root.resolve()
        while True:
            chain = plans(root)
            then = joined(root, chain[-1], plan) if chain else plan
            if chain and then == chain[-1]:
                return cls(root, then)
            if publish(root / plan_name(len(chain)), dump(then.to_json())):
                return cls(root, then)

    @classmethod
    def open(cls, root: Path) -> RunStore:
        """Open an existing run.

        Raises:
            UsageError: no run there.
        """
        root = root.resolve()
        chain = plans(root)
        if not chain:
            raise UsageError(f"{root}: not a run folder (no plan.json)", remedy="give the --out folder of a run")
        return cls(root, chain[-1])

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

    def quarantine_path(self, cell: str, slot: int) -> Path:
        """Where it is kept what is known of a slot that was given up."""
        return self.root / "quarantine" / f"{cell}.{slot:09d}.json"

    def missing(self) -> Iterator[Shard]:
        """Shards of the plan without a commit, in plan order; lazily, so a plan of any size costs no memory."""
        done = self.committed()
        return (s for s in self.plan.shards() if s.name not in done)

    def record(self, name: str) -> CommitRecord:
        """Read one commit record.

        Raises:
            StorageError: missing or damaged, or of another plan.
        """
        path = self.commit_path(name)
        record = CommitRecord.from_json(load(path), path)
        if record.shard != name or (record.plan != self.digest and record.plan not in self._digests()):
            raise StorageError(
                f"{path}: belongs to another plan", remedy="use an --out folder of its own for each plan"
            )
        return record

    def records(self) -> Iterator[CommitRecord]:
        """Commit records in plan order."""
        done = self.committed()
        return (self.record(s.name) for s in self.plan.shards() if s.name in done)

    def _digests(self) -> set[str]:
        """Digests of the run's plans, as it grew."""
        return {plan.digest() for plan in plans(self.root)}

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


def plan_name(growths: int) -> str:
    """File name of a run's plan after so many growths."""
    return f"plan.{growths:04d}.json" if growths else "plan.json"


def plans(root: Path) -> list[RunPlan]:
    """The plans of a run as it grew, the one in force last; empty when there is no run.

    Raises:
        StorageError, UsageError: one cannot be read.
    """
    found: list[RunPlan] = []
    while (path := root / plan_name(len(found))).is_file():
        found.append(RunPlan.from_json(load(path)))
    return found


def joined(root: Path, there: RunPlan, wanted: RunPlan) -> RunPlan:
    """The plan of the run in ``root`` once ``wanted`` joins it: the same, or grown.

    Raises:
        PlanMismatchError: it is another; names the fields that differ.
    """
    grown = there.grow(wanted)
    if grown is not None:
        return grown
    differing = there.differences(wanted)
    listed = "\n".join(f"  {field}: {a!r} there, {b!r} asked for" for field, (a, b) in _named(differing))
    raise PlanMismatchError(
        f"{root} belongs to a run with another plan:\n{listed}",
        remedy="choose another --out, or repeat the options of the run that is there (--n may grow)",
    )


def _named(differing: dict[str, tuple[Any, Any]]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Differences in the user's words: ``n`` per cell instead of the list of cells."""
    for field, (a, b) in differing.items():
        if field != "cells":
            yield field, (a, b)
            continue
        mine, theirs = _counts(a), _counts(b)
        for name in sorted(mine.keys() | theirs.keys()):
            if mine.get(name, 0) != theirs.get(name, 0):
                yield f"n of {name}", (mine.get(name, 0), theirs.get(name, 0))


def _counts(cells: list[dict[str, Any]]) -> dict[str, int]:
    return {f"{c['task']}.{c['embodiment']}": int(c["n"]) for c in cells}
