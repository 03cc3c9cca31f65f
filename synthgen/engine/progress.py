"""What a run has reached, live: the state at its start plus what the workers have said since."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from synthgen.core.plan import RunPlan
from synthgen.store.status import RunStatus

WINDOW = 60.0  # seconds that the rate looks back


@dataclass(kw_only=True)
class CellProgress:
    """One row: ``done`` counts episodes that are safe in storage, committed or spooled.

    ``made``, ``failed`` and ``seconds`` (by phase) are of this command's workers only.
    """

    task: str
    embodiment: str
    requested: int
    done: int = 0
    attempts: int = 0
    quarantined: int = 0
    failures: Counter[str] = field(default_factory=Counter[str])
    made: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    seconds: Counter[str] = field(default_factory=Counter[str])

    @property
    def success_rate(self) -> float | None:
        """Successes per attempt; None before the first."""
        return self.done / self.attempts if self.attempts else None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One moment of a run.

    Attributes:
        cells: in plan order.
        workers: number of workers by what they do ("running", "booting", "waiting for a place" …).
        wanted: workers asked for.
        rate: trajectories per second over the last minute, or None; eta: seconds to go, or None.
        restarts: simulators replaced, by cause.
        seconds: since this command started.
        memory, largest_memory: resident bytes of all simulators, and of the largest.
        boots, failed_boots, commits, conflicts: simulators started, not started; shards committed, and shards that
            another worker had committed first.
    """

    cells: tuple[CellProgress, ...]
    workers: Mapping[str, int]
    wanted: int
    rate: float | None
    eta: float | None
    restarts: Mapping[str, int]
    seconds: float
    memory: int
    largest_memory: int
    boots: int
    failed_boots: int
    commits: int
    conflicts: int

    @property
    def done(self) -> int:
        """Episodes safe in storage."""
        return sum(c.done for c in self.cells)

    @property
    def requested(self) -> int:
        """n."""
        return sum(c.requested for c in self.cells)

    def to_json(self) -> dict[str, Any]:
        """One JSON line of progress."""
        return {
            "done": self.done,
            "requested": self.requested,
            "trajectories_per_second": None if self.rate is None else round(self.rate, 4),
            "eta_seconds": None if self.eta is None else round(self.eta),
            "seconds": round(self.seconds, 1),
            "workers": dict(self.workers),
            "restarts": dict(self.restarts),
            "memory_bytes": self.memory,
            "largest_memory_bytes": self.largest_memory,
            "cells": [
                {
                    "task": c.task,
                    "embodiment": c.embodiment,
                    "done": c.done,
                    "requested": c.requested,
                    "attempts": c.attempts,
                    "success_rate": None if c.success_rate is None else round(c.success_rate, 4),
                    "failures": dict(c.failures.most_common()),
                }
                for c in self.cells
            ],
        }


class Tracker:
    """Adds up what the workers say. Their counters only grow; a restarted worker's begin again at zero."""

    def __init__(self, plan: RunPlan, start: RunStatus, wanted: int) -> None:
        self._plan = plan
        self._start = start
        self._wanted = wanted
        self._began = time.monotonic()
        self._latest: dict[str, dict[str, Any]] = {}
        self._past: list[dict[str, Any]] = []
        self._history: deque[tuple[float, int]] = deque()
        self.boots = self.failed_boots = 0

    def lost(self, worker: str) -> None:
        """A worker is gone: keep what it had counted."""
        if worker in self._latest:
            self._past.append(self._latest.pop(worker))

    def update(self, snapshots: Mapping[str, dict[str, Any]], waiting: int) -> Progress:
        """Take in the workers' snapshots."""
        self._latest.update(snapshots)
        said = [*self._past, *self._latest.values()]
        self.boots = sum(s["boots"] for s in said)
        self.failed_boots = sum(s["failed_boots"] for s in said)
        cells = [self._cell(c.task, c.embodiment, said) for c in self._plan.cells]
        restarts: Counter[str] = Counter()
        for s in said:
            restarts.update(s["restarts"])
        workers = Counter(str(s["state"]) for s in self._latest.values())
        if waiting:
            workers["waiting for a place"] += waiting
        done = sum(c.done for c in cells)
        rate = self._rate(done)
        missing = sum(c.requested - c.done - c.quarantined for c in cells)
        return Progress(
            cells=tuple(cells),
            workers=workers,
            wanted=self._wanted,
            rate=rate,
            eta=missing / rate if rate else None,
            restarts=restarts,
            seconds=time.monotonic() - self._began,
            memory=sum(int(s["memory"]) for s in self._latest.values()),
            largest_memory=max((int(s["memory"]) for s in self._latest.values()), default=0),
            boots=self.boots,
            failed_boots=self.failed_boots,
            commits=sum(int(s["commits"]) for s in said),
            conflicts=sum(int(s["conflicts"]) for s in said),
        )

    def _cell(self, task: str, embodiment: str, said: list[dict[str, Any]]) -> CellProgress:
        base = next(c for c in self._start.cells if (c.task, c.embodiment) == (task, embodiment))
        cell = CellProgress(
            task=task,
            embodiment=embodiment,
            requested=base.requested,
            done=base.committed + base.spooled,
            attempts=base.attempts,
            quarantined=len(base.quarantined),
            failures=Counter(base.failures),
        )
        for s in said:
            tally = s["cells"].get(f"{task}.{embodiment}")
            if tally:
                cell.done = min(cell.requested, cell.done + tally["fresh"])
                cell.attempts += tally["attempts"]
                cell.failures.update(tally["failures"])
                cell.made += tally["successes"]
                cell.failed.update(tally["failures"])
                cell.seconds.update(tally["seconds"])
        return cell

    def _rate(self, done: int) -> float | None:
        now = time.monotonic()
        self._history.append((now, done))
        while len(self._history) > 2 and now - self._history[0][0] > WINDOW:
            self._history.popleft()
        (then, before), made = self._history[0], done - self._history[0][1]
        del before
        return made / (now - then) if made > 0 and now - then > 1 else None
