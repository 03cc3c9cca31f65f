"""RRT-Connect with shortcuts (Kuffner and LaValle, 2000), for when the straight way is blocked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synthgen.core.pose import Array

EdgeCheck = Callable[[Array, Array], bool]


class _Tree:
    """Configurations with their parents; ``points`` grows by doubling so that the nearest search is one array op."""

    def __init__(self, root: Array) -> None:
        self.points = np.empty((64, len(root)))
        self.points[0] = root
        self.parents = [-1]

    def __len__(self) -> int:
        return len(self.parents)

    def add(self, q: Array, parent: int) -> int:
        if len(self) == len(self.points):
            self.points = np.concatenate([self.points, np.empty_like(self.points)])
        self.points[len(self)] = q
        self.parents.append(parent)
        return len(self) - 1

    def nearest(self, q: Array, scale: Array) -> int:
        return int((((self.points[: len(self)] - q) * scale) ** 2).sum(axis=1).argmin())

    def to_root(self, i: int) -> list[Array]:
        path = []
        while i >= 0:
            path.append(self.points[i].copy())
            i = self.parents[i]
        return path


def rrt_connect(
    start: Array,
    goal: Array,
    *,
    free: EdgeCheck,
    lower: Array,
    upper: Array,
    scale: Array,
    rng: np.random.Generator,
    step: float = 0.3,
    nodes: int = 600,
) -> Array | None:
    """Find a path of straight pieces from start to goal.

    Args:
        start, goal: (n,) configurations, both free.
        free: whether the straight piece between two configurations is free of collisions.
        lower, upper: (n,) sampling bounds.
        scale: (n,) metric: how far a joint carries the hand, m/rad; distances are of ``q * scale``.
        rng: where the samples come from.
        step: longest extension, in the metric.
        nodes: samples after which it gives up. A count, not a time, so that a plan does not depend on the machine.

    Returns:
        (K, n) waypoints with start and goal, or None.
    """
    if free(start, goal):
        return np.stack([start, goal])
    trees = [_Tree(start), _Tree(goal)]
    side = 0
    for _ in range(nodes):
        mine, other = trees[side], trees[1 - side]
        at = mine.nearest(sample := rng.uniform(lower, upper), scale)
        new = _towards(mine.points[at], sample, scale, step)
        if free(mine.points[at], new):
            tip = mine.add(new, at)
            meet = other.nearest(new, scale)
            while True:
                ahead = _towards(other.points[meet], new, scale, step)
                if not free(other.points[meet], ahead):
                    break
                meet = other.add(ahead, meet)
                if np.array_equal(ahead, new):
                    path = mine.to_root(tip)[::-1] + other.to_root(meet)[1:]
                    return np.array(path if side == 0 else path[::-1])
        side = 1 - side
    return None


def _towards(a: Array, b: Array, scale: Array, step: float) -> Array:
    distance = float(np.linalg.norm((b - a) * scale))
    return b.copy() if distance <= step else a + (b - a) * (step / distance)


def shortcut(path: Array, *, free: EdgeCheck, rng: np.random.Generator, tries: int = 40) -> Array:
    """Shorten a path (K, n) by joining random pairs of points on it whose straight connection is free."""
    points = [p.copy() for p in path]
    for _ in range(tries):
        if len(points) < 3:
            break
        i, j = sorted(int(k) for k in rng.choice(len(points) - 1, 2, replace=False))
        a = points[i] + (points[i + 1] - points[i]) * rng.uniform()
        b = points[j] + (points[j + 1] - points[j]) * rng.uniform()
        # The pieces a cut leaves behind are sub-pieces of checked ones, so only the new one needs a check.
        if free(a, b):
            points = [*points[: i + 1], a, b, *points[j + 1 :]]
    kept = [points[0]]
    for k in range(1, len(points) - 1):
        if not free(kept[-1], points[k + 1]):
            kept.append(points[k])
    return np.array([*kept, points[-1]])
