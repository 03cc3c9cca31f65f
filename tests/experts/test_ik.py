"""Inverse kinematics: fk(ik(p)) = p, limits, free yaw, tool points."""

import numpy as np
import pytest
from expert_bench import ROBOTS, planner, world

from synthgen.core.errors import UsageError
from synthgen.core.pose import Pose, matrix_from_quat
from synthgen.experts.ik import turned_to

ARMS = [(robot, e.name) for robot in ROBOTS for e in planner(robot).embodiment.end_effectors]


def reset(robot: str):
    expert = planner(robot)
    expert.set_world(world(robot, {}))
    return expert


def configurations(robot: str, name: str, count: int, spread: float):
    expert = reset(robot)
    arm = expert.arm(name)
    rest = np.array(arm.effector.rest)
    rng = np.random.default_rng(11)
    for _ in range(count):
        yield np.clip(rest + rng.uniform(-spread, spread, len(rest)), arm.lower, arm.upper)


@pytest.mark.parametrize(("robot", "name"), ARMS)
def test_fk_of_ik_is_the_pose(robot, name):
    expert = reset(robot)
    arm = expert.arm(name)
    solved = total = 0
    for q in configurations(robot, name, 40, 0.35):
        position, rotation = expert.grasp_frame(arm, q)
        found = expert.solve(arm, np.array(arm.effector.rest), position, rotation, iterations=60)
        total += 1
        if not found.within(1e-3, 1e-2):
            continue
        solved += 1
        p, r = expert.grasp_frame(arm, found.q)
        np.testing.assert_allclose(p, position, atol=1e-3)
        np.testing.assert_allclose(r, rotation, atol=1.1e-2)
        assert (found.q >= arm.lower).all() and (found.q <= arm.upper).all()
    assert solved >= 0.9 * total


@pytest.mark.parametrize("robot", ROBOTS)
def test_ik_by_pose_agrees_with_fk_by_driven_joints(robot):
    expert = reset(robot)
    arm = next(iter(expert.arms.values()))
    driven = expert.driven
    driven[arm.columns] = next(configurations(robot, arm.name, 1, 0.2))
    pose = expert.fk(arm.effector.site, driven)
    expert.set_driven(expert.home)
    q = expert.ik(arm.name, pose)
    assert q is not None
    driven = expert.home.copy()
    driven[arm.columns] = q
    again = expert.fk(arm.effector.site, driven)
    np.testing.assert_allclose(again.position, pose.position, atol=1.1e-3)
    np.testing.assert_allclose(matrix_from_quat(again.orientation), matrix_from_quat(pose.orientation), atol=1.1e-2)


def test_out_of_reach_is_none_and_unknown_arms_are_named():
    expert = reset("franka")
    assert expert.ik("arm", Pose.of((3.0, 0.0, 1.0))) is None
    with pytest.raises(UsageError, match="no end effector 'tail'"):
        expert.ik("tail", Pose())


@pytest.mark.parametrize("robot", ROBOTS)
def test_free_yaw_keeps_the_tool_point_and_the_tilt(robot):
    expert = reset(robot)
    arm = next(iter(expert.arms.values()))
    tool = np.array([0.08, 0.05, -0.01])
    solved = 0
    for q in configurations(robot, arm.name, 20, 0.25):
        position, rotation = expert.grasp_frame(arm, q)
        point = position + rotation @ tool
        found = expert.solve(arm, np.array(arm.effector.rest), point, rotation, tool=tool, free_yaw=True, iterations=60)
        if not found.within(1e-3, 1e-2):
            continue
        solved += 1
        p, r = expert.grasp_frame(arm, found.q)
        np.testing.assert_allclose(p + r @ tool, point, atol=1.1e-3)
        # Turning about the world's z leaves the height of every axis alone.
        np.testing.assert_allclose(r[2], rotation[2], atol=1.5e-2)
    assert solved >= 18


def test_turned_to_is_the_nearest_yaw():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = (matrix_from_quat(q / np.linalg.norm(q)) for q in rng.normal(size=(2, 4)))
        best = turned_to(a, b)
        np.testing.assert_allclose(best[2], a[2], atol=1e-12)

        def apart(r, b=b):
            return -np.trace(r @ b.T)

        for yaw in np.linspace(-3, 3, 61):
            c, s = np.cos(yaw), np.sin(yaw)
            assert apart(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ a) >= apart(best) - 1e-9


def test_the_pull_to_the_rest_posture_brings_redundant_arms_nearer_to_it():
    expert = reset("franka")
    arm = expert.arm("arm")
    rest = np.array(arm.effector.rest)
    nearer = 0
    for q in configurations("franka", "arm", 20, 0.5):
        position, rotation = expert.grasp_frame(arm, q)
        plain = expert.solve(arm, q + 0.05, position, rotation)
        pulled = expert.solve(arm, q + 0.05, position, rotation, posture=0.1)
        assert pulled.within(1e-3, 1e-2)
        nearer += np.linalg.norm(pulled.q - rest) <= np.linalg.norm(plain.q - rest) + 1e-6
    assert nearer >= 18
