"""A scene and an embodiment compiled into one MuJoCo model, for one of three purposes.

All three have the same joints and bodies in the same order, so a state fits all of them. Robot joints, bodies, sites
and actuators keep the embodiment's names; scene bodies, geoms and joints are called by their prim path.

- ``physics``: what is stepped. Hands and forearms against the scene; no visual geoms.
- ``planning``: every robot collider against the scene, hands and forearms against trunk and other arm. For kinematics
  and collision queries (``mj_kinematics``, ``mj_comPos``, ``mj_collision``), not for stepping.
- ``visual``: what is drawn. The robot's visual meshes decimated, the scene's materials, lights and cameras.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import SceneError
from synthgen.core.scene import SceneSpec
from synthgen.sim.mujoco import warnings
from synthgen.sim.mujoco.decimate import decimate_robot
from synthgen.sim.mujoco.looks import add_looks, add_visual
from synthgen.sim.mujoco.robot import Purpose, build_robot
from synthgen.sim.mujoco.scene_spec import SceneBuilder, add_collider, mount_pose


def build_model(
    scene: SceneSpec,
    embodiment: Embodiment,
    root_of: Callable[[str], Any],
    *,
    purpose: Purpose,
    timestep: float | None = None,
    faces: int | None = 4000,
    shadows: bool = False,
) -> mujoco.MjModel:
    """Compile the model.

    Args:
        scene: what surrounds the robot.
        embodiment: the robot; it stands at ``mount.pose @ embodiment.base`` of the scene's first mount.
        root_of: folder of an asset pack by name (``AssetStore().root``).
        purpose: see the module.
        timestep: physics step in seconds; None: the embodiment's.
        faces: (visual) triangles that the robot's visual meshes are reduced to, all together; None: as they come.
        shadows: (visual) let the first distant light cast shadows; several times slower without a GPU.

    Raises:
        SceneError: the scene has no mount, or MuJoCo refuses it (names the element).
        AssetError: an asset pack of the robot is missing.
    """
    warnings.install()
    robot = build_robot(embodiment, root_of, pose=mount_pose(scene) @ embodiment.base, purpose=purpose)
    robot.modelname = f"{embodiment.name} in {scene.source.name}"
    _set_options(robot, embodiment.timestep if timestep is None else timestep)
    if purpose == "physics":
        # Bodies at rest cost nothing until something touches them. (What actuators move never sleeps.) Not where
        # poses are set by hand: MuJoCo leaves out of its kinematics what sleeps or never moves.
        robot.option.enableflags |= int(mujoco.mjtEnableBit.mjENBL_SLEEP)
    robot.option.gravity = scene.gravity
    if purpose == "visual" and faces is not None:
        decimate_robot(robot, faces=faces, folders=[Path(root_of(pack)) for pack in embodiment.packs])
    surroundings = SceneBuilder(scene, add_visual if purpose == "visual" else add_collider).build()
    # The scene's names are prim paths; attaching it under the prefix "/" gives them their leading slash back.
    robot.attach(surroundings, prefix="/", frame=robot.worldbody.add_frame())
    if purpose == "visual":
        add_looks(robot, scene, shadows=shadows, coarse=faces is not None)
    try:
        return robot.compile()
    except ValueError as error:
        raise SceneError(
            f"{scene.source} with {embodiment.name}: MuJoCo refuses the {purpose} model: {error}",
            remedy="look at the named element; 'synthgen scene check' lists what the importer found",
        ) from error


def _set_options(spec: mujoco.MjSpec, timestep: float) -> None:
    """Solver settings (why: docs/simulators.md), whatever the robot's file asks for."""
    spec.option = mujoco.MjSpec().option
    option = spec.option
    option.timestep = timestep
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10.0
    # A diverged state must stay visible as such instead of jumping back to the start.
    option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
