"""What every shard holds beside its format's own files: rows, records, statistics and the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.manifest import ShardManifest
from synthgen.formats.records import RecordWriter
from synthgen.formats.summary import DatasetStatistics
from synthgen.formats.tables import write_table


class ShardBook:
    """Keeps the books of a shard while it is written; memory holds its rows."""

    def __init__(
        self,
        folder: Path,
        dataset: DatasetSpec,
        format_name: str,
        *,
        without: frozenset[str] | None = None,
        relative: bool = False,
    ) -> None:
        """Open the books.

        Args:
            folder: the shard's.
            dataset: what holds for every episode.
            format_name: the exporter's.
            without: arrays of an episode that the format's own files hold; None = nothing, not even videos.
            relative: also count relative action chunks.
        """
        self._folder = folder
        self.manifest = ShardManifest(format=format_name, dataset=dataset)
        self._statistics = DatasetStatistics(dataset, relative=relative)
        self._records = RecordWriter(folder / "records.parquet", without=without or frozenset(), videos=without is None)
        self._rows: list[dict[str, Any]] = []

    def add(self, episode: Episode, columns: Mapping[str, NDArray], place: Mapping[str, Any]) -> None:
        """Enter an episode; ``columns`` as ``frame_columns`` gives them, ``place``: where the format put it."""
        row = {"tasks": [episode.instruction], "length": len(episode), "subtasks": list(episode.subtasks), **place}
        row |= {"paraphrases": list(episode.paraphrases), "seed": episode.spec.seed()}
        for feature, values in self._statistics.add(columns, episode.videos).items():
            row.update({f"stats/{feature}/{k}": v.tolist() for k, v in values.items()})
        self._rows.append(row)
        self._records.add(episode)
        self.manifest.count(episode)

    def close(self) -> list[Path]:
        """Write everything; returns all files of the shard's folder, relative to it."""
        self._records.close()
        if self._rows:
            write_table(pa.Table.from_pylist(self._rows), self._folder / "rows.parquet", compression="zstd")
        self._statistics.save(self._folder / "statistics.npz.zst")
        self.manifest.write(self._folder)
        return sorted(p.relative_to(self._folder) for p in self._folder.rglob("*") if p.is_file())

    def abort(self) -> None:
        """Close without finishing."""
        self._records.close()


def held_by_columns(dataset: DatasetSpec) -> frozenset[str]:
    """Arrays of an episode that ``frame_columns`` holds exactly; ``from_columns`` gives them back."""
    poses = (f"{kind}/{e}" for kind in ("eef_pose", "eef_target") for e in dataset.end_effectors)
    return frozenset(("state", "action", "velocity", "reward", "done", *poses))


def column_of(dataset: DatasetSpec) -> dict[str, str]:
    """The column that holds each array of ``held_by_columns``."""
    out = {"state": "observation.state", "action": "action", "velocity": "observation.velocity"}
    out |= {"reward": "next.reward", "done": "next.done"}
    for e in dataset.end_effectors:
        out |= {f"eef_pose/{e}": f"observation.eef_pose.{e}", f"eef_target/{e}": f"target.eef_pose.{e}"}
    return out
