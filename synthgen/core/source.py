"""Where a worker gets its episodes from: the pipeline of ``synthgen.episode``, or the fake one for fault tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from synthgen.core.episode import Episode
from synthgen.core.exporter import DatasetSpec
from synthgen.core.outcome import Outcome

# Called whenever work enters a phase ("reset", "plan", "step", "check", "render", "write"), at least once a second of
# work, so that a supervisor can hold each phase to its deadline. Arguments: phase, slot, attempt.
Beat = Callable[[str, int, int], None]


class EpisodeSource(Protocol):
    """Makes episodes of one cell (task, embodiment). Deterministic: a slot's episode depends on the plan only."""

    def dataset(self) -> DatasetSpec:
        """What holds for every episode of this source."""
        ...

    def run(self, slots: Iterable[int], *, beat: Beat) -> Iterator[tuple[Outcome, Episode | None]]:
        """Attempt each slot until it succeeds or its attempts are used up.

        Yields every attempt's outcome as it ends, with the episode when it succeeded. With several environments,
        slots may end out of order. A slot whose last attempt failed yields no episode; the caller decides.

        Raises:
            SimulatorError: a restart may cure it.
        """
        ...

    def close(self) -> None:
        """Give back the simulator; may be called twice."""
        ...
