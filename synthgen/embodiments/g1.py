"""Unitree G1 with three-finger hands, laid out like Isaac-GR00T's ``unitree_g1`` (29 body joints, 14 hand joints).

The published model is the early G1: arms of five joints and one waist joint. The data set's wrist pitch, wrist yaw,
waist roll and waist pitch are constants, as are the legs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.core.embodiment import Embodiment, EndEffector, Gains, JointGroup, JointLimits
from synthgen.core.pose import Pose
from synthgen.core.scene import Camera
from synthgen.embodiments import build as b
from synthgen.embodiments import g1_hand as hand

# ---- to tune -------------------------------------------------------------------------------------------------------
# Standing 15 cm behind the table's near edge; the model's origin (its soles) 0.83 m below the surface, which puts the
# pelvis 7.5 cm below it: the elbow barely bends past level, so carrying something over a bin's rim needs the height.
BASE = Pose.of((-0.15, 0.0, -0.83))
WAIST_HOME = 0.0
# Right arm: shoulder pitch, roll, yaw, elbow, wrist roll. The left arm mirrors it. At home the hands wait in
# view, 18 cm above the table: higher than the things that are put under them.
ARM_HOME = (-0.5, -0.95, -0.05, -0.12, 0.84)
ARM_REST = (0.2, -0.2, 0.0, 0.0, 0.0)
WEIGHTS = (0.6, 1.0, 1.0, 1.0, 1.0, 1.0)  # waist, then arm
ARM_GAIN = Gains(kp=1000.0, kv=60.0)
WAIST_GAIN = Gains(kp=1000.0, kv=60.0)
ARM_ARMATURE = 0.1
# In the torso's frame (at the pelvis): at the forehead, 0.38 m above the table. The table is close and the robot is
# small: seeing table x 0.1-0.5 m, y +-0.35 m from the mount takes a wide lens.
EGO_EYE, EGO_PITCH = (0.08, 0.0, 0.495), 0.96
EGO_FOVY = 95.0
# How the legs stand (hip pitch, roll, yaw, knee, ankle pitch, roll); seen only.
LEG_POSE = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
STAND = (0.22, 0.2, 0.02)  # half size, metres, of what it stands on: tables are 0.9 m high; seen only
# --------------------------------------------------------------------------------------------------------------------

SIDES: tuple[hand.Side, ...] = ("left", "right")
_ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll")
_ARM_MODEL = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow_pitch", "elbow_roll")
_ARM_MISSING = ("wrist_pitch", "wrist_yaw")
_LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
_MIRROR = (1.0, -1.0, -1.0, 1.0, -1.0)  # left value = sign * right value
ARMS = {s: tuple(f"{s}_{j}_joint" for j in _ARM) for s in SIDES}
MISSING = {s: tuple(f"{s}_{j}_joint" for j in _ARM_MISSING) for s in SIDES}
LEGS = {s: tuple(f"{s}_{j}_joint" for j in _LEG) for s in SIDES}
WAIST = "waist_yaw_joint"
WAIST_MISSING = ("waist_roll_joint", "waist_pitch_joint")
# Unitree's URDF (g1_29dof) allows 37 rad/s at shoulder and elbow: bare motor speeds. Manipulation here goes at the
# pace of a careful teleoperator; no accelerations are published.
ARM_LIMITS = JointLimits(velocity=2.5, acceleration=10.0)
WAIST_LIMITS = JointLimits(velocity=1.0, acceleration=4.0)


def _side(right: tuple[float, ...], side: str) -> tuple[float, ...]:
    """Arm values of a side, given the right arm's."""
    return right if side == "right" else tuple(m * q for m, q in zip(_MIRROR, right, strict=True))


def build(asset_root_of: Callable[[str], Any]) -> Any:
    """The robot standing on the plane z = 0 at the origin, x forward. See ``Embodiment.build``."""
    root = Path(asset_root_of("robosuite-models"))
    spec = b.load_mjcf(root / "robots/g1/robot.xml")
    spec.modelname = "g1"
    for side in SIDES:
        letter = side[0]
        b.freeze(spec, {f"{letter}_leg_{j}_joint": q for j, q in zip(_LEG, LEG_POSE, strict=True)})
        b.rename_joints(spec, {f"{letter}_{m}_joint": j for m, j in zip(_ARM_MODEL, ARMS[side], strict=True)})
        b.attach_hand(spec, f"{side}_eef", hand.load(root, side), f"{side}_hand_")
    b.rename_joints(spec, {"torso_joint": WAIST})
    b.add_stand(spec, "base", (0.04, 0.0, -STAND[2]), STAND)
    b.apply_conventions(spec, hand_bodies=(*hand.bodies("left"), *hand.bodies("right")))
    for name in (*ARMS["left"], *ARMS["right"], WAIST):
        b.set_dynamics(spec.joint(name), damping=0.0, armature=ARM_ARMATURE)
    for side in SIDES:
        b.add_site(spec, f"{side}_grasp", f"{side}_hand_palm", hand.SITE[side])
    b.add_position_actuators(spec, G1.gains)
    return spec


def _end_effector(side: hand.Side) -> EndEffector:
    return EndEffector(
        name=side,
        kind="multi_finger",
        site=f"{side}_grasp",
        arm_joints=(WAIST, *ARMS[side]),
        hand_joints=hand.joints(side),
        hand_bodies=hand.bodies(side),
        rest=(WAIST_HOME, *_side(ARM_REST, side)),
        weights=WEIGHTS,
        open=hand.values(hand.OPEN, side),
        close=hand.values(hand.CLOSED, side),
        grasps=hand.grasps(side),
        max_width=0.08,
    )


def _home() -> dict[str, float]:
    home = {WAIST: WAIST_HOME}
    for side in SIDES:
        home.update(zip(ARMS[side], _side(ARM_HOME, side), strict=True))
        home.update(zip(hand.joints(side), hand.values(hand.OPEN, side), strict=True))
    return home


G1 = Embodiment(
    name="g1",
    title="Unitree G1 with three-finger hands",
    gr00t_tag="unitree_g1",
    groups=(
        JointGroup(name="left_leg", joints=LEGS["left"]),
        JointGroup(name="right_leg", joints=LEGS["right"]),
        JointGroup(name="waist", joints=(WAIST, *WAIST_MISSING)),
        JointGroup(name="left_arm", joints=(*ARMS["left"], *MISSING["left"])),
        JointGroup(name="left_hand", joints=hand.joints("left")),
        JointGroup(name="right_arm", joints=(*ARMS["right"], *MISSING["right"])),
        JointGroup(name="right_hand", joints=hand.joints("right")),
    ),
    constants={
        **{j: q for s in SIDES for j, q in zip(LEGS[s], LEG_POSE, strict=True)},
        **{j: 0.0 for j in (*WAIST_MISSING, *MISSING["left"], *MISSING["right"])},
    },
    end_effectors=(_end_effector("right"), _end_effector("left")),
    home=_home(),
    cameras=(
        Camera(
            name="ego_view", parent="torso_link", pose=b.look_down(EGO_EYE, EGO_PITCH), fovy=float(np.radians(EGO_FOVY))
        ),
    ),
    gains={
        WAIST: WAIST_GAIN,
        **{j: ARM_GAIN for s in SIDES for j in ARMS[s]},
        **{j: hand.GAIN for s in SIDES for j in hand.joints(s)},
    },
    limits={
        WAIST: WAIST_LIMITS,
        **{j: ARM_LIMITS for s in SIDES for j in ARMS[s]},
        **{j: hand.LIMITS for s in SIDES for j in hand.joints(s)},
    },
    base=BASE,
    contact_bodies=(
        *(body for s in SIDES for body in hand.bodies(s)),
        *(f"{s[0]}_{body}" for s in SIDES for body in ("elbow_pitch_link", "elbow_roll_link")),
    ),
    timestep=0.002,
    build=build,
    packs=("robosuite-models",),
    licence="MIT (robosuite-models 1.0.0 wheel; the G1 and hand meshes carry no licence of their own in it)",
)
