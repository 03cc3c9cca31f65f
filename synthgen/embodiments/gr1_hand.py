"""The Fourier dexterous hand: eleven joints in the model, six values in the data; how it holds things.

The grasp tables are measured for the right hand; the left one's are their mirror image (see ``HandGrasp``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from synthgen.core.embodiment import Follower, Gains, HandGrasp, JointLimits
from synthgen.core.pose import Pose, quat_from_matrix
from synthgen.embodiments import build as b

Side = Literal["left", "right"]

# ---- to tune -------------------------------------------------------------------------------------------------------
# Values of a hand: little, ring, middle, index, thumb rotate, thumb bend; radians.
OPEN = (0.1, 0.1, 0.1, 0.1, 1.7, 0.1)
CLOSED = (1.1, 1.1, 1.1, 1.1, 1.7, 0.95)
# Intermediate joint per proximal joint. Fourier's URDF of the hand says 0.975; the measured grasps curl a bit more.
FINGER_RATIO = 1.1
THUMB_RATIO = 0.85  # thumb's distal joint per bend
GAIN = Gains(kp=4.0, kv=0.05, max_force=1.2)
DAMPING, ARMATURE, FRICTIONLOSS = 0.15, 0.003, 0.01
# kg. The published file gives every link 0.5 kg, 6.7 kg a hand.
PALM_MASS, LINK_MASS = 0.4, 0.02
COLOR = (0.09, 0.09, 0.1, 1.0)  # published as pure black, which shows no shape at all
# Metres, object centre in the grasp frame of the right hand, and so on: see HandGrasp.
RIGHT_GRASPS = (
    HandGrasp(
        shape="cylinder",
        girth=0.033,
        pitch=0.0,
        roll=0.15,
        center=(0.083, 0.063, 0.0),
        approach=(0.04, 0.10, 0.0),
        open=(0.1, 0.1, 0.1, 0.1, 1.7, 0.1),
        close=(1.1, 1.1, 1.1, 1.1, 1.7, 0.9),
    ),
    HandGrasp(
        shape="cylinder",
        girth=0.025,
        pitch=0.0,
        roll=0.1,
        center=(0.085, 0.056, 0.0),
        approach=(0.04, 0.10, 0.0),
        open=(0.1, 0.1, 0.1, 0.1, 1.7, 0.1),
        close=(1.15, 1.15, 1.15, 1.15, 1.7, 1.1),
    ),
    HandGrasp(
        shape="box",
        girth=0.025,
        pitch=-0.05,
        roll=0.35,
        center=(0.093, 0.055, -0.015),
        approach=(0.04, 0.10, 0.0),
        open=(0.05, 0.05, 0.05, 0.05, 1.6, 0.1),
        close=(1.15, 1.15, 1.15, 1.15, 1.6, 0.9),
    ),
)
# --------------------------------------------------------------------------------------------------------------------

FINGERS = (("little", "pinky"), ("ring", "ring"), ("middle", "middle"), ("index", "index"))
VALUES = ("little", "ring", "middle", "index", "thumb_rotate", "thumb_bend")
# The grasp frame's axes in the palm body's frame, as columns: fingers along -z, palm facing +y (left: -y).
_FRAME = {
    "right": np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]),
    "left": np.array([[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]]),
}
SITE = {s: Pose.of((0.0, 0.0, 0.0), quat_from_matrix(_FRAME[s])) for s in ("left", "right")}
# No speed figure of this hand is public: its URDF says 0. At this one it closes in about half a second.
LIMITS = JointLimits(velocity=3.0, acceleration=20.0)


def joints(side: Side) -> tuple[str, ...]:
    """The six driven joints, in data set order."""
    return tuple(f"{side}_hand_{v}" for v in VALUES)


def followers(side: Side) -> tuple[Follower, ...]:
    """The five joints that the hand's linkages move."""
    fingers = [
        Follower(joint=f"{side}_hand_{f}_intermediate", leader=f"{side}_hand_{f}", ratio=FINGER_RATIO)
        for f, _ in FINGERS
    ]
    thumb = Follower(joint=f"{side}_hand_thumb_distal", leader=f"{side}_hand_thumb_bend", ratio=THUMB_RATIO)
    return (*fingers, thumb)


def bodies(side: Side) -> tuple[str, ...]:
    """The bodies with geometry: palm, thumb and finger links."""
    links = ["palm", "thumb_base", "thumb_proximal", "thumb_distal"]
    links += [f"{f}_{part}" for f, _ in FINGERS for part in ("proximal", "intermediate")]
    return tuple(f"{side}_hand_{link}" for link in links)


def grasps(side: Side) -> tuple[HandGrasp, ...]:
    """The measured grasps; the left hand's are mirrored. Joint values are the same on both hands."""
    if side == "right":
        return RIGHT_GRASPS
    return tuple(b.mirrored(g, sign=(1.0,) * 6) for g in RIGHT_GRASPS)


def load(root: Path, side: Side) -> Any:
    """The hand as a spec of its own, its joints and bodies named without the ``right_hand_`` prefix.

    ``root``: the folder of the robosuite pack.
    """
    letter = side[0].upper()
    spec = b.load_mjcf(root / f"grippers/fourier_{side}_hand.xml")
    spec.delete(spec.body("eef"))
    b.rename_bodies(spec, {f"{side}_hand": "mount", f"{side[0]}_palm": "palm"})
    b.rename_bodies(
        spec,
        {
            f"{letter}_thumb_proximal_base_link": "thumb_base",
            f"{letter}_thumb_proximal_link": "thumb_proximal",
            f"{letter}_thumb_distal_link": "thumb_distal",
        },
    )
    b.rename_joints(
        spec,
        {
            f"{letter}_thumb_proximal_yaw_joint": "thumb_rotate",
            f"{letter}_thumb_proximal_pitch_joint": "thumb_bend",
            f"{letter}_thumb_distal_joint": "thumb_distal",
        },
    )
    for finger, source in FINGERS:
        for part in ("proximal", "intermediate"):
            spec.body(f"{letter}_{source}_{part}_link").name = f"{finger}_{part}"
        spec.joint(f"{letter}_{source}_proximal_joint").name = finger
        spec.joint(f"{letter}_{source}_intermediate_joint").name = f"{finger}_intermediate"
    for joint in spec.joints:
        b.set_dynamics(joint, damping=DAMPING, armature=ARMATURE, frictionloss=FRICTIONLOSS)
    for material in spec.materials:
        material.rgba = COLOR
    for geom in spec.geoms:
        if geom.contype or geom.conaffinity:
            geom.mass = PALM_MASS if geom.parent.name == "palm" else LINK_MASS
        else:
            geom.mass = 0.0
    return spec
