"""From the stage's units and up-axis to metres, kilograms and Z up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pxr import Gf, Usd, UsdGeom, UsdPhysics

from synthgen.core.pose import Array, Pose, matrix_from_quat, quat_from_matrix, quat_inv, quat_mul, quat_rotate

_H = np.sqrt(0.5)
TO_Z_UP = {"Z": (1.0, 0.0, 0.0, 0.0), "Y": (_H, _H, 0.0, 0.0), "X": (_H, 0.0, -_H, 0.0)}
"""Rotation that takes the axis of that name to z, (w, x, y, z)."""
FROM_Z = {"Z": (1.0, 0.0, 0.0, 0.0), "Y": (_H, -_H, 0.0, 0.0), "X": (_H, 0.0, _H, 0.0), "-Y": (_H, _H, 0.0, 0.0)}
"""Rotation that takes z to the axis of that name."""
STANDING_AXIS = {"Z": {"X": "X", "Y": "Y", "Z": "Z"}, "Y": {"X": "X", "Y": "Z", "Z": "-Y"}}
"""By the axis that ``Placement.standing`` raises: what it makes of each local axis."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """A prim's frame in the world: a local point p (stage units) is at ``pose.apply(linear @ p)`` (metres, Z up).

    Attributes:
        pose: rigid part.
        linear: (3, 3) metres per stage unit: the scale, and what shear there is.
    """

    pose: Pose
    linear: Array

    @property
    def scale(self) -> Array:
        """(3,) metres per stage unit along the prim's local x, y, z, positive; exact when there is no shear."""
        return np.linalg.norm(self.linear, axis=0)

    @property
    def own_scale(self) -> Array:
        """(3,) the same along this frame's x, y, z, which ``standing`` may have turned away from the local ones."""
        return np.linalg.norm(self.linear, axis=1)

    @property
    def sheared(self) -> bool:
        """Whether ``linear`` is more than a scale along the axes (shear beyond 1e-4)."""
        off = self.linear - np.diag(np.diag(self.linear))
        return bool(np.abs(off).max() > 1e-4 * np.abs(self.linear).max())

    def point(self, local: ArrayLike) -> Array:
        """World position (3,), metres, of a local point (3,), stage units."""
        return self.pose.apply(self.linear @ np.asarray(local, float))

    def upward(self) -> str:
        """The local axis ("X", "Y" or "Z") that points up, or the nearest to it."""
        return "XYZ"[int(np.argmax(matrix_from_quat(self.pose.orientation)[2]))]

    def standing(self, axis: str) -> Placement:
        """The same frame turned so that its z is what was the local ``axis`` ("X", "Y" or "Z")."""
        turn = np.array(TO_Z_UP[axis])
        pose = Pose.of(self.pose.position, quat_mul(self.pose.orientation, quat_inv(turn)))
        return Placement(pose=pose, linear=np.stack([quat_rotate(turn, c) for c in self.linear.T], axis=1))


class Space:
    """Units and up-axis of one stage, and its world transforms.

    Attributes:
        meters: metres per stage unit of length.
        kilograms: kilograms per stage unit of mass.
        up: "Y" or "Z".
    """

    def __init__(self, stage: Usd.Stage) -> None:
        self.meters = float(UsdGeom.GetStageMetersPerUnit(stage))
        self.kilograms = float(UsdPhysics.GetStageKilogramsPerUnit(stage))
        self.up = str(UsdGeom.GetStageUpAxis(stage))
        self._turn = np.array(TO_Z_UP[self.up])
        self._cache = UsdGeom.XformCache(Usd.TimeCode.EarliestTime())

    @property
    def density(self) -> float:
        """kg/m3 per stage unit of density."""
        return self.kilograms / self.meters**3

    def direction(self, v: ArrayLike) -> Array:
        """A vector (3,) of the stage's world, turned to Z up."""
        return quat_rotate(self._turn, np.asarray(v, float))

    def of(self, prim: Usd.Prim) -> Placement:
        """Where a prim is (earliest time)."""
        return self.placement(self._cache.GetLocalToWorldTransform(prim))

    def world(self) -> Placement:
        """The frame of the stage's world."""
        return self.placement(Gf.Matrix4d(1.0))

    def placement(self, matrix: Any) -> Placement:
        """Split a local-to-world ``Gf.Matrix4d`` (row vectors) into a rigid pose and what remains."""
        m = np.array(matrix, float)
        rotation, rest = split(m[:3, :3].T)
        pose = Pose.of(
            quat_rotate(self._turn, m[3, :3] * self.meters), quat_mul(self._turn, quat_from_matrix(rotation))
        )
        return Placement(pose=pose, linear=rest * self.meters)


def split(linear: Array) -> tuple[Array, Array]:
    """Split a linear map (3, 3) into ``rotation @ rest`` with a proper rotation.

    ``rest`` is diagonal when the columns are orthogonal (a scale; its first entry is negative for a mirror image),
    else symmetric up to that mirroring (polar decomposition).
    """
    lengths = np.linalg.norm(linear, axis=0)
    mirror = np.diag([np.sign(np.linalg.det(linear)) or 1.0, 1.0, 1.0])
    if lengths.min() > 1e-9 * lengths.max():
        columns = linear / lengths
        cosines = columns.T @ columns - np.eye(3)
        if np.abs(cosines).max() <= 1e-6:
            return columns @ mirror, mirror @ np.diag(lengths)
    u, s, vt = np.linalg.svd(linear @ mirror)
    if np.linalg.det(u @ vt) < 0:  # only when singular
        u[:, -1] *= -1
    return u @ vt, vt.T @ np.diag(s) @ vt @ mirror


def tidy(pose: Pose) -> Pose:
    """The same pose with rounding noise below 1e-12 removed and w >= 0."""
    p = np.where(np.abs(pose.position) < 1e-12, 0.0, pose.position)
    q = np.where(np.abs(pose.orientation) < 1e-12, 0.0, pose.orientation)
    first = q[np.flatnonzero(q)[0]]
    return Pose.of(p, -q if first < 0 else q)
