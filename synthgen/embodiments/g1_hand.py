"""Unitree's three-finger hand (Dex3-1): seven joints, all of them in the data; how it holds things.

The grasp tables are measured for the right hand; the left one's are their mirror image (see ``HandGrasp``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from synthgen.core.embodiment import Gains, HandGrasp, JointLimits
from synthgen.core.pose import Pose
from synthgen.embodiments import build as b

Side = Literal["left", "right"]

# ---- to tune -------------------------------------------------------------------------------------------------------
# Values of the right hand: thumb 0, 1, 2, middle 0, 1, index 0, 1; radians.
OPEN = (0.0, 0.65, 0.0, 0.15, 0.0, 0.15, 0.0)
CLOSED = (0.0, -0.55, -0.8, 1.2, 1.25, 1.2, 1.25)
GAIN = Gains(kp=4.0, kv=0.05, max_force=1.5)
DAMPING, ARMATURE, FRICTIONLOSS = 0.15, 0.003, 0.01
RIGHT_GRASPS = (
    HandGrasp(
        shape="cylinder",
        girth=0.033,
        pitch=0.0,
        roll=0.0,
        center=(0.074, 0.060, 0.0),
        approach=(0.06, 0.10, 0.0),
        open=(0.0, 0.6, 0.0, 0.15, 0.0, 0.15, 0.0),
        close=(0.0, -0.55, -0.8, 1.15, 1.4, 1.15, 1.4),
    ),
    HandGrasp(
        shape="cylinder",
        girth=0.025,
        pitch=0.0,
        roll=0.0,
        center=(0.076, 0.046, 0.0),
        approach=(0.06, 0.10, 0.0),
        open=(0.0, 0.9, 0.0, 0.1, 0.0, 0.1, 0.0),
        close=(0.0, -0.5, -0.8, 1.35, 1.05, 1.35, 1.05),
    ),
    HandGrasp(
        shape="box",
        girth=0.025,
        pitch=0.05,
        roll=0.35,
        center=(0.085, 0.054, -0.022),
        approach=(0.05, 0.10, 0.0),
        open=(0.0, 0.65, 0.0, 0.15, 0.0, 0.15, 0.0),
        close=(0.0, -0.6, -0.85, 1.2, 1.25, 1.2, 1.25),
    ),
)
# --------------------------------------------------------------------------------------------------------------------

# Data set order, as in Unitree's Dex3-1 interface, and the model's names for the links. On a right hand held with
# the fingers forward and the palm to the left, the index finger is the upper one.
VALUES = ("thumb_0", "thumb_1", "thumb_2", "middle_0", "middle_1", "index_0", "index_1")
_MODEL = ("zero", "one", "two", "five", "six", "three", "four")
# Only the thumb's first joint turns about an axis in the mirror plane's normal and keeps its sign.
MIRROR = (1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0)
# x is along the fingers in the published palm frame; y is out of the right palm and into the left one.
SITE = {"right": Pose.of(), "left": Pose.of((0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0))}
# Unitree's URDF (g1_29dof_with_hand): 12 rad/s, thumb 0 6.9 rad/s; a quarter of it, so that contacts are gentle.
LIMITS = JointLimits(velocity=3.0, acceleration=20.0)


def joints(side: Side) -> tuple[str, ...]:
    """The seven joints, in data set order."""
    return tuple(f"{side}_hand_{v}_joint" for v in VALUES)


def bodies(side: Side) -> tuple[str, ...]:
    """The palm and the finger links."""
    return tuple(f"{side}_hand_{link}" for link in ("palm", *VALUES))


def values(right: tuple[float, ...], side: Side) -> tuple[float, ...]:
    """Hand joint values of a side, given the right hand's."""
    return right if side == "right" else tuple(m * q for m, q in zip(MIRROR, right, strict=True))


def grasps(side: Side) -> tuple[HandGrasp, ...]:
    """The measured grasps; the left hand's are mirrored."""
    return RIGHT_GRASPS if side == "right" else tuple(b.mirrored(g, sign=MIRROR) for g in RIGHT_GRASPS)


def load(root: Path, side: Side) -> Any:
    """The hand as a spec of its own, its joints and bodies named without the ``right_hand_`` prefix.

    ``root``: the folder of the robosuite-models pack.
    """
    spec = b.load_mjcf(root / f"grippers/g1_three_finger_{side}_gripper.xml")
    spec.delete(spec.body("eef"))
    b.rename_bodies(spec, {f"{side}_hand": "palm"})
    for value, model in zip(VALUES, _MODEL, strict=True):
        spec.body(f"{side[0]}_{model}_link").name = value
        spec.joint(f"{side[0]}_{model}_joint").name = f"{value}_joint"
    for joint in spec.joints:
        b.set_dynamics(joint, damping=DAMPING, armature=ARMATURE, frictionloss=FRICTIONLOSS)
    return spec
