"""What a worker has done, counted by cell; counters only grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any


class Tally:
    """Attempts by cell (task.embodiment), and how they ended."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[str, Any]] = {}

    def add(self, cell: str, *, success: bool, reason: str, seconds: Mapping[str, float], fresh: bool) -> None:
        """Count an attempt; ``fresh``: its episode was new to the spool."""
        tally = self._cells.setdefault(
            cell,
            {"attempts": 0, "successes": 0, "fresh": 0, "failures": Counter[str](), "seconds": Counter[str]()},
        )
        tally["attempts"] += 1
        tally["successes"] += success
        tally["fresh"] += fresh
        tally["seconds"].update(seconds)
        if not success:
            tally["failures"][reason] += 1

    def to_json(self) -> dict[str, dict[str, Any]]:
        """A copy, JSON-able."""
        return {
            cell: {**tally, "failures": dict(tally["failures"]), "seconds": dict(tally["seconds"])}
            for cell, tally in self._cells.items()
        }
