"""Making a data set folder: built beside its place, metadata last, put in place by renaming."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from synthgen.core.embodiment import JointGroup
from synthgen.core.errors import DamagedShardError, StorageError
from synthgen.core.exporter import CameraSpec, DatasetSpec

MANIFEST = Path("meta") / "synthgen.json"
MAX_FILES_PER_CHUNK = 999


@contextmanager
def building(root: Path) -> Iterator[Path]:
    """A fresh folder beside ``root`` that replaces ``root`` when the block ends well, and vanishes when it does not.

    A crash at any moment leaves either the old data set or the new one complete (between two renames: the old one
    under ``.<name>.old``, which the next call puts back).

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    new, old = root.with_name(f".{root.name}.new"), root.with_name(f".{root.name}.old")
    try:
        if old.exists() and not root.exists():
            old.rename(root)
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
        new.mkdir(parents=True)
        yield new
        if root.exists():
            root.rename(old)
        new.rename(root)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise StorageError(
            f"{root}: cannot write the data set: {error}",
            remedy="mend the cause (disk full? permission?) and run again",
        ) from error
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def link(source: Path, target: Path) -> None:
    """Hard-link a file that is never changed again; copy where the file system cannot link.

    Raises:
        DamagedShardError: the source is missing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.is_file():
        raise DamagedShardError(f"{source}: missing", remedy="restore the file, or run again to make the shard anew")
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def numbered(number: int) -> tuple[int, int]:
    """(chunk, file) of the n-th file: readers sort paths as text, so a chunk never holds a fourth digit."""
    return divmod(number, MAX_FILES_PER_CHUNK)


def write_json(path: Path, value: Any) -> None:
    """Write JSON under a temporary name, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=2) + "\n")
    part.replace(path)


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        DamagedShardError: missing, or not JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DamagedShardError(f"{path}: cannot be read: {error}") from error


def spec_to_json(dataset: DatasetSpec) -> dict[str, Any]:
    """A data set's description as plain JSON."""
    return json.loads(json.dumps(asdict(dataset), default=dict))


def spec_from_json(values: Mapping[str, Any]) -> DatasetSpec:
    """The inverse of ``spec_to_json``."""
    plain = dict(values)
    plain["groups"] = tuple(JointGroup(name=g["name"], joints=tuple(g["joints"])) for g in plain["groups"])
    plain["cameras"] = tuple(CameraSpec(**c) for c in plain["cameras"])
    for name in ("end_effectors", "tasks", "objects"):
        plain[name] = tuple(plain[name])
    return DatasetSpec(**plain)
