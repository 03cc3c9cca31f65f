"""What a shard or a data set says about itself: ``shard.json`` and ``meta/synthgen.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthgen.core.episode import Episode
from synthgen.core.errors import DamagedShardError, UsageError
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.features import CONVENTIONS
from synthgen.formats.folder import MANIFEST, read_json, spec_from_json, spec_to_json, write_json

SHARD = "shard.json"
LAYOUT = 2


@dataclass(kw_only=True)
class ShardManifest:
    """Counts of a shard, or of a whole data set; grows as episodes are added.

    Attributes:
        format: exporter's name.
        dataset: what holds for every episode.
        episodes, frames: counts.
        tasks: episodes by task.
        instructions: distinct sentences.
        lengths: shortest and longest episode, frames.
        seeds: distinct plan entropies, as text.
        fingerprints: distinct fingerprints (simulator, versions, platform).
        scenes: distinct scene names with digests.
        info: what the format needs to describe its features.
    """

    format: str
    dataset: DatasetSpec
    episodes: int = 0
    frames: int = 0
    tasks: dict[str, int] = field(default_factory=dict[str, int])
    instructions: list[str] = field(default_factory=list[str])
    lengths: tuple[int, int] | None = None
    seeds: list[str] = field(default_factory=list[str])
    fingerprints: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    scenes: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    info: dict[str, Any] | None = None

    def count(self, episode: Episode) -> None:
        """Take an episode into account."""
        n = len(episode)
        self._join(
            episodes=1,
            frames=n,
            tasks={episode.spec.task: 1},
            instructions=[episode.instruction],
            lengths=(n, n),
            seeds=[str(episode.spec.entropy)],
            fingerprints=[json.loads(json.dumps(dict(episode.fingerprint), default=str))],
            scenes=[dict(episode.scene)],
        )

    def add(self, other: ShardManifest) -> None:
        """Take everything ``other`` counted into account.

        Raises:
            UsageError: the two describe their features differently (another layout, size or encoder).
        """
        if other.info is not None:
            if self.info is None:
                self.info = other.info
            elif self.info != other.info:
                raise UsageError(
                    f"features differ: {describe_difference(self.info, other.info)}",
                    remedy="join only data sets of the same embodiment, cameras, resolution and encoder settings",
                )
        self._join(**{k: getattr(other, k) for k in _COUNTED})

    def _join(
        self,
        *,
        episodes: int,
        frames: int,
        tasks: dict[str, int],
        instructions: list[str],
        lengths: tuple[int, int] | None,
        seeds: list[str],
        fingerprints: list[dict[str, Any]],
        scenes: list[dict[str, str]],
    ) -> None:
        self.episodes += episodes
        self.frames += frames
        for task, n in tasks.items():
            self.tasks[task] = self.tasks.get(task, 0) + n
        known = set(self.instructions)
        self.instructions += [i for i in instructions if i not in known]
        if lengths is not None:
            low, high = self.lengths or lengths
            self.lengths = (min(low, lengths[0]), max(high, lengths[1]))
        for mine, theirs in ((self.seeds, seeds), (self.fingerprints, fingerprints), (self.scenes, scenes)):
            mine += [x for x in theirs if x not in mine]  # pyright: ignore[reportArgumentType, reportOperatorIssue]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"layout": LAYOUT, "format": self.format, "dataset": spec_to_json(self.dataset), "info": self.info} | {
            k: getattr(self, k) for k in _COUNTED
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ShardManifest:
        """The inverse of ``to_json``."""
        counted = {k: values[k] for k in _COUNTED}
        counted["lengths"] = tuple(counted["lengths"]) if counted["lengths"] else None
        return cls(format=values["format"], dataset=spec_from_json(values["dataset"]), info=values["info"], **counted)

    def write(self, folder: Path) -> None:
        """Write ``shard.json``."""
        write_json(folder / SHARD, self.to_json())


_COUNTED = ("episodes", "frames", "tasks", "instructions", "lengths", "seeds", "fingerprints", "scenes")


def read_shard_manifest(folder: Path, format_name: str, dataset: DatasetSpec) -> ShardManifest:
    """A shard's manifest.

    Raises:
        DamagedShardError: missing, damaged, or of another format or layout.
        UsageError: it was written for other columns.
    """
    path = folder / SHARD
    manifest = _parse(path, read_json(path))
    if manifest.format != format_name:
        raise DamagedShardError(f"{path}: format is {manifest.format!r}, expected {format_name!r}")
    same_columns(path, manifest.dataset, dataset)
    return manifest


def join_manifests(folders: Sequence[Path], format_name: str, dataset: DatasetSpec) -> tuple[ShardManifest, list[Path]]:
    """What shards hold together, and the folders of those that hold anything.

    Raises:
        DamagedShardError: as ``read_shard_manifest``.
        UsageError: there are no episodes, or features differ.
    """
    out = ShardManifest(format=format_name, dataset=dataset)
    filled: list[Path] = []
    for folder in folders:
        shard = read_shard_manifest(folder, format_name, dataset)
        out.add(shard)
        if shard.episodes:
            filled.append(folder)
    if not filled:
        raise UsageError("there are no episodes to make a data set of")
    return out, filled


def write_dataset_manifest(root: Path, manifest: ShardManifest, pieces: Sequence[dict[str, Any]]) -> None:
    """Write ``meta/synthgen.json`` of a data set."""
    write_json(root / MANIFEST, manifest.to_json() | {"conventions": dict(CONVENTIONS), "pieces": list(pieces)})


def read_dataset_manifest(root: Path) -> tuple[ShardManifest, list[dict[str, Any]]]:
    """A data set's manifest, and its pieces.

    Raises:
        DamagedShardError: missing, damaged, or of another layout version.
    """
    values = read_json(root / MANIFEST)
    return _parse(root / MANIFEST, values), values["pieces"]


def describe_difference(mine: dict[str, Any], other: dict[str, Any]) -> str:
    """Names of the features two descriptions do not share or describe differently, with how."""
    out = []
    for name in sorted(set(mine) | set(other)):
        if name not in other or name not in mine:
            out.append(f"{name} (only in one)")
        elif mine[name] != other[name]:
            out.append(f"{name} ({_first_difference(mine[name], other[name])})")
    return ", ".join(out[:5]) + (f" and {len(out) - 5} more" if len(out) > 5 else "")


def _first_difference(a: Any, b: Any) -> str:
    if isinstance(a, dict) and isinstance(b, dict):
        for k in [*a, *b]:
            if a.get(k) != b.get(k):
                inner = _first_difference(a.get(k), b.get(k))
                return inner if isinstance(a.get(k), dict) else f"{k} {inner}"
    return f"{a!r} against {b!r}"


def _parse(path: Path, values: Any) -> ShardManifest:
    if not isinstance(values, dict) or values.get("layout") != LAYOUT:
        found = values.get("layout") if isinstance(values, dict) else None
        raise DamagedShardError(
            f"{path}: layout version {found!r}, this synthgen reads {LAYOUT}",
            remedy="use the synthgen version that wrote it",
        )
    try:
        return ShardManifest.from_json(values)
    except (KeyError, TypeError) as error:
        raise DamagedShardError(f"{path}: field {error} missing or of the wrong kind") from error


def same_columns(path: Path, mine: DatasetSpec, other: DatasetSpec) -> None:
    """Check that two descriptions lead to the same columns and videos.

    Raises:
        UsageError: naming the first field that differs.
    """
    a, b = spec_to_json(mine), spec_to_json(other)
    for name in ("embodiment", "fps", "groups", "end_effectors", "objects", "cameras"):
        if a[name] != b[name]:
            raise UsageError(
                f"{path}: field {name} is {a[name]!r}, elsewhere it is {b[name]!r}",
                remedy="join only what has the same embodiment, rate, cameras and scene objects",
            )
