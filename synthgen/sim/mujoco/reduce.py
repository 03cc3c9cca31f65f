"""Fewer triangles for meshes that must keep their shape from the outside."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from synthgen.core.pose import Array
from synthgen.sim.mujoco.shell import Triangles, outer_shell

LEAST_FACES = 48
AGGRESSIVENESS = 7.0


def reduce_all(meshes: Mapping[str, Triangles], faces: int) -> dict[str, Triangles]:
    """Reduce meshes (vertices (V, 3) metres, triangles (F, 3)) to about ``faces`` triangles all together.

    Each mesh's share grows with its size, so that fingers keep their shape beside a torso.
    """
    welded = {name: weld(*mesh) for name, mesh in meshes.items()}
    size = {name: float(np.linalg.norm(np.ptp(v, axis=0))) for name, (v, _) in welded.items()}
    total = sum(size.values())
    return {name: _reduce(*mesh, max(LEAST_FACES, int(faces * size[name] / total))) for name, mesh in welded.items()}


def _reduce(vertices: Array, triangles: NDArray[np.int32], count: int) -> Triangles:
    """One mesh with about ``count`` triangles: by edge collapses where they do, else of its outer shell.

    Filigree that would lose much of its surface (raised lettering, thin rims) gets up to eight times as many.
    """
    if count >= len(triangles):
        return vertices, triangles
    plain = _collapse(vertices, triangles, count)
    area = area_of(vertices, triangles)
    if len(plain[1]) <= 1.2 * count and area_of(*plain) >= 0.85 * area:
        return plain
    shell = weld(*outer_shell(vertices, triangles))
    if area_of(*shell) > 1.5 * area:  # an open sheet, which a shell would double
        return plain
    for generosity in (1, 2, 4, 8):
        if generosity * count >= len(shell[1]):
            return shell
        closed = _collapse(*shell, generosity * count)
        if area_of(*closed) >= 0.8 * area_of(*shell):
            break
    return closed


def _collapse(vertices: Array, triangles: NDArray[np.int32], count: int) -> Triangles:
    import fast_simplification

    # Its thresholds are absolute; at this scale they rise gently enough to keep the shape.
    scale = float(np.linalg.norm(np.ptp(vertices, axis=0))) / 100.0
    reduced = fast_simplification.simplify(vertices / scale, triangles, target_count=count, agg=AGGRESSIVENESS)
    return np.asarray(reduced[0], np.float64) * scale, np.asarray(reduced[1], np.int32)


def weld(vertices: Array, triangles: NDArray[np.int32]) -> Triangles:
    """Merge equal vertices (files repeat them per normal or texture coordinate) and drop degenerate triangles."""
    unique, inverse = np.unique(vertices.astype(np.float32), axis=0, return_inverse=True)
    faces = inverse.reshape(-1)[triangles].astype(np.int32)
    good = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return unique.astype(np.float64), np.ascontiguousarray(faces[good])


def area_of(vertices: Array, triangles: NDArray[np.int32]) -> float:
    """Surface area, square metres."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)
