"""Checks of the GR00T layout: every number of a shard or data set held against the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synthgen.core.errors import DamagedShardError
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.columns_check import check_columns, check_info, check_statistics, differs
from synthgen.formats.features import Feature, frame_features
from synthgen.formats.folder import read_json
from synthgen.formats.lerobot import column_values, image_key
from synthgen.formats.manifest import ShardManifest
from synthgen.formats.piece import Piece, tables_of
from synthgen.formats.problem import Problem
from synthgen.formats.tables import read_table
from synthgen.formats.video_check import check_video


def sentences(row: Mapping[str, Any]) -> list[str]:
    """An episode's ``tasks``: its instruction, then its paraphrases. Isaac-GR00T draws one of them at random."""
    return [*row["tasks"], *row["paraphrases"]]


def check_piece(
    piece: Piece, rows: pa.Table, dataset: DatasetSpec, features: tuple[Feature, ...], *, decode: bool
) -> Iterator[Problem]:
    """Each episode's data file and videos against its row."""
    length = rows.column("length").to_numpy()
    for kind, files in piece.files.items():
        if len(files) != len(length):
            what = f"there are {len(files)} files of {kind}, and {len(length)} episodes"
            yield Problem(file=piece.name(piece.rows), where=kind, what=what)
            return
    for i, n in enumerate(length):
        path = piece.files["data"][i]
        try:
            table = read_table(path)
        except DamagedShardError as error:
            yield Problem(file=piece.name(path), where="", what=error.message)
            continue
        if len(table) != n:
            yield Problem(file=piece.name(path), where="", what=f"holds {len(table)} rows, its episode has {n}")
            continue
        one = np.array([n])
        yield from check_columns(piece.name(path), lambda c, t=table: column_values(t, c), features, one, dataset)
        for camera in dataset.cameras:
            video = piece.files[image_key(camera.name)][i]
            yield from check_video(piece.name(video), video, np.array([0]), int(n), decode=decode)


def check_dataset(
    root: Path,
    manifest: ShardManifest,
    pieces: Sequence[Piece],
    layout: Mapping[str, Any],
    modality: Mapping[str, Any],
) -> Iterator[Problem]:
    """The numbering over all episodes, and the metadata. ``layout``: entries of info.json that name files."""
    rows = [p.places() for p in pieces]
    length = np.concatenate([r.column("length").to_numpy() for r in rows])
    said = [sentences(row) for r in rows for row in r.select(["tasks", "paraphrases"]).to_pylist()]
    yield from check_info(root, manifest, length, layout)
    episodes = yield from _lines(root, "meta/episodes.jsonl", "episode_index", len(length))
    names = yield from _lines(root, "meta/tasks.jsonl", "task_index", None)
    yield from _lines(root, "meta/episodes_stats.jsonl", "episode_index", len(length))
    yield from _check_json(root, "meta/modality.json", modality)
    if episodes is None or names is None:
        return
    texts = [n["task"] for n in names]
    for i, line in enumerate(episodes):
        for key, want in (("length", int(length[i])), ("tasks", said[i])):
            if line.get(key) != want:
                what = f"is {line.get(key)!r}, expected {want!r}"
                yield Problem(file="meta/episodes.jsonl", where=f"line {i + 1}, {key}", what=what)
        subs = line.get("sub_tasks", [])
        if [s["end"] for s in subs[:-1]] != [s["start"] for s in subs[1:]] or not subs or subs[-1]["end"] != length[i]:
            what = "do not cover the episode without gaps"
            yield Problem(file="meta/episodes.jsonl", where=f"line {i + 1}, sub_tasks", what=what)
    yield from _check_numbers(pieces, length, [s[0] for s in said], texts)
    yield from _check_stats(root, manifest, pieces)


def _lines(
    root: Path, file: str, key: str, expected: int | None
) -> Iterator[Problem] | Any:  # a generator that returns the lines, or None
    try:
        with (root / file).open() as opened:
            lines = [json.loads(line) for line in opened]
    except (OSError, ValueError) as error:
        yield Problem(file=file, where="", what=f"cannot be read: {error}")
        return None
    if expected is not None and len(lines) != expected:
        yield Problem(file=file, where="", what=f"has {len(lines)} lines, expected {expected}")
        return None
    for i, line in enumerate(lines):
        if line.get(key) != i:
            yield Problem(file=file, where=f"line {i + 1}, {key}", what=f"is {line.get(key)!r}, expected {i}")
            return None
    return lines


def _check_numbers(
    pieces: Sequence[Piece], length: np.ndarray, tasks: list[str], texts: list[str]
) -> Iterator[Problem]:
    files = [f for p in pieces for f in p.files["data"]]
    owner = [p for p in pieces for _ in p.files["data"]]
    frame = 0
    for i, (path, piece, n) in enumerate(zip(files, owner, length, strict=True)):
        try:
            table = read_table(path)
            names = ("episode_index", "index", "task_index", "annotation.human.action.task_description")
            values = {k: column_values(table, k) for k in names}
        except (DamagedShardError, KeyError):
            continue  # reported with the piece
        finally:
            frame += int(n)
        if tasks[i] not in texts:
            yield Problem(file="meta/tasks.jsonl", where=f"task {tasks[i]!r}", what="missing")
            return
        task = np.full(n, texts.index(tasks[i]))
        expected = {"episode_index": np.full(n, i), "index": frame - n + np.arange(n), "task_index": task}
        expected[names[3]] = task
        for name, want in expected.items():
            if len(values[name]) == n:
                yield from differs(piece.name(path), name, values, want)


def _check_json(root: Path, file: str, expected: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        found = read_json(root / file)
    except DamagedShardError as error:
        yield Problem(file=file, where="", what=error.message)
        return
    for key, want in expected.items():
        if found.get(key) != want:
            yield Problem(file=file, where=key, what=f"is {found.get(key)!r}, expected {want!r}")


def _check_stats(root: Path, manifest: ShardManifest, pieces: Sequence[Piece]) -> Iterator[Problem]:
    for file in ("meta/stats.json", "meta/relative_stats.json"):
        try:
            stats = read_json(root / file)
        except DamagedShardError as error:
            yield Problem(file=file, where="", what=error.message)
            continue
        expected = {n for n, f in (manifest.info or {}).items() if f["dtype"] == "float32"}
        for name in sorted(expected - set(stats)) if file == "meta/stats.json" else ():
            yield Problem(file=file, where=name, what="missing")
        for name, values in stats.items():
            if not all(np.isfinite(np.asarray(v, float)).all() for v in values.values()):
                yield Problem(file=file, where=name, what="is not finite")
        if file == "meta/stats.json":
            readers = (partial(column_values, table) for table in tables_of(pieces, "data"))
            try:
                yield from check_statistics(file, stats, readers, frame_features(manifest.dataset))
            except DamagedShardError:
                continue  # reported with the piece
