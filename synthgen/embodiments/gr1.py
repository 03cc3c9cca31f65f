"""Fourier GR-1 (GR1T2) with Fourier hands: the model that GR00T N1's simulated data used, laid out like its data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.core.embodiment import Embodiment, EndEffector, Gains, JointGroup, JointLimits
from synthgen.core.pose import Pose
from synthgen.core.scene import Camera
from synthgen.embodiments import build as b
from synthgen.embodiments import gr1_hand as hand

# ---- to tune -------------------------------------------------------------------------------------------------------
# The pelvis 15 cm behind the table's near edge and 2 cm below its surface (grasps were measured there).
BASE = Pose.of((-0.15, 0.0, -0.02))
WAIST_HOME = (0.0, 0.05, 0.0)  # yaw, pitch, roll
NECK_HOME = (0.0, 0.0, 0.26)  # yaw, roll, pitch: looking down
# Right arm: shoulder pitch, roll, yaw, elbow pitch, wrist yaw, roll, pitch. The left arm mirrors it.
# At home the hands wait in view, 18 cm above the table: higher than the things that are put under them.
ARM_HOME = (0.05, -0.44, -0.17, -1.84, -0.33, 0.32, -0.13)
ARM_REST = (-0.3, -0.3, 0.0, -1.4, 0.0, 0.0, 0.0)
WEIGHTS = (0.3, 0.3, 0.3, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)  # waist, then arm
ARM_GAIN = Gains(kp=2000.0, kv=80.0)
WAIST_GAIN = Gains(kp=2000.0, kv=80.0)
NECK_GAIN = Gains(kp=500.0, kv=20.0)
ARM_ARMATURE = 0.05
# In the frame of the head's last link, which looks 0.31 rad down at home: in front of the forehead, 0.56 m above the
# table. It sees table x 0.1-0.5 m, y +-0.35 m from the mount, objects of 12 cm and both hands.
EGO_EYE, EGO_PITCH = (0.14, 0.0, 0.14), 0.86
EGO_FOVY = 90.0
# Boxes instead of the published colliders, which are far smaller than the robot: centre and half size, metres.
COLLIDERS = {
    "whole_body": ((-0.037, 0.0, -0.039), (0.111, 0.172, 0.086)),
    "torso_waist_pitch": ((0.0, 0.0, 0.04), (0.05, 0.05, 0.08)),
    "torso_waist_roll": ((-0.012, 0.0, 0.125), (0.13, 0.11, 0.155)),
    "head_pitch": ((0.016, 0.0, 0.125), (0.10, 0.075, 0.09)),
    **{f"{s}_upper_arm_pitch": ((0.0, m * 0.051, 0.0), (0.037, 0.053, 0.037)) for s, m in (("l", 1), ("r", -1))},
    **{f"{s}_upper_arm_yaw": ((0.0, 0.0, -0.107), (0.032, 0.033, 0.109)) for s in "lr"},
    **{f"{s}_lower_arm_pitch": ((0.0, m * 0.007, -0.011), (0.02, 0.027, 0.031)) for s, m in (("l", 1), ("r", -1))},
    **{f"{s}_hand_yaw": ((0.0, 0.0, -0.09), (0.034, 0.035, 0.085)) for s in "lr"},
}
# How the legs stand (hip roll, yaw, pitch, knee, ankle pitch, roll); seen only. The soles are 0.90 m below the table's
# surface, level, under the hips.
LEG_POSE = (0.0, 0.0, -0.448, 0.9245, -0.4765, 0.0)
# --------------------------------------------------------------------------------------------------------------------

SIDES: tuple[hand.Side, ...] = ("left", "right")
_ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow_pitch", "wrist_yaw", "wrist_roll", "wrist_pitch")
_LEG = ("hip_roll", "hip_yaw", "hip_pitch", "knee_pitch", "ankle_pitch", "ankle_roll")
_MIRROR = (1.0, -1.0, -1.0, 1.0, -1.0, -1.0, 1.0)  # left value = sign * right value
ARMS = {s: tuple(f"{s}_{j}" for j in _ARM) for s in SIDES}
LEGS = {s: tuple(f"{s}_{j}" for j in _LEG) for s in SIDES}
WAIST = ("waist_yaw", "waist_pitch", "waist_roll")
NECK = ("neck_yaw", "neck_roll", "neck_pitch")
# Fourier's URDF of the GR1T2 (Wiki-GRx-Models) allows 9.11 rad/s at shoulder pitch and roll, 7.33 at shoulder yaw and
# elbow, 24 to 28 at the wrist, 16.76 at the waist. A third of the slowest, for the pace of its demonstrations; no
# accelerations are published.
ARM_LIMITS = JointLimits(velocity=2.5, acceleration=10.0)
WAIST_LIMITS = JointLimits(velocity=1.0, acceleration=4.0)


def _side(right: tuple[float, ...], side: str) -> tuple[float, ...]:
    """Arm values of a side, given the right arm's."""
    return right if side == "right" else tuple(m * q for m, q in zip(_MIRROR, right, strict=True))


def build(asset_root_of: Callable[[str], Any]) -> Any:
    """The robot with its pelvis at the origin, x forward, z up. See ``Embodiment.build``."""
    root = Path(asset_root_of("robosuite"))
    spec = b.load_mjcf(root / "robots/gr1/robot.xml")
    spec.modelname = "gr1"
    b.replace_colliders(spec, COLLIDERS)
    for side in SIDES:
        letter = side[0]
        b.freeze(spec, {f"{letter}_leg_{j}": q for j, q in zip(_LEG, LEG_POSE, strict=True)})
        b.rename_joints(spec, {f"{letter}_{j}": f"{side}_{j}" for j in _ARM})
        b.attach_hand(spec, f"{side}_eef", hand.load(root, side), f"{side}_hand_")
    b.rename_joints(spec, {f"torso_{j}": j for j in WAIST})
    b.rename_joints(spec, {j.replace("neck", "head"): j for j in NECK})
    b.apply_conventions(spec, hand_bodies=(*hand.bodies("left"), *hand.bodies("right")))
    for name in (*ARMS["left"], *ARMS["right"], *WAIST, *NECK):
        b.set_dynamics(spec.joint(name), damping=0.0, armature=ARM_ARMATURE)
    for side in SIDES:
        b.add_site(spec, f"{side}_grasp", f"{side}_hand_palm", hand.SITE[side])
    b.add_position_actuators(spec, GR1.gains)
    return spec


def _end_effector(side: hand.Side) -> EndEffector:
    return EndEffector(
        name=side,
        kind="multi_finger",
        site=f"{side}_grasp",
        arm_joints=(*WAIST, *ARMS[side]),
        hand_joints=hand.joints(side),
        hand_bodies=hand.bodies(side),
        rest=(*WAIST_HOME, *_side(ARM_REST, side)),
        weights=WEIGHTS,
        open=hand.OPEN,
        close=hand.CLOSED,
        grasps=hand.grasps(side),
        max_width=0.08,
    )


def _home() -> dict[str, float]:
    home = {**dict(zip(WAIST, WAIST_HOME, strict=True)), **dict(zip(NECK, NECK_HOME, strict=True))}
    for side in SIDES:
        home.update(zip(ARMS[side], _side(ARM_HOME, side), strict=True))
        home.update(zip(hand.joints(side), hand.OPEN, strict=True))
    return home


def _fingers() -> tuple[str, ...]:
    return tuple(j for s in SIDES for j in (*hand.joints(s), *(f.joint for f in hand.followers(s))))


GR1 = Embodiment(
    name="gr1",
    title="Fourier GR-1 with Fourier hands",
    gr00t_tag="gr1",
    groups=(
        JointGroup(name="left_arm", joints=ARMS["left"]),
        JointGroup(name="left_hand", joints=hand.joints("left")),
        JointGroup(name="left_leg", joints=LEGS["left"]),
        JointGroup(name="neck", joints=NECK),
        JointGroup(name="right_arm", joints=ARMS["right"]),
        JointGroup(name="right_hand", joints=hand.joints("right")),
        JointGroup(name="right_leg", joints=LEGS["right"]),
        JointGroup(name="waist", joints=WAIST),
    ),
    constants={j: q for s in SIDES for j, q in zip(LEGS[s], LEG_POSE, strict=True)},
    followers=(*hand.followers("left"), *hand.followers("right")),
    end_effectors=(_end_effector("right"), _end_effector("left")),
    home=_home(),
    cameras=(
        Camera(
            name="ego_view", parent="head_pitch", pose=b.look_down(EGO_EYE, EGO_PITCH), fovy=float(np.radians(EGO_FOVY))
        ),
    ),
    gains={
        **{j: ARM_GAIN for s in SIDES for j in ARMS[s]},
        **{j: WAIST_GAIN for j in WAIST},
        **{j: NECK_GAIN for j in NECK},
        **{j: hand.GAIN for j in _fingers()},
    },
    limits={
        **{j: ARM_LIMITS for s in SIDES for j in ARMS[s]},
        **{j: WAIST_LIMITS for j in (*WAIST, *NECK)},
        **{j: hand.LIMITS for s in SIDES for j in hand.joints(s)},
    },
    base=BASE,
    contact_bodies=(
        *(body for s in SIDES for body in hand.bodies(s)),
        *(f"{s[0]}_{body}" for s in SIDES for body in ("lower_arm_pitch", "hand_yaw")),
    ),
    timestep=0.002,
    build=build,
    packs=("robosuite",),
    licence="MIT (robosuite 1.5.2 wheel; the GR-1 and Fourier hand meshes carry no licence of their own in it)",
)
