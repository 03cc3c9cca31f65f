"""Whether a robot could reach the scene's spawn regions at all: an upper bound, worked out before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.core.embodiment import Embodiment, EndEffector
from synthgen.core.errors import SceneError
from synthgen.core.pose import Array
from synthgen.core.scene import SceneSpec, SpawnRegion
from synthgen.core.task import Task


def check_reach(scene: SceneSpec, task: Task, robot: Embodiment, root_of: Callable[[str], Path]) -> None:
    """Refuse a spawn region of the task's object slots that lies wholly out of the robot's reach.

    Raises:
        SceneError: names region and robot, and says how far off it is.
        AssetError: the robot cannot be built.
    """
    base = scene.mounts[0].pose @ robot.base
    arms = [(base.apply(shoulder), length) for shoulder, length in reach_of(robot, root_of)]
    for slot in scene.slots:
        if slot.name not in task.needs.slots:
            continue
        for name in slot.regions:
            region = scene.regions[name]
            short = min(distance(region, shoulder) - length for shoulder, length in arms)
            if short > 0:
                raise SceneError(
                    f"{scene.source}: {region.path}: {robot.name} cannot reach this spawn region "
                    f"(of object slot {slot.name!r}): it is {short:.2f} m too far away",
                    remedy="move the region or the mount, or leave the robot out of --embodiments",
                )


def reach_of(robot: Embodiment, root_of: Callable[[str], Path]) -> list[tuple[Array, float]]:
    """For each end effector: its first arm joint (3,) in the base frame and the length of the stretched arm, metres.

    The length is the sum of the distances between consecutive bodies, and of slide joints' travel: no pose reaches
    farther.
    """
    import importlib

    mujoco: Any = importlib.import_module("mujoco")
    spec = robot.build(root_of)
    for thing in [*spec.geoms, *spec.meshes]:  # only lengths matter, and without meshes it compiles in milliseconds
        spec.delete(thing)
    for body in spec.bodies[1:]:
        body.explicitinertial, body.mass, body.inertia = True, 1.0, (1.0, 1.0, 1.0)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    return [_arm(model, data, effector) for effector in robot.end_effectors]


def _arm(model: Any, data: Any, effector: EndEffector) -> tuple[Array, float]:
    first = int(model.joint(effector.arm_joints[0]).bodyid[0])
    site = model.site(effector.site).id
    length = float(np.linalg.norm(model.site_pos[site]))
    body = int(model.site_bodyid[site])
    while body not in (first, 0):
        length += float(np.linalg.norm(model.body_pos[body]))
        body = int(model.body_parentid[body])
    for name in effector.arm_joints:
        joint = model.joint(name)
        if int(joint.type[0]) == 2:  # slide
            length += float(np.abs(joint.range).max())
    return np.array(data.xpos[first]), length


def distance(region: SpawnRegion, point: Array) -> float:
    """Metres from a world point (3,) to the nearest point of the region's rectangle."""
    local = region.pose.inverse().apply(point)
    nearest = np.array([*np.clip(local[:2], [-h for h in region.half_extents], region.half_extents), 0.0])
    return float(np.linalg.norm(local - nearest))
