"""What an object's collision geometry is to a hand."""

from __future__ import annotations

from typing import Literal

import numpy as np

from synthgen.core.pose import Array, matrix_from_quat
from synthgen.core.scene import Geom
from synthgen.usd import mesh

ObjectShape = Literal["box", "cylinder", "sphere", "other"]


def shape_of(geoms: tuple[Geom, ...], extents: Array) -> ObjectShape:
    """What collision geometry is to a hand, from the colliders alone.

    ``extents``: (3,) metres, full size of their bounding box in the body's frame. A box: one box along the body's
    axes. A cylinder: round about one upright line throughout (a bottle's body and neck are one). A mesh counts by
    how much of the bounding box, or of the cylinder in it, its hull fills.
    """
    solid = [g for g in geoms if g.collides and g.kind != "plane"]
    turns = [np.abs(matrix_from_quat(g.pose.orientation)) for g in solid]
    kinds = {g.kind for g in solid}
    if kinds == {"sphere"} and len(solid) == 1:
        return "sphere"
    if kinds == {"box"} and len(solid) == 1 and turns[0].max(axis=0).min() > 0.999:
        return "box"
    square = abs(extents[0] - extents[1]) <= 0.02 * extents[:2].max()
    middle = solid[0].pose.position[:2]
    coaxial = all(np.linalg.norm(g.pose.position[:2] - middle) < 1e-3 for g in solid)
    upright = all(g.kind == "sphere" or t[2, 2] > 0.999 for g, t in zip(solid, turns, strict=True))
    if kinds <= {"cylinder", "capsule", "sphere"} and coaxial and upright:
        return "cylinder"
    if len(solid) == 1 and solid[0].kind == "mesh" and len(solid[0].hulls) == 1:
        return _shape_of_hull(solid[0], square, extents)
    return "other"


def _shape_of_hull(geom: Geom, square: bool, extents: Array) -> ObjectShape:
    hull = geom.hulls[0]
    volume = mesh.integrals(hull.vertices, hull.triangles)[0]
    if volume >= 0.97 * np.prod(extents):
        return "box"
    if square and volume >= 0.95 * np.pi / 4 * np.prod(extents):
        points = geom.pose.apply(hull.vertices)[:, :2]
        middle = (points.min(0) + points.max(0)) / 2
        if np.linalg.norm(points - middle, axis=1).max() <= 1.03 * extents[:2].max() / 2:
            return "cylinder"
    return "other"
