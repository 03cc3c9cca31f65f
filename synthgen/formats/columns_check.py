"""Checks of per-frame columns that every format shares: what readers accept without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthgen.core.errors import DamagedShardError
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.features import Feature
from synthgen.formats.folder import read_json
from synthgen.formats.manifest import ShardManifest, describe_difference
from synthgen.formats.problem import Problem


def check_columns(
    file: str, read: Callable[[str], NDArray], features: tuple[Feature, ...], lengths: NDArray, dataset: DatasetSpec
) -> Iterator[Problem]:
    """Widths, finiteness, frame numbering, timestamps, and that each episode ends where it says it ends.

    Args:
        file: name for messages.
        read: column name -> values (N,) or (N, D); KeyError where there is none.
        features: what the columns must be.
        lengths: (E,) frames of the file's episodes, in order.
        dataset: for the rate.
    """
    rows = int(lengths.sum())
    starts = np.cumsum(lengths) - lengths
    values: dict[str, NDArray] = {}
    for f in features:
        try:
            column = read(f.name)
        except KeyError:
            yield Problem(file=file, where=f"column {f.name}", what="missing")
            continue
        want = (rows,) if f.width == 1 else (rows, f.width)
        if column.shape != want or str(column.dtype) != f.dtype:
            found = f"{column.dtype} {column.shape}"
            yield Problem(file=file, where=f"column {f.name}", what=f"is {found}, expected {f.dtype} {want}")
            continue
        values[f.name] = column
        if f.dtype == "float32" and not np.isfinite(column).all():
            row = int(np.flatnonzero(~np.isfinite(column).reshape(rows, -1).all(1))[0])
            yield Problem(file=file, where=f"column {f.name}, row {row}", what="value is not finite")
    frame = np.arange(rows) - np.repeat(starts, lengths)
    expected: Mapping[str, NDArray] = {
        "frame_index": frame,
        "timestamp": (frame / dataset.fps).astype(np.float32),
        "next.done": np.isin(np.arange(rows), starts + lengths - 1),
    }
    for name, want in expected.items():
        yield from differs(file, name, values, want)


def check_info(root: Path, manifest: ShardManifest, length: NDArray, layout: Mapping[str, Any]) -> Iterator[Problem]:
    """meta/info.json against the manifest and the episodes' lengths (E,). ``layout``: more entries it must have."""
    file = "meta/info.json"
    try:
        info = read_json(root / file)
    except DamagedShardError as error:
        yield Problem(file=file, where="", what=error.message)
        return
    episodes = len(length)
    expected: dict[str, Any] = {"fps": manifest.dataset.fps, "robot_type": manifest.dataset.robot_type}
    expected |= {"total_episodes": episodes, "total_frames": int(length.sum()), **layout}
    expected["splits"] = {"train": f"0:{episodes}"}
    for key, value in expected.items():
        if info.get(key) != value:
            what = f"is {info.get(key)!r}, expected {value!r}"
            yield Problem(file=file, where=key, what=what, remedy=f"set {key} to {value!r}")
    if info.get("features") != manifest.info:
        difference = describe_difference(info.get("features") or {}, manifest.info or {})
        yield Problem(file=file, where="features", what=f"differ from what was written: {difference}")


def check_statistics(
    file: str, stats: Mapping[str, Any], tables: Iterable[Callable[[str], NDArray]], features: Iterable[Feature]
) -> Iterator[Problem]:
    """Minimum, maximum and mean in a statistics file against the columns themselves.

    ``tables``: one reader (column name -> values) for each data file.
    """
    low: dict[str, NDArray] = {}
    high: dict[str, NDArray] = {}
    total: dict[str, NDArray] = {}
    rows = 0
    wanted = [f.name for f in features if f.name in stats]
    for read in tables:
        count = 0
        for name in wanted:
            try:
                values = np.asarray(read(name), float)
            except (KeyError, DamagedShardError):
                return  # reported with the piece
            values = values.reshape(len(values), -1)
            count = len(values)
            low[name] = np.minimum(low.get(name, np.inf), values.min(0))
            high[name] = np.maximum(high.get(name, -np.inf), values.max(0))
            total[name] = total.get(name, 0) + values.sum(0)
        rows += count
    for name, least in low.items():
        for key, want in (("min", least), ("max", high[name]), ("mean", total[name] / rows)):
            found = np.asarray(stats[name].get(key, np.nan), float).ravel()
            if found.shape != want.shape or not np.allclose(found, want, rtol=1e-6, atol=1e-6):
                yield Problem(file=file, where=f"{name}, {key}", what="is not that of the data")


def differs(file: str, name: str, values: Mapping[str, NDArray], want: NDArray) -> Iterator[Problem]:
    """A problem for the first row where a column is not what it must be."""
    if name not in values:
        return
    wrong = np.flatnonzero(values[name] != want)
    if len(wrong):
        row = int(wrong[0])
        what = f"is {values[name][row]}, expected {want[row]} ({len(wrong)} rows differ)"
        yield Problem(file=file, where=f"column {name}, row {row}", what=what)
