"""The contract of a data set format. One file in ``exporters/`` binds an instance to the module's name ``exporter``."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from synthgen.core.embodiment import JointGroup
from synthgen.core.episode import Episode
from synthgen.core.errors import ExporterError, SynthgenError


@dataclass(frozen=True, kw_only=True)
class CameraSpec:
    """A camera every episode of the data set has; pixels."""

    name: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """What holds for every episode of one data set; plain data, kept as JSON beside each shard.

    Attributes:
        name: ("franka").
        embodiment, robot_type, gr00t_tag: see ``Embodiment``.
        fps: frames per second.
        groups: layout of state and action.
        end_effectors: names.
        objects: objects and receptacles whose poses are per-frame columns; an episode may lack some of them.
        cameras: in order.
        tasks: task names of the run.
        scene: file name of the stage.
        command: the command line that makes it again.
        licence: of the robot's assets.
        extra: free-form (versions, plan digest).
    """

    name: str
    embodiment: str
    robot_type: str
    gr00t_tag: str
    fps: int
    groups: tuple[JointGroup, ...]
    end_effectors: tuple[str, ...]
    cameras: tuple[CameraSpec, ...]
    tasks: tuple[str, ...]
    scene: str
    command: str
    licence: str
    objects: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


class ShardWriter(Protocol):
    """Takes a shard's episodes one by one, in slot order; constant memory."""

    def add(self, episode: Episode) -> None:
        """Append an episode."""
        ...

    def close(self) -> Sequence[Path]:
        """Finish and close every file; returns them relative to the shard's folder."""
        ...

    def abort(self) -> None:
        """Close without finishing; the folder will be thrown away."""
        ...


@dataclass(frozen=True, kw_only=True)
class ShardFiles:
    """A committed shard of one format: its folder, and its files relative to it with (bytes, sha256)."""

    folder: Path
    files: Mapping[str, tuple[int, str]]
    episodes: int
    frames: int


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """What ``finalize`` made."""

    root: Path
    episodes: int
    frames: int


@runtime_checkable
class Exporter(Protocol):
    """A data set format. Every exporter works from the same episodes and needs no other's output."""

    name: str
    summary: str

    def open_shard(self, folder: Path, dataset: DatasetSpec) -> ShardWriter:
        """Start writing a shard into an empty folder."""
        ...

    def verify(self, folder: Path, dataset: DatasetSpec) -> tuple[int, int]:
        """Re-open a written shard: schema, finiteness, lengths, every video decodes to its number of frames.

        Returns (episodes, frames).

        Raises:
            DamagedShardError: naming file, and row or field.
        """
        ...

    def finalize(self, shards: Sequence[ShardFiles], root: Path, dataset: DatasetSpec) -> DatasetSummary:
        """Make the data set from shards in slot order. Idempotent; metadata last; data linked where it can be."""
        ...


@contextmanager
def blame(name: str, doing: str) -> Generator[None]:
    """Calls of a format's own code: what it raises unexpectedly becomes an error that names it.

    Raises:
        ExporterError: ``name`` raised something that is neither ours nor the operating system's.
    """
    try:
        yield
    except (SynthgenError, OSError, MemoryError):
        raise
    except Exception as error:
        raise ExporterError(
            f"format {name!r} failed {doing}: {type(error).__name__}: {error}",
            remedy="mend its exporter (SYNTHGEN_DEBUG=1 shows where it raised), then run the same command again",
        ) from error
