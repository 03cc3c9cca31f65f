"""Where the time of attempts that run in lockstep goes, at one look at the clock per control tick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

from synthgen.core.outcome import PHASES


class Account:
    """One attempt's seconds by phase; ``phase`` is what it is doing now."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {phase: 0.0 for phase in PHASES}
        self.phase = "sample"


class Stopwatch:
    """Charges all time that passes to the accounts of the attempts, each second once.

    Args:
        clock: seconds from any origin (``time.thread_time`` measures work rather than waiting).
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._mark = clock()

    def skip(self) -> None:
        """What passed since the last call is nobody's: the consumer's."""
        self._mark = self._clock()

    def enter(self, account: Account, phase: str) -> None:
        """Charge an account for its phase so far; from now on it is in another one."""
        self.share((account,))
        account.phase = phase

    def share(self, accounts: Sequence[Account]) -> None:
        """Charge what passed since the last call to several accounts in equal parts, each in its present phase."""
        now = self._clock()
        part = (now - self._mark) / len(accounts)
        self._mark = now
        for account in accounts:
            account.seconds[account.phase] += part
