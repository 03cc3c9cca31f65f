"""The smallest honest exporter: one ``.npz`` and one index line per episode. For tests of the store and the engine."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.core.episode import Episode
from synthgen.core.errors import DamagedShardError
from synthgen.core.exporter import DatasetSpec, DatasetSummary, ShardFiles
from synthgen.core.failpoint import failpoint


class TinyShardWriter:
    """Writes ``<slot>.npz`` per episode and ``index.jsonl``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines: list[str] = []

    def add(self, episode: Episode) -> None:
        """Write one episode."""
        spec = episode.spec
        name = f"{spec.task}.{spec.slot:06d}.npz"
        failpoint("tiny.add", f"{spec.embodiment}.{spec.slot}")
        np.savez(self._folder / name, state=episode.state, action=episode.action)
        line = {"file": name, "task": spec.task, "slot": spec.slot, "attempt": spec.attempt, "frames": len(episode)}
        self._lines.append(json.dumps({**line, "instruction": episode.instruction}))

    def close(self) -> Sequence[Path]:
        """Write the index."""
        (self._folder / "index.jsonl").write_text("\n".join(self._lines) + "\n")
        return [Path("index.jsonl"), *(Path(json.loads(line)["file"]) for line in self._lines)]

    def abort(self) -> None:
        """Nothing is open."""


class TinyExporter:
    """See the module."""

    name = "tiny"
    summary = "one npz per episode, for tests"

    def open_shard(self, folder: Path, dataset: DatasetSpec) -> TinyShardWriter:
        """Start a shard."""
        return TinyShardWriter(folder)

    def verify(self, folder: Path, dataset: DatasetSpec) -> tuple[int, int]:
        """Re-read every array; (episodes, frames)."""
        failpoint("tiny.verify", folder.parent.name)
        joints = sum(len(g.joints) for g in dataset.groups)
        lines = _lines(folder)
        frames = 0
        for line in lines:
            path = folder / line["file"]
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    shapes = {arrays[k].shape for k in ("state", "action")}
                    finite = all(np.isfinite(arrays[k]).all() for k in ("state", "action"))
            except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
                raise DamagedShardError(f"{path}: {error}") from error
            if shapes != {(line["frames"], joints)} or not finite:
                raise DamagedShardError(f"{path}: arrays of {shapes}, finite {finite}")
            frames += line["frames"]
        return len(lines), frames

    def finalize(self, shards: Sequence[ShardFiles], root: Path, dataset: DatasetSpec) -> DatasetSummary:
        """Link every file and join the indexes."""
        root.mkdir(parents=True, exist_ok=True)
        joined: list[str] = []
        frames = 0
        for shard in shards:
            for line in _lines(shard.folder):
                target = root / line["file"]
                if not target.exists():
                    os.link(shard.folder / line["file"], target)
                joined.append(json.dumps({"episode": len(joined), **line}))
                frames += line["frames"]
        (root / "index.jsonl").write_text("\n".join(joined) + "\n")
        return DatasetSummary(root=root, episodes=len(joined), frames=frames)


def _lines(folder: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise DamagedShardError(f"{folder / 'index.jsonl'}: {error}") from error


def dataset_digest(root: Path) -> str:
    """sha256 over the index and every array of a finished data set: equal for equal runs, however they were made."""
    total = hashlib.sha256((root / "index.jsonl").read_bytes())
    for line in _lines(root):
        with np.load(root / line["file"], allow_pickle=False) as arrays:
            for key in ("state", "action"):
                total.update(arrays[key].tobytes())
    return total.hexdigest()


exporter = TinyExporter()
