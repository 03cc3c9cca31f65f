"""Which worker gets which shard next. Pure: no processes, no clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from synthgen.core.plan import Cell, RunPlan, Shard


@dataclass(eq=False)
class _Returned:
    shard: Shard
    avoid: set[str]


@dataclass(eq=False)
class _CellQueue:
    """The shards of one cell that were not handed out yet, computed as they are needed."""

    cell: Cell
    ahead: Iterator[Shard]
    handed: int = 0
    returned: list[_Returned] = field(default_factory=list[_Returned])
    peeked: Shard | None = None

    def peek(self) -> Shard | None:
        if self.peeked is None:
            self.peeked = next(self.ahead, None)
        return self.peeked

    def take(self, worker: str, alone: bool) -> Shard | None:
        for i, entry in enumerate(self.returned):
            if alone or worker not in entry.avoid:
                del self.returned[i]
                return entry.shard
        shard = self.peek()
        if shard is not None:
            self.peeked = None
            self.handed += 1
        return shard

    def empty_for(self, worker: str, alone: bool) -> bool:
        return self.peek() is None and not any(alone or worker not in e.avoid for e in self.returned)


class Schedule:
    """Hands out the missing shards of a plan.

    A worker stays with its cell (task, embodiment) while there is something left, because changing it means a new
    simulator; a free worker goes to the cell that is least served.

    Args:
        plan: what is to be made.
        done: asked just before a shard is handed out, with the names to skip.
    """

    def __init__(self, plan: RunPlan, *, done: Callable[[Shard], bool]) -> None:
        self._queues = {c.name: _CellQueue(cell=c, ahead=_cell_shards(plan, c, done)) for c in plan.cells}
        self._at: dict[str, str] = {}
        self.in_flight: dict[str, Shard] = {}

    def next(self, worker: str, others: Collection[str]) -> Shard | None:
        """The next shard for an idle worker, or None when there is nothing for it now.

        ``others``: live workers besides it, which could take what this one should avoid.
        """
        alone = not others
        mine = self._at.get(worker)
        names = sorted(self._queues, key=self._share)
        for name in [mine, *names] if mine is not None else names:
            queue = self._queues[name]
            if not queue.empty_for(worker, alone):
                shard = queue.take(worker, alone)
                assert shard is not None
                self._at[worker] = name
                self.in_flight[worker] = shard
                return shard
        return None

    def finish(self, worker: str) -> None:
        """The worker's shard is committed."""
        self.in_flight.pop(worker, None)

    def give_back(self, worker: str, *, avoid: bool) -> None:
        """The worker's shard is not committed; ``avoid``: another worker should try it."""
        shard = self.in_flight.pop(worker, None)
        if shard is not None:
            self._queues[shard.cell].returned.append(_Returned(shard, {worker} if avoid else set()))

    def forget(self, worker: str) -> None:
        """The worker is gone."""
        self.give_back(worker, avoid=False)
        self._at.pop(worker, None)

    @property
    def exhausted(self) -> bool:
        """Nothing is left to hand out (something may be in flight)."""
        return all(q.peek() is None and not q.returned for q in self._queues.values())

    def _share(self, name: str) -> tuple[float, int]:
        """How well a cell is served: workers on it, then the part of its slots that was handed out."""
        queue = self._queues[name]
        workers = sum(1 for w, at in self._at.items() if at == name and w in self.in_flight)
        return workers, queue.handed * 1_000_000 // max(1, queue.cell.n)


def _cell_shards(plan: RunPlan, cell: Cell, done: Callable[[Shard], bool]) -> Iterator[Shard]:
    return (s for s in plan.shards() if s.cell == cell.name and not done(s))
