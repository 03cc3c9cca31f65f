"""Where an attempt's time goes."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from synthgen.core.outcome import PHASES


class Stopwatch:
    """Seconds by phase. Runs in one phase at a time; pausing lets others work in between.

    Args:
        clock: seconds from any origin (``time.thread_time`` measures work rather than waiting).
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.seconds: dict[str, float] = {phase: 0.0 for phase in PHASES}
        self._clock = clock
        self._mark = clock()
        self._phase = "idle"
        self._running = False

    def enter(self, phase: str) -> None:
        """What follows counts for ``phase``; starts the watch when it was paused."""
        now = self._clock()
        if self._running:
            self.seconds[self._phase] += now - self._mark
        self._phase, self._mark, self._running = phase, now, True

    def resume(self) -> None:
        """Go on in the phase it was paused in."""
        self._mark, self._running = self._clock(), True

    def pause(self) -> None:
        """Stop counting."""
        if self._running:
            self.seconds[self._phase] += self._clock() - self._mark
            self._running = False

    def add(self, seconds: float) -> None:
        """Count time measured elsewhere for the present phase."""
        self.seconds[self._phase] += seconds
