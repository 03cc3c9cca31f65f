"""An embodiment's MuJoCo model as rigid links: bodies that no joint separates are one link.

PhysX gives a massless marker body a mass of its own and solves a joint for every fixed body; published robots have
dozens of both. So what moves together becomes one link with the sum of the masses, and nothing is lost but names, which
``Links.pose_of`` keeps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from synthgen.core.errors import AssetError
from synthgen.core.pose import Array, Pose, matrix_from_quat, quat_from_matrix

LIGHTEST = 1e-3  # kg, for links that the model gives no mass (they would get 1 kg from PhysX)


@dataclass(frozen=True, kw_only=True, eq=False)
class Link:
    """One rigid link.

    Attributes:
        name: valid as a prim name.
        pose: in the robot's base frame, all joints at 0.
        mass: kg. center: (3,) centre of mass in the link's frame. inertia: (3,) principal moments, kg m2.
        inertia_frame: (4,) principal axes in the link's frame.
        geoms: indices of the MuJoCo geoms it carries.
    """

    name: str
    pose: Pose
    mass: float
    center: Array
    inertia: Array
    inertia_frame: Array
    geoms: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinkJoint:
    """A joint between two links.

    Attributes:
        name: prim name; source: the embodiment's joint name.
        parent, child: link names.
        revolute: else prismatic.
        frame_in_parent, frame_in_child: coincide at coordinate 0; the axis is their x.
        lower, upper: rad (m).
        damping, armature, friction: passive, N m s/rad, kg m2, N m (N s/m, kg, N).
    """

    name: str
    source: str
    parent: str
    child: str
    revolute: bool
    frame_in_parent: Pose
    frame_in_child: Pose
    lower: float
    upper: float
    damping: float
    armature: float
    friction: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Links:
    """A robot as links and joints.

    Attributes:
        links: the fixed root first, parents before children.
        joints: in the order of their children.
        pose_of: body name of the MuJoCo model -> (link name, the body's pose in the link's frame).
    """

    links: tuple[Link, ...]
    joints: tuple[LinkJoint, ...]
    pose_of: Mapping[str, tuple[str, Pose]]


def links_of(model: mujoco.MjModel, *, name: str) -> Links:
    """Read the links of a compiled, fixed-base robot standing at the origin.

    Raises:
        AssetError: a body with two joints, a ball or a free joint, or two names that become the same prim name.
    """
    data = mujoco.MjData(model)
    data.qpos[:] = 0.0
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    roots = [0, *(i for i in range(1, model.nbody) if model.body_weldid[i] == i)]
    names = {i: "base_link" if i == 0 else prim_name(model.body(i).name or f"link{i}") for i in roots}
    _refuse_twins(names.values(), name)
    poses = {i: Pose.of(data.xpos[i], data.xquat[i]) for i in range(model.nbody)}
    weld = {i: int(model.body_weldid[i]) for i in range(model.nbody)}
    pose_of = {
        model.body(i).name: (names[weld[i]], poses[weld[i]].inverse() @ poses[i])
        for i in range(model.nbody)
        if model.body(i).name
    }
    links = tuple(_link(model, data, i, names[i], poses[i]) for i in roots)
    joints = tuple(_joint(model, i, names, poses, name) for i in roots[1:])
    _refuse_twins([j.name for j in joints], name)
    return Links(links=links, joints=joints, pose_of=pose_of)


def prim_name(name: str) -> str:
    """``name`` with everything that a USD prim name may not hold replaced by an underscore."""
    clean = re.sub(r"\W", "_", name, flags=re.ASCII)
    return clean if clean and not clean[0].isdigit() else f"_{clean}"


def _refuse_twins(names: Any, robot: str) -> None:
    listed = list(names)
    twins = sorted({n for n in listed if listed.count(n) > 1})
    if twins:
        raise AssetError(
            f"embodiment {robot!r}: several bodies or joints become the prim name {', '.join(twins)}",
            remedy="give them names that differ in letters, digits or underscores",
        )


def _link(model: mujoco.MjModel, data: mujoco.MjData, root: int, name: str, pose: Pose) -> Link:
    members = [i for i in range(model.nbody) if model.body_weldid[i] == root]
    masses = np.array([model.body_mass[i] for i in members])
    total = float(masses.sum())
    geoms = tuple(g for g in range(model.ngeom) if model.geom_bodyid[g] in members)
    if total < LIGHTEST:
        return Link(
            name=name,
            pose=pose,
            mass=LIGHTEST,
            center=np.zeros(3),
            inertia=np.full(3, 1e-6),
            inertia_frame=np.array([1.0, 0.0, 0.0, 0.0]),
            geoms=geoms,
        )
    centers = np.array([data.xipos[i] for i in members])
    center = masses @ centers / total
    tensor = np.zeros((3, 3))
    for i, m, c in zip(members, masses, centers, strict=True):  # parallel axes
        axes = data.ximat[i].reshape(3, 3)
        r = c - center
        tensor += axes @ np.diag(model.body_inertia[i]) @ axes.T + m * (r @ r * np.eye(3) - np.outer(r, r))
    turn = matrix_from_quat(pose.orientation)
    moments, axes = np.linalg.eigh(turn.T @ tensor @ turn)
    if np.linalg.det(axes) < 0:
        axes[:, 0] *= -1
    return Link(
        name=name,
        pose=pose,
        mass=total,
        center=pose.inverse().apply(center),
        inertia=np.maximum(moments, 1e-9),
        inertia_frame=quat_from_matrix(axes),
        geoms=geoms,
    )


def _joint(
    model: mujoco.MjModel, child: int, names: Mapping[int, str], poses: Mapping[int, Pose], robot: str
) -> LinkJoint:
    kinds = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
    j = int(model.body_jntadr[child])
    if model.body_jntnum[child] != 1 or int(model.jnt_type[j]) not in kinds:
        raise AssetError(
            f"embodiment {robot!r}: body {model.body(child).name!r} needs exactly one hinge or slide joint",
            remedy="split the body, one joint each",
        )
    parent = int(model.body_weldid[model.body_parentid[child]])
    in_child = Pose.of(model.jnt_pos[j], _x_onto(model.jnt_axis[j]))
    dof = int(model.jnt_dofadr[j])
    return LinkJoint(
        name=prim_name(model.joint(j).name),
        source=model.joint(j).name,
        parent=names[parent],
        child=names[child],
        revolute=int(model.jnt_type[j]) == kinds[0],
        frame_in_parent=poses[parent].inverse() @ poses[child] @ in_child,
        frame_in_child=in_child,
        lower=float(model.jnt_range[j][0]) if model.jnt_limited[j] else -np.inf,
        upper=float(model.jnt_range[j][1]) if model.jnt_limited[j] else np.inf,
        damping=float(model.dof_damping[dof]),
        armature=float(model.dof_armature[dof]),
        friction=float(model.dof_frictionloss[dof]),
    )


def _x_onto(axis: Array) -> Array:
    """A rotation (w, x, y, z) that takes the x axis onto ``axis`` (3,), unit length."""
    other = np.eye(3)[int(np.argmin(np.abs(axis)))]
    y = np.cross(axis, other)
    y /= np.linalg.norm(y)
    return quat_from_matrix(np.stack([axis, y, np.cross(axis, y)], axis=1))
