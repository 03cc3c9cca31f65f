"""Workers as the driver sees them: Ray actors, or one worker in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from synthgen.core.errors import SimulatorError, SynthgenError
from synthgen.core.exporter import Exporter
from synthgen.core.outcome import Outcome
from synthgen.core.plan import Shard
from synthgen.core.source import EpisodeSource
from synthgen.engine.runner import ShardRunner
from synthgen.engine.settings import Job
from synthgen.engine.sources import exporters_of, open_source
from synthgen.engine.tally import Tally

TICK = 0.5  # seconds between calls of ``on_tick`` while a shard runs in this process


@dataclass(frozen=True, kw_only=True)
class PoolEvent:
    """Something about a worker: ready, ended a shard (``result``: see ``Supervisor.run_shard``), lost, or told.

    "told" carries an event of its supervisor: ``event``, ``message`` and what belongs to it.
    """

    kind: Literal["ready", "ended", "lost", "told"]
    worker: str
    result: dict[str, Any]


class WorkerPool(Protocol):
    """Some workers, by name."""

    def start(self, workers: int) -> None:
        """Ask for workers; each says ``ready`` when it has a place."""
        ...

    def capacity(self) -> int:
        """How many workers there is room for now, busy places included."""
        ...

    def wait(self, timeout: float) -> list[PoolEvent]:
        """Events that come within ``timeout`` seconds."""
        ...

    def submit(self, worker: str, shard: Shard, *, alone: bool) -> None:
        """Give an idle worker a shard."""
        ...

    def restart(self, worker: str) -> None:
        """Ask for a lost worker anew."""
        ...

    def snapshots(self) -> dict[str, dict[str, Any]]:
        """What each worker last said of itself; see ``Supervisor.snapshot``."""
        ...

    def drain(self) -> None:
        """Let every worker finish its current episode and stop."""
        ...

    def stop(self) -> None:
        """Stop every worker at once, for certain."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class InProcessPool:
    """One worker in this process, for debugging: no Ray, no child, no deadlines; exceptions come through."""

    name = "local"

    def __init__(self, job: Job) -> None:
        self._job = job
        self._store = job.store()
        self._exporters: dict[str, Exporter] = {}
        self._source: EpisodeSource | None = None
        self._cell = ""
        self._next: Shard | None = None
        self._started = self._draining = False
        self._now: dict[str, Any] = {"state": "idle", "cell": "", "shard": "", "phase": "", "slot": -1, "memory": 0}
        self._tally = Tally()
        self._commits = self._conflicts = 0
        self._ticked = 0.0
        self.on_tick: Callable[[], None] = lambda: None

    def start(self, workers: int) -> None:
        """See the protocol."""
        self._exporters = exporters_of(self._job.plan, self._job.project)
        self._started = True

    def capacity(self) -> int:
        """See the protocol."""
        return 1

    def wait(self, timeout: float) -> list[PoolEvent]:
        """Run the submitted shard."""
        if self._started:
            self._started = False
            return [PoolEvent(kind="ready", worker=self.name, result={"node": "local"})]
        shard, self._next = self._next, None
        if shard is None:
            time.sleep(timeout)
            return []
        self._now |= {"state": "running", "shard": shard.name, "cell": shard.cell}
        try:
            runner = self._runner(shard)
            end = runner.run(shard, defer=(), stop=lambda: self._draining)
        except SimulatorError as error:
            kind, told = "given_up", error
        except SynthgenError as error:
            kind, told = ("storage" if error.exit_code == 3 else "fatal"), error
        else:
            self._commits += runner.commits
            self._conflicts += runner.conflicts
            return [_ended(self.name, shard, end, "", "")]
        return [_ended(self.name, shard, kind, told.message, told.remedy)]

    def submit(self, worker: str, shard: Shard, *, alone: bool) -> None:
        """See the protocol."""
        self._next = shard

    def restart(self, worker: str) -> None:
        """It is never lost."""

    def snapshots(self) -> dict[str, dict[str, Any]]:
        """See the protocol."""
        done = {"commits": self._commits, "conflicts": self._conflicts, "cells": self._tally.to_json()}
        return {self.name: {**self._now, "boots": 1, "failed_boots": 0, "restarts": {}, **done}}

    def drain(self) -> None:
        """See the protocol."""
        self._draining = True

    def stop(self) -> None:
        """See the protocol."""
        self._draining = True

    def close(self) -> None:
        """See the protocol."""
        if self._source is not None:
            self._source.close()

    def _runner(self, shard: Shard) -> ShardRunner:
        if self._source is None or self._cell != shard.cell:
            self.close()
            self._source = open_source(
                self._job.plan,
                shard.task,
                shard.embodiment,
                project=self._job.project,
                asset_root=self._job.asset_root,
                num_envs=self._job.settings.num_envs,
            )
            self._cell = shard.cell
        return ShardRunner(
            store=self._store,
            source=self._source,
            exporters=self._exporters,
            worker=self.name,
            strikes=self._job.settings.strikes,
            beat=self._beat,
            ended=self._ended,
        )

    def _beat(self, phase: str, slot: int, attempt: int) -> None:
        self._now |= {"phase": phase, "slot": slot}
        if time.monotonic() - self._ticked > TICK:
            self._ticked = time.monotonic()
            self.on_tick()

    def _ended(self, outcome: Outcome, fresh: bool) -> None:
        self._tally.add(
            self._cell, success=outcome.success, reason=outcome.reason, seconds=outcome.seconds, fresh=fresh
        )


def _ended(worker: str, shard: Shard, end: str, message: str, remedy: str) -> PoolEvent:
    result = {"end": end, "shard": shard.name, "message": message, "remedy": remedy}
    return PoolEvent(kind="ended", worker=worker, result=result)
