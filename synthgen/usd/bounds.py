"""How much room a body's collision geometry takes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from synthgen.core.pose import Array, Pose, matrix_from_quat
from synthgen.core.scene import Geom


def box(geoms: Iterable[Geom], frame: Pose | None = None) -> tuple[Array, Array] | None:
    """Least axis-aligned box (low (3,), high (3,)), metres, around the colliders among ``geoms``.

    In the frame the geoms' poses are in, or in that frame seen from ``frame`` (a pose in it). None without a collider.
    Planes have no bounds and are left out.
    """
    back = frame.inverse() if frame is not None else Pose.of()
    lows, highs = [], []
    for geom in geoms:
        if geom.collides and geom.kind != "plane":
            low, high = _of(geom, back @ geom.pose)
            lows.append(low)
            highs.append(high)
    return (np.min(lows, axis=0), np.max(highs, axis=0)) if lows else None


def _of(geom: Geom, pose: Pose) -> tuple[Array, Array]:
    if geom.kind == "mesh":
        points = pose.apply(np.concatenate([h.vertices for h in geom.hulls]))
        return points.min(0), points.max(0)
    turn = matrix_from_quat(pose.orientation)
    if geom.kind == "box":
        half = np.abs(turn) @ np.array(geom.size)
    elif geom.kind == "sphere":
        half = np.full(3, geom.size[0])
    elif geom.kind == "ellipsoid":
        half = np.linalg.norm(turn * np.array(geom.size), axis=1)
    else:
        radius, length = geom.size
        along = np.abs(turn[:, 2])
        ends = radius if geom.kind == "capsule" else radius * np.sqrt(np.maximum(0.0, 1.0 - along**2))
        half = along * length + ends
    return pose.position - half, pose.position + half
