"""One shard from its first missing slot to its commit. Runs in a simulator child, or in-process (``--workers 0``)."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Literal

from synthgen.core.errors import DamagedShardError, SimulatorError, StorageError
from synthgen.core.exporter import Exporter
from synthgen.core.outcome import Outcome
from synthgen.core.plan import Shard
from synthgen.core.source import Beat, EpisodeSource
from synthgen.engine.preview import add_preview
from synthgen.store.record import QuarantinedSlot
from synthgen.store.run import RunStore
from synthgen.store.shard import commit_shard
from synthgen.store.spool import Spool
from synthgen.store.strikes import Strike, Strikes

ShardEnd = Literal["committed", "stopped", "deferred"]


class ShardRunner:
    """Runs shards of one cell with one source.

    Args:
        store: the run folder.
        source: makes the episodes.
        exporters: the plan's, by name.
        worker: whose name goes into the records.
        strikes: deaths a slot may cause before it is quarantined.
        beat: told about every phase.
        ended: told about every attempt, and whether its episode was new to the spool.

    Attributes:
        commits, conflicts: shards it has committed, and shards that another worker had committed first.
    """

    def __init__(
        self,
        *,
        store: RunStore,
        source: EpisodeSource,
        exporters: Mapping[str, Exporter],
        worker: str,
        strikes: int,
        beat: Beat,
        ended: Callable[[Outcome, bool], None],
    ) -> None:
        self._store = store
        self._source = source
        self._exporters = exporters
        self._worker = worker
        self._strikes = strikes
        self._beat = beat
        self._ended = ended
        self.commits = self.conflicts = 0
        self._mark = time.perf_counter()
        self._attempts = self._writing = 0.0  # seconds since then
        store.watched(lambda: beat("write", -1, 0))

    def run(self, shard: Shard, *, defer: Collection[int], stop: Callable[[], bool]) -> ShardEnd:
        """Make what is missing of the shard and commit it.

        Args:
            shard: one of the source's cell.
            defer: slots to leave to another worker.
            stop: asked before every slot; when it says yes, the current ones are finished and the rest left.

        Returns:
            "committed"; "stopped" because ``stop`` said so; "deferred" when only slots of ``defer`` are left.

        Raises:
            SimulatorError, StorageError, and whatever a task or an exporter raises.
        """
        for last_try in (False, True):
            if self._store.is_committed(shard):
                return "committed"
            try:
                return self._once(shard, defer, stop)
            except DamagedShardError:
                # A damaged spool file is gone now, and its slot is made again; anything else does not pass twice.
                if last_try and not self._store.is_committed(shard):
                    raise
            except (StorageError, OSError):
                # Who commits a shard drops its spool: another worker may have done it under our hands.
                if not self._store.is_committed(shard):
                    raise
        return "committed"

    def _once(self, shard: Shard, defer: Collection[int], stop: Callable[[], bool]) -> ShardEnd:
        spool = Spool(self._store.root, shard)
        struck = Strikes(self._store, shard).by_slot()
        out = self._struck_out(struck)
        self._fill(shard, spool, struck, skip=out.keys() | set(defer), stop=stop)
        left = set(range(shard.start, shard.stop)) - spool.done() - out.keys()
        if self._store.is_committed(shard):
            return "committed"
        if left:
            if left <= set(defer):
                return "deferred"
            if stop():
                return "stopped"
            raise SimulatorError(f"{shard.name}: the source ended without slots {sorted(left)}")
        won = commit_shard(
            self._store,
            shard,
            dataset=self._source.dataset(),
            exporters=self._exporters,
            quarantined=out,
            worker=self._worker,
            beat=lambda slot: self._beat("write", slot, 0),
            seconds=self._since_last_shard(),
        )
        self._mark, self._attempts, self._writing = time.perf_counter(), 0.0, 0.0
        self.commits += won
        self.conflicts += not won
        return "committed"

    def _since_last_shard(self) -> dict[str, float]:
        """Where the time went since the last commit, as far as attempts do not account for it."""
        passed = time.perf_counter() - self._mark
        idle = max(0.0, passed - self._attempts - self._writing)
        return {"write": round(self._writing, 6), "idle": round(idle, 6)}

    def _struck_out(self, struck: Mapping[int, list[Strike]]) -> dict[int, QuarantinedSlot]:
        return {
            slot: QuarantinedSlot(
                slot=slot,
                reason="strikes",
                detail="; ".join(f"attempt {s.attempt}: {s.cause} in {s.phase}" for s in strikes),
            )
            for slot, strikes in struck.items()
            if len(strikes) >= self._strikes
        }

    def _fill(
        self,
        shard: Shard,
        spool: Spool,
        struck: Collection[int],
        *,
        skip: Collection[int],
        stop: Callable[[], bool],
    ) -> None:
        done = spool.done()
        missing = [s for s in range(shard.start, shard.stop) if s not in done and s not in skip]
        missing.sort(key=lambda s: s in struck)  # what killed a simulator comes last

        def slots() -> Iterator[int]:
            for slot in missing:
                if stop():
                    return
                if not spool.path(slot).exists() and not spool.given_up_path(slot).exists():
                    yield slot

        outcomes: dict[int, list[Outcome]] = {}
        for outcome, episode in self._source.run(slots(), beat=self._beat):
            seen = outcomes.setdefault(outcome.slot, [])
            seen.append(outcome)
            fresh = False
            self._attempts += sum(outcome.seconds.values())
            if episode is not None:
                self._beat("write", outcome.slot, outcome.attempt)
                began = time.perf_counter()
                fresh = spool.add(episode, outcomes.pop(outcome.slot))
                add_preview(self._store, shard.cell, episode)
                self._writing += time.perf_counter() - began
            elif outcome.attempt + 1 >= self._store.plan.max_attempts:
                spool.give_up(outcome.slot, outcomes.pop(outcome.slot))
            self._ended(outcome, fresh)
