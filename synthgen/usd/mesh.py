"""Triangle meshes: reading UsdGeom.Mesh, primitive shapes as meshes, and the integrals over a closed mesh."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pxr import Usd, UsdGeom

from synthgen.core.pose import Array
from synthgen.core.scene import Mesh
from synthgen.usd.problems import Notes

Ints = NDArray[Any]
"""An array of int64; the core's Mesh calls every array an Array."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RawMesh:
    """A UsdGeom.Mesh cut into triangles.

    Attributes:
        points: (V, 3) local space, stage units.
        triangles: (F, 3) into points, counter-clockwise seen from outside.
        corners: (F, 3) into the mesh's face-vertex list, for face-varying data.
        faces: (F,) the face each triangle came from.
    """

    points: Array
    triangles: Ints
    corners: Ints
    faces: Ints


def read(prim: Usd.Prim, notes: Notes) -> RawMesh | None:
    """Read a UsdGeom.Mesh at its earliest time; None (and a note) when it has no usable faces."""
    schema, time = UsdGeom.Mesh(prim), Usd.TimeCode.EarliestTime()
    points = np.array(schema.GetPointsAttr().Get(time) or [], float).reshape(-1, 3)
    counts = np.array(schema.GetFaceVertexCountsAttr().Get(time) or [], int)
    indices = np.array(schema.GetFaceVertexIndicesAttr().Get(time) or [], int)
    wrong = _invalid(points, counts, indices)
    if wrong:
        notes.add("mesh-invalid", prim.GetPath(), f"the mesh is not used: {wrong}", "export the mesh again")
        return None
    if schema.GetSubdivisionSchemeAttr().Get() != "none":
        notes.add(
            "subdivision-ignored",
            prim.GetPath(),
            "the mesh is a subdivision cage; it is used as it is, not subdivided",
            'set subdivisionScheme = "none", or subdivide before exporting',
        )
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    per_face = np.maximum(counts - 2, 0)
    faces = np.repeat(np.arange(len(counts)), per_face)
    step = np.arange(per_face.sum()) - np.repeat(np.cumsum(per_face) - per_face, per_face)
    corners = np.stack([starts[faces], starts[faces] + step + 1, starts[faces] + step + 2], axis=1)
    if schema.GetOrientationAttr().Get(time) == "leftHanded":
        corners = corners[:, ::-1]
    if _has_concave_face(points, counts, indices, starts):
        notes.add(
            "concave-face",
            prim.GetPath(),
            "a face with more than three corners is concave; it is cut as if it were convex",
            "triangulate the mesh before exporting",
        )
    return RawMesh(points=points, triangles=indices[corners], corners=corners, faces=faces)


def texcoords(prim: Usd.Prim, raw: RawMesh, primvar: str) -> tuple[Array, Ints] | None:
    """Texture coordinates (K, 2) (v up) and (F, 3) indices into them, or None when the primvar is absent or odd."""
    found = UsdGeom.PrimvarsAPI(prim).FindPrimvarWithInheritance(primvar)
    if not found or not found.HasValue():
        return None
    values = np.array(found.ComputeFlattened(Usd.TimeCode.EarliestTime()), float).reshape(-1, 2)
    kind = found.GetInterpolation()
    index = {"faceVarying": raw.corners, "vertex": raw.triangles, "varying": raw.triangles}.get(kind)
    if kind == "uniform":
        index = np.repeat(raw.faces[:, None], 3, axis=1)
    if kind == "constant":
        index = np.zeros_like(raw.corners)
    if index is None or not len(values) or index.max(initial=0) >= len(values):
        return None
    return values, index


def make(vertices: Array, triangles: Ints, uv: tuple[Array, Ints] | None = None) -> Mesh:
    """A Mesh named by its content. ``vertices`` (V, 3) metres, ``triangles`` (F, 3), ``uv`` as from ``texcoords``."""
    vertices = np.ascontiguousarray(np.where(np.abs(vertices) < 1e-12, 0.0, vertices), float)
    triangles = np.ascontiguousarray(triangles, np.int64)
    parts = [vertices, triangles, *(uv or ())]
    total = hashlib.sha256()
    for part in parts:
        total.update(f"{part.shape}{part.dtype}".encode())
        total.update(np.ascontiguousarray(part).tobytes())
    mesh = Mesh(key=total.hexdigest()[:24], vertices=vertices, triangles=triangles)
    if uv is None:
        return mesh
    return replace(mesh, texcoords=np.ascontiguousarray(uv[0]), texcoord_triangles=np.ascontiguousarray(uv[1]))


def compact(vertices: Array, triangles: Ints) -> tuple[Array, Ints]:
    """Drop the vertices no triangle uses."""
    used, index = np.unique(triangles, return_inverse=True)
    return vertices[used], index.reshape(triangles.shape)


def lathe(profile: list[tuple[float, float]], sides: int = 32) -> tuple[Array, Ints]:
    """A closed surface of revolution about z: ``profile`` lists (radius, z) from bottom to top."""
    angle = np.arange(sides) * 2 * np.pi / sides
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    vertices: list[Array] = []
    rings: list[Ints] = []
    for radius, z in profile:
        at = sum(len(v) for v in vertices)
        if radius > 0:
            vertices.append(np.column_stack([radius * ring, np.full(sides, z)]))
            rings.append(at + np.arange(sides))
        else:
            vertices.append(np.array([[0.0, 0.0, z]]))
            rings.append(np.full(sides, at))
    for index, z in ((0, profile[0][1]), (-1, profile[-1][1])):  # caps
        if profile[index][0] > 0:
            at = sum(len(v) for v in vertices)
            vertices.append(np.array([[0.0, 0.0, z]]))
            rings.insert(0 if index == 0 else len(rings), np.full(sides, at))
    triangles: list[Ints] = []
    for low, high in pairwise(rings):
        low_next, high_next = np.roll(low, -1), np.roll(high, -1)
        triangles += [np.stack([low, low_next, high_next], 1), np.stack([low, high_next, high], 1)]
    faces = np.concatenate(triangles)
    flat = (faces[:, 0] == faces[:, 1]) | (faces[:, 1] == faces[:, 2]) | (faces[:, 0] == faces[:, 2])
    return np.concatenate(vertices), faces[~flat]


def integrals(vertices: Array, triangles: Ints) -> tuple[float, Array, Array]:
    """Volume, first moments (3,) and second moments (3, 3) of the solid inside a closed mesh, about the origin.

    Sums over the signed tetrahedra (origin, a, b, c): int x x^T dV = det/120 (sum_i v_i v_i^T + s s^T),
    s = a + b + c (Blow and Binstock, How to find the inertia tensor of any 3D solid body, 2004).
    """
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    det = np.einsum("ij,ij->i", a, np.cross(b, c))
    s = a + b + c
    volume = det.sum() / 6
    first = (det[:, None] * s).sum(0) / 24
    second = sum(np.einsum("n,ni,nj->ij", det, v, v) for v in (a, b, c, s)) / 120
    return float(volume), first, np.asarray(second)


def _invalid(points: Array, counts: Ints, indices: Ints) -> str:
    if len(points) < 3 or not len(counts) or counts.max() < 3:
        return "it has no faces"
    if counts.min() < 0 or counts.sum() != len(indices):
        return f"faceVertexCounts sum to {counts.sum()} but there are {len(indices)} faceVertexIndices"
    if indices.min() < 0 or indices.max() >= len(points):
        return f"faceVertexIndices reach {indices.max()} but there are {len(points)} points"
    if not np.isfinite(points).all():
        return "a point is not finite"
    return ""


def _has_concave_face(points: Array, counts: Ints, indices: Ints, starts: Ints) -> bool:
    for n in np.unique(counts[counts > 3]):
        loops = points[indices[starts[counts == n][:, None] + np.arange(n)]]  # (N, n, 3)
        edges = np.roll(loops, -1, axis=1) - loops
        turns = np.cross(np.roll(edges, 1, axis=1), edges)
        normal = turns.sum(axis=1, keepdims=True)
        along = (turns * normal).sum(-1)
        if (along < -1e-6 * np.abs(along).max(axis=1, keepdims=True)).any():
            return True
    return False
