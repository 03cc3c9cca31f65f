"""Statistics of a whole data set: every per-frame column and every camera, mergeable and storable."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synthgen.core.episode import EncodedVideo, ImageStats
from synthgen.core.errors import DamagedShardError, UsageError
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.features import Feature, frame_features
from synthgen.formats.relative import RelativeStatistics
from synthgen.formats.statistics import RunningStatistics, exact
from synthgen.media.stats import merge, summarize

# Columns whose values depend on the data set's numbering; their statistics follow from the lengths alone.
RENUMBERED = ("subtask_index",)

Statistics = dict[str, dict[str, NDArray]]


class DatasetStatistics:
    """Counts episodes' columns side by side in one wide table, and their pictures' histograms.

    Attributes:
        relative: statistics of relative action chunks, for formats that want them.
    """

    def __init__(self, dataset: DatasetSpec, *, relative: bool = False) -> None:
        self.relative = RelativeStatistics(dataset) if relative else None
        self._features = tuple(f for f in frame_features(dataset) if f.name not in RENUMBERED)
        self._columns = RunningStatistics(sum(f.width for f in self._features))
        self._images: dict[str, ImageStats] = {c.name: merge([]) for c in dataset.cameras}

    def add(self, columns: Mapping[str, NDArray], videos: Mapping[str, EncodedVideo]) -> Statistics:
        """Count an episode (values as ``frame_columns`` gives them); returns its own exact statistics by feature."""
        wide = np.concatenate([np.asarray(columns[f.name], float).reshape(-1, f.width) for f in self._features], 1)
        self._columns.add(wide)
        if self.relative is not None:
            self.relative.add(columns)
        out = _split(exact(wide), self._features)
        for name in self._images:
            self._images[name] = merge([self._images[name], videos[name].stats])
            out[f"observation.images.{name}"] = dict(summarize(videos[name].stats))
        return out

    @property
    def rows(self) -> int:
        """Frames counted."""
        return self._columns.count

    def merge(self, other: DatasetStatistics) -> None:
        """Count everything ``other`` counted.

        Raises:
            UsageError: the two are of other columns or cameras.
        """
        if self._features != other._features or set(self._images) != set(other._images):
            raise UsageError("statistics of data sets with different columns cannot be merged")
        self._columns.merge(other._columns)
        if self.relative is not None and other.relative is not None:
            self.relative.merge(other.relative)
        for name, stats in other._images.items():
            self._images[name] = merge([self._images[name], stats])

    def summary(self) -> Statistics:
        """By feature (images as ``observation.images.<camera>``): min, max, mean, std, q01 ... q99, count."""
        out = _split(self._columns.summary(), self._features)
        for name, stats in self._images.items():
            if stats.frames:
                out[f"observation.images.{name}"] = dict(summarize(stats))
        return out

    def save(self, path: Path) -> None:
        """Write everything to an .npz file, compressed as a whole with zstd (many times faster than zip's own way)."""
        arrays = {f"columns/{k}": v for k, v in self._columns.arrays().items()}
        for name, stats in self._images.items():
            arrays[f"pixels/{name}"] = stats.counts
            arrays[f"frames/{name}"] = np.array([stats.frames])
        if self.relative is not None:
            arrays |= {f"relative/{k}": v for k, v in self.relative.running.arrays().items()}
        plain = io.BytesIO()
        np.savez(plain, **arrays)  # pyright: ignore[reportArgumentType]
        with pa.output_stream(path, compression="zstd") as out:
            out.write(plain.getbuffer())

    @classmethod
    def load(cls, path: Path, dataset: DatasetSpec) -> DatasetStatistics:
        """The inverse of ``save``.

        Raises:
            DamagedShardError: the file is missing, damaged, or of other columns.
        """
        out = cls(dataset)
        try:
            with pa.input_stream(path, compression="zstd") as opened:
                plain = io.BytesIO(opened.read())
            with np.load(plain) as file:
                arrays = {k: file[k] for k in file.files}
            columns = _running(arrays, "columns/")
            if columns.mean.shape != out._columns.mean.shape:
                raise ValueError(f"{columns.mean.size} columns, {out._columns.mean.size} expected")
            out._columns = columns
            out._images = {
                n: ImageStats(counts=arrays[f"pixels/{n}"], frames=int(arrays[f"frames/{n}"][0])) for n in out._images
            }
            if "relative/count" in arrays:
                out.relative = RelativeStatistics(dataset)
                out.relative.running = _running(arrays, "relative/")
        except (pa.ArrowException, OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DamagedShardError(f"{path}: cannot be read: {error}") from error
        return out


def _running(arrays: Mapping[str, NDArray], prefix: str) -> RunningStatistics:
    mine = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    return RunningStatistics.from_arrays(mine)


def _split(wide: Mapping[str, NDArray], features: tuple[Feature, ...]) -> Statistics:
    out: Statistics = {}
    at = 0
    for f in features:
        out[f.name] = {k: v if k == "count" else v[at : at + f.width] for k, v in wide.items()}
        at += f.width
    return out
