"""Planners and worlds for the tests of the experts; no simulator."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from synthgen.core.pose import Pose, quat_from_axis_angle
from synthgen.core.project import Project
from synthgen.core.sample import BodySample, SceneSample
from synthgen.core.scene import Geom, Mount, SceneSpec
from synthgen.core.world import World
from synthgen.embodiments.assets import AssetStore
from synthgen.embodiments.registry import load
from synthgen.experts.motion import Motion
from synthgen.experts.planner import Planner
from synthgen.sim.mujoco.model import build_model
from synthgen.testing.worlds import world_of
from synthgen.usd import load_scene

ROBOTS = ("franka", "gr1", "g1")
FPS = 20


@cache
def tabletop() -> SceneSpec:
    return load_scene(Project.of().scene("tabletop"))


@cache
def planner(robot: str) -> Planner:
    embodiment = load(robot)
    return Planner(build_model(tabletop(), embodiment, AssetStore().root, purpose="planning"), embodiment)


def walled(height: float) -> Planner:
    """A Franka with nothing but a table and a wall before it, from ``y = -0.02`` to ``0.02``."""
    embodiment = load("franka")

    def box(name: str, half: tuple[float, float, float], at: tuple[float, float, float]) -> Geom:
        return Geom(path=f"/{name}", kind="box", size=half, pose=Pose.of(at), collides=True, visible=True)

    scene = SceneSpec(
        source=Path("wall.usda"),
        digest="",
        gravity=np.array([0.0, 0.0, -9.81]),
        bodies={},
        static_geoms=(
            box("table", (0.4, 0.6, 0.02), (0.4, 0.0, 0.88)),
            box("wall", (0.3, 0.02, height / 2), (0.45, 0.0, 0.9 + height / 2)),
        ),
        mounts=(Mount(name="mount", path="/mount", pose=Pose.of((0.0, 0.0, 0.9))),),
    )
    return Planner(build_model(scene, embodiment, AssetStore().root, purpose="planning"), embodiment)


def world(robot: str, things: dict[str, tuple[float, float, float]], **slots: str) -> World:
    """The tabletop with only these things on it: name -> x, y (m, from the mount) and yaw (rad)."""
    scene, expert = tabletop(), planner(robot)
    bodies = {}
    for path in scene.bodies:
        bodies[path] = BodySample(active=False, pose=Pose.of((0.0, 0.0, -5.0)))
    mount = scene.mounts[0].pose
    for name, (x, y, yaw) in things.items():
        found = scene.objects.get(name)
        body = found.body if found else scene.receptacles[name].body
        low = float(found.center[2] - found.extents[2] / 2) if found else 0.0
        at = mount.apply([x, y, -low])
        bodies[body] = BodySample(active=True, pose=Pose.of(at, quat_from_axis_angle([0, 0, 1], yaw)))
    sample = SceneSample(slots=slots, bodies=bodies)
    return world_of(scene, sample, joints=simulated(expert, expert.home), targets=expert.home)


def simulated(expert: Planner, driven: np.ndarray) -> np.ndarray:
    """Driven joints (Jd,) with their followers (J,)."""
    robot = expert.embodiment
    leaders = [robot.driven.index(f.leader) for f in robot.followers]
    follow = [f.ratio * driven[i] + f.offset for f, i in zip(robot.followers, leaders, strict=True)]
    return np.concatenate([driven, follow])


class Job:
    """A task that is only a program."""

    name = "job"
    subtasks = ("reach", "grasp", "lift", "move", "release", "retreat")

    def __init__(self, *skills: object) -> None:
        self._skills = skills

    def program(self, world: World):
        return iter(self._skills)


def motion(robot: str, at: World) -> Motion:
    rng = np.random.default_rng(0)
    return Motion(task=Job(), planner=planner(robot), rng=rng, fps=FPS, world=at)  # type: ignore[arg-type]
