"""Writing episodes that exist already into a data set: another format, or a part. Videos are copied as packets."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.core.episode import Episode
from synthgen.core.errors import StorageError, UsageError
from synthgen.core.exporter import DatasetSpec, DatasetSummary, Exporter, ShardFiles, blame
from synthgen.core.project import nearest
from synthgen.formats.base import PieceFormat
from synthgen.formats.folder import MANIFEST
from synthgen.formats.manifest import ShardManifest, read_dataset_manifest

SHARD = 64


def open_dataset(root: Path, exporters: Mapping[str, Any]) -> tuple[PieceFormat, ShardManifest]:
    """The format of a finished data set, and its manifest.

    Raises:
        UsageError: there is no data set of ours at ``root``, or its exporter is not known.
        DamagedShardError: its manifest is damaged, or of another layout version.
    """
    if not (root / MANIFEST).is_file():
        what = "no such folder" if not root.is_dir() else f"not a data set made by synthgen ({MANIFEST} is missing)"
        raise UsageError(f"{root}: {what}", remedy="give a data set's folder, such as RUN/lerobot/franka")
    manifest, _ = read_dataset_manifest(root)
    found = exporters.get(manifest.format)
    if not isinstance(found, PieceFormat):
        raise UsageError(
            f"{root}: format {manifest.format!r} is not known here", remedy=nearest(manifest.format, exporters)
        )
    return found, manifest


def write_dataset(
    exporter: Exporter,
    dataset: DatasetSpec,
    episodes: Iterable[Episode],
    root: Path,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> DatasetSummary:
    """Write episodes, in order, into a new data set, by way of shards beside it that vanish at the end.

    Raises:
        UsageError: there are no episodes, or ``root`` exists.
        StorageError: the disk is full or the folder cannot be written. What was there before is as it was.
    """
    new_folder(root)
    work = root.with_name(f".{root.name}.shards")
    shutil.rmtree(work, ignore_errors=True)
    try:
        shards: list[ShardFiles] = []
        stream = iter(episodes)
        done = 0
        while batch := _write_shard(exporter, dataset, islice(stream, SHARD), work / f"{len(shards):06d}"):
            shards.append(batch)
            done += batch.episodes
            progress(done)
        with blame(exporter.name, f"joining shards into {root}"):
            return exporter.finalize(shards, root, dataset)
    except OSError as error:
        raise StorageError(f"{root}: cannot be written: {error}", remedy="mend the cause and run it again") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def split(
    source: PieceFormat, root: Path, first: Sequence[int], outs: tuple[Path, Path]
) -> tuple[DatasetSummary, DatasetSummary]:
    """Divide a data set: the ``first`` episodes (ascending numbers) into one, the others into another.

    Raises:
        UsageError: a number is out of range, or one part would be empty.
        DamagedShardError, StorageError.
    """
    manifest, _ = read_dataset_manifest(root)
    chosen = set(first)
    if not chosen or len(chosen) >= manifest.episodes or not chosen <= set(range(manifest.episodes)):
        raise UsageError(
            f"{root}: cannot take {len(chosen)} of its {manifest.episodes} episodes into one part",
            remedy=f"choose some, not all, of 0 to {manifest.episodes - 1}",
        )
    rest = [e for e in range(manifest.episodes) if e not in chosen]
    for out in outs:
        new_folder(out)
    one = write_dataset(source, manifest.dataset, source.read(root, sorted(chosen)), outs[0])
    try:
        return one, write_dataset(source, manifest.dataset, source.read(root, rest), outs[1])
    except BaseException:
        shutil.rmtree(outs[0], ignore_errors=True)  # half a division is none, and would be in the way of the next try
        raise


def choose(total: int, fraction: float, seed: int | None) -> list[int]:
    """The first ``fraction`` of the episodes, or as many drawn at random when there is a seed; ascending.

    Raises:
        UsageError: the fraction is not within (0, 1).
    """
    if not 0 < fraction < 1:
        raise UsageError(f"fraction {fraction}: must lie between 0 and 1")
    n = min(max(round(total * fraction), 1), total - 1)
    if seed is None:
        return list(range(n))
    return sorted(int(i) for i in np.random.default_rng(seed).permutation(total)[:n])


def parse_episodes(text: str, total: int) -> list[int]:
    """Numbers and ranges "0:100,200,300:" (end exclusive) as ascending numbers.

    Raises:
        UsageError: it is not that, or beyond the data set's episodes.
    """
    out: set[int] = set()
    for part in text.split(","):
        start, colon, stop = part.strip().partition(":")
        try:
            first = int(start or 0)
            last = (int(stop) if stop else total) if colon else first + 1
        except ValueError:
            raise UsageError(f"episodes {part!r}: not a number or START:STOP") from None
        if not 0 <= first < last <= total:
            raise UsageError(f"episodes {part!r}: not within 0:{total}")
        out |= set(range(first, last))
    return sorted(out)


def new_folder(root: Path) -> None:
    """Refuse a folder that is there already, or would lie inside a data set.

    Raises:
        UsageError.
    """
    if root.exists():
        raise UsageError(f"{root}: exists already", remedy="choose another --out, or remove it")
    for parent in root.absolute().parents:
        if (parent / MANIFEST).is_file():
            raise UsageError(f"{root}: would lie inside the data set {parent}", remedy="choose an --out outside of it")


def _write_shard(
    exporter: Exporter, dataset: DatasetSpec, episodes: Iterator[Episode], folder: Path
) -> ShardFiles | None:
    first = next(episodes, None)
    if first is None:
        return None
    folder.mkdir(parents=True)
    writer = exporter.open_shard(folder, dataset)
    count = frames = 0
    try:
        episode: Episode | None = first
        while episode is not None:
            with blame(exporter.name, f"writing episode {count} of {folder.name} (slot {episode.spec.slot})"):
                writer.add(episode)
            count, frames = count + 1, frames + len(episode)
            episode = next(episodes, None)
        files = writer.close()
    except BaseException:
        writer.abort()
        raise
    return ShardFiles(folder=folder, files={p.as_posix(): (0, "") for p in files}, episodes=count, frames=frames)
