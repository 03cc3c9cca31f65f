"""What a request's names mean on a real simulator: scene, tasks, robots and cameras, checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import UsageError
from synthgen.core.project import pick
from synthgen.core.scene import SceneSpec
from synthgen.core.task import Task
from synthgen.engine.planning import Parts, Request, choose_cameras, task_digest
from synthgen.engine.reach import check_reach

CAPABILITIES = ("grasp",)


def real_parts(request: Request) -> Parts:
    """See ``make_plan``.

    Raises:
        UsageError, SceneError, AssetError, MachineError.
    """
    from synthgen.embodiments.assets import AssetStore
    from synthgen.embodiments.registry import embodiments
    from synthgen.sim.registry import SimulatorOptions, make
    from synthgen.usd.check import ensure_usable, require
    from synthgen.usd.load import load_scene

    tasks: Mapping[str, Any] = request.project.load("tasks", "task")
    wanted: dict[str, Task] = {name: pick("task", name, tasks) for name in request.tasks}
    robots = embodiments()
    names = tuple(dict.fromkeys(request.embodiments or ("franka", "gr1", "g1")))
    chosen: dict[str, Embodiment] = {name: pick("embodiment", name, robots) for name in names}
    scene = load_scene(request.project.scene(request.scene))
    ensure_usable(scene)
    for task in wanted.values():
        require(scene, task.needs)
        for robot in chosen.values():
            check_robot(task, robot)
    known = {name: robot_cameras(robot, scene) for name, robot in chosen.items()}
    cameras = choose_cameras(request.cameras, {n: default_cameras(r, scene) for n, r in chosen.items()}, known)
    store = AssetStore(asset_root=request.asset_root)
    if request.local:  # made and dropped: a backend refuses here what its machine lacks
        make(
            request.simulator,
            SimulatorOptions(
                root_of=store.root, rendering=any(cameras.values()), choices=request.choices, robots=names
            ),
        )
    for robot in chosen.values():
        for pack in robot.packs:
            store.root(pack)
        for task in wanted.values():
            check_reach(scene, task, robot, store.root)
    files = request.project.files("tasks")
    return Parts(
        embodiments=names,
        cameras=cameras,
        scene_digest=scene.digest,
        task_digests={name: task_digest(task, files) for name, task in wanted.items()},
    )


def check_robot(task: Task, robot: Embodiment) -> None:
    """Refuse a robot that cannot do the task.

    Raises:
        UsageError.
    """
    if task.needs.arms > len(robot.end_effectors):
        raise UsageError(
            f"task {task.name!r} needs {task.needs.arms} arms; {robot.name!r} has {len(robot.end_effectors)}",
            remedy="leave it out of --embodiments",
        )
    for capability in task.needs.capabilities:
        if capability not in CAPABILITIES:
            raise UsageError(
                f"task {task.name!r} needs the capability {capability!r}, which {robot.name!r} does not have",
                remedy=f"known capabilities: {', '.join(CAPABILITIES)}",
            )


def robot_cameras(robot: Embodiment, scene: SceneSpec) -> tuple[str, ...]:
    """Every camera that can see an episode: the scene's, then the robot's."""
    return tuple(dict.fromkeys([c.name for c in (*scene.cameras, *robot.cameras)]))


def default_cameras(robot: Embodiment, scene: SceneSpec) -> tuple[str, ...]:
    """The robot's own; before them the scene's ``agentview`` when the robot has no ``ego_view``."""
    own = tuple(c.name for c in robot.cameras)
    outside = tuple(c.name for c in scene.cameras if c.name == "agentview" and "ego_view" not in own)
    return (*outside, *own)
