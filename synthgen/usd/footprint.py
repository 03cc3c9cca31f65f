"""Footprints on a plane, and the gaps between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from synthgen.core.pose import Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Footprint:
    """A disc, or a turned rectangle, in a plane.

    Attributes:
        center: (2,) metres.
        half: (2,) half extents along its own axes, metres; both the radius for a disc.
        yaw: rotation of the rectangle's axes, radians.
        disc: which of the two it is.
    """

    center: Array
    half: Array
    yaw: float = 0.0
    disc: bool = False

    def reach(self) -> Array:
        """(2,) half extents of the axis-aligned box around it, metres."""
        if self.disc:
            return self.half
        c, s = abs(np.cos(self.yaw)), abs(np.sin(self.yaw))
        return np.array([c * self.half[0] + s * self.half[1], s * self.half[0] + c * self.half[1]])

    def radius(self) -> float:
        """Of the circle round it, metres."""
        return float(self.half[0]) if self.disc else math.hypot(self.half[0], self.half[1])

    def axes(self) -> Array:
        """(2, 2), its unit axes as rows."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return np.array([[c, s], [-s, c]])

    def corners(self) -> Array:
        """(4, 2) corners of a rectangle, metres."""
        signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
        return self.center + (signs * self.half) @ self.axes()


def gap(a: Footprint, b: Footprint) -> float:
    """Metres between two footprints; negative or zero when they touch.

    Exact for discs, and for a disc beside a rectangle; for two rectangles the largest separation along an axis of
    either, which never exceeds the true distance.
    """
    if a.disc and b.disc:
        return float(np.linalg.norm(a.center - b.center) - a.half[0] - b.half[0])
    if a.disc:
        a, b = b, a
    if b.disc:
        beyond = np.abs(a.axes() @ (b.center - a.center)) - a.half
        outside = float(np.linalg.norm(np.maximum(beyond, 0.0)))
        return (outside or float(beyond.max())) - float(b.half[0])
    axes = np.concatenate([a.axes(), b.axes()])
    of_a, of_b = a.corners() @ axes.T, b.corners() @ axes.T
    return float(np.maximum(of_a.min(0) - of_b.max(0), of_b.min(0) - of_a.max(0)).max())
