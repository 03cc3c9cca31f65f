"""Worlds made from a scene and a draw of it, without any physics: for testing tasks and experts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from synthgen.core.pose import Array, Pose
from synthgen.core.sample import SceneSample
from synthgen.core.scene import SceneSpec
from synthgen.core.world import ObjectState, ReceptacleState, World


def world_of(
    scene: SceneSpec,
    sample: SceneSample,
    *,
    poses: Mapping[str, Pose] | None = None,
    joints: Array | None = None,
    targets: Array | None = None,
    touching: Iterable[tuple[str, str]] = (),
    time: float = 0.0,
) -> World:
    """The world as drawn, everything at rest.

    Args:
        scene, sample: what is there.
        poses: body poses in the world of objects and receptacles (by name) that are elsewhere than drawn.
        joints: (J,) positions of the robot's simulated joints; targets: (Jd,) last commanded; default: none.
        touching: (end effector, object) pairs in contact.
        time: seconds since the episode began.
    """
    moved = poses or {}

    def pose(name: str, body: str) -> Pose:
        return moved[name] if name in moved else sample.bodies[body].pose

    objects = {
        name: ObjectState(
            prop=prop, pose=pose(name, prop.body), linear_velocity=np.zeros(3), angular_velocity=np.zeros(3)
        )
        for name, prop in scene.objects.items()
        if prop.body not in sample.bodies or sample.bodies[prop.body].active
    }
    receptacles = {
        name: ReceptacleState(receptacle=r, frame=r.pose if r.body is None else pose(name, r.body) @ r.pose)
        for name, r in scene.receptacles.items()
        if r.body is None or r.body not in sample.bodies or sample.bodies[r.body].active
    }
    return World(
        scene=scene,
        sample=sample,
        time=time,
        objects=objects,
        receptacles=receptacles,
        joints=np.zeros(0) if joints is None else np.array(joints, float),
        targets=np.zeros(0) if targets is None else np.array(targets, float),
        touching=frozenset(touching),
        surface_height=float(scene.mounts[0].pose.position[2]) if scene.mounts else 0.0,
    )


def resting_in(world: World, name: str, receptacle: str) -> Pose:
    """Body pose at which an object stands upright in the middle of a receptacle."""
    prop, frame = world.objects[name].prop, world.receptacles[receptacle].frame
    center = frame.position + np.array([0.0, 0.0, prop.extents[2] / 2])
    return Pose(position=center - prop.center, orientation=np.array([1.0, 0.0, 0.0, 0.0]))
