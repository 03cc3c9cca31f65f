"""From a path in joint space to joint targets at the control rate, within velocity and acceleration limits."""

from __future__ import annotations

import math

import numpy as np

from synthgen.core.pose import Array


class Curve:
    """A twice continuously differentiable curve through joint configurations, with a parameter in [0, 1].

    A natural cubic spline over chord length; two configurations give a straight line. The parameter's speed is
    about even in the time the slowest joint needs.

    Args:
        knots: (K, n) configurations, K >= 2, rad (m). Knots that repeat their predecessor are dropped.
        velocity: (n,) joint velocity limits, rad/s (m/s): they weigh the chord length.
    """

    def __init__(self, knots: Array, velocity: Array) -> None:
        knots = np.atleast_2d(np.asarray(knots, float))
        length = np.abs(np.diff(knots, axis=0) / velocity).max(axis=1)  # (K-1,)
        keep = np.concatenate([[True], length > 1e-6])
        self.knots = knots[keep]
        length = length[keep[1:]]
        total = length.sum()
        self.at = np.concatenate([[0.0], np.cumsum(length)]) / total if total > 0 else np.zeros(1)
        self._second = _natural_second_derivatives(self.at, self.knots)

    @property
    def moves(self) -> bool:
        """Whether there is anything to travel."""
        return len(self.knots) > 1

    def __call__(self, s: Array) -> Array:
        """Configurations (M, n) at parameters ``s`` (M,) in [0, 1]."""
        s = np.asarray(s, float)
        if not self.moves:
            return np.repeat(self.knots, len(s), axis=0)
        i = np.clip(np.searchsorted(self.at, s, side="right") - 1, 0, len(self.at) - 2)
        h = self.at[i + 1] - self.at[i]
        b = ((s - self.at[i]) / h)[:, None]  # (M, 1)
        a = 1.0 - b
        if len(self.at) == 2:
            return a * self.knots[0] + b * self.knots[1]
        bend = ((a**3 - a) * self._second[i] + (b**3 - b) * self._second[i + 1]) * (h**2 / 6.0)[:, None]
        return a * self.knots[i] + b * self.knots[i + 1] + bend


def _natural_second_derivatives(at: Array, knots: Array) -> Array:
    """(K, n) second derivatives of the natural cubic spline (Press et al., Numerical Recipes, section 3.3)."""
    k = len(at)
    second = np.zeros_like(knots)
    if k < 3:
        return second
    h = np.diff(at)
    system = np.zeros((k - 2, k - 2))
    inner = np.arange(k - 2)
    system[inner, inner] = (h[:-1] + h[1:]) / 3.0
    system[inner[1:], inner[:-1]] = system[inner[:-1], inner[1:]] = h[1:-1] / 6.0
    slope = np.diff(knots, axis=0) / h[:, None]
    second[1:-1] = np.linalg.solve(system, np.diff(slope, axis=0))
    return second


def minimum_jerk(u: Array) -> Array:
    """Position in [0, 1] of the minimum-jerk profile at time fractions ``u`` (Flash and Hogan, 1985)."""
    return u**3 * (10.0 - 15.0 * u + 6.0 * u**2)


_GRID = minimum_jerk(np.linspace(0.0, 1.0, 49))
_STEP = 1.0 / 48.0


def time_curve(curve: Curve, *, velocity: Array, acceleration: Array, fps: int, shortest: int = 2) -> Array:
    """Travel a curve from rest to rest with a minimum-jerk profile, as fast as the limits allow.

    The time of the whole curve is scaled so that no joint exceeds its limits anywhere; the last row is the end of
    the curve, the start is not repeated. The returned rows, differenced at the control rate from a start at rest to
    an end at rest, keep the limits.

    Args:
        curve: where to go.
        velocity, acceleration: (n,) limits, rad/s and rad/s2 (m/s and m/s2).
        fps: control rate, Hz.
        shortest: least number of rows.

    Returns:
        (T, n) targets, one per control period, T >= 1; a single row when the curve does not move.
    """
    if not curve.moves:
        return curve.knots[:1].copy()
    if len(curve.knots) == 2:
        ends = curve.knots
        return time_straight(ends[0], ends[1], velocity=velocity, acceleration=acceleration, fps=fps, shortest=shortest)
    q = curve(_GRID)
    speed = np.abs(np.diff(q, axis=0)).max(axis=0) / _STEP  # (n,) per unit of time fraction
    bend = np.abs(np.diff(q, 2, axis=0)).max(axis=0) / _STEP**2
    seconds = max(float((speed / velocity).max()), float(np.sqrt((bend / acceleration).max())))
    rows = max(shortest, int(np.ceil(seconds * fps)))
    while True:
        out = curve(minimum_jerk(np.arange(0, rows + 1) / rows))
        if within_limits(out, velocity=velocity, acceleration=acceleration, fps=fps):
            return out[1:]
        rows += 1


def time_straight(
    start: Array, end: Array, *, velocity: Array, acceleration: Array, fps: int, shortest: int = 2
) -> Array:
    """``time_curve`` for a straight line from ``start`` to ``end`` (n,), whose time is known in closed form.

    The minimum-jerk profile over a distance d in a time T peaks at 1.875 d/T and 5.7735 d/T2.
    """
    way = end - start
    far = np.abs(way)
    if not far.any():
        return start[None].copy()
    seconds = max(1.875 * float((far / velocity).max()), math.sqrt(5.7736 * float((far / acceleration).max())))
    rows = max(shortest, math.ceil(seconds * fps - 1e-9))
    return start + minimum_jerk(np.arange(1, rows + 1) / rows)[:, None] * way


def within_limits(rows: Array, *, velocity: Array, acceleration: Array, fps: int) -> bool:
    """Whether targets (T, n), started and ended at rest, keep the limits (n,) when differenced at ``fps``."""
    step = np.diff(rows, axis=0)
    change = np.diff(step, axis=0, prepend=np.zeros((1, step.shape[1])), append=np.zeros((1, step.shape[1])))
    fast = np.abs(step).max(axis=0) * fps > velocity * (1 + 1e-9) + 1e-12
    hard = np.abs(change).max(axis=0) * fps**2 > acceleration * (1 + 1e-9) + 1e-12
    return not bool(fast.any() or hard.any())
