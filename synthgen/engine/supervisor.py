"""One worker: keeps a simulator child running, holds it to its deadlines, replaces it, and strikes slots that kill it.

Knows nothing of Ray: the actor around it is a few lines (``synthgen.engine.actor``).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from synthgen.core.errors import SynthgenError
from synthgen.core.plan import Shard
from synthgen.engine.boot import boot_turn
from synthgen.engine.pipe import Message
from synthgen.engine.process import ChildProcess, child_environment
from synthgen.engine.settings import Job
from synthgen.engine.tally import Tally
from synthgen.store.strikes import Strike, Strikes

TICK = 0.25  # seconds between looks at the clock
MEMORY_EVERY = 2.0
GRACE = 2.0  # seconds that the child's own timer has before the supervisor's clock strikes

Result = dict[str, Any]


class _DeathError(Exception):
    """The child died or had to be killed."""

    def __init__(self, cause: str, *, booting: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.booting = booting


class _GiveUpError(Exception):
    """The child reported what no restart can cure."""

    def __init__(self, result: Result) -> None:
        super().__init__(result["message"])
        self.result = result


class Supervisor:
    """A worker. ``run_shard`` runs on one thread; ``snapshot``, ``drain`` and ``stop`` may come from others."""

    def __init__(self, job: Job, worker: str) -> None:
        self._job = job
        self._settings = job.settings
        self._worker = worker
        self._store = job.store()
        self._child: ChildProcess | None = None
        self._cell = ""
        self._episodes = 0
        self._boots_here = 0
        self._deaths = 0
        self._recycled = ""  # why the child was told to end after its episode
        self._session_strikes: list[str] = []
        self._struck: set[tuple[str, int]] = set()
        self._draining = threading.Event()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._now: dict[str, Any] = {"state": "idle", "cell": "", "shard": "", "phase": "", "slot": -1, "memory": 0}
        self._boots = 0
        self._failed_boots = 0
        self._restarts: Counter[str] = Counter()
        self._tally = Tally()
        self._commits = self._conflicts = self._snapshots = 0
        self._events: list[dict[str, Any]] = []
        # What the child was last heard to do.
        self._phase, self._slot, self._attempt = "boot", -1, 0
        self._heard = self._attempt_began = 0.0

    def run_shard(self, shard: Shard, *, alone: bool) -> Result:
        """Work on a shard until it is committed or cannot go on here.

        Args:
            shard: which.
            alone: no other worker is there to retry a slot that killed this worker's simulator.

        Returns:
            ``end``: "committed"; "stopped" (drained); "deferred" (what is left killed this worker's simulator: let
            another one try); "given_up" (the worker is no good); "storage" or "fatal" (the run cannot go on). With
            ``message`` and ``remedy`` for the last three.
        """
        try:
            end = self._run(shard, alone=alone)
        except _GiveUpError as error:
            self._drop_child()
            return error.result | {"shard": shard.name}
        except SynthgenError as error:  # the store does not answer
            self._drop_child()
            end = "storage" if error.exit_code == 3 else "fatal"
            told = {"type": type(error).__name__, "message": error.message, "remedy": error.remedy}
            return {"end": end, "shard": shard.name, **told}
        finally:
            self._tell(state="idle", phase="", slot=-1)
        return {"end": end, "shard": shard.name, "message": "", "remedy": ""}

    def snapshot(self) -> dict[str, Any]:
        """What it does and has done so far, JSON-able.

        Counters only grow; ``number`` says which of two snapshots is the later; ``events`` come once.
        """
        with self._lock:
            self._snapshots += 1
            events, self._events = self._events, []
            return {
                **self._now,
                "number": self._snapshots,
                "events": events,
                "commits": self._commits,
                "conflicts": self._conflicts,
                "boots": self._boots,
                "failed_boots": self._failed_boots,
                "restarts": dict(self._restarts),
                "cells": self._tally.to_json(),
            }

    def drain(self) -> None:
        """Finish the current episode, then stop."""
        self._draining.set()
        child = self._child
        if child is not None:
            child.send({"op": "drain"})

    def stop(self) -> None:
        """Stop at once."""
        self._draining.set()
        self._stopping.set()

    def close(self) -> None:
        """End the child: politely within its deadline, then for certain."""
        child, self._child = self._child, None
        if child is None:
            return
        if not self._stopping.is_set():
            child.send({"op": "close"})
            end = time.monotonic() + self._settings.deadline("close")
            with suppress(EOFError):
                while time.monotonic() < end and not self._stopping.is_set():
                    child.receive(TICK)
        child.end()

    def _run(self, shard: Shard, *, alone: bool) -> str:
        while True:
            if self._store.is_committed(shard):
                return "committed"
            if self._draining.is_set():
                return "stopped"
            try:
                child = self._child_for(shard)
                self._tell(state="running", shard=shard.name)
                end = self._drive(child, shard, alone=alone)
            except _DeathError as death:
                self._bury(death, shard)
                continue
            if end == "stopped" and not self._draining.is_set():  # told to, for its memory or age
                with self._lock:
                    self._restarts[self._recycled] += 1
                self.close()
                continue
            return end

    def _child_for(self, shard: Shard) -> ChildProcess:
        if self._child is not None and self._cell == shard.cell and self._episodes < self._settings.episodes_per_child:
            return self._child
        self.close()
        self._cell, self._episodes = shard.cell, 0
        key = f"{self._job.plan.simulator}.{self._store.digest[:16]}.{shard.embodiment}"
        self._tell(state="waiting to boot", cell=shard.cell, shard=shard.name)
        with boot_turn(key, stop=self._draining.is_set) as cold:
            if self._draining.is_set():
                raise _DeathError("stopped", booting=True)
            self._boot(shard, cold)
        assert self._child is not None
        return self._child

    def _boot(self, shard: Shard, cold: bool) -> None:
        self._boots_here += 1
        with self._lock:
            self._boots += 1
        self._hear("cold" if cold else "boot", -1, 0)
        self._tell(state="booting", phase="boot")
        log = self._job.root / "logs" / f"{self._worker}.{self._boots_here:04d}.log"
        child = self._child = ChildProcess(environment=child_environment(self._settings.environment), log=log)
        child.send(
            {
                "op": "configure",
                "job": self._job.to_json(),
                "worker": self._worker,
                "task": shard.task,
                "embodiment": shard.embodiment,
                "cold": cold,
            }
        )
        while not any(m["t"] == "ready" for m in self._listen(child, booting=True)):
            pass

    def _drive(self, child: ChildProcess, shard: Shard, *, alone: bool) -> str:
        defer = [] if alone else [slot for name, slot in self._struck if name == shard.name]
        self._hear("reset", -1, 0)
        child.send({"op": "shard", "shard": asdict(shard), "defer": defer})
        if self._draining.is_set():  # may have been set before there was a child to tell
            child.send({"op": "drain"})
        self._recycled = ""
        looked = 0.0
        while True:
            for message in self._listen(child):
                if message["t"] == "done":
                    with self._lock:
                        self._commits += message["commits"]
                        self._conflicts += message["conflicts"]
                    return str(message["end"])
            if time.monotonic() - looked > MEMORY_EVERY:
                looked = time.monotonic()
                memory = child.memory()
                self._tell(memory=memory)
                if memory > 1.5 * self._settings.memory:
                    raise _DeathError(f"{memory >> 20} MiB of memory, far over the budget")
                old = self._episodes >= self._settings.episodes_per_child
                if not self._recycled and (old or memory > self._settings.memory):
                    self._recycled = "age" if old else "memory"
                    child.send({"op": "drain"})

    def _listen(self, child: ChildProcess, *, booting: bool = False) -> list[Message]:
        """Messages of one tick; checks the clock.

        Raises:
            _DeathError, _GiveUpError.
        """
        if self._stopping.is_set():
            raise _DeathError("stopped", booting=booting)
        try:
            messages = child.receive(TICK)
        except EOFError:
            how = child.end()
            silent = time.monotonic() - self._heard
            if silent >= self._settings.deadline(self._phase):
                how = f"no sign of life for {silent:.0f} s"
            raise _DeathError(how, booting=booting) from None
        for message in messages:
            if message["t"] == "beat":
                self._hear(message["phase"], message["slot"], message["attempt"])
                self._tell(phase=self._phase, slot=self._slot)
            elif message["t"] == "error":
                self._told_error(message, booting)
            else:
                self._heard = time.monotonic()
                if message["t"] == "outcome":
                    self._count(self._cell, message)
        now = time.monotonic()
        if now - self._heard > self._settings.deadline(self._phase) + GRACE:
            raise _DeathError(f"no sign of life for {now - self._heard:.0f} s", booting=booting)
        if not booting and self._slot >= 0 and now - self._attempt_began > self._settings.attempt_limit:
            raise _DeathError(f"one attempt took longer than {self._settings.attempt_limit:.0f} s")
        return messages

    def _told_error(self, message: Message, booting: bool) -> None:
        kind = message["kind"]
        if kind in ("storage", "fatal"):
            raise _GiveUpError(
                {
                    "end": kind,
                    "type": message.get("type", ""),
                    "message": message["message"],
                    "remedy": message["remedy"],
                }
            )
        raise _DeathError(str(message["message"]), booting=booting)

    def _hear(self, phase: str, slot: int, attempt: int) -> None:
        self._heard = time.monotonic()
        if (slot, attempt) != (self._slot, self._attempt):
            self._attempt_began = self._heard
        self._phase, self._slot, self._attempt = phase, slot, attempt

    def _count(self, cell: str, message: Message) -> None:
        self._episodes += 1
        with self._lock:
            self._tally.add(
                cell,
                success=bool(message["success"]),
                reason=str(message["reason"]),
                seconds=message["seconds"],
                fresh=bool(message["fresh"]),
            )
        if message["success"]:
            self._deaths = 0
            self._session_strikes.clear()

    def _bury(self, death: _DeathError, shard: Shard) -> None:
        """Clear up after a death: log, strike, and give the worker up when it was one too many."""
        child = self._child
        tail = child.log_tail() if child is not None else ""
        self._drop_child()
        if self._stopping.is_set() or (death.booting and self._draining.is_set()):
            return
        self._deaths += 1
        with self._lock:
            self._restarts[_short(death.cause)] += 1
            self._failed_boots += death.booting
            self._events.append(
                {
                    "event": "simulator_died",
                    "message": f"{self._worker}: simulator died ({death.cause}) in {self._phase}, slot {self._slot}",
                    "worker": self._worker,
                    "shard": shard.name,
                    "slot": self._slot,
                    "attempt": self._attempt,
                    "phase": self._phase,
                    "cause": death.cause,
                }
            )
        if not death.booting and self._slot >= 0 and self._phase != "write" and not self._store.is_committed(shard):
            strike = Strike(
                slot=self._slot,
                attempt=self._attempt,
                phase=self._phase,
                cause=death.cause,
                worker=self._worker,
                log=tail,
            )
            self._session_strikes.append(Strikes(self._store, shard).add(strike))
            self._struck.add((shard.name, self._slot))
        if self._deaths >= self._settings.deaths:
            for name in self._session_strikes:  # the worker is at fault, not the slots it was on
                self._store.remove(name)
            where = "while booting" if death.booting else f"in {self._phase}"
            raise _GiveUpError(
                {
                    "end": "given_up",
                    "message": f"worker {self._worker}: its simulator died {self._deaths} times without finishing an "
                    f"episode, last {where}: {death.cause}",
                    "remedy": f"look at the end of {child.log if child is not None else self._job.root / 'logs'}",
                }
            )

    def _drop_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def _tell(self, **values: Any) -> None:
        with self._lock:
            self._now.update(values)


def _short(cause: str) -> str:
    """A cause as a counter's label: without its numbers."""
    if cause.startswith("no sign of life"):
        return "hang"
    if "memory" in cause:
        return "memory"
    if cause.startswith(("killed by", "exit code")):
        return cause
    return "error"
