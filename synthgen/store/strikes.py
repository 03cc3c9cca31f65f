"""Simulators that died, by the slot they were on: two strikes and the slot is quarantined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthgen.core.errors import DamagedShardError
from synthgen.core.plan import Shard
from synthgen.store.files import dump, parse, token
from synthgen.store.run import RunStore


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
    """The strikes of one shard; every worker of the run sees them, wherever it is."""

    def __init__(self, store: RunStore, shard: Shard) -> None:
        self._store = store
        self._folder = f"strikes/{shard.name}"

    def add(self, strike: Strike) -> str:
        """Note a death; returns its name, to ``RunStore.remove`` it when the worker turns out to be at fault."""
        name = f"{self._folder}/{strike.slot:09d}.{token()}.json"
        self._store.write(name, dump(strike.to_json()))
        return name

    def by_slot(self) -> Mapping[int, list[Strike]]:
        """Slot -> its strikes."""
        found: dict[int, list[Strike]] = {}
        for name in self._store.names(self._folder):
            if not (name[0].isdecimal() and name.endswith(".json")):
                continue
            try:
                data = self._store.read(f"{self._folder}/{name}")
                strike = Strike(**parse(f"{self._folder}/{name}", data or b""))
            except (DamagedShardError, TypeError):
                continue
            found.setdefault(strike.slot, []).append(strike)
        return found
