"""Rigid transforms. Quaternions are (w, x, y, z), unit length; positions in metres."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def _elements(v: Array) -> list[Any]:
    """The elements of a vector as numbers, of (..., n) vectors as n arrays (...). np.cross takes 20 times as long."""
    return v.tolist() if v.ndim == 1 else [v[..., k] for k in range(v.shape[-1])]


def quat_mul(a: ArrayLike, b: ArrayLike) -> Array:
    """Hamilton product of quaternions (..., 4), broadcasting over the leading axes."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    aw, ax, ay, az = _elements(a)
    bw, bx, by, bz = _elements(b)
    out = [
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ]
    return np.array(out) if a.ndim == b.ndim == 1 else np.stack(out, axis=-1)


def quat_inv(q: ArrayLike) -> Array:
    """Inverse of unit quaternions (..., 4)."""
    return np.asarray(q, float) * np.array([1.0, -1.0, -1.0, -1.0])


def quat_rotate(q: ArrayLike, v: ArrayLike) -> Array:
    """Rotate vectors (..., 3) by unit quaternions (..., 4)."""
    q, v = np.asarray(q, float), np.asarray(v, float)
    w, a, b, c = _elements(q)
    x, y, z = _elements(v)
    s, t, r = 2.0 * (b * z - c * y), 2.0 * (c * x - a * z), 2.0 * (a * y - b * x)
    out = [x + w * s + b * r - c * t, y + w * t + c * s - a * r, z + w * r + a * t - b * s]
    return np.array(out) if q.ndim == v.ndim == 1 else np.stack(out, axis=-1)


def quat_from_axis_angle(axis: ArrayLike, angle: float) -> Array:
    """Quaternion of a rotation by ``angle`` radians about ``axis`` (3,), which need not be unit length."""
    x, y, z = np.asarray(axis, float).tolist()
    s = math.sin(angle / 2) / math.sqrt(x * x + y * y + z * z)
    return np.array([math.cos(angle / 2), s * x, s * y, s * z])


def quat_from_matrix(r: ArrayLike) -> Array:
    """Unit quaternion with w >= 0 of a rotation matrix (3, 3), by Shepperd's method."""
    m = np.asarray(r, float)
    k = np.array(
        [
            1.0 + m[0, 0] + m[1, 1] + m[2, 2],
            1.0 + m[0, 0] - m[1, 1] - m[2, 2],
            1.0 - m[0, 0] + m[1, 1] - m[2, 2],
            1.0 - m[0, 0] - m[1, 1] + m[2, 2],
        ]
    )
    i = int(np.argmax(k))
    s = 2.0 * np.sqrt(max(k[i], 1e-300))
    if i == 0:
        q = np.array([s / 4, (m[2, 1] - m[1, 2]) / s, (m[0, 2] - m[2, 0]) / s, (m[1, 0] - m[0, 1]) / s])
    elif i == 1:
        q = np.array([(m[2, 1] - m[1, 2]) / s, s / 4, (m[0, 1] + m[1, 0]) / s, (m[0, 2] + m[2, 0]) / s])
    elif i == 2:
        q = np.array([(m[0, 2] - m[2, 0]) / s, (m[0, 1] + m[1, 0]) / s, s / 4, (m[1, 2] + m[2, 1]) / s])
    else:
        q = np.array([(m[1, 0] - m[0, 1]) / s, (m[0, 2] + m[2, 0]) / s, (m[1, 2] + m[2, 1]) / s, s / 4])
    q = q / np.linalg.norm(q)
    return q if q[0] >= 0 else -q


def matrix_from_quat(q: ArrayLike) -> Array:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4)."""
    q = np.asarray(q, float)
    w, x, y, z = _elements(q)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.array(rows) if q.ndim == 1 else np.stack([np.stack(row, -1) for row in rows], axis=-2)


def _position() -> Array:
    return np.zeros(3)


def _identity() -> Array:
    return np.array([1.0, 0.0, 0.0, 0.0])


@dataclass(frozen=True, kw_only=True, eq=False)
class Pose:
    """A rigid transform from its own frame to a parent frame.

    Attributes:
        position: (3,) metres, in the parent frame.
        orientation: (4,) unit quaternion (w, x, y, z), own frame -> parent frame.
    """

    position: Array = field(default_factory=_position)
    orientation: Array = field(default_factory=_identity)

    @staticmethod
    def of(position: ArrayLike = (0, 0, 0), orientation: ArrayLike = (1, 0, 0, 0)) -> Pose:
        """Build a pose from anything array-like, normalising the quaternion."""
        q = np.array(orientation, float)
        return Pose(position=np.array(position, float), orientation=q / math.sqrt(q @ q))

    @staticmethod
    def from_vector(v: ArrayLike) -> Pose:
        """Build a pose from (7,): x y z (metres), then w x y z."""
        v = np.asarray(v, float)
        return Pose.of(v[:3], v[3:7])

    def vector(self) -> Array:
        """(7,): x y z (metres), then w x y z."""
        return np.array([*self.position.tolist(), *self.orientation.tolist()])

    def matrix(self) -> Array:
        """(4, 4) homogeneous transform."""
        m = np.eye(4)
        m[:3, :3] = matrix_from_quat(self.orientation)
        m[:3, 3] = self.position
        return m

    def __matmul__(self, other: Pose) -> Pose:
        """Composition: ``(a @ b)`` takes a point from b's frame to a's parent frame."""
        return Pose(
            position=self.position + quat_rotate(self.orientation, other.position),
            orientation=quat_mul(self.orientation, other.orientation),
        )

    def inverse(self) -> Pose:
        """The transform from the parent frame to this frame."""
        q = quat_inv(self.orientation)
        return Pose(position=-quat_rotate(q, self.position), orientation=q)

    def apply(self, points: ArrayLike) -> Array:
        """Take points (..., 3) from this frame to the parent frame."""
        return quat_rotate(self.orientation, points) + self.position

    def yaw(self) -> float:
        """Rotation about the parent's z axis, radians in (-pi, pi], of this frame's x axis."""
        x = quat_rotate(self.orientation, [1.0, 0.0, 0.0])
        return float(np.arctan2(x[1], x[0]))
