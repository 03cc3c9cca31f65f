# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Building the Isaac Lab scene: one robot and one copy of the user's stage per environment, and their handles."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import SimulatorError
from synthgen.core.pose import Array, Pose
from synthgen.core.sample import SceneSample
from synthgen.core.scene import Camera, SceneSpec
from synthgen.sim.isaac import defects, nvidia
from synthgen.sim.isaac import textures as drawn_textures
from synthgen.sim.isaac.chain import read_chain
from synthgen.sim.isaac.engines import Engine, physics_cfg, renderer_cfg
from synthgen.sim.isaac.links import Links
from synthgen.sim.isaac.nvidia import Stock
from synthgen.sim.isaac.scene_usd import ReadyScene

SPACING = {False: 6.0, True: 16.0}  # metres between environments; ray tracers would see the neighbours
STRONG = 1e4  # N m: joints whose force the embodiment does not limit
NEAR, FAR = 0.02, 30.0  # metres
FOCAL = 24.0  # mm; only its ratio to the aperture counts


@dataclass(frozen=True, kw_only=True)
class Views:
    """What the cameras deliver: pixels, and Isaac Lab's data types."""

    width: int
    height: int
    types: tuple[str, ...]
    shadows: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Handles:
    """The running simulation.

    Attributes:
        sim: ``SimulationContext``. scene: ``InteractiveScene``. robot: ``Articulation``.
        joint_ids: (J,) index in the robot's joints of each of ``Embodiment.joints``.
        joint_signs: (J,) 1, or -1 where the robot's joint turns the other way.
        joint_rest: (all joints of the robot,) where those stay that the embodiment does not have.
        bodies: free body path -> ``RigidObject``. mechanisms: root body path -> ``Articulation``.
        cameras: name -> ``Camera``. materials: body or material path -> ``VisualMaterial``.
        wardrobe: shows a sample's drawn textures (Kit), or None.
        origins: (E, 3) of the environments in the simulation's world, metres.
        stack: ends the launch when closed.
    """

    sim: Any
    scene: Any
    robot: Any
    joint_ids: np.ndarray
    joint_signs: np.ndarray
    joint_rest: np.ndarray
    bodies: Mapping[str, Any]
    mechanisms: Mapping[str, Any]
    cameras: Mapping[str, Any]
    materials: Mapping[str, Any]
    wardrobe: Callable[[SceneSample], None] | None
    origins: Array
    stack: contextlib.ExitStack


def xyzw(q: Array) -> Array:
    """Quaternions (..., 4) from our (w, x, y, z) to Isaac Lab's (x, y, z, w)."""
    return np.roll(q, -1, axis=-1)


def wxyz(q: Array) -> Array:
    """And back."""
    return np.roll(q, 1, axis=-1)


def build(
    engine: Engine,
    *,
    scene: SceneSpec,
    ready: ReadyScene,
    embodiment: Embodiment,
    robot_file: Path,
    links: Links,
    base: Pose,
    num_envs: int,
    dt: float,
    device: str,
    views: Views | None,
    stock: tuple[Stock, mujoco.MjModel] | None = None,
) -> Handles:
    """Launch, spawn, reset, and check that everything that was asked for is there ``num_envs`` times.

    ``stock``: NVIDIA's robot to load instead of ``robot_file``, and our planning model of it.

    Raises:
        SimulatorError: environments, joints or bodies are missing after loading.
        AssetError: NVIDIA's robot is not the one we plan with.
    """
    defects.mend_all()
    from isaaclab.app import launch_simulation
    from isaaclab.scene import InteractiveScene
    from isaaclab.sim import SimulationContext

    everything, arguments = configuration(
        engine,
        scene=scene,
        ready=ready,
        embodiment=embodiment,
        robot_file=robot_file,
        links=links,
        base=base,
        num_envs=num_envs,
        dt=dt,
        device=device,
        views=views,
        stock=stock,
    )
    stack = contextlib.ExitStack()
    try:
        if engine.kit:
            from synthgen.sim.isaac import kit

            kit.launch(everything, arguments)
        else:
            stack.enter_context(launch_simulation(everything, arguments))
        sim = SimulationContext(everything.sim)
        stack.callback(SimulationContext.clear_instance)
        lab = InteractiveScene(everything.scene)
        wardrobe = None
        if engine.kit and views is not None:
            from synthgen.sim.isaac import kit

            wardrobe = kit.wardrobe(sim.stage, scene, prefix=ready.prefix, num_envs=num_envs)
        sim.reset()
        cameras = _names(embodiment, scene) if views is not None else []
        handles = _handles(
            sim, lab, embodiment, links, ready, cameras=cameras, wardrobe=wardrobe, stock=stock, stack=stack
        )
        _count(handles, num_envs, ready)
    except BaseException:
        stack.close()
        raise
    return handles


def configuration(
    engine: Engine,
    *,
    scene: SceneSpec,
    ready: ReadyScene,
    embodiment: Embodiment,
    robot_file: Path,
    links: Links,
    base: Pose,
    num_envs: int,
    dt: float,
    device: str,
    views: Views | None,
    stock: tuple[Stock, mujoco.MjModel] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """What is launched: the configuration (``.sim`` and ``.scene``) and the launcher's arguments. Starts nothing."""
    from isaaclab.sim import SimulationCfg
    from isaaclab.utils import configclass

    if stock is None:
        robot = _robot_cfg(embodiment, robot_file, links, base)
    else:
        robot = nvidia.articulation(stock[0], base @ nvidia.root_pose(*stock))
    config = _scene_cfg(engine, scene, ready, embodiment, robot=robot, num_envs=num_envs, views=views)
    sim_cfg = SimulationCfg(
        device=device, dt=dt, physics=physics_cfg(engine), gravity=tuple(float(g) for g in scene.gravity)
    )

    @configclass
    class _Everything:
        sim: Any = sim_cfg
        scene: Any = config

    arguments: dict[str, Any] = {"device": device}
    if engine.kit:
        from synthgen.sim.isaac import kit

        arguments |= kit.launch_args()
    return _Everything(), arguments


def _names(embodiment: Embodiment, scene: SceneSpec) -> list[str]:
    return [c.name for c in (*scene.cameras, *embodiment.cameras)]


def _scene_cfg(
    engine: Engine,
    scene: SceneSpec,
    ready: ReadyScene,
    embodiment: Embodiment,
    *,
    robot: Any,
    num_envs: int,
    views: Views | None,
) -> Any:
    import isaaclab.sim as sim_utils
    from isaaclab.assets import AssetBaseCfg, RigidObjectCfg, VisualMaterialCfg
    from isaaclab.scene import InteractiveSceneCfg

    # Isaac Lab lets Replicator bind materials only where every environment has prims and physics of its own.
    own = engine.kit and views is not None and bool(drawn_textures.drawn(scene))
    config = InteractiveSceneCfg(num_envs=num_envs, env_spacing=SPACING[engine.ray_traced], replicate_physics=not own)
    top = "{ENV_REGEX_NS}/Scene"
    config.user = AssetBaseCfg(prim_path=top, spawn=sim_utils.UsdFileCfg(usd_path=str(ready.file)))
    config.robot = robot
    for i, path in enumerate(ready.free):
        pose = ready.spawned(path, scene.bodies[path].pose)
        state = RigidObjectCfg.InitialStateCfg(pos=_floats(pose.position), rot=_floats(xyzw(pose.orientation)))
        setattr(config, f"body{i}", RigidObjectCfg(prim_path=top + ready.below(path), spawn=None, init_state=state))
    for i, mechanism in enumerate(ready.mechanisms):
        setattr(config, f"mechanism{i}", _mechanism_cfg(scene, ready, i, top))
        assert mechanism.bodies
    if views is not None:
        paths = {**ready.colored, **ready.looks}
        for i, (_, path) in enumerate(sorted(paths.items())):
            setattr(config, f"material{i}", VisualMaterialCfg(prim_path=top + path, spawn=None))
        for i, camera in enumerate((*scene.cameras, *embodiment.cameras)):
            setattr(config, f"camera{i}", _camera_cfg(engine, camera, i, views))
    if engine.ray_traced:
        from synthgen.sim.isaac import kit

        kit.add_lights(config, scene)
    return config


def _robot_cfg(embodiment: Embodiment, robot_file: Path, links: Links, base: Pose) -> Any:
    import isaaclab.sim as sim_utils
    from isaaclab.actuators import ImplicitActuatorCfg
    from isaaclab.assets import ArticulationCfg
    from isaaclab_newton.sim.schemas import MujocoRigidBodyCfg, NewtonArticulationCfg
    from isaaclab_physx.sim.schemas import PhysxArticulationCfg, PhysxRigidBodyCfg

    joints = {j.source: j for j in links.joints}
    gains = {joints[name].name: (gain, joints[name]) for name, gain in embodiment.gains.items()}
    home = dict(zip(embodiment.joints, embodiment.expand(embodiment.home_targets()), strict=True))
    return ArticulationCfg(
        prim_path="{ENV_REGEX_NS}/Robot",
        spawn=sim_utils.UsdFileCfg(
            usd_path=str(robot_file),
            fix_root_link=True,
            semantic_tags=[("class", "robot")],
            rigid_props={
                "/.*": [
                    PhysxRigidBodyCfg(disable_gravity=True, max_depenetration_velocity=3.0),
                    MujocoRigidBodyCfg(gravcomp=1.0),
                ]
            },
            articulation_props={
                "/base_link": [
                    PhysxArticulationCfg(
                        enabled_self_collisions=False,
                        solver_position_iteration_count=16,
                        solver_velocity_iteration_count=1,
                    ),
                    NewtonArticulationCfg(self_collision_enabled=False),
                ]
            },
        ),
        init_state=ArticulationCfg.InitialStateCfg(
            pos=_floats(base.position),
            rot=_floats(xyzw(base.orientation)),
            joint_pos={joints[name].name: float(q) for name, q in home.items()},
        ),
        actuators={
            "all": ImplicitActuatorCfg(
                joint_names_expr=list(gains),
                stiffness={n: g.kp for n, (g, _) in gains.items()},
                damping={n: g.kv + j.damping for n, (g, j) in gains.items()},
                armature={n: j.armature for n, (_, j) in gains.items()},
                joint_effort_limit={n: STRONG if g.max_force is None else g.max_force for n, (g, _) in gains.items()},
            )
        },
    )


def _mechanism_cfg(scene: SceneSpec, ready: ReadyScene, index: int, top: str) -> Any:
    from isaaclab.actuators import ImplicitActuatorCfg
    from isaaclab.assets import ArticulationCfg

    mechanism = ready.mechanisms[index]
    drives = {j.path.rsplit("/", 1)[1]: j.drive for j in scene.joints if j.path in mechanism.joints}
    pose = ready.spawned(mechanism.root, scene.bodies[mechanism.root].pose)
    return ArticulationCfg(
        prim_path=top + ready.below(mechanism.holder),
        spawn=None,
        init_state=ArticulationCfg.InitialStateCfg(
            pos=_floats(pose.position),
            rot=_floats(xyzw(pose.orientation)),
            joint_pos={j.path.rsplit("/", 1)[1]: j.initial for j in scene.joints if j.path in mechanism.joints},
        ),
        actuators={
            "all": ImplicitActuatorCfg(
                joint_names_expr=list(drives),
                stiffness={n: 0.0 if d is None else d.stiffness for n, d in drives.items()},
                damping={n: 0.0 if d is None else d.damping for n, d in drives.items()},
            )
        }
        if drives
        else {},
    )


def _camera_cfg(engine: Engine, camera: Camera, index: int, views: Views) -> Any:
    import isaaclab.sim as sim_utils
    from isaaclab.sensors import CameraCfg

    vertical = 2.0 * FOCAL * math.tan(camera.fovy / 2.0)
    return CameraCfg(
        prim_path=f"{{ENV_REGEX_NS}}/Camera{index}",
        width=views.width,
        height=views.height,
        data_types=list(views.types),
        renderer_cfg=renderer_cfg(engine, shadows=views.shadows),
        update_latest_camera_pose=False,
        spawn=sim_utils.PinholeCameraCfg(
            focal_length=FOCAL,
            horizontal_aperture=vertical * views.width / views.height,
            vertical_aperture=vertical,
            clipping_range=(NEAR, FAR),
        ),
    )


def _handles(
    sim: Any,
    lab: Any,
    embodiment: Embodiment,
    links: Links,
    ready: ReadyScene,
    *,
    cameras: Sequence[str],
    wardrobe: Callable[[SceneSample], None] | None,
    stock: tuple[Stock, mujoco.MjModel] | None,
    stack: contextlib.ExitStack,
) -> Handles:
    robot = lab["robot"]
    names = {j.source: j.name for j in links.joints} if stock is None else stock[0].joints
    missing = [j for j in embodiment.joints if names[j] not in robot.joint_names]
    if missing:
        raise SimulatorError(f"joints missing after loading {embodiment.name}: {', '.join(missing)}")
    rest = robot.data.default_joint_pos.torch[0].cpu().numpy().astype(float)
    signs = dict.fromkeys(embodiment.joints, 1.0)
    if stock is not None:
        chain = read_chain(sim.stage, "/World/envs/env_0/Robot")
        signs = nvidia.signs(
            stock[0], embodiment, chain, stock[1], dict(zip(robot.joint_names, rest.tolist(), strict=True))
        )
        robot.write_joint_position_to_sim_index(position=robot.data.default_joint_pos.torch)  # those we do not drive
    materials = sorted({**ready.colored, **ready.looks}) if cameras else []
    return Handles(
        sim=sim,
        scene=lab,
        robot=robot,
        joint_ids=np.array([robot.joint_names.index(names[j]) for j in embodiment.joints]),
        joint_signs=np.array([signs[j] for j in embodiment.joints]),
        joint_rest=rest,
        bodies={path: lab[f"body{i}"] for i, path in enumerate(ready.free)},
        mechanisms={m.root: lab[f"mechanism{i}"] for i, m in enumerate(ready.mechanisms)},
        cameras={name: lab[f"camera{i}"] for i, name in enumerate(cameras)},
        materials={path: lab[f"material{i}"] for i, path in enumerate(materials)},
        wardrobe=wardrobe,
        origins=lab.env_origins.cpu().numpy().astype(float),
        stack=stack,
    )


def _count(handles: Handles, num_envs: int, ready: ReadyScene) -> None:
    """Refuse a simulation that lost environments or bodies on the way."""
    counts = {"robot": handles.robot.num_instances}
    counts |= {path: body.num_instances for path, body in handles.bodies.items()}
    counts |= {path: thing.num_instances for path, thing in handles.mechanisms.items()}
    wrong = {name: n for name, n in counts.items() if n != num_envs}
    if wrong or len(handles.origins) != num_envs:
        raise SimulatorError(f"{num_envs} environments were asked for; after loading there are {wrong}")
    for mechanism in ready.mechanisms:
        thing = handles.mechanisms[mechanism.root]
        if mechanism.fixed != thing.is_fixed_base:
            raise SimulatorError(f"{mechanism.root}: fixed to the world: {mechanism.fixed} in the stage, not loaded so")
    if not handles.robot.is_fixed_base:
        raise SimulatorError("the robot's base is not fixed after loading")


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
