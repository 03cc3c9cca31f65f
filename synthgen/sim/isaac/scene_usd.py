"""The user's stage made ready for Isaac Lab: a layer that references it and adds what the engines ask for.

The stage itself is not changed. What the layer says on top (each item is a trap that a test reproduces):

- Its default prim becomes ``/Scene``, so that it can be spawned under every environment. Isaac Lab ignores units and
  up-axis and overwrites the spawned prim's transform: of a stage that has such, a converted copy is referenced.
- Physics scenes and lights that shine everywhere are switched off: there is one of each per simulation, not per
  environment. So nothing belongs to a physics scene of the stage.
- Bodies held by joints get an articulation root, joints a drive; joints to the world are anchored to the prim above the
  body instead, because Newton shifts world anchors in every environment but the first.
- Concave colliders are replaced by the convex pieces that every engine of ours uses.
- Objects whose colour is drawn get a material of their own; bodies get semantic labels.
- A shelf far above holds the things that an episode does without.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdLux, UsdPhysics, UsdShade, Vt

from synthgen.core.errors import SceneError
from synthgen.core.pose import Array, Pose
from synthgen.core.scene import Geom, Joint, SceneSpec
from synthgen.embodiments.assets import cache_folder
from synthgen.sim.isaac import metric_usd, textures
from synthgen.sim.isaac.links import prim_name

RECIPE = 6  # raise when what is written changes
ROOT = "/Scene"
SHELF_HEIGHT = 40.0  # metres above the environment's origin
SHELF_GAP = 0.6  # metres between parked things


@dataclass(frozen=True, kw_only=True, eq=False)
class Mechanism:
    """Bodies of the scene that joints hold together.

    Attributes:
        root: path of the body that carries the others, in the user's stage.
        holder: path of the prim that gets the articulation root: PhysX takes a base for fixed only if that is above
            the root body or the joint to the world, and for free only if it is the body.
        fixed: the root is held by the world.
        bodies: all of them, root first; joints: paths of those that move, in ``SceneSpec.joints`` order.
    """

    root: str
    holder: str
    fixed: bool
    bodies: tuple[str, ...]
    joints: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadyScene:
    """What the simulator needs of a prepared stage.

    Attributes:
        file: the layer to spawn. prefix: the user's default prim, which became ``/Scene``; "" when a copy is spawned,
            in which the user's root prims are below ``/Scene``.
        free: paths (user's stage) of bodies without joints, in stage order.
        mechanisms: the others.
        colored: body path -> path of its material below ``/Scene``, without the leading ``/Scene``.
        looks: material path -> likewise, for materials with a drawn colour.
        parking: free body path -> where it waits, in the environment's frame.
        turns: body path -> the axes of its prim, which engines report, in the body's frame of ``SceneSpec``, which
            stands upright: a quaternion (w, x, y, z). Only of bodies where the two differ.
    """

    file: Path
    prefix: str
    free: tuple[str, ...]
    mechanisms: tuple[Mechanism, ...]
    colored: Mapping[str, str]
    looks: Mapping[str, str]
    parking: Mapping[str, Pose]
    turns: Mapping[str, Array]

    def below(self, path: str) -> str:
        """A path of the user's stage, relative to the spawned scene (with a leading slash)."""
        return path.removeprefix(self.prefix)

    def spawned(self, path: str, pose: Pose) -> Pose:
        """A body's pose as engines take it: that of its prim."""
        turn = self.turns.get(path)
        return pose if turn is None else pose @ Pose.of((0.0, 0.0, 0.0), turn)


def prepare(scene: SceneSpec) -> ReadyScene:
    """Write the layer into the cache, if it is not there, and say what it holds.

    Raises:
        SceneError: the stage has no default prim or things outside it, nests bodies, or its gravity is oblique.
    """
    user = Usd.Stage.Open(str(scene.source))
    prefix, source, root = _check(user, scene), scene.source, ""
    mechanisms = find_mechanisms(scene)
    held = {b for m in mechanisms for b in m.bodies}
    free = tuple(p for p in scene.bodies if p not in held)
    _refuse_absent(scene, held)
    digest = hashlib.sha256(f"{RECIPE}|{scene.source}|{scene.digest}".encode()).hexdigest()[:24]
    folder = cache_folder() / "isaac"
    if not metric_usd.is_metric(user):
        prefix, source, root = "", folder / f"stage-{digest}.usdc", metric_usd.ROOT
        _keep(source, lambda target: metric_usd.write_metric(scene.source, target))
    path = folder / f"scene-{digest}.usda"
    writer = _Writer(scene, prefix, source, root or prefix)
    layer = writer.write(mechanisms)
    _keep(path, lambda target: layer.Export(str(target)))
    return ReadyScene(
        file=path,
        prefix=prefix,
        free=free,
        mechanisms=mechanisms,
        colored=writer.colored,
        looks=writer.looks,
        parking={p: parked(i) for i, p in enumerate(free)},
        turns=writer.turns(),
    )


def _keep(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file of the cache written, if it is not there. Any number of processes may call at once."""
    if path.is_file():
        return
    beside = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(beside)
        beside.replace(path)
    except OSError as error:
        raise SceneError(
            f"cannot write {path}: {error.strerror}", remedy="set SYNTHGEN_CACHE to a folder you can write to"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def _refuse_absent(scene: SceneSpec, held: set[str]) -> None:
    """What a joint holds cannot be put on the shelf."""
    body = {name: o.body for name, o in scene.objects.items()} | {n: r.body for n, r in scene.receptacles.items()}
    for slot in scene.slots:
        loose = len(slot.candidates) > 1 or slot.probability < 1.0
        for name in slot.candidates if loose else ():
            if body.get(name) in held:
                raise SceneError(
                    f"{scene.source}: slot {slot.name!r} may do without {body[name]}, which a joint holds",
                    remedy="make it the slot's only candidate, or take the joint away, or choose --simulator mujoco",
                )


def parked(index: int) -> Pose:
    """Where the ``index``-th free body waits when an episode does without it, in the environment's frame."""
    return Pose.of(((index % 4) * SHELF_GAP, (index // 4) * SHELF_GAP, SHELF_HEIGHT))


def find_mechanisms(scene: SceneSpec) -> tuple[Mechanism, ...]:
    """Group the bodies that joints connect."""
    joint_of = {j.child: j for j in scene.joints}

    def root_of(path: str) -> str:
        joint = joint_of.get(path)
        return path if joint is None or joint.parent is None else root_of(joint.parent)

    groups: dict[str, list[str]] = {}
    for path in scene.bodies:
        groups.setdefault(root_of(path), []).append(path)
    found: list[Mechanism] = []
    for root, bodies in groups.items():
        anchor = joint_of.get(root)
        if len(bodies) == 1 and anchor is None:
            continue
        moving = tuple(j.path for j in scene.joints if j.child in bodies and j.kind != "fixed")
        if anchor is not None and anchor.kind != "fixed":
            raise SceneError(
                f"{scene.source}: joint {anchor.path} moves {root} directly against the world",
                remedy="fix a frame body to the world and let the joint move against that",
            )
        if any(j.kind == "spherical" and j.child in bodies for j in scene.joints):
            raise SceneError(
                f"{scene.source}: spherical joint in {root}: Isaac Lab takes revolute and prismatic joints",
                remedy="use two revolute joints, or --simulator mujoco",
            )
        order = (root, *(b for b in bodies if b != root))
        holder = root if anchor is None else _above(order, scene) or anchor.path
        found.append(Mechanism(root=root, holder=holder, fixed=anchor is not None, bodies=order, joints=moving))
    return tuple(found)


def _above(bodies: tuple[str, ...], scene: SceneSpec) -> str | None:
    """The lowest prim above all these bodies, if no other body of the scene lies below it."""
    parents = [PurePosixPath(b).parent for b in bodies]
    common = parents[0]
    while not all(p.is_relative_to(common) for p in parents):
        common = common.parent
    others = [p for p in scene.bodies if p not in bodies]
    if len(common.parts) < 3 or any(PurePosixPath(p).is_relative_to(common) for p in others):
        return None
    return str(common)


def _check(user: Usd.Stage, scene: SceneSpec) -> str:
    """The default prim's path, once the stage is known to be one that Isaac Lab can spawn."""
    root = user.GetDefaultPrim()
    if not root:
        raise SceneError(f"{scene.source}: no defaultPrim", remedy="set defaultPrim to the prim that holds the scene")
    prefix = str(root.GetPath())
    for path in (*scene.bodies, *(g.path for g in scene.static_geoms), *(j.path for j in scene.joints)):
        if not path.startswith(prefix + "/"):
            raise SceneError(
                f"{scene.source}: {path} is outside the default prim {prefix}, so it would not be spawned",
                remedy=f"move it below {prefix}",
            )
    nested = [w for w in scene.warnings if w.code == "nested-body"]
    if nested:
        raise SceneError(f"{scene.source}: {nested[0].path}: {nested[0].message}", remedy=nested[0].remedy)
    if np.abs(scene.gravity[:2]).max() > 1e-6:
        raise SceneError(f"{scene.source}: gravity {scene.gravity} is not along -z", remedy="turn the scene instead")
    return prefix


class _Writer:
    """Fills the layer."""

    def __init__(self, scene: SceneSpec, prefix: str, source: Path, root: str) -> None:
        self._scene = scene
        self._prefix = prefix
        self._source, self._root = source, root
        self._layer = Sdf.Layer.CreateAnonymous(".usda")
        self._stage = Usd.Stage.Open(self._layer)
        self.colored: dict[str, str] = {}
        self.looks: dict[str, str] = {}

    def write(self, mechanisms: tuple[Mechanism, ...]) -> Sdf.Layer:
        """Everything, on an anonymous layer."""
        stage, scene = self._stage, self._scene
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
        root = UsdGeom.Xform.Define(stage, ROOT)
        root.GetPrim().GetReferences().AddReference(str(self._source), self._root)
        stage.SetDefaultPrim(root.GetPrim())
        for prim in list(Usd.PrimRange(root.GetPrim())):
            if prim.IsA(UsdPhysics.Scene) or prim.IsA(UsdLux.DistantLight) or prim.IsA(UsdLux.DomeLight):
                prim.SetActive(False)
                continue
            owner = prim.GetRelationship("physics:simulationOwner")
            if owner and owner.GetTargets():
                owner.SetTargets([])
        for mechanism in mechanisms:
            self._mechanism(mechanism)
        for body in scene.bodies.values():
            self._label(body.path)
            # A collider that is replaced by its pieces takes its mass or density with it.
            UsdPhysics.MassAPI.Apply(self._prim(body.path)).CreateMassAttr(float(body.mass))
            for geom in body.geoms:
                if not geom.collides:
                    continue
                if geom.kind == "mesh" and len(geom.hulls) > 1:
                    self._hulls(body.path, geom)
                else:
                    prevail(self._prim(geom.path))
        for geom in scene.static_geoms:
            if geom.kind == "mesh" and geom.collides and len(geom.hulls) > 1:
                self._hulls("", geom)
        self._colors()
        self._shelf()
        return self._layer

    def turns(self) -> dict[str, Array]:
        """See ``ReadyScene``; also a last look whether every body is where the scene has it.

        Raises:
            SceneError: one is elsewhere.
        """
        found: dict[str, Array] = {}
        for path, body in self._scene.bodies.items():
            difference = body.pose.inverse() @ _pose_of(self._stage.GetPrimAtPath(self._at(path)))
            if np.abs(difference.position).max() > 1e-4:
                raise SceneError(
                    f"{self._scene.source}: {path} would be {difference.position.round(4)} m away from its place",
                    remedy="author its transform as default values, not as time samples",
                )
            if abs(difference.orientation[0]) < 1.0 - 1e-9:
                found[path] = difference.orientation
        return found

    def _at(self, path: str) -> str:
        return ROOT + path.removeprefix(self._prefix)

    def _prim(self, path: str) -> Usd.Prim:
        """The prim for editing; instances are taken apart on the way."""
        prim = self._stage.GetPrimAtPath(self._at(path))
        while prim.IsInstanceProxy():
            above = prim
            while not above.IsInstance():
                above = above.GetParent()
            above.SetInstanceable(False)
            prim = self._stage.GetPrimAtPath(self._at(path))
        if prim.IsInstance():
            prim.SetInstanceable(False)
        return self._stage.GetPrimAtPath(self._at(path))

    def _mechanism(self, mechanism: Mechanism) -> None:
        for body in mechanism.bodies:
            prim = self._prim(body)
            for other in (prim, *_ancestors(prim)):
                if other.HasAPI(UsdPhysics.ArticulationRootAPI):
                    other.RemoveAPI(UsdPhysics.ArticulationRootAPI)
        UsdPhysics.ArticulationRootAPI.Apply(self._prim(mechanism.holder))
        for joint in self._scene.joints:
            if joint.child not in mechanism.bodies:
                continue
            prim = self._prim(joint.path)
            if joint.parent is None:
                self._anchor(joint)
            if joint.kind in ("revolute", "prismatic"):
                kind = "angular" if joint.kind == "revolute" else "linear"
                if not prim.HasAPI(UsdPhysics.DriveAPI, kind):
                    UsdPhysics.DriveAPI.Apply(prim, kind).CreateTypeAttr("force")

    def _anchor(self, joint: Joint) -> None:
        """Let a joint to the world hold on to the prim above its body."""
        prim = UsdPhysics.Joint(self._prim(joint.path))
        above = self._prim(joint.child).GetParent()
        world = _pose_of(above)
        frame = world.inverse() @ joint.frame_in_parent
        child_first = str(joint.child) in [str(t) for t in self._authored(prim.GetBody0Rel())]
        side = 1 if child_first else 0
        (prim.CreateBody1Rel() if side else prim.CreateBody0Rel()).SetTargets([above.GetPath()])
        position = prim.CreateLocalPos1Attr() if side else prim.CreateLocalPos0Attr()
        rotation = prim.CreateLocalRot1Attr() if side else prim.CreateLocalRot0Attr()
        position.Set(Gf.Vec3f(*frame.position.tolist()))
        rotation.Set(Gf.Quatf(*frame.orientation.tolist()))

    def _authored(self, relation: Usd.Relationship) -> list[str]:
        return [self._prefix + str(t).removeprefix(ROOT) for t in relation.GetTargets()]

    def _label(self, path: str) -> None:
        prim = self._prim(path)
        name = f"semantics:labels:{LABEL}"
        prim.AddAppliedSchema(f"SemanticsLabelsAPI:{LABEL}")
        attribute = prim.CreateAttribute(name, Sdf.ValueTypeNames.TokenArray, custom=False)
        attribute.Set(Vt.TokenArray([path]))

    def _hulls(self, owner: str, geom: Geom) -> None:
        """Convex pieces beside the collider, which only stays to be seen."""
        prim = self._prim(geom.path)
        UsdPhysics.CollisionAPI(prim).CreateCollisionEnabledAttr(False)
        holder = self._prim(owner) if owner else self._stage.GetPrimAtPath(ROOT)
        linear = np.array(_matrix(holder))[:3, :3]
        if np.abs(linear @ linear.T - np.eye(3)).max() > 1e-4:
            raise SceneError(
                f"{self._scene.source}: {owner or 'the stage'} is scaled and holds the concave collider {geom.path}",
                remedy="put the scale on the mesh instead of on the body",
            )
        turn = Pose.of() if not owner else self._scene.bodies[owner].pose.inverse() @ _pose_of(holder)
        for i, hull in enumerate(geom.hulls):
            name = f"{prim_name(Path(geom.path).name)}_hull{i}"
            mesh = UsdGeom.Mesh.Define(self._stage, f"{holder.GetPath()}/{name}")
            mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(hull.vertices, np.float32)))
            faces = np.ascontiguousarray(hull.triangles, np.int32)
            mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
            mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces.ravel()))
            mesh.CreateSubdivisionSchemeAttr("none")
            mesh.CreatePurposeAttr(UsdGeom.Tokens.guide)
            _place(mesh, turn.inverse() @ geom.pose)
            UsdPhysics.CollisionAPI.Apply(mesh.GetPrim())
            UsdPhysics.MeshCollisionAPI.Apply(mesh.GetPrim()).CreateApproximationAttr("convexHull")
            material, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial("physics")
            if material:
                UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material, materialPurpose="physics")
            if owner in self._scene.bodies:
                prevail(mesh.GetPrim())

    def _colors(self) -> None:
        """Materials that a sample may recolour: one per object with colour jitter; the scene's own where drawn."""
        scene = self._scene
        for prop in scene.objects.values():
            shown = [g for g in scene.bodies[prop.body].geoms if g.visible]
            if not shown or prop.color_jitter == 0.0:
                continue
            first = scene.materials.get(shown[0].material or "")
            path = f"{ROOT}/SynthgenLooks/{prim_name(prop.name)}"
            color = first.color if first else shown[0].color
            shader = self._material(path, color, first.roughness if first else 0.5)
            if first is not None and first.texture is not None:
                continue  # a texture is the colour; kit-less renderers cannot tint it
            for geom in shown:
                binding = UsdShade.MaterialBindingAPI.Apply(self._prim(geom.path))
                binding.Bind(shader, bindingStrength=UsdShade.Tokens.strongerThanDescendants)
            self.colored[prop.body] = path.removeprefix(ROOT)
        for look in scene.looks:
            material = scene.materials.get(look.path)
            if material is not None and material.texture is None and look.color_jitter > 0:
                self.looks[look.path] = look.path.removeprefix(self._prefix)
        for group in textures.wearers(scene):
            for path in group.prims:
                self._bindable(path)

    def _bindable(self, path: str) -> None:
        """Another material may be bound here later; what the prim feels like must not change with it."""
        prim = self._prim(path)
        grip, how = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial("physics")
        if grip and how and how.GetName() == "material:binding":
            UsdShade.MaterialBindingAPI.Apply(prim).Bind(grip, materialPurpose="physics")

    def _material(self, path: str, color: tuple[float, float, float], roughness: float) -> UsdShade.Material:
        material = UsdShade.Material.Define(self._stage, path)
        shader = UsdShade.Shader.Define(self._stage, f"{path}/shader")
        shader.CreateIdAttr("UsdPreviewSurface")
        shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(*color))
        shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(float(roughness))
        material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
        return material

    def _shelf(self) -> None:
        cube = UsdGeom.Cube.Define(self._stage, f"{ROOT}/SynthgenShelf")
        cube.CreateSizeAttr(1.0)
        cube.CreatePurposeAttr(UsdGeom.Tokens.guide)
        cube.CreateVisibilityAttr(UsdGeom.Tokens.invisible)
        cube.AddTranslateOp().Set(Gf.Vec3d(0.0, 0.0, SHELF_HEIGHT - 1.0))
        cube.AddScaleOp().Set(Gf.Vec3f(40.0, 40.0, 0.2))
        UsdPhysics.CollisionAPI.Apply(cube.GetPrim())


LABEL = "class"


def prevail(prim: Usd.Prim) -> None:
    """On Newton, let a movable body's own friction prevail over the table's and the hand's, with torsion, as on MuJoCo.

    Newton takes the larger of two frictions otherwise, so that a smaller drawn one would do nothing.
    """
    prim.AddAppliedSchema("MjcCollisionAPI")
    prim.CreateAttribute("mjc:priority", Sdf.ValueTypeNames.Int, custom=False).Set(1)
    prim.CreateAttribute("mjc:condim", Sdf.ValueTypeNames.Int, custom=False).Set(4)


def _ancestors(prim: Usd.Prim) -> list[Usd.Prim]:
    found: list[Usd.Prim] = []
    above = prim.GetParent()
    while above and str(above.GetPath()) not in ("/", ROOT):
        found.append(above)
        above = above.GetParent()
    return found


def _matrix(prim: Usd.Prim) -> Gf.Matrix4d:
    return UsdGeom.XformCache().GetLocalToWorldTransform(prim)


def _pose_of(prim: Usd.Prim) -> Pose:
    """A prim's pose in the scene's world, scale taken off."""
    matrix = _matrix(prim).RemoveScaleShear()
    quat = matrix.ExtractRotationQuat()
    return Pose.of(tuple(matrix.ExtractTranslation()), (quat.GetReal(), *quat.GetImaginary()))


def _place(gprim: UsdGeom.Xformable, pose: Pose) -> None:
    gprim.AddTranslateOp().Set(Gf.Vec3d(*pose.position.tolist()))
    gprim.AddOrientOp().Set(Gf.Quatf(*pose.orientation.tolist()))
