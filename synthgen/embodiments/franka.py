"""Franka Emika Panda with its parallel gripper, laid out like Isaac-GR00T's DROID data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.core.embodiment import Embodiment, EndEffector, Follower, Gains, JointGroup, JointLimits
from synthgen.core.pose import Pose, quat_from_axis_angle
from synthgen.core.scene import Camera
from synthgen.embodiments import build as b

# ---- to tune -------------------------------------------------------------------------------------------------------
# Base behind the table's near edge, so that the comfortable ring (0.35-0.65 m from the base) covers the table.
BASE = Pose.of((-0.22, 0.0, 0.0))
# Gripper pointing down, 0.40 m in front of the base and 0.28 m above it.
HOME = (0.0, -0.40, 0.0, -2.35, 0.0, 1.95, 0.785398)
OPEN, CLOSED = 0.04, 0.0
# kp, kv: stiff enough to follow within 1 mm, as MuJoCo Menagerie's panda.xml; force limits are Franka's torques.
ARM_GAINS = ((4500, 450, 87),) * 2 + ((3500, 350, 87),) * 2 + ((2000, 200, 12),) * 3
# A finger: at most 30 N (the hand's rated continuous grasp force is 70 N); 0.3 kg needs 3 N at friction 1.
FINGER_GAIN = Gains(kp=1500.0, kv=60.0, max_force=30.0)
FINGER_DAMPING, FINGER_ARMATURE = 8.0, 0.1
# In the hand's frame (x along the opening, z to the tips): beside the hand, on the side away from the base.
WRIST_CAMERA = b.look_at((0.0, 0.07, 0.055), (0.0, 0.02, 0.17), up=(0.0, 1.0, 0.0))
WRIST_FOVY = 80.0
PEDESTAL = (0.11, 0.11, 0.45)  # half size, metres: seen only; tables are 0.9 m high
# --------------------------------------------------------------------------------------------------------------------

ARM = tuple(f"panda_joint{i}" for i in range(1, 8))
FINGER, OTHER_FINGER = "panda_finger_joint1", "panda_finger_joint2"
HAND_BODIES = ("panda_hand", "panda_leftfinger", "panda_rightfinger")
# Franka's FCI documentation, limits for Panda: joint velocity rad/s, and half the accelerations rad/s2, so that planned
# motions stay well inside. A finger: franka_description's URDF allows 0.2 m/s; half of that.
VELOCITY = (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61)
ACCELERATION = (7.5, 3.75, 5.0, 6.25, 7.5, 10.0, 10.0)

# The finger in its own frame (z from the hand to the tip, y the way it opens): a tip that holds, and the link above.
_TIP = dict(pos=(0.0, 0.0071, 0.0447), size=(0.0088, 0.0072, 0.0092))
_LINK = dict(pos=(0.0, 0.0144, 0.0178), size=(0.0105, 0.0119, 0.0178))
PAD_HEIGHT = 0.0971  # metres from the hand's flange to the middle of the tips
FINGER_DEPTH = 0.0092


def build(asset_root_of: Callable[[str], Any]) -> Any:
    """The arm on its base, joint 1's axis through the origin, the flange plane at z = 0. See ``Embodiment.build``."""
    root = Path(asset_root_of("robosuite"))
    spec = b.load_mjcf(root / "robots/panda/robot.xml")
    b.rename_joints(spec, {f"joint{i}": name for i, name in enumerate(ARM, 1)})
    b.rename_bodies(spec, {"base": "panda_base", **{f"link{i}": f"panda_link{i}" for i in range(8)}})
    b.rename_bodies(spec, {"right_hand": "panda_flange"})
    b.attach_hand(spec, "panda_flange", _gripper(root), "panda_")
    spec.modelname = "franka"
    b.add_stand(spec, "panda_base", (-0.04, 0.0, -PEDESTAL[2]), PEDESTAL)
    b.apply_conventions(spec, hand_bodies=HAND_BODIES)
    for name in ARM:
        b.set_dynamics(spec.joint(name), damping=1.0, armature=0.1)
    for name in (FINGER, OTHER_FINGER):
        b.set_dynamics(spec.joint(name), damping=FINGER_DAMPING, armature=FINGER_ARMATURE)
    # z along the approach, y along the opening: the hand's x turned onto y.
    turned = quat_from_axis_angle((0.0, 0.0, 1.0), np.pi / 2)
    b.add_site(spec, "grasp", "panda_hand", Pose.of((0.0, 0.0, PAD_HEIGHT), turned))
    b.add_position_actuators(spec, FRANKA.gains)
    return spec


def _gripper(root: Path) -> Any:
    """The gripper with box fingers: one flat tip and one link each, instead of overlapping mesh hulls and pads."""
    import mujoco

    spec = b.load_mjcf(root / "grippers/panda_gripper.xml")
    for tip in ("finger_joint1_tip", "finger_joint2_tip"):
        spec.delete(spec.body(tip))
    for name, side in (("leftfinger", 1.0), ("rightfinger", -1.0)):
        body = spec.body(name)
        for geom in list(body.geoms):
            if geom.contype or geom.conaffinity:
                spec.delete(geom)
        for part in (_TIP, _LINK):
            x, y, z = part["pos"]
            body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=(x, side * y, z), size=part["size"], mass=0.0)
    spec.delete(spec.body("eef"))
    b.rename_bodies(spec, {"right_gripper": "hand"})
    return spec


FRANKA = Embodiment(
    name="franka",
    title="Franka Emika Panda with parallel gripper",
    gr00t_tag="oxe_droid",
    groups=(
        JointGroup(name="joint_position", joints=ARM),
        JointGroup(name="gripper_position", joints=(FINGER,)),
    ),
    followers=(Follower(joint=OTHER_FINGER, leader=FINGER, ratio=-1.0),),
    end_effectors=(
        EndEffector(
            name="arm",
            kind="parallel_jaw",
            site="grasp",
            arm_joints=ARM,
            hand_joints=(FINGER,),
            hand_bodies=HAND_BODIES,
            rest=HOME,
            weights=(1.0,) * 7,
            open=(OPEN,),
            close=(CLOSED,),
            max_width=0.078,
            finger_depth=FINGER_DEPTH,
        ),
    ),
    home={**dict(zip(ARM, HOME, strict=True)), FINGER: OPEN},
    cameras=(Camera(name="wrist", parent="panda_hand", pose=WRIST_CAMERA, fovy=float(np.radians(WRIST_FOVY))),),
    gains={
        **{j: Gains(kp=float(p), kv=float(v), max_force=float(f)) for j, (p, v, f) in zip(ARM, ARM_GAINS, strict=True)},
        FINGER: FINGER_GAIN,
        OTHER_FINGER: FINGER_GAIN,
    },
    limits={
        **{j: JointLimits(velocity=v, acceleration=a) for j, v, a in zip(ARM, VELOCITY, ACCELERATION, strict=True)},
        FINGER: JointLimits(velocity=0.1, acceleration=1.0),
    },
    base=BASE,
    contact_bodies=(*HAND_BODIES, "panda_link7", "panda_link6", "panda_link5"),
    timestep=0.002,
    build=build,
    packs=("robosuite",),
    licence="MIT (robosuite 1.5.2 wheel; the Panda meshes carry no licence of their own in it)",
)
