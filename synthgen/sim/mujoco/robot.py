"""An embodiment in a scene's MjSpec: where it stands, what of it is kept, and what of it touches what.

Embodiments come with colliding geoms (contype 2, conaffinity 1, group 3) and visual geoms (no contacts, group 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import mujoco

from synthgen.core.embodiment import Embodiment
from synthgen.core.pose import Pose

Purpose = Literal["physics", "planning", "visual"]
ROBOT_CONTYPE, ROBOT_CONAFFINITY = 2, 1
HIDDEN_GROUP = 3
_CORE_BIT = 4  # further bits, one per arm, follow it


def build_robot(
    embodiment: Embodiment, root_of: Callable[[str], Any], *, pose: Pose, purpose: Purpose
) -> mujoco.MjSpec:
    """The embodiment standing at ``pose`` (world), with what this purpose needs of it.

    Raises:
        AssetError: an asset pack is missing.
    """
    robot = embodiment.build(root_of)
    for kind in (robot.cameras, robot.lights, robot.sensors, robot.keys):
        for element in list(kind):
            robot.delete(element)
    for body in robot.bodies:
        if body.name != "world":
            body.gravcomp = 1.0
    if purpose == "visual":
        # Colliders stay: bodies may take their mass from them. Their group is not drawn.
        _touch_nothing(robot)
    else:
        for geom in list(robot.geoms):
            if not collides(geom):
                robot.delete(geom)
        if purpose == "physics":
            _only_hands_touch(robot, embodiment)
        else:
            _everything_touches(robot, embodiment)
    drop_unused_assets(robot)
    add_cameras(robot, embodiment)
    base = robot.worldbody.add_frame(pos=pose.position, quat=pose.orientation)
    for kind in (robot.worldbody.bodies, robot.worldbody.geoms, robot.worldbody.sites, robot.worldbody.cameras):
        for element in kind:
            (element.frame or element).set_frame(base)
    return robot


def collides(geom: mujoco.MjsGeom) -> bool:
    """Whether a robot's geom is a collider rather than something to look at."""
    return bool(geom.contype or geom.conaffinity)


def add_cameras(robot: mujoco.MjSpec, embodiment: Embodiment) -> None:
    """Mount the embodiment's cameras on their bodies, under their data set names."""
    for camera in embodiment.cameras:
        body = robot.worldbody if camera.parent is None else robot.body(camera.parent)
        body.add_camera(
            name=camera.name,
            pos=camera.pose.position,
            quat=camera.pose.orientation,
            fovy=math.degrees(camera.fovy),
        )


def drop_unused_assets(spec: mujoco.MjSpec) -> None:
    """Delete meshes, materials and textures that no geom uses: compiling them is most of a robot's load time."""
    meshes = {g.meshname for g in spec.geoms}
    for mesh in list(spec.meshes):
        if mesh.name not in meshes:
            spec.delete(mesh)
    materials = {g.material for g in spec.geoms}
    for material in list(spec.materials):
        if material.name not in materials:
            spec.delete(material)
    textures = {t for m in spec.materials for t in m.textures}
    for texture in list(spec.textures):
        if texture.name not in textures:
            spec.delete(texture)


def _touch_nothing(robot: mujoco.MjSpec) -> None:
    for geom in robot.geoms:
        if collides(geom):
            geom.group = HIDDEN_GROUP
            geom.contype = geom.conaffinity = 0


def _only_hands_touch(robot: mujoco.MjSpec, embodiment: Embodiment) -> None:
    """Physics: hands and forearms against the scene; nothing of the robot against itself."""
    for geom in robot.geoms:
        on = geom.parent.name in embodiment.contact_bodies
        geom.contype = ROBOT_CONTYPE if on else 0
        geom.conaffinity = ROBOT_CONAFFINITY if on else 0


def _everything_touches(robot: mujoco.MjSpec, embodiment: Embodiment) -> None:
    """Planning: every collider against the scene; hands and forearms against the trunk and the other arm.

    Arm i is what its own joints move (without those it shares with another arm); the rest is the trunk. Neighbours
    along an arm are never tested, so meshes that overlap at a joint do no harm.
    """
    arms = [_moved_by(robot, e.arm_joints, _shared(embodiment)) for e in embodiment.end_effectors]
    bits = [_CORE_BIT << (1 + i) for i in range(len(arms))]
    for geom in robot.geoms:
        name = geom.parent.name
        contype, conaffinity = ROBOT_CONTYPE, ROBOT_CONAFFINITY
        own = next((i for i, arm in enumerate(arms) if name in arm), None)
        contype |= _CORE_BIT if own is None else bits[own]
        if own is not None and name in embodiment.contact_bodies:
            conaffinity |= _CORE_BIT | (sum(bits) & ~bits[own])
        geom.contype, geom.conaffinity = contype, conaffinity


def _shared(embodiment: Embodiment) -> set[str]:
    """Joints that more than one arm uses (the waist)."""
    counts: dict[str, int] = {}
    for effector in embodiment.end_effectors:
        for joint in effector.arm_joints:
            counts[joint] = counts.get(joint, 0) + 1
    return {joint for joint, n in counts.items() if n > 1}


def _moved_by(robot: mujoco.MjSpec, joints: Iterable[str], without: set[str]) -> set[str]:
    """Names of the bodies below the first of ``joints`` that is not in ``without``."""
    own = [j for j in joints if j not in without]
    if not own:
        return set()
    root = robot.joint(own[0]).parent
    return {root.name, *(b.name for b in root.find_all(mujoco.mjtObj.mjOBJ_BODY))}
