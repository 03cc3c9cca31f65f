"""Convex pieces of a mesh: its hull, or a decomposition by CoACD that is kept on disk."""

from __future__ import annotations

import hashlib
import os
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from synthgen.core.pose import Array
from synthgen.core.scene import Mesh
from synthgen.usd import mesh

COACD = {"threshold": 0.05, "max_convex_hull": 32, "preprocess_resolution": 30, "seed": 0}
"""Concavity at which CoACD stops (relative), most pieces, voxels of its preprocessing, seed."""
FLAT = 1e-3
"""Metres of thickness given to a mesh that has none, away from its normals."""


def cache_root() -> Path:
    """Where derived data is kept: $SYNTHGEN_CACHE, else $XDG_CACHE_HOME/synthgen, else ~/.cache/synthgen."""
    own = os.environ.get("SYNTHGEN_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synthgen"


def hull(vertices: Array) -> Mesh | None:
    """The convex hull of points (V, 3), metres; None when they lie in a plane."""
    centred = vertices - vertices.mean(0)
    spread = np.linalg.svd(centred, compute_uv=False)
    if len(vertices) < 4 or spread[-1] <= 1e-6 * spread[0]:
        return None
    try:
        found = ConvexHull(vertices)
    except QhullError:
        return None
    faces = found.simplices.astype(np.int64)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), found.equations[:, :3]) < 0
    faces[inward] = faces[inward][:, ::-1]
    # Qhull's order of faces depends on nothing but the input, yet sort: equal hulls shall have equal keys.
    points, faces = mesh.compact(vertices, faces)
    return mesh.make(points, faces[np.lexsort(np.sort(faces, 1).T)])


def thickened(vertices: Array, triangles: mesh.Ints) -> Mesh | None:
    """The hull of a flat mesh given ``FLAT`` metres of thickness behind its faces."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a).sum(0)
    length = np.linalg.norm(normal)
    return None if length == 0 else hull(np.concatenate([vertices, vertices - FLAT * normal / length]))


def convexity(vertices: Array, triangles: mesh.Ints, whole: Mesh) -> float:
    """Volume of a mesh over the volume of its hull; 1 for a convex mesh."""
    return abs(mesh.integrals(vertices, triangles)[0]) / mesh.integrals(whole.vertices, whole.triangles)[0]


def decompose(vertices: Array, triangles: mesh.Ints) -> tuple[Mesh, ...]:
    """Convex pieces (CoACD, Wei et al. 2022) of a mesh, metres; taken from the cache when known."""
    key = hashlib.sha256()
    key.update(np.ascontiguousarray(vertices, np.float64).tobytes())
    key.update(np.ascontiguousarray(triangles, np.int64).tobytes())
    key.update(f"{sorted(COACD.items())} coacd {version('coacd')}".encode())
    file = cache_root() / "hulls" / f"{key.hexdigest()[:32]}.npz"
    pieces = _load(file)
    if pieces is None:
        pieces = _coacd(vertices, triangles)
        _save(file, pieces)
    found = (hull(p) for p in pieces)
    return tuple(h for h in found if h is not None)


def _coacd(vertices: Array, triangles: mesh.Ints) -> list[Array]:
    import coacd

    coacd.set_log_level("error")
    parts = coacd.run_coacd(coacd.Mesh(vertices, triangles), **COACD)
    return [np.asarray(points, float) for points, _ in parts]


def _load(file: Path) -> list[Array] | None:
    try:
        with file.open("rb") as stream, np.load(stream) as data:
            return [data[name] for name in sorted(data.files)]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None  # absent or damaged: worked out anew


def _save(file: Path, pieces: list[Array]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.stem}.{os.getpid()}.partial.npz")
        named: dict[str, Any] = {f"{i:04d}": p for i, p in enumerate(pieces)}
        np.savez(partial, **named)
        partial.replace(file)
    except OSError:
        return  # the cache is a convenience
