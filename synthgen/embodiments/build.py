"""Turning a published MJCF into a robot of ours: fixed base, our names, our collision convention, our actuators.

The collision convention of every built robot (and what a simulator may rely on):

* Colliders are in geom group 3 with contype 2 and conaffinity 1, so that they meet the world (contype 1,
  conaffinity 3) and never another part of the robot.
* Visuals are in geom group 2 with contype and conaffinity 0.
* All colliders of torso, arms and hands are kept, for planning. In the physics only those of
  ``Embodiment.contact_bodies`` matter: a simulator switches the others off in its own copy.

Cameras are not in the spec: a simulator adds them from ``Embodiment.cameras``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.core.embodiment import Gains, HandGrasp
from synthgen.core.errors import AssetError
from synthgen.core.pose import Pose, quat_from_axis_angle, quat_from_matrix, quat_mul

Vector = tuple[float, float, float]

VISUAL_GROUP = 2
COLLIDER_GROUP = 3
ROBOT_CONTYPE, ROBOT_CONAFFINITY = 2, 1

# Contacts of hands: soft enough for a finger pad, sticky enough to hold without noslip (measured grasps).
HAND_FRICTION = (1.0, 0.02, 1e-4)
HAND_SOLREF = (0.008, 1.0)
HAND_SOLIMP = (0.95, 0.99, 0.001, 0.5, 2.0)


def load_mjcf(path: Path) -> Any:
    """A ``mujoco.MjSpec`` of the bodies, joints, geoms and meshes only: no actuators, sensors, sites, cameras, lights.

    Raises:
        AssetError: the file is missing or MuJoCo cannot read it.
    """
    import mujoco

    try:
        spec = mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise AssetError(f"{path}: MuJoCo cannot read it: {error}", remedy="run 'synthgen assets fetch'") from error
    for kind in ("actuators", "sensors", "sites", "cameras", "lights", "keys", "excludes"):
        for thing in list(getattr(spec, kind)):
            spec.delete(thing)
    for texture in list(spec.textures):  # the files' skies and floors; no robot part is textured
        spec.delete(texture)
    for material in list(spec.materials):
        for i in range(len(material.textures)):
            material.textures[i] = ""
    for geom in list(spec.geoms):
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            spec.delete(geom)
    for joint in list(spec.joints):
        if joint.type == mujoco.mjtJoint.mjJNT_FREE:
            spec.delete(joint)
    return spec


def attach_hand(spec: Any, body: str, hand: Any, prefix: str) -> None:
    """Hang a hand's first body on ``body``; all its names get ``prefix``."""
    spec.body(body).add_frame().attach_body(hand.worldbody.first_body(), prefix, "")


def rename_bodies(spec: Any, names: Mapping[str, str]) -> None:
    """Rename bodies, old name -> new name."""
    for old, new in names.items():
        spec.body(old).name = new


def rename_joints(spec: Any, names: Mapping[str, str]) -> None:
    """Rename joints, old name -> new name."""
    for old, new in names.items():
        spec.joint(old).name = new


def freeze(spec: Any, angles: Mapping[str, float]) -> None:
    """Replace hinge joints through their bodies' origins by a fixed rotation, radians; colliders of those bodies go.

    Used for legs: they stand there to be seen, and cost the physics nothing.
    """
    for name, angle in angles.items():
        joint = spec.joint(name)
        body = joint.parent
        body.quat = quat_mul(np.array(body.quat), quat_from_axis_angle(np.array(joint.axis), angle))
        spec.delete(joint)
        for geom in list(body.geoms):
            if geom.contype or geom.conaffinity:
                spec.delete(geom)


def apply_conventions(spec: Any, *, hand_bodies: Iterable[str]) -> None:
    """Name every geom, set group and collision masks, contact parameters of hands, and gravity compensation."""
    hands = set(hand_bodies)
    for body in spec.bodies:
        if body.name != "world":
            body.gravcomp = 1.0
        counts = {"visual": 0, "collider": 0}
        for geom in body.geoms:
            collides = bool(geom.contype or geom.conaffinity)
            kind = "collider" if collides else "visual"
            geom.name = f"{body.name}_{kind}{counts[kind]}"
            counts[kind] += 1
            geom.group = COLLIDER_GROUP if collides else VISUAL_GROUP
            geom.contype = ROBOT_CONTYPE if collides else 0
            geom.conaffinity = ROBOT_CONAFFINITY if collides else 0
            if collides and body.name in hands:
                geom.condim = 4
                geom.friction = HAND_FRICTION
                geom.solref = HAND_SOLREF
                geom.solimp = HAND_SOLIMP


def set_dynamics(joint: Any, *, damping: float, armature: float, frictionloss: float = 0.0) -> None:
    """Passive dynamics of a joint: N m s/rad, kg m2, N m (N s/m, kg, N for a slide)."""
    joint.damping = damping if np.ndim(joint.damping) == 0 else [damping, *([0.0] * (np.size(joint.damping) - 1))]
    joint.armature = armature
    joint.frictionloss = frictionloss
    joint.actfrclimited = 0


def replace_colliders(spec: Any, boxes: Mapping[str, tuple[Vector, Vector]]) -> None:
    """Take away the colliders of all bodies and give the named ones a box: centre and half size, metres."""
    import mujoco

    for geom in list(spec.geoms):
        if geom.contype or geom.conaffinity:
            spec.delete(geom)
    for name, (center, size) in boxes.items():
        spec.body(name).add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=center, size=size, mass=0.0)


def add_stand(spec: Any, body: str, center: Vector, size: Vector) -> None:
    """A dark box under the robot, to be seen only; centre and half size in the body's frame, metres."""
    import mujoco

    spec.body(body).add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=center,
        size=size,
        rgba=(0.25, 0.26, 0.28, 1.0),
        contype=0,
        conaffinity=0,
        mass=0.0,
    )


def add_site(spec: Any, name: str, body: str, pose: Pose) -> None:
    """A frame on a body: ``pose`` is the site in the body's frame."""
    spec.body(body).add_site(name=name, pos=pose.position, quat=pose.orientation, group=5)


def add_position_actuators(spec: Any, gains: Mapping[str, Gains]) -> None:
    """One position actuator per joint, named like it; commands are limited to the joint's range."""
    import mujoco

    for name, gain in gains.items():
        actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=gain.kp, kv=gain.kv)
        actuator.ctrllimited = 1
        actuator.ctrlrange = np.array(spec.joint(name).range)
        if gain.max_force is not None:
            actuator.forcelimited = 1
            actuator.forcerange = [-gain.max_force, gain.max_force]


def mirrored(grasp: HandGrasp, sign: Iterable[float]) -> HandGrasp:
    """The mirror image of a right hand's grasp, for the left hand.

    The left grasp frame is the right one's mirror image with z turned over, hence the signs; see ``HandGrasp``.
    ``sign``: +1 or -1 for every hand joint: whether the mirrored joint has the same or the opposite value.
    """
    signs = tuple(sign)
    x, y, z = grasp.center
    ax, ay, az = grasp.approach
    return replace(
        grasp,
        roll=float(np.pi - grasp.roll),
        center=(x, y, -z),
        approach=(ax, ay, -az),
        open=tuple(s * q for s, q in zip(signs, grasp.open, strict=True)),
        close=tuple(s * q for s, q in zip(signs, grasp.close, strict=True)),
    )


def look_at(eye: Iterable[float], target: Iterable[float], up: Iterable[float] = (0.0, 0.0, 1.0)) -> Pose:
    """A camera pose (looking along -z, y up) at ``eye`` towards ``target``; metres, in the frame both are given in."""
    eye_, up_ = np.array(tuple(eye)), np.array(tuple(up))
    z = eye_ - np.array(tuple(target))
    z = z / np.linalg.norm(z)
    x = np.cross(up_, z)
    x = x / np.linalg.norm(x)
    return Pose.of(eye_, quat_from_matrix(np.stack([x, np.cross(z, x), z], axis=1)))


def look_down(eye: Vector, pitch: float) -> Pose:
    """A camera at ``eye`` looking along x, turned ``pitch`` radians down, its image upright."""
    x, y, z = eye
    return look_at(eye, (x + np.cos(pitch), y, z - np.sin(pitch)))
