"""Simulators that died, by the slot they were on: two strikes and the slot is quarantined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen.core.errors import StorageError
from synthgen.core.plan import Shard
from synthgen.store.files import dump, load, publish, token


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One death.

    Attributes:
        slot, attempt, phase: what the simulator was doing.
        cause: "killed by SIGKILL", "no sign of life for 60 s in step", "exit code 0 without finishing" …
        worker: whose simulator it was; log: its last lines.
    """

    slot: int
    attempt: int
    phase: str
    cause: str
    worker: str
    log: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON-able mapping."""
        return dict(vars(self))


class Strikes:
    """The strikes of one shard."""

    def __init__(self, root: Path, shard: Shard) -> None:
        self.folder = root / "strikes" / shard.name

    def add(self, strike: Strike) -> Path:
        """Note a death; returns the file, so that it can be taken back when the worker turns out to be at fault."""
        path = self.folder / f"{strike.slot:09d}.{token()}.json"
        publish(path, dump(strike.to_json()))
        return path

    def by_slot(self) -> Mapping[int, list[Strike]]:
        """Slot -> its strikes."""
        found: dict[int, list[Strike]] = {}
        if not self.folder.is_dir():
            return found
        for path in sorted(self.folder.glob("[0-9]*.json")):
            try:
                strike = Strike(**load(path))
            except (StorageError, TypeError):
                continue
            found.setdefault(strike.slot, []).append(strike)
        return found
