# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""NVIDIA's own robot assets instead of ours (``--isaac-assets``): their configuration, our joints by their names.

Their files lie on NVIDIA's asset server and were never loaded where we develop. So nothing about their geometry is
taken on trust: once a stage holds the robot, every joint's place and axis is compared with the planning model's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import AssetError, MachineError, UsageError
from synthgen.core.pose import Array, Pose, quat_inv, quat_rotate
from synthgen.sim.isaac.chain import Chain, anchors

FOLDER = Path(__file__).with_name("nvidia_robots")
NEAR_ENOUGH = 1e-3  # metres between a joint of theirs and ours
STRAIGHT_ENOUGH = 5e-3  # radians between their axes
HOLD = {"stiffness": 2000.0, "damping": 80.0}  # for joints of theirs that their configuration lets go of
WITHOUT = "or leave out --isaac-assets: synthgen converts its own robots"


@dataclass(frozen=True, kw_only=True)
class Stock:
    """A robot of NVIDIA's that can stand in for one of ours (a file of ``nvidia_robots``).

    Attributes:
        module, name: where isaaclab_assets keeps its ``ArticulationCfg``.
        root: body of our model that its root link is.
        joints: our simulated joint -> theirs.
        held: patterns of their joints that no actuator of the configuration drives; they are held where they start.
    """

    module: str
    name: str
    root: str
    joints: Mapping[str, str]
    held: tuple[str, ...] = ()


def known() -> tuple[str, ...]:
    """Embodiments that have one."""
    return tuple(sorted(p.stem for p in FOLDER.glob("*.json")))


def load(embodiment: str) -> Stock:
    """The stand-in for an embodiment.

    Raises:
        UsageError: there is none.
    """
    if embodiment not in known():
        raise UsageError(
            f"--isaac-assets: no asset of NVIDIA's is mapped to the robot {embodiment!r}",
            remedy=f"choose from {', '.join(known())} with --embodiments, {WITHOUT}",
        )
    found = json.loads((FOLDER / f"{embodiment}.json").read_text())
    return Stock(**{**found, "held": tuple(found.get("held", ()))})


def configuration(stock: Stock) -> Any:
    """A copy of their ``ArticulationCfg``, as published."""
    return getattr(import_module(stock.module), stock.name).copy()


def require(stock: Stock) -> None:
    """Refuse an asset that cannot be read from here.

    Raises:
        MachineError: the server (or the folder in its place) does not have it.
    """
    from isaaclab.utils.assets import NUCLEUS_ASSET_ROOT_DIR, check_file_path

    path = str(configuration(stock).spawn.usd_path)
    try:
        there = check_file_path(path) != 0
        why = ""
    except (ImportError, OSError, RuntimeError) as error:
        there, why = False, f" ({error})"
    if not there:
        staged = "stage its assets and set ISAACSIM_ASSET_ROOT, " if path.startswith(NUCLEUS_ASSET_ROOT_DIR) else ""
        raise MachineError(
            f"--isaac-assets: {path} cannot be reached{why}",
            remedy=f"let this machine reach NVIDIA's asset server, {staged}{WITHOUT}",
        )


def articulation(stock: Stock, base: Pose) -> Any:
    """What to spawn. ``base``: pose of the robot's root link in the environment.

    Theirs: file, gains, limits, start. Ours: the base is fixed, gravity compensated (as all our robots are), the robot
    labelled, and what their configuration leaves without a drive is held.
    """
    from isaaclab.actuators import ImplicitActuatorCfg

    from synthgen.sim.isaac.lab import xyzw

    config = configuration(stock)
    config.prim_path = "{ENV_REGEX_NS}/Robot"
    config.spawn.fix_root_link = True
    config.spawn.semantic_tags = [("class", "robot")]
    config.spawn.rigid_props.disable_gravity = True
    config.init_state.pos = tuple(float(v) for v in base.position)
    config.init_state.rot = tuple(float(v) for v in xyzw(base.orientation))
    if stock.held:
        config.actuators["synthgen_held"] = ImplicitActuatorCfg(joint_names_expr=list(stock.held), **HOLD)
    return config


def root_pose(stock: Stock, model: mujoco.MjModel) -> Pose:
    """Where their root link is in our robot's base frame."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    body = model.body(stock.root).id
    return Pose.of(data.xpos[body], data.xquat[body])


def signs(
    stock: Stock, embodiment: Embodiment, chain: Chain, model: mujoco.MjModel, rest: Mapping[str, float]
) -> dict[str, float]:
    """Which way each of our joints turns theirs: 1 or -1, after comparing all joints at home.

    ``rest``: where their joints start, by name; those we do not drive stay there.

    Raises:
        AssetError: a joint is missing, or lies or points elsewhere than in our planning model.
    """
    missing = sorted(set(stock.joints.values()) - {j.name for j in chain.joints})
    if missing:
        raise AssetError(
            f"{stock.name} has no joint {', '.join(missing)}", remedy=f"use the pinned Isaac Lab's asset, {WITHOUT}"
        )
    held = {n: q for n, q in rest.items() if n not in stock.joints.values()}
    ours, theirs = _ours(stock, model, {}), anchors(chain, held)
    found = {j: 1.0 if ours[j][1] @ theirs[n][1] >= 0 else -1.0 for j, n in stock.joints.items()}
    home = dict(zip(embodiment.joints, embodiment.expand(embodiment.home_targets()), strict=True))
    turned = {n: found[j] * float(home[j]) for j, n in stock.joints.items()}
    ours, theirs = _ours(stock, model, home), anchors(chain, held | turned)
    wrong: list[str] = []
    for joint, name in stock.joints.items():
        gap = float(np.linalg.norm(ours[joint][0] - theirs[name][0]))
        angle = float(np.arccos(np.clip(found[joint] * ours[joint][1] @ theirs[name][1], -1.0, 1.0)))
        slides = model.jnt_type[model.joint(joint).id] == mujoco.mjtJoint.mjJNT_SLIDE  # acts alike all along its axis
        if angle > STRAIGHT_ENOUGH or (gap > NEAR_ENOUGH and not slides):
            wrong.append(f"{joint} ({1000 * gap:.1f} mm, {np.degrees(angle):.1f} degrees)")
    if wrong:
        raise AssetError(
            f"{stock.name} is not built like the robot that synthgen plans with; at home these joints lie or point "
            f"elsewhere: {', '.join(wrong[:4])}" + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""),
            remedy=f"motions planned for one would miss with the other: {WITHOUT.removeprefix('or ')}",
        )
    return found


def _ours(stock: Stock, model: mujoco.MjModel, values: Mapping[str, float]) -> dict[str, tuple[Array, Array]]:
    """Place and axis of our joints in the frame of ``stock.root``."""
    data = mujoco.MjData(model)
    data.qpos[:] = 0.0
    for name, value in values.items():
        data.qpos[model.joint(name).qposadr[0]] = value
    mujoco.mj_kinematics(model, data)
    body = model.body(stock.root).id
    back = quat_inv(data.xquat[body])
    found: dict[str, tuple[Array, Array]] = {}
    for name in stock.joints:
        i = model.joint(name).id
        found[name] = (quat_rotate(back, data.xanchor[i] - data.xpos[body]), quat_rotate(back, data.xaxis[i]))
    return found
