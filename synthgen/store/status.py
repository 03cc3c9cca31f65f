"""What a run has reached, from storage alone: works while it runs, after it died, on another machine."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from synthgen.core.plan import Shard
from synthgen.store.record import CommitRecord
from synthgen.store.run import RunStore
from synthgen.store.spool import Spool

RECENT = 600.0  # seconds that the rate looks back


@dataclass(kw_only=True)
class CellStatus:
    """One task on one embodiment.

    Attributes:
        requested: n; committed: slots in committed shards; spooled: finished, waiting for the rest of their shard.
        attempts, failures, seconds: of committed, spooled and quarantined slots.
        replay_passed: committed episodes whose replay reached success again.
        quarantined: slot, reason and detail.
    """

    task: str
    embodiment: str
    requested: int
    committed: int = 0
    spooled: int = 0
    attempts: int = 0
    frames: int = 0
    replay_passed: int = 0
    failures: Counter[str] = field(default_factory=Counter[str])
    seconds: Counter[str] = field(default_factory=Counter[str])
    quarantined: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def success_rate(self) -> float | None:
        """Successes per attempt; None before the first attempt."""
        return (self.committed + self.spooled) / self.attempts if self.attempts else None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON-able mapping."""
        d = asdict(self)
        d["failures"] = dict(self.failures.most_common())
        d["seconds"] = {k: round(v, 3) for k, v in sorted(self.seconds.items())}
        d["success_rate"] = None if self.success_rate is None else round(self.success_rate, 4)
        return d


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """The whole run.

    Attributes:
        cells: in plan order.
        rate: trajectories per second over the last ten minutes of commits, or None.
        eta: seconds to go at that rate, or None.
    """

    root: str
    plan: str
    cells: tuple[CellStatus, ...]
    shards: int
    shards_committed: int
    rate: float | None
    eta: float | None

    @property
    def complete(self) -> bool:
        """Every shard is committed (some slots may be quarantined)."""
        return self.shards_committed == self.shards

    @property
    def quarantined(self) -> int:
        """How many slots were given up."""
        return sum(len(c.quarantined) for c in self.cells)

    def to_json(self) -> dict[str, Any]:
        """What ``synthgen status --json`` prints."""
        return {
            "run": self.root,
            "plan": self.plan,
            "complete": self.complete,
            "requested": sum(c.requested for c in self.cells),
            "committed": sum(c.committed for c in self.cells),
            "missing": sum(c.requested - c.committed - len(c.quarantined) for c in self.cells),
            "quarantined": self.quarantined,
            "shards": self.shards,
            "shards_committed": self.shards_committed,
            "trajectories_per_second": self.rate,
            "eta_seconds": self.eta,
            "cells": [c.to_json() for c in self.cells],
        }


def status(store: RunStore, *, now: float | None = None) -> RunStatus:
    """Read the run's state. ``now``: UNIX seconds that the rate looks back from; None = the clock's.

    Raises:
        StorageError: a record is damaged.
    """
    cells = {c.name: CellStatus(task=c.task, embodiment=c.embodiment, requested=c.n) for c in store.plan.cells}
    done = store.committed()
    store.gather(done)
    shards = committed = 0
    finished: list[tuple[float, int]] = []
    for shard in store.plan.shards():
        shards += 1
        cell = cells[shard.cell]
        if shard.name in done:
            committed += 1
            record = store.record(shard.name)
            _add_record(cell, record)
            finished.append((record.finished, len(record.slots)))
        else:
            _add_spool(cell, Spool(store.root, shard), shard)
    rate = _rate(finished, time.time() if now is None else now)
    missing = sum(c.requested - c.committed - len(c.quarantined) for c in cells.values())
    return RunStatus(
        root=store.place,
        plan=store.digest,
        cells=tuple(cells.values()),
        shards=shards,
        shards_committed=committed,
        rate=rate,
        eta=missing / rate if rate else None,
    )


def _add_record(cell: CellStatus, record: CommitRecord) -> None:
    cell.committed += len(record.slots)
    for slot in record.slots:
        cell.frames += slot.frames
        cell.replay_passed += slot.replayed
    cell.seconds.update(record.seconds)
    for slot in (*record.slots, *record.quarantined):
        cell.attempts += slot.attempts
        cell.failures.update(slot.failures)
        cell.seconds.update(slot.seconds)
    cell.quarantined += [{"slot": q.slot, "reason": q.reason, "detail": q.detail} for q in record.quarantined]


def _add_spool(cell: CellStatus, spool: Spool, shard: Shard) -> None:
    if not spool.folder.is_dir():
        return
    for tally in spool.tallies():
        cell.spooled += 1
        cell.attempts += tally.attempts
        cell.failures.update(tally.failures)
        cell.seconds.update(tally.seconds)
    for slot in spool.given_up().values():
        cell.attempts += slot.attempts
        cell.failures.update(slot.failures)
        cell.seconds.update(slot.seconds)
        cell.quarantined.append({"slot": slot.slot, "reason": slot.reason, "detail": slot.detail})


def _rate(finished: list[tuple[float, int]], now: float) -> float | None:
    """Successes per second between the first and the last commit of the recent past."""
    recent = sorted(f for f in finished if now - f[0] <= RECENT)
    if len(recent) < 2 or recent[-1][0] <= recent[0][0]:
        return None
    return sum(n for _, n in recent[1:]) / (recent[-1][0] - recent[0][0])
