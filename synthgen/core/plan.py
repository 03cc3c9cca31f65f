"""What a run is: everything that decides its result, as JSON with a digest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from synthgen.core.errors import UsageError

# Tasks, embodiments and formats become file names; a plan may come from somebody else.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The slots of one task on one embodiment: ``n`` required successes, numbered 0..n-1.

    ``grown``: what ``n`` was before the run was asked for more, oldest first. Shards end there, so that those committed
    then stay as they are.
    """

    task: str
    embodiment: str
    n: int
    grown: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Stable name used in file names and records."""
        return f"{self.task}.{self.embodiment}"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A fixed contiguous range of a cell's slots: [start, stop)."""

    task: str
    embodiment: str
    index: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Stable name, sortable within a cell."""
        return f"{self.task}.{self.embodiment}.{self.index:06d}"

    @property
    def cell(self) -> str:
        """Name of its cell."""
        return f"{self.task}.{self.embodiment}"


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Everything that decides what a run produces; not where, nor how fast (workers, address, log level).

    Attributes:
        cells: tasks x embodiments with their share of n.
        seed: the entropy of every episode.
        scene: path as the user gave it, or the built-in scene's name; scene_digest: of the composed stage.
        simulator: "mujoco".
        fps: control and data set rate, Hz.
        cameras: camera names by embodiment; empty = state only.
        width, height: pixels.
        formats: exporter names.
        shard_size: slots per shard.
        max_attempts: attempts at a slot before it is quarantined.
        task_digests: sha256 of each task's source file.
        version: synthgen's.
        choices: what was chosen of the simulator and changes its results ("assets": "nvidia"), by what it is about.
            Left out of the JSON, and so of the digest, when nothing was.
    """

    cells: tuple[Cell, ...]
    seed: int
    scene: str
    scene_digest: str
    simulator: str
    fps: int
    cameras: Mapping[str, tuple[str, ...]]
    width: int
    height: int
    formats: tuple[str, ...]
    shard_size: int
    max_attempts: int
    task_digests: Mapping[str, str]
    version: str
    choices: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        """Refuse names that could not be file names.

        Raises:
            UsageError.
        """
        for name in (*(n for c in self.cells for n in (c.task, c.embodiment)), *self.formats):
            if not NAME.fullmatch(str(name)) or ".." in name:
                raise UsageError(
                    f"{name!r} is not a name of a task, robot or format",
                    remedy="use letters, digits and _ . + -; if a run folder says so, do not trust it",
                )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON-able mapping."""
        d = asdict(self)
        d["cameras"] = {k: list(v) for k, v in self.cameras.items()}
        if not self.choices:
            del d["choices"]
        return json.loads(json.dumps(d))

    @classmethod
    def from_json(cls, d: Mapping[str, Any]) -> RunPlan:
        """The inverse of ``to_json``.

        Raises:
            UsageError: a field is missing or unknown, or a name could not be a file's.
        """
        known = {f.name for f in fields(cls)}
        if set(d) | {"choices"} != known:
            odd = sorted(set(d) ^ known)
            raise UsageError(
                f"plan.json: missing or unknown fields: {', '.join(odd)}",
                remedy="use the synthgen version that made the run",
            )
        values = dict(d)
        values["cells"] = tuple(_cell(c) for c in d["cells"])
        values["cameras"] = {k: tuple(v) for k, v in d["cameras"].items()}
        values["formats"] = tuple(d["formats"])
        values["choices"] = dict(d.get("choices", {}))
        return cls(**values)

    def digest(self) -> str:
        """sha256 of the canonical JSON."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def differences(self, other: RunPlan) -> dict[str, tuple[Any, Any]]:
        """Fields that differ: name -> (mine, the other's)."""
        a, b = self.to_json(), other.to_json()
        return {k: (a.get(k), b.get(k)) for k in {**a, **b} if a.get(k) != b.get(k)}

    def shards(self) -> Iterator[Shard]:
        """Every shard, interleaving the cells so that all make progress from the start; computed, not stored."""
        ahead = [self._shards_of(cell) for cell in self.cells]
        while ahead:
            going: list[Iterator[Shard]] = []
            for shards in ahead:
                shard = next(shards, None)
                if shard is not None:
                    going.append(shards)
                    yield shard
            ahead = going

    def _shards_of(self, cell: Cell) -> Iterator[Shard]:
        index = start = 0
        for end in (*cell.grown, cell.n):
            while start < end:
                stop = min(start + self.shard_size, end)
                yield Shard(task=cell.task, embodiment=cell.embodiment, index=index, start=start, stop=stop)
                index, start = index + 1, stop

    def grow(self, wanted: RunPlan) -> RunPlan | None:
        """This plan with the larger ``n`` of ``wanted``, or None when they differ in anything else."""
        now = {c.name: c for c in self.cells}
        then = {c.name: c for c in wanted.cells}
        plain = replace(self, cells=()), replace(wanted, cells=())
        if plain[0].differences(plain[1]) or not now.keys() <= then.keys():
            return None
        if any(then[name].n < cell.n for name, cell in now.items()):
            return None
        cells: list[Cell] = []
        for name, cell in then.items():
            old = now.get(name)
            grown = () if old is None else old.grown if old.n == cell.n else (*old.grown, old.n)
            cells.append(replace(cell, grown=grown))
        return replace(self, cells=tuple(cells))

    @property
    def n(self) -> int:
        """Required successes in all."""
        return sum(c.n for c in self.cells)


def _cell(d: Mapping[str, Any]) -> Cell:
    return Cell(task=d["task"], embodiment=d["embodiment"], n=d["n"], grown=tuple(d["grown"]))
