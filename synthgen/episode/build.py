"""From a plan to a pipeline: find the task, load the scene, the robot and the simulator, and put them together."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import PlanMismatchError, SimulatorError, UsageError
from synthgen.core.exporter import CameraSpec, DatasetSpec
from synthgen.core.plan import RunPlan
from synthgen.core.project import Project, pick
from synthgen.core.scene import SceneSpec
from synthgen.core.simulator import Simulator
from synthgen.core.task import Task
from synthgen.episode.observer import Observer
from synthgen.episode.pipeline import Pipeline
from synthgen.episode.render import RenderPlan
from synthgen.episode.rig import Rig
from synthgen.episode.stopwatch import Stopwatch


def open_source(
    plan: RunPlan,
    task_name: str,
    embodiment_name: str,
    *,
    project: Project,
    asset_root: Path | None,
    num_envs: int = 1,
    clock: Callable[[], float] = perf_counter,
) -> Pipeline:
    """Build the episode source of one cell of a plan.

    Args:
        plan: decides everything about the result.
        project: where tasks and scenes are looked for.
        asset_root: a folder of the user's own with the robots' asset packs, or None for the cache.
        num_envs: environments simulated in lockstep; does not change any episode.
        clock: seconds; what the phases in outcomes are measured with.

    Raises:
        UsageError: unknown task, embodiment, camera or simulator.
        SceneError, AssetError, MachineError, SimulatorError: the scene, the robot or the engine cannot be loaded.
        PlanMismatchError: the scene is not the one the plan was made with.
    """
    from synthgen.embodiments.assets import AssetStore
    from synthgen.embodiments.registry import load
    from synthgen.sim.registry import SimulatorOptions, make
    from synthgen.usd import load_scene

    task: Task = pick("task", task_name, project.load("tasks", "task"))
    embodiment = load(embodiment_name)
    scene = load_scene(project.scene(plan.scene))
    if scene.digest != plan.scene_digest:
        raise PlanMismatchError(
            f"scene {plan.scene}: the stage has changed since the run was planned",
            remedy="restore the stage, or start a new run in another output folder",
        )
    store = AssetStore(asset_root=asset_root)
    cameras = plan.cameras.get(embodiment_name, ())
    require_cameras(cameras, scene, embodiment)
    options = SimulatorOptions(
        root_of=store.root, rendering=bool(cameras), pixels=(plan.width, plan.height), choices=plan.choices
    )
    simulator = make(plan.simulator, options)
    simulator.load(scene, embodiment, fps=plan.fps, num_envs=num_envs)
    if simulator.num_envs != num_envs:
        raise SimulatorError(f"{plan.simulator} made {simulator.num_envs} environments, not {num_envs}")
    rig = open_rig(task, embodiment, scene, simulator, store.root, fps=plan.fps, clock=clock)
    return Pipeline(
        rig,
        render=RenderPlan(cameras=cameras, width=plan.width, height=plan.height),
        dataset=describe(plan, embodiment, scene),
        entropy=plan.seed,
        max_attempts=plan.max_attempts,
    )


def open_rig(
    task: Task,
    embodiment: Embodiment,
    scene: SceneSpec,
    simulator: Simulator,
    root_of: Callable[[str], Path],
    *,
    fps: int,
    clock: Callable[[], float] = perf_counter,
) -> Rig:
    """Everything an attempt needs around a loaded simulator: planner, observer, sampling.

    Raises:
        SceneError, AssetError: the planning model cannot be built.
    """
    from synthgen.experts.planner import Planner
    from synthgen.experts.program import run_program
    from synthgen.sim.mujoco.model import build_model
    from synthgen.usd import sample_scene

    model = build_model(scene, embodiment, root_of, purpose="planning")
    # Planner and observer each rewrite the collision masks of theirs.
    observer = Observer(
        scene,
        embodiment,
        simulator.layout(),
        copy.deepcopy(model),
        base=scene.mounts[0].pose @ embodiment.base,
    )
    planner = Planner(model, embodiment)
    return Rig(
        task=task,
        embodiment=embodiment,
        scene=scene,
        simulator=simulator,
        observer=observer,
        draw=lambda spec: sample_scene(scene, spec),
        program=lambda world, rng: run_program(task, planner, embodiment, rng=rng, fps=fps, world=world),
        fps=fps,
        watch=Stopwatch(clock),
    )


def require_cameras(cameras: tuple[str, ...], scene: SceneSpec, embodiment: Embodiment) -> None:
    """Check that every camera exists in the scene or on the robot.

    Raises:
        UsageError: one does not; suggests the nearest.
    """
    known = {c.name: c for c in (*scene.cameras, *embodiment.cameras)}
    for name in cameras:
        pick(f"camera of {embodiment.name} in {scene.source.name}", name, known)


def describe(plan: RunPlan, embodiment: Embodiment, scene: SceneSpec) -> DatasetSpec:
    """What holds for every episode of an embodiment's data set in this plan.

    Raises:
        UsageError: the plan has no cell for the embodiment.
    """
    tasks = tuple(dict.fromkeys(c.task for c in plan.cells if c.embodiment == embodiment.name))
    if not tasks:
        raise UsageError(f"the plan has no cell for embodiment {embodiment.name!r}")
    return DatasetSpec(
        name=embodiment.name,
        embodiment=embodiment.name,
        robot_type=embodiment.name,
        gr00t_tag=embodiment.gr00t_tag,
        fps=plan.fps,
        groups=embodiment.groups,
        end_effectors=tuple(e.name for e in embodiment.end_effectors),
        cameras=tuple(
            CameraSpec(name=c, width=plan.width, height=plan.height) for c in plan.cameras.get(embodiment.name, ())
        ),
        tasks=tasks,
        scene=scene.source.name,
        command="",  # whoever finalizes a run knows how it was started
        licence=embodiment.licence,
        objects=(*scene.objects, *scene.receptacles),
        extra={"synthgen": plan.version, "plan": plan.digest(), "scene_digest": plan.scene_digest},
    )
