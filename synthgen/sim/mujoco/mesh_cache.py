"""Reduced meshes on disk: one file per robot and recipe in the cache, written beside and renamed into place."""

from __future__ import annotations

import contextlib
import logging
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthgen.embodiments.assets import cache_folder
from synthgen.sim.mujoco.shell import Triangles

log = logging.getLogger(__name__)


def cache_path(digest: str) -> Path:
    """Where the meshes of that digest lie."""
    return cache_folder() / "meshes" / f"{digest}.npz"


def read(path: Path, names: list[str]) -> dict[str, Triangles] | None:
    """The cached meshes, or None where there are none or the file is damaged."""
    try:
        with path.open("rb") as file, np.load(file) as data:
            return {n: (data[f"{i}.vertices"], data[f"{i}.triangles"]) for i, n in enumerate(names)}
    except FileNotFoundError:
        return None
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s is damaged (%s) and is made again", path, error)
        return None


def write(path: Path, meshes: Mapping[str, Triangles]) -> None:
    """Write beside, then rename: many workers may start at once. A cache that cannot be written is only slower."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for i, (vertices, triangles) in enumerate(meshes.values()):
        arrays[f"{i}.vertices"], arrays[f"{i}.triangles"] = vertices, triangles
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        beside.replace(path)
    except OSError as error:
        log.warning("cannot keep reduced meshes in %s: %s", path, error)
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
