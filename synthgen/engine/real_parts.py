"""What a request's names mean on a real simulator: scene, tasks, robots and cameras, checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import SceneError, UsageError
from synthgen.core.project import pick
from synthgen.core.scene import SceneSpec
from synthgen.core.task import Task
from synthgen.engine.planning import Parts, Request, choose_cameras, task_digest
from synthgen.engine.reach import check_reach

CAPABILITIES = ("grasp",)


def real_parts(request: Request) -> Parts:
    """See ``make_plan``.

    Raises:
        UsageError, SceneError, AssetError.
    """
    from synthgen.embodiments.assets import AssetStore
    from synthgen.embodiments.registry import embodiments
    from synthgen.usd.load import load_scene

    tasks: Mapping[str, Any] = request.project.load("tasks", "task")
    wanted: dict[str, Task] = {name: pick("task", name, tasks) for name in request.tasks}
    robots = embodiments()
    names = tuple(dict.fromkeys(request.embodiments or ("franka", "gr1", "g1")))
    chosen: dict[str, Embodiment] = {name: pick("embodiment", name, robots) for name in names}
    scene = load_scene(request.project.scene(request.scene))
    check_scene(scene)
    for task in wanted.values():
        check_task(task, scene)
        for robot in chosen.values():
            check_robot(task, robot)
    known = {name: robot_cameras(robot, scene) for name, robot in chosen.items()}
    cameras = choose_cameras(request.cameras, {n: default_cameras(r, scene) for n, r in chosen.items()}, known)
    store = AssetStore(asset_root=request.asset_root)
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


def check_scene(scene: SceneSpec) -> None:
    """Refuse a scene that no task could use.

    Raises:
        SceneError: no mount, spawn region, receptacle or object slot.
    """
    asked = (
        (scene.mounts, "place for a robot", "SynthgenMountAPI"),
        (scene.regions, "spawn region", "SynthgenSpawnRegionAPI"),
        (scene.receptacles, "receptacle", "SynthgenReceptacleAPI"),
        (scene.slots, "object slot", "SynthgenSlotAPI"),
    )
    for found, what, schema in asked:
        if not found:
            raise SceneError(
                f"{scene.source}: the scene has no {what}",
                remedy=f"apply {schema} to a prim (see `synthgen scene check {scene.source.name}`)",
            )


def check_task(task: Task, scene: SceneSpec) -> None:
    """Refuse a task whose needs the scene does not meet.

    Raises:
        SceneError: an object slot is missing, or has nothing to fill it or nowhere to put it.
    """
    slots = {s.name: s for s in scene.slots}
    for name in task.needs.slots:
        if name not in slots:
            raise SceneError(
                f"{scene.source}: task {task.name!r} needs an object slot {name!r}; the scene has "
                f"{', '.join(sorted(slots))}",
                remedy="apply SynthgenSlotAPI to a prim of that name, or choose another scene",
            )
        slot = slots[name]
        if not slot.candidates or not slot.regions:
            lacking = "candidates" if not slot.candidates else "regions"
            raise SceneError(
                f"{scene.source}: object slot {name!r}, which task {task.name!r} needs, has no {lacking}",
                remedy=f"author synthgen:slot:{lacking} on it",
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
