"""RRT-Connect: in the plane, and a Panda around a wall."""

from itertools import pairwise

import numpy as np
import pytest
from expert_bench import walled

from synthgen.core.pose import Pose, quat_from_matrix
from synthgen.experts.planner import densify, halving_order
from synthgen.experts.rrt import rrt_connect, shortcut

DOWN = Pose.of((0, 0, 0), quat_from_matrix(np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]]))).orientation


def slot_free(a, b):
    """A wall at x = 0 with a gap at 0.6 < y < 0.8."""
    for t in np.linspace(0, 1, 200):
        x, y = a + t * (b - a)
        if abs(x) < 0.05 and not 0.6 < y < 0.8:
            return False
    return True


def plane(seed: int):
    return rrt_connect(
        np.array([-0.5, 0.0]),
        np.array([0.5, 0.0]),
        free=slot_free,
        lower=np.array([-1.0, -1.0]),
        upper=np.array([1.0, 1.0]),
        scale=np.ones(2),
        rng=np.random.default_rng(seed),
    )


def test_it_finds_the_gap():
    for seed in range(5):
        path = plane(seed)
        assert path is not None
        np.testing.assert_array_equal(path[[0, -1]], [[-0.5, 0.0], [0.5, 0.0]])
        assert all(slot_free(a, b) for a, b in pairwise(path))


def test_shortcuts_shorten_and_stay_free():
    path = plane(1)
    short = shortcut(path, free=slot_free, rng=np.random.default_rng(0))

    def length(p):
        return np.linalg.norm(np.diff(p, axis=0), axis=1).sum()

    assert length(short) <= length(path) + 1e-9
    np.testing.assert_array_equal(short[[0, -1]], path[[0, -1]])
    assert all(slot_free(a, b) for a, b in pairwise(short))


def test_the_same_stream_gives_the_same_path():
    np.testing.assert_array_equal(plane(7), plane(7))


def test_it_gives_up_where_there_is_no_way():
    found = rrt_connect(
        np.array([-0.5, 0.0]),
        np.array([0.5, 0.0]),
        free=lambda a, b: bool(max(a[0], b[0]) < 0 or min(a[0], b[0]) > 0),
        lower=-np.ones(2),
        upper=np.ones(2),
        scale=np.ones(2),
        rng=np.random.default_rng(0),
        nodes=200,
    )
    assert found is None


@pytest.mark.slow
def test_a_panda_goes_around_a_wall():
    planner = walled(height=0.3)
    arm = planner.arm("arm")
    mount = 0.9
    # The fingers low on both sides of the wall.
    goals = [planner.ik("arm", Pose.of((0.35, y, mount + 0.12), DOWN)) for y in (-0.22, 0.22)]
    assert all(g is not None and not planner.collides(arm, g) for g in goals)
    a, b = goals
    assert not planner.path_free(arm, np.stack([a, b]))
    assert planner.curve(arm, [a, b]) is None
    found = 0
    for seed in range(4):
        curve = planner.detour(arm, [a, b], rng=np.random.default_rng(seed))
        if curve is None:
            continue
        found += 1
        # Five times finer than it was planned, and without the planner's clearance.
        points = curve(np.linspace(0, 1, 400))
        assert not any(planner.collides(arm, q, clearance=0.0) for q in points)
        np.testing.assert_allclose(points[[0, -1]], [a, b], atol=1e-9)
    assert found >= 3


def test_halving_order_is_a_permutation_that_starts_in_the_middle():
    for n in (1, 2, 5, 16, 17):
        assert sorted(halving_order(n)) == list(range(1, n + 1))
    assert halving_order(16)[0] == 16 and halving_order(16)[1] == 8


def test_densify_keeps_the_corners():
    path = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    dense = densify(path, 3)
    assert len(dense) == 9
    np.testing.assert_array_equal(dense[::4], path)
