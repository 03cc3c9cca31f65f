"""The outer shell of a triangle mesh: closed, evenly triangulated, without what is hidden inside.

Robots' visual meshes come from CAD: hundreds of loose parts, cracks, screws inside housings. Edge collapses tear such
meshes apart. So the mesh is put on a grid, the outside is flooded, and the boundary of the rest, smoothed and drawn
back onto the original surface, is what gets reduced.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from synthgen.core.pose import Array

Triangles = tuple[Array, NDArray[np.int32]]


def outer_shell(vertices: Array, triangles: NDArray[np.int32], *, cells: int = 48) -> Triangles:
    """Closed surface around a mesh (vertices (V, 3) metres, triangles (F, 3)).

    ``cells``: grid cells along its longest side; details and gaps smaller than a cell disappear.
    """
    low, extent = vertices.min(axis=0), np.ptp(vertices, axis=0)
    size = float(extent.max()) / cells
    points = _samples(vertices, triangles, size)
    margin = 3
    origin = low - margin * size
    shape = np.ceil(extent / size).astype(int) + 2 * margin + 1
    surface = np.zeros(shape, bool)
    i = np.floor((points - origin) / size).astype(int)
    surface[i[:, 0], i[:, 1], i[:, 2]] = True
    # Thicken by one cell before flooding, so that cracks do not let the outside in, and take it off again.
    empty = np.logical_not(ndimage.binary_dilation(surface))
    regions: Any = ndimage.label(empty)
    solid = ndimage.binary_erosion(regions[0] != regions[0][0, 0, 0]) | surface
    corners, quads = _boundary(solid)
    near_outside = np.asarray(ndimage.binary_dilation(np.logical_not(solid), iterations=3), bool)
    outer = points[near_outside[i[:, 0], i[:, 1], i[:, 2]]]
    placed = _relax(corners * size + origin, quads, outer)
    return placed, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


def _samples(vertices: Array, triangles: NDArray[np.int32], spacing: float) -> Array:
    """Points on the surface, no further apart than ``spacing`` metres: (S, 3)."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    longest = np.max([np.linalg.norm(p - q, axis=1) for p, q in ((a, b), (b, c), (c, a))], axis=0)
    steps = np.clip(np.ceil(1.5 * longest / spacing).astype(int), 1, 200)
    parts = [(a + b + c) / 3]
    for n in np.unique(steps):
        chosen = steps == n
        i, j = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
        inside = i + j <= n
        u, v = (i[inside] / n)[None, :, None], (j[inside] / n)[None, :, None]
        grid = a[chosen][:, None] * (1 - u - v) + b[chosen][:, None] * u + c[chosen][:, None] * v
        parts.append(grid.reshape(-1, 3))
    return np.concatenate(parts)


def _boundary(solid: NDArray[np.bool_]) -> tuple[Array, NDArray[np.int64]]:
    """Faces between solid and empty cells: corners (C, 3) in cells, quads (Q, 4) turned outward."""
    sizes = np.array(solid.shape) + 1
    quads: list[NDArray[np.int64]] = []
    for axis in range(3):
        along = np.moveaxis(solid, axis, 0)
        change = np.moveaxis(along[1:].astype(np.int8) - along[:-1], 0, axis)
        u, v = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
        for sign in (1, -1):
            at = np.argwhere(change == sign)
            at[:, axis] += 1
            quad = np.stack([_number(at + step, sizes) for step in (0 * u, u, u + v, v)], axis=1)
            quads.append(quad[:, ::-1] if sign == 1 else quad)
    used, index = np.unique(np.concatenate(quads), return_inverse=True)
    corners = np.stack(np.unravel_index(used, sizes), axis=1).astype(np.float64)
    return corners, index.reshape(-1, 4)


def _number(ijk: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.ravel_multi_index((ijk[:, 0], ijk[:, 1], ijk[:, 2]), tuple(sizes))


def _relax(corners: Array, quads: NDArray[np.int64], points: Array) -> Array:
    """Smooth the staircase, then draw the corners onto the nearest surface points."""
    edges = np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)])
    edges = np.concatenate([edges, edges[:, ::-1]])
    degree = np.bincount(edges[:, 0], minlength=len(corners))[:, None]
    tree = KDTree(points, compact_nodes=False, balanced_tree=False)
    for step in range(3):
        near = [np.bincount(edges[:, 0], corners[edges[:, 1], k], len(corners)) for k in range(3)]
        corners = np.stack(near, axis=1) / degree
        if step == 2:
            corners = (corners + points[tree.query(corners)[1]]) / 2
    return points[tree.query(corners)[1]]
