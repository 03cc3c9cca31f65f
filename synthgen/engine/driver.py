"""The driver: hands missing shards to workers until every one is committed, whatever dies meanwhile."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from synthgen.core import errors
from synthgen.core.errors import IncompleteRunError, StorageError, SynthgenError
from synthgen.engine.metrics import Metrics
from synthgen.engine.pool import InProcessPool, PoolEvent, WorkerPool
from synthgen.engine.progress import Progress, Tracker
from synthgen.engine.schedule import Schedule
from synthgen.engine.settings import Settings
from synthgen.store.run import RunStore
from synthgen.store.status import status

TICK = 0.5  # seconds
BOOTS_TO_JUDGE = 10
FAILED_BOOTS = 0.2


class View(Protocol):
    """Where a run shows itself."""

    def progress(self, progress: Progress) -> None:
        """How far it is; called about twice a second."""
        ...

    def say(self, event: str, message: str, **fields: Any) -> None:
        """Something happened that the user should know."""
        ...


class Interrupts:
    """Counts Ctrl-C and SIGTERM: the first asks for a graceful stop, the second raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def installed(self) -> Generator[None]:
        """Handle the signals while in the context (on the main thread; elsewhere nothing is changed)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 2:
            raise KeyboardInterrupt


class Driver:
    """Runs what is missing of a plan.

    Args:
        store: the run folder.
        pool: the workers.
        settings: how they are watched.
        workers: how many to ask for.
        view: is told.
        interrupts: is asked.
        metrics: makes what is shown to Prometheus, once the pool has started.
    """

    def __init__(
        self,
        *,
        store: RunStore,
        pool: WorkerPool,
        settings: Settings,
        workers: int,
        view: View,
        interrupts: Interrupts,
        metrics: Callable[[], Metrics] | None = None,
    ) -> None:
        self._store = store
        self._pool = pool
        self._settings = settings
        self._wanted = workers
        self._view = view
        self._interrupts = interrupts
        self._schedule = Schedule(store.plan, done=store.is_committed)
        self._tracker = Tracker(store.plan, status(store), workers)
        self._idle: set[str] = set()
        self._live: set[str] = set()
        self._waiting = 0
        self._losses: dict[str, int] = {}
        self._draining = False
        self._shown = 0.0
        self._gave_up: list[str] = []
        self._make_metrics = metrics
        self._metrics: Metrics | None = None

    def run(self) -> None:
        """Work until every shard is committed.

        Raises:
            IncompleteRunError: interrupted, or no worker is left; nothing committed is lost.
            StorageError: the disk is full, or the like.
            SynthgenError: what a worker reported as impossible.
        """
        if self._schedule.exhausted:
            return
        if isinstance(self._pool, InProcessPool):
            self._pool.on_tick = self.tick
        try:
            self._pool.start(self._wanted)
            self._waiting = max(1, self._wanted)
            room = self._pool.capacity()
            if room < self._wanted:
                self._view.say(
                    "few_places",
                    f"the cluster has room for {room} of {self._wanted} workers; starting with those, "
                    "more join as it grows",
                    room=room,
                    wanted=self._wanted,
                )
            while not self._finished():
                self._assign()
                for event in self._pool.wait(TICK):
                    self._handle(event)
                self.tick()
            self._show()
        except KeyboardInterrupt:
            self._pool.stop()
            raise IncompleteRunError("stopped at once") from None
        except SynthgenError:
            self._pool.stop()
            raise
        finally:
            self._pool.close()
        if self._draining and not self._all_committed():
            raise IncompleteRunError("stopped after the episodes that were under way")
        if not self._all_committed():
            raise IncompleteRunError(
                "no worker is left: " + "; ".join(self._gave_up), remedy="mend the cause, then resume"
            )

    def tick(self) -> None:
        """Show progress, notice Ctrl-C, judge the boots."""
        if self._interrupts.count and not self._draining:
            self._draining = True
            self._view.say("draining", "finishing the episodes under way (Ctrl-C again stops at once)")
            self._pool.drain()
        if time.monotonic() - self._shown >= TICK:  # with thousands of workers, adding them up costs milliseconds
            self._show()
        boots, failed = self._tracker.boots, self._tracker.failed_boots
        if boots >= BOOTS_TO_JUDGE and failed > FAILED_BOOTS * boots:
            raise IncompleteRunError(
                f"{failed} of {boots} simulators failed to start", remedy=f"look into {self._store.root / 'logs'}"
            )

    def _show(self) -> None:
        self._shown = time.monotonic()
        progress = self._tracker.update(self._pool.snapshots(), self._waiting)
        self._view.progress(progress)
        if self._metrics is None and self._make_metrics is not None:
            self._metrics = self._make_metrics()
        if self._metrics is not None:
            self._metrics.update(progress)

    def _finished(self) -> bool:
        if self._schedule.in_flight:
            return False
        if self._draining or self._schedule.exhausted:
            return True
        return not self._live and not self._waiting

    def _all_committed(self) -> bool:
        return next(self._store.missing(), None) is None

    def _assign(self) -> None:
        if self._draining:
            return
        for worker in sorted(self._idle):
            others = self._live - {worker}
            shard = self._schedule.next(worker, others)
            if shard is not None:
                self._idle.discard(worker)
                self._pool.submit(worker, shard, alone=not others)

    def _handle(self, event: PoolEvent) -> None:
        worker, result = event.worker, event.result
        if event.kind == "ready":
            self._waiting -= 1
            self._live.add(worker)
            self._idle.add(worker)
        elif event.kind == "told":
            self._view.say(**result)
        elif event.kind == "lost":
            self._lost(worker, str(result["message"]))
        elif result["end"] == "committed":
            self._losses[worker] = 0
            self._schedule.finish(worker)
            self._idle.add(worker)
        elif result["end"] in ("stopped", "deferred"):
            self._schedule.give_back(worker, avoid=result["end"] == "deferred")
            self._idle.add(worker)
        elif result["end"] == "given_up":
            self._give_up(worker, str(result["message"]))
        else:
            raise _as_error(result)

    def _lost(self, worker: str, message: str) -> None:
        self._tracker.lost(worker)
        self._schedule.forget(worker)
        if worker in self._live:
            self._live.discard(worker)
        else:
            self._waiting -= 1
        self._idle.discard(worker)
        self._losses[worker] = self._losses.get(worker, 0) + 1
        if self._losses[worker] >= self._settings.deaths:
            self._give_up(worker, f"worker {worker} was lost {self._losses[worker]} times, last: {message}")
        elif not self._draining:
            self._view.say("worker_lost", f"worker {worker} is lost ({message}); asking for another", worker=worker)
            self._pool.restart(worker)
            self._waiting += 1

    def _give_up(self, worker: str, message: str) -> None:
        self._schedule.forget(worker)
        self._live.discard(worker)
        self._idle.discard(worker)
        self._gave_up.append(message)
        self._view.say("worker_given_up", message, worker=worker)


def _as_error(result: Mapping[str, Any]) -> SynthgenError:
    """The error a worker reported, as its own type where it is one of ours."""
    kind = getattr(errors, str(result.get("type", "")), None)
    if not (isinstance(kind, type) and issubclass(kind, SynthgenError)):
        kind = StorageError if result["end"] == "storage" else SynthgenError
    return kind(str(result["message"]), remedy=str(result["remedy"]))
