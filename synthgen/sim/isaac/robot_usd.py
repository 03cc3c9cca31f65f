"""A robot's links written as one USD file that OvPhysX, Newton and Isaac Sim all take, kept in the cache.

Canonical means: a flat list of links below the default prim; the articulation root on the base link and no joint to the
world (Isaac Lab adds it: ``fix_root_link``); a DriveAPI on every joint, without which OvPhysX ignores gains in silence;
masses and inertias written out; visuals and colliders apart. Gravity compensation is a matter of the spawner.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics, UsdShade, Vt

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import AssetError
from synthgen.core.pose import Array, Pose
from synthgen.embodiments.assets import cache_folder
from synthgen.embodiments.build import COLLIDER_GROUP
from synthgen.sim.isaac.links import Link, LinkJoint, Links, links_of, prim_name

RECIPE = 1  # raise when this module or ``links`` changes what it writes
FRICTION = 1.0  # of the hands' pads, as on MuJoCo
ROOT = "/Robot"


def robot_model(embodiment: Embodiment, root_of: Callable[[str], Any]) -> mujoco.MjModel:
    """The embodiment alone, at the origin, compiled; colliders only on its contact bodies.

    Raises:
        AssetError: an asset pack is missing.
    """
    spec = embodiment.build(root_of)
    for geom in list(spec.geoms):
        if (geom.contype or geom.conaffinity) and geom.parent.name not in embodiment.contact_bodies:
            geom.contype = geom.conaffinity = 0  # stays: the body may take its mass from it; not written
    return spec.compile()


def robot_file(embodiment: Embodiment, model: mujoco.MjModel) -> Path:
    """The robot's USD file in the cache, made if it is not there. Any number of processes may call at once.

    Raises:
        AssetError: the cache cannot be written, or the robot cannot be a chain of links.
    """
    path = cache_folder() / "isaac" / f"{prim_name(embodiment.name)}-{_digest(model)}.usdc"
    if path.is_file():
        return path
    beside = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_robot(model, links_of(model, name=embodiment.name), beside)
        os.replace(beside, path)  # noqa: PTH105 - atomic, and says so
    except OSError as error:
        raise AssetError(
            f"cannot write {path}: {error.strerror}", remedy="set SYNTHGEN_CACHE to a folder you can write to"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    return path


def _digest(model: mujoco.MjModel) -> str:
    """Of everything that decides the file: the model's arrays and names, and the recipe."""
    h = hashlib.sha256(json.dumps({"recipe": RECIPE, "mujoco": mujoco.__version__}).encode())
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    h.update(buffer.tobytes())
    return h.hexdigest()[:24]


def write_robot(model: mujoco.MjModel, links: Links, path: Path) -> None:
    """Write ``links`` of ``model`` to a new USD file."""
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, ROOT).GetPrim())
    looks = _Looks(stage)
    for i, link in enumerate(links.links):
        _write_link(stage, model, link, looks, root=i == 0)
    for joint in links.joints:
        _write_joint(stage, joint)
    stage.GetRootLayer().Save()


def _write_link(stage: Usd.Stage, model: mujoco.MjModel, link: Link, looks: _Looks, *, root: bool) -> None:
    xform = UsdGeom.Xform.Define(stage, f"{ROOT}/{link.name}")
    _place(xform, link.pose)
    prim = xform.GetPrim()
    UsdPhysics.RigidBodyAPI.Apply(prim)
    if root:
        UsdPhysics.ArticulationRootAPI.Apply(prim)
    mass = UsdPhysics.MassAPI.Apply(prim)
    mass.CreateMassAttr(link.mass)
    mass.CreateCenterOfMassAttr(Gf.Vec3f(*link.center.tolist()))
    mass.CreateDiagonalInertiaAttr(Gf.Vec3f(*link.inertia.tolist()))
    mass.CreatePrincipalAxesAttr(Gf.Quatf(*link.inertia_frame.tolist()))
    body_pose = {int(model.geom_bodyid[g]): _body_in_link(model, int(model.geom_bodyid[g]), link) for g in link.geoms}
    for g in link.geoms:
        collides = bool(model.geom_contype[g] or model.geom_conaffinity[g])
        if not collides and model.geom_group[g] == COLLIDER_GROUP:
            continue  # a collider that this robot's physics does not use
        name = prim_name(model.geom(g).name or f"geom{g}")
        gprim = _shape(stage, model, g, f"{ROOT}/{link.name}/{name}")
        _place(gprim, body_pose[int(model.geom_bodyid[g])] @ Pose.of(model.geom_pos[g], model.geom_quat[g]))
        if collides:
            UsdPhysics.CollisionAPI.Apply(gprim.GetPrim())
            if gprim.GetPrim().IsA(UsdGeom.Mesh):
                UsdPhysics.MeshCollisionAPI.Apply(gprim.GetPrim()).CreateApproximationAttr("convexHull")
            UsdGeom.Imageable(gprim).CreatePurposeAttr(UsdGeom.Tokens.guide)
            looks.bind_pad(gprim.GetPrim())
        else:
            looks.bind(gprim.GetPrim(), _color(model, g))


def _body_in_link(model: mujoco.MjModel, body: int, link: Link) -> Pose:
    """A body's pose in its link's frame, joints at 0 (fixed by construction)."""
    pose = Pose.of()
    root = int(model.body_weldid[body])
    while body != root:
        pose = Pose.of(model.body_pos[body], model.body_quat[body]) @ pose
        body = int(model.body_parentid[body])
    return pose


def _shape(stage: Usd.Stage, model: mujoco.MjModel, g: int, path: str) -> Any:
    size = model.geom_size[g].astype(float)
    kind = mujoco.mjtGeom(int(model.geom_type[g]))
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        return _mesh(stage, model, int(model.geom_dataid[g]), path)
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        gprim = UsdGeom.Cube.Define(stage, path)
        gprim.CreateSizeAttr(2.0)
        gprim.CreateExtentAttr([(-1, -1, -1), (1, 1, 1)])
        _stretch(gprim, size)
        return gprim
    if kind in (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_ELLIPSOID):
        gprim = UsdGeom.Sphere.Define(stage, path)
        gprim.CreateRadiusAttr(1.0 if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID else size[0])
        if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            _stretch(gprim, size)
        return gprim
    if kind in (mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_CYLINDER):
        schema = UsdGeom.Capsule if kind == mujoco.mjtGeom.mjGEOM_CAPSULE else UsdGeom.Cylinder
        gprim = schema.Define(stage, path)
        gprim.CreateRadiusAttr(size[0])
        gprim.CreateHeightAttr(2.0 * size[1])
        gprim.CreateAxisAttr("Z")
        return gprim
    raise AssetError(f"geom {model.geom(g).name!r}: a robot cannot hold a shape of type {kind.name}")


def _mesh(stage: Usd.Stage, model: mujoco.MjModel, mesh: int, path: str) -> UsdGeom.Mesh:
    v0, nv = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
    f0, nf = int(model.mesh_faceadr[mesh]), int(model.mesh_facenum[mesh])
    vertices = np.ascontiguousarray(model.mesh_vert[v0 : v0 + nv], np.float32)
    gprim = UsdGeom.Mesh.Define(stage, path)
    gprim.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(vertices))
    gprim.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(nf, 3, np.int32)))
    faces = np.ascontiguousarray(model.mesh_face[f0 : f0 + nf], np.int32)
    gprim.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces.ravel()))
    gprim.CreateSubdivisionSchemeAttr("none")
    gprim.CreateExtentAttr([tuple(map(float, vertices.min(0))), tuple(map(float, vertices.max(0)))])
    return gprim


def _write_joint(stage: Usd.Stage, joint: LinkJoint) -> None:
    schema = UsdPhysics.RevoluteJoint if joint.revolute else UsdPhysics.PrismaticJoint
    prim = schema.Define(stage, f"{ROOT}/{joint.child}/{joint.name}")
    unit = math.degrees(1.0) if joint.revolute else 1.0
    prim.CreateAxisAttr("X")
    prim.CreateBody0Rel().SetTargets([f"{ROOT}/{joint.parent}"])
    prim.CreateBody1Rel().SetTargets([f"{ROOT}/{joint.child}"])
    for pose, position, rotation in (
        (joint.frame_in_parent, prim.CreateLocalPos0Attr, prim.CreateLocalRot0Attr),
        (joint.frame_in_child, prim.CreateLocalPos1Attr, prim.CreateLocalRot1Attr),
    ):
        position(Gf.Vec3f(*pose.position.tolist()))
        rotation(Gf.Quatf(*pose.orientation.tolist()))
    if np.isfinite(joint.lower):
        prim.CreateLowerLimitAttr(joint.lower * unit)
        prim.CreateUpperLimitAttr(joint.upper * unit)
    drive = UsdPhysics.DriveAPI.Apply(prim.GetPrim(), "angular" if joint.revolute else "linear")
    drive.CreateTypeAttr("force")


def _place(gprim: Any, pose: Pose) -> None:
    """Set translate and orient, keeping a scale that is already there."""
    ops = {op.GetOpName(): op for op in gprim.GetOrderedXformOps()}
    translate = ops.get("xformOp:translate") or gprim.AddTranslateOp()
    orient = ops.get("xformOp:orient") or gprim.AddOrientOp()
    translate.Set(Gf.Vec3d(*pose.position.tolist()))
    orient.Set(Gf.Quatf(*pose.orientation.tolist()))


def _stretch(gprim: Any, size: Array) -> None:
    """Make the transform ops with a scale, in the order that Isaac Lab expects; ``_place`` fills in the others."""
    gprim.AddTranslateOp()
    gprim.AddOrientOp()
    gprim.AddScaleOp().Set(Gf.Vec3f(*size.tolist()))


def _color(model: mujoco.MjModel, g: int) -> Array:
    """(3,) linear RGB of a geom. MuJoCo's colours are display values."""
    material = int(model.geom_matid[g])
    rgba = model.mat_rgba[material] if material >= 0 else model.geom_rgba[g]
    x = np.clip(np.asarray(rgba[:3], float), 0.0, 1.0)
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


class _Looks:
    """The materials of the file, each written once."""

    def __init__(self, stage: Usd.Stage) -> None:
        self._stage = stage
        self._known: dict[tuple[float, ...], Any] = {}
        self._pad: Any = None

    def bind(self, prim: Usd.Prim, color: Array) -> None:
        """Give a visual its colour (3,), linear RGB."""
        key = tuple(round(float(c), 4) for c in color)
        if key not in self._known:
            path = f"{ROOT}/Looks/color{len(self._known)}"
            material = UsdShade.Material.Define(self._stage, path)
            shader = UsdShade.Shader.Define(self._stage, f"{path}/shader")
            shader.CreateIdAttr("UsdPreviewSurface")
            shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(*key))
            shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(0.5)
            material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
            self._known[key] = material
        UsdGeom.Gprim(prim).CreateDisplayColorAttr([Gf.Vec3f(*key)])
        UsdShade.MaterialBindingAPI.Apply(prim).Bind(self._known[key])

    def bind_pad(self, prim: Usd.Prim) -> None:
        """Give a collider the hands' friction.

        Combined by multiplication, so that of hand (1) and object the object's friction acts, as on MuJoCo.
        """
        if self._pad is None:
            self._pad = UsdShade.Material.Define(self._stage, f"{ROOT}/Looks/pad")
            pad = self._pad.GetPrim()
            physics = UsdPhysics.MaterialAPI.Apply(pad)
            physics.CreateStaticFrictionAttr(FRICTION)
            physics.CreateDynamicFrictionAttr(FRICTION)
            physics.CreateRestitutionAttr(0.0)
            pad.AddAppliedSchema("PhysxMaterialAPI")
            mode = pad.CreateAttribute("physxMaterial:frictionCombineMode", Sdf.ValueTypeNames.Token, custom=False)
            mode.Set("multiply")
        binding = UsdShade.MaterialBindingAPI.Apply(prim)
        binding.Bind(self._pad, bindingStrength=UsdShade.Tokens.weakerThanDescendants, materialPurpose="physics")


def forward_kinematics(links: Links, joints: dict[str, float]) -> dict[str, Pose]:
    """Link poses in the base frame for joint coordinates by source name (rad, m); for tests."""
    pose = {links.links[0].name: links.links[0].pose}
    for joint in links.joints:
        q = joints.get(joint.source, 0.0)
        turn = np.array([math.cos(q / 2), math.sin(q / 2), 0.0, 0.0])
        move = Pose.of(orientation=turn) if joint.revolute else Pose.of((q, 0.0, 0.0))
        pose[joint.child] = pose[joint.parent] @ joint.frame_in_parent @ move @ joint.frame_in_child.inverse()
    return pose
