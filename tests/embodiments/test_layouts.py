"""The data set layouts that Isaac-GR00T uses, and what the head cameras see."""

import numpy as np
import pytest

from synthgen.embodiments.assets import AssetStore
from synthgen.embodiments.registry import load
from synthgen.testing.embodiment_rig import Rig

GR1 = {
    "left_arm": (0, 7),
    "left_hand": (7, 13),
    "left_leg": (13, 19),
    "neck": (19, 22),
    "right_arm": (22, 29),
    "right_hand": (29, 35),
    "right_leg": (35, 41),
    "waist": (41, 44),
}
G1 = {
    "left_leg": (0, 6),
    "right_leg": (6, 12),
    "waist": (12, 15),
    "left_arm": (15, 22),
    "left_hand": (22, 29),
    "right_arm": (29, 36),
    "right_hand": (36, 43),
}
FRANKA = {"joint_position": (0, 7), "gripper_position": (7, 8)}


@pytest.mark.parametrize(
    ("name", "tag", "slices"), [("gr1", "gr1", GR1), ("g1", "unitree_g1", G1), ("franka", "oxe_droid", FRANKA)]
)
def test_groups_are_groots(name, tag, slices):
    robot = load(name)
    assert robot.group_slices() == slices
    assert list(robot.group_slices()) == list(slices)
    assert robot.gr00t_tag == tag


def test_gr1_inner_order():
    groups = {g.name: g.joints for g in load("gr1").groups}
    arm = ["shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow_pitch", "wrist_yaw", "wrist_roll", "wrist_pitch"]
    hand = ["little", "ring", "middle", "index", "thumb_rotate", "thumb_bend"]
    for side in ("left", "right"):
        assert groups[f"{side}_arm"] == tuple(f"{side}_{j}" for j in arm)
        assert groups[f"{side}_hand"] == tuple(f"{side}_hand_{j}" for j in hand)
    assert groups["waist"] == ("waist_yaw", "waist_pitch", "waist_roll")


def test_g1_inner_order():
    groups = {g.name: g.joints for g in load("g1").groups}
    arm = ["shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw"]
    hand = ["thumb_0", "thumb_1", "thumb_2", "middle_0", "middle_1", "index_0", "index_1"]
    for side in ("left", "right"):
        assert groups[f"{side}_arm"] == tuple(f"{side}_{j}_joint" for j in arm)
        assert groups[f"{side}_hand"] == tuple(f"{side}_hand_{j}_joint" for j in hand)
    assert groups["waist"] == ("waist_yaw_joint", "waist_roll_joint", "waist_pitch_joint")


@pytest.mark.parametrize("name", ["gr1", "g1"])
def test_ego_view_sees_the_work(name):
    """Table x 0.1 to 0.5, y +-0.35 of the mount, up to 10 cm high, is in a square picture; so are both finger tips."""
    robot = load(name)
    rig = Rig.build(robot, AssetStore().root, base=robot.base)
    rig.set(robot.expand(robot.home_targets()))
    camera = next(c for c in robot.cameras if c.name == "ego_view")
    at, turn = rig.body(camera.parent)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, at
    to_camera = np.linalg.inv(pose @ camera.pose.matrix())
    points = [(x, y, z) for x in (0.1, 0.5) for y in (-0.35, 0.35) for z in (0.0, 0.1)]
    tips = {"gr1": "hand_middle_intermediate", "g1": "hand_middle_1"}[name]
    points += [rig.body(f"{side}_{tips}")[0] for side in ("left", "right")]
    for point in points:
        x, y, z = (to_camera @ [*point, 1.0])[:3]
        assert z < 0
        assert max(abs(x), abs(y)) / -z < np.tan(camera.fovy / 2), point


@pytest.mark.parametrize("name", ["gr1", "g1"])
def test_home_hands_wait_beside_the_work(name):
    """Over the table's near edge, more than 5 cm above it, mirrored, to the sides."""
    robot = load(name)
    rig = Rig.build(robot, AssetStore().root, base=robot.base)
    rig.set(robot.expand(robot.home_targets()))
    right, left = rig.site("right_grasp")[0], rig.site("left_grasp")[0]
    assert np.allclose(left, right * [1, -1, 1], atol=2e-3)
    assert -0.1 < right[0] < 0.2
    assert right[1] < -0.25
    assert 0.05 < right[2] < 0.3
