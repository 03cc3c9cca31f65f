"""Collision questions on the planning model."""

import numpy as np
import pytest
from expert_bench import ROBOTS, planner, world

from synthgen.core.pose import Pose, quat_from_matrix

DOWN = Pose.of((0, 0, 0), quat_from_matrix(np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]]))).orientation


def above(x: float, y: float, z: float):
    """A Franka with its finger tips' middle z metres above the table; None when out of reach."""
    expert = planner("franka")
    return expert.ik("arm", Pose.of((x, y, 0.9 + z), DOWN))


@pytest.mark.parametrize("robot", ROBOTS)
def test_home_is_free(robot):
    expert = planner(robot)
    expert.set_world(world(robot, {"red_can": (0.45, 0.0, 0.0)}))
    for arm in expert.arms.values():
        assert not expert.collides(arm, expert.home[arm.columns], clearance=0.0)


def test_a_hand_in_the_table_collides():
    expert = planner("franka")
    expert.set_world(world("franka", {}))
    arm = expert.arm("arm")
    assert not expert.collides(arm, above(0.3, 0.0, 0.05))
    assert expert.collides(arm, above(0.3, 0.0, -0.02))


def test_only_things_that_are_there_collide():
    expert, arm = planner("franka"), planner("franka").arm("arm")
    expert.set_world(world("franka", {"red_can": (0.3, 0.1, 0.0)}))
    low = above(0.3, 0.1, 0.03)
    expert.set_hand(arm, np.array([0.0]))
    assert expert.collides(arm, low)
    assert any("red_can" in a + b for a, b, _ in expert.collisions.pairs(clearance=0.0))
    expert.ignore("/World/Objects/red_can")
    assert not expert.collides(arm, low)
    expert.ignore("/World/Objects/red_can", on=False)
    assert expert.collides(arm, low)
    expert.set_world(world("franka", {"green_can": (0.3, -0.2, 0.0)}))
    expert.set_hand(arm, np.array([0.0]))
    assert not expert.collides(arm, low)


def test_clearance_is_a_distance():
    expert, arm = planner("franka"), planner("franka").arm("arm")
    expert.set_world(world("franka", {}))
    tips = arm.effector.finger_depth
    q = above(0.3, 0.0, tips + 0.005)
    assert not expert.collides(arm, q, clearance=0.002)
    assert expert.collides(arm, q, clearance=0.010)


def test_what_is_held_collides_in_the_hands_place():
    expert, arm = planner("franka"), planner("franka").arm("arm")
    expert.set_world(world("franka", {"red_can": (0.3, 0.1, 0.0), "gray_bin": (0.3, -0.15, 0.0)}))
    grip = above(0.3, 0.1, 0.08)
    expert.hold(arm, "/World/Objects/red_can", grip)
    assert not expert.collides(arm, above(0.3, -0.15, 0.20))
    # The can reaches 8 cm below the finger tips: over the wall it meets it, though the hand does not.
    wall = above(0.3, -0.15 - 0.10, 0.12)
    assert expert.collides(arm, wall)
    expert.collisions.hold(None)
    expert.ignore("/World/Objects/red_can")
    assert not expert.collides(arm, wall)


def test_a_path_is_checked_between_its_ends():
    expert, arm = planner("franka"), planner("franka").arm("arm")
    expert.set_world(world("franka", {"yellow_bottle": (0.3, 0.0, 0.0)}))
    path = np.stack([above(0.3, -0.2, 0.05), above(0.3, 0.2, 0.05)])
    assert not any(expert.collides(arm, q) for q in path)
    assert not expert.path_free(arm, path)
    assert not expert.path_free(arm, path[::-1])
    expert.set_world(world("franka", {}))
    assert expert.path_free(arm, path)


def test_arms_meet_each_other():
    expert = planner("gr1")
    expert.set_world(world("gr1", {}))
    arms = [expert.arm("right"), expert.arm("left")]
    rng = np.random.default_rng(2)
    home = expert.home
    # Many postures of each arm alone, the waist at home; the two whose hands are at nearly the same place.
    tried, where = [], []
    for arm in arms:
        own = [q for q in rng.uniform(arm.lower, arm.upper, (600, len(arm.lower)))]
        for q in own:
            q[:3] = home[arm.columns[:3]]
        tried.append(own)
        where.append(np.array([expert.grasp_frame(arm, q)[0] for q in own]))
    apart = np.linalg.norm(where[0][:, None] - where[1][None], axis=-1)
    i, j = np.unravel_index(int(apart.argmin()), apart.shape)
    assert apart[i, j] < 0.03
    expert.set_driven(home)
    assert not expert.collisions.collides()
    for arm, q in zip(arms, (tried[0][i], tried[1][j]), strict=True):
        expert.data.qpos[arm.qpos] = q
    assert expert.collisions.collides()
    pairs = [{a.split("_")[0][0], b.split("_")[0][0]} for a, b, _ in expert.collisions.pairs()]
    assert {"l", "r"} in pairs
