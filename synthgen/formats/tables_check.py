"""Checks of LeRobot v3.0's tables under meta/, which the Zarr layout has too."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synthgen.core.errors import DamagedShardError
from synthgen.formats.columns_check import check_statistics, differs
from synthgen.formats.episodes_table import EPISODES_PER_FILE, episodes_path
from synthgen.formats.features import Feature
from synthgen.formats.folder import MAX_FILES_PER_CHUNK, read_json
from synthgen.formats.lerobot import image_key, read_names
from synthgen.formats.manifest import ShardManifest
from synthgen.formats.problem import Problem
from synthgen.formats.tables import open_parquet, read_table

REWRITE = "make the data set again from the run (`synthgen export`), or restore the file from a copy"


def check_names(root: Path, plural: str, singular: str) -> Generator[Problem, None, list[str] | None]:
    """meta/<plural>.parquet; returns the names, None when they cannot be relied on."""
    path = root / "meta" / f"{plural}.parquet"
    file = f"meta/{plural}.parquet"
    try:
        names = read_names(path, singular)
        numbers = read_table(path).column(f"{singular}_index").to_pylist()
    except (DamagedShardError, KeyError) as error:
        what = error.message if isinstance(error, DamagedShardError) else f"column {error} missing"
        yield Problem(file=file, where="", what=what)
        return None
    if numbers != list(range(len(names))):
        what = "is not 0, 1, 2, ... in file order; readers take the position for the index"
        yield Problem(file=file, where=f"column {singular}_index", what=what)
        return None
    return names


def check_episodes(
    root: Path, manifest: ShardManifest, tables: Sequence[pa.Table], places: Mapping[str, NDArray]
) -> Iterator[Problem]:
    """meta/episodes: numbers, tasks, statistics, and ``places``, what it must say of where the data lie.

    ``tables``: the rows of every piece.
    """
    length = np.concatenate([t.column("length").to_numpy() for t in tables])
    tasks = [t for table in tables for t in table.column("tasks").to_pylist()]
    ends, index = np.cumsum(length), np.arange(len(length))
    expected = {"episode_index": index, "length": length, "dataset_from_index": ends - length, **places}
    expected |= {"dataset_to_index": ends, "meta/episodes/file_index": index // EPISODES_PER_FILE}
    for number in range(-(-len(length) // EPISODES_PER_FILE)):
        path = episodes_path(root, number)
        file = path.relative_to(root).as_posix()
        mine = slice(number * EPISODES_PER_FILE, (number + 1) * EPISODES_PER_FILE)
        try:
            table = read_table(path, without="stats/")
            with open_parquet(path) as opened:
                names = opened.schema_arrow.names
        except DamagedShardError as error:
            yield Problem(file=file, where="", what=error.message)
            continue
        if len(table) != len(length[mine]):
            yield Problem(file=file, where="", what=f"holds {len(table)} episodes, expected {len(length[mine])}")
            continue
        for name, want in expected.items():
            if name not in table.column_names:
                yield Problem(file=file, where=f"column {name}", what="missing")
                continue
            values = table.column(name).to_numpy()
            if name.endswith("file_index"):
                chunk = table.column(name.replace("file_index", "chunk_index")).to_numpy()
                values = values + MAX_FILES_PER_CHUNK * chunk
            yield from differs(file, name, {name: values}, want[mine])
        if table.column("tasks").to_pylist() != tasks[mine]:
            yield Problem(file=file, where="column tasks", what="differs from the recorded instructions")
        for name in _features(manifest):
            if f"stats/{name}/mean" not in names:
                yield Problem(file=file, where=f"columns stats/{name}/...", what="missing")


def check_stats(
    root: Path, manifest: ShardManifest, readers: Iterable[Callable[[str], NDArray]], features: Iterable[Feature]
) -> Iterator[Problem]:
    """meta/stats.json: complete, finite, counting every frame, and true. ``readers`` as for ``check_statistics``."""
    file = "meta/stats.json"
    try:
        stats = read_json(root / file)
    except DamagedShardError as error:
        yield Problem(file=file, where="", what=error.message, remedy=REWRITE)
        return
    for name in _features(manifest):
        if name not in stats:
            yield Problem(file=file, where=name, what="missing", remedy=REWRITE)
            continue
        count = stats[name].get("count", [0])[0]
        if not name.startswith(image_key("")) and count != manifest.frames:
            what = f"is {count}, the data set has {manifest.frames} frames"
            yield Problem(file=file, where=f"{name}, count", what=what, remedy=REWRITE)
        if not all(np.isfinite(np.asarray(v, float)).all() for v in stats[name].values()):
            yield Problem(file=file, where=name, what="is not finite", remedy=REWRITE)
    try:
        yield from check_statistics(file, stats, readers, features)
    except DamagedShardError:
        return  # reported with the piece


def _features(manifest: ShardManifest) -> list[str]:
    return [n for n, f in (manifest.info or {}).items() if f["dtype"] != "language"]
