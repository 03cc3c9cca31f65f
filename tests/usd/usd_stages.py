"""Stages authored for the tests, from one description in Z-up metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdLux, UsdPhysics, UsdShade

BOX_POINTS = np.array([(x, y, z) for z in (0, 1) for y in (0, 1) for x in (0, 1)], float)
BOX_FACES = [(4, 5, 7, 6), (0, 2, 3, 1), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]


class Author:
    """Writes prims given in metres and Z up into a stage of other units and up-axis.

    A point (x, y, z) becomes (x, z, -y) in a Y-up stage: the same thing seen from the same side.
    """

    def __init__(self, path: Path, up: str = "Z", unit: float = 1.0, kilogram: float = 1.0) -> None:
        self.path, self.up, self.unit, self.kilogram = path, up, unit, kilogram
        self.stage = Usd.Stage.CreateNew(str(path))
        UsdGeom.SetStageUpAxis(self.stage, up)
        UsdGeom.SetStageMetersPerUnit(self.stage, unit)
        UsdPhysics.SetStageKilogramsPerUnit(self.stage, kilogram)
        world = UsdGeom.Xform.Define(self.stage, "/World")
        self.stage.SetDefaultPrim(world.GetPrim())

    def save(self) -> Path:
        """Write the file."""
        self.stage.GetRootLayer().Save()
        return self.path

    def length(self, metres: float) -> float:
        return metres / self.unit

    def mass(self, kilograms: float) -> float:
        return kilograms / self.kilogram

    def density(self, si: float) -> float:
        return si / self.kilogram * self.unit**3

    def inertia(self, si: tuple[float, float, float]) -> Gf.Vec3f:
        x, y, z = (v / self.kilogram / self.unit**2 for v in si)
        return Gf.Vec3f(x, y, z) if self.up == "Z" else Gf.Vec3f(x, z, y)

    def vector(self, v: tuple[float, float, float]) -> Gf.Vec3d:
        x, y, z = (self.length(c) for c in v)
        return Gf.Vec3d(x, y, z) if self.up == "Z" else Gf.Vec3d(x, z, -y)

    def size(self, v: tuple[float, float, float]) -> Gf.Vec3f:
        x, y, z = (self.length(c) for c in v)
        return Gf.Vec3f(x, y, z) if self.up == "Z" else Gf.Vec3f(x, z, y)

    def axis(self, name: str) -> str:
        return name if self.up == "Z" else {"X": "X", "Y": "Z", "Z": "Y"}[name]

    def turn(self, axis: tuple[float, float, float], degrees: float) -> Gf.Rotation:
        unitless = Gf.Vec3d(*axis) if self.up == "Z" else Gf.Vec3d(axis[0], axis[2], -axis[1])
        return Gf.Rotation(unitless, degrees)

    def place(self, prim: UsdGeom.Xformable, at=(0.0, 0.0, 0.0), turn=None, scale=None) -> None:
        """Translate (m), rotate ((axis), degrees), scale (unitless, Z-up order)."""
        prim.AddTranslateOp().Set(self.vector(at))
        if turn is not None:
            quat = self.turn(*turn).GetQuat()
            prim.AddOrientOp(UsdGeom.XformOp.PrecisionDouble).Set(Gf.Quatd(quat))
        if scale is not None:
            s = scale if self.up == "Z" else (scale[0], scale[2], scale[1])
            prim.AddScaleOp().Set(Gf.Vec3f(*s))

    def xform(self, path: str, **where) -> UsdGeom.Xform:
        made = UsdGeom.Xform.Define(self.stage, path)
        self.place(made, **where)
        return made

    def body(self, path: str, mass: float | None = None, density: float | None = None, **where) -> Usd.Prim:
        prim = self.xform(path, **where).GetPrim()
        UsdPhysics.RigidBodyAPI.Apply(prim)
        self.weigh(prim, mass, density)
        return prim

    def weigh(self, prim: Usd.Prim, mass: float | None = None, density: float | None = None) -> None:
        if mass is not None:
            UsdPhysics.MassAPI.Apply(prim).CreateMassAttr(self.mass(mass))
        if density is not None:
            UsdPhysics.MassAPI.Apply(prim).CreateDensityAttr(self.density(density))

    def collide(self, prim: Usd.Prim, on: bool = True) -> None:
        if on:
            UsdPhysics.CollisionAPI.Apply(prim)

    def box(self, path: str, size: tuple[float, float, float], collide: bool = True, **where) -> Usd.Prim:
        """A unit Cube scaled to ``size`` metres."""
        made = UsdGeom.Cube.Define(self.stage, path)
        made.CreateSizeAttr(1.0)
        scale = self.size(size)
        made.AddTranslateOp().Set(self.vector(where.get("at", (0.0, 0.0, 0.0))))
        if where.get("turn") is not None:
            made.AddOrientOp(UsdGeom.XformOp.PrecisionDouble).Set(Gf.Quatd(self.turn(*where["turn"]).GetQuat()))
        made.AddScaleOp().Set(scale)
        self.collide(made.GetPrim(), collide)
        return made.GetPrim()

    def round(
        self, kind: type, path: str, radius: float, height: float, axis: str = "Z", collide: bool = True, **where
    ) -> Usd.Prim:
        """A Cylinder, Capsule or Cone."""
        made = kind.Define(self.stage, path)
        made.CreateRadiusAttr(self.length(radius))
        made.CreateHeightAttr(self.length(height))
        made.CreateAxisAttr(self.axis(axis))
        self.place(made, **where)
        self.collide(made.GetPrim(), collide)
        return made.GetPrim()

    def sphere(self, path: str, radius: float, collide: bool = True, **where) -> Usd.Prim:
        made = UsdGeom.Sphere.Define(self.stage, path)
        made.CreateRadiusAttr(self.length(radius))
        self.place(made, **where)
        self.collide(made.GetPrim(), collide)
        return made.GetPrim()

    def mesh(
        self, path: str, points, faces, collide: bool = True, approximation: str | None = None, **where
    ) -> Usd.Prim:
        made = UsdGeom.Mesh.Define(self.stage, path)
        made.CreatePointsAttr([Gf.Vec3f(self.vector(tuple(p))) for p in np.asarray(points, float)])
        made.CreateFaceVertexCountsAttr([len(f) for f in faces])
        made.CreateFaceVertexIndicesAttr([int(i) for f in faces for i in f])
        made.CreateSubdivisionSchemeAttr("none")
        self.place(made, **where)
        self.collide(made.GetPrim(), collide)
        if approximation is not None:
            UsdPhysics.MeshCollisionAPI.Apply(made.GetPrim()).CreateApproximationAttr(approximation)
        return made.GetPrim()

    def preview(self, path: str, color=(0.8, 0.1, 0.1), **inputs) -> UsdShade.Material:
        material = UsdShade.Material.Define(self.stage, path)
        shader = UsdShade.Shader.Define(self.stage, f"{path}/Surface")
        shader.CreateIdAttr("UsdPreviewSurface")
        shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(*color))
        for name, value in inputs.items():
            kind = Sdf.ValueTypeNames.Color3f if isinstance(value, tuple) else Sdf.ValueTypeNames.Float
            shader.CreateInput(name, kind).Set(value)
        material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
        return material

    def bind(self, prim: Usd.Prim, material: UsdShade.Material, purpose: str = UsdShade.Tokens.allPurpose) -> None:
        UsdShade.MaterialBindingAPI.Apply(prim).Bind(material, UsdShade.Tokens.weakerThanDescendants, purpose)

    def physics_material(self, path: str, static=None, dynamic=None, restitution=None, density=None):
        material = UsdShade.Material.Define(self.stage, path)
        api = UsdPhysics.MaterialAPI.Apply(material.GetPrim())
        if static is not None:
            api.CreateStaticFrictionAttr(static)
        if dynamic is not None:
            api.CreateDynamicFrictionAttr(dynamic)
        if restitution is not None:
            api.CreateRestitutionAttr(restitution)
        if density is not None:
            api.CreateDensityAttr(self.density(density))
        return material

    def apply(self, prim: Usd.Prim, schema: str, **values) -> None:
        """Apply a synthgen schema; lists of paths become relationships."""
        prim.AddAppliedSchema(schema)
        prefix = {
            "SynthgenObjectAPI": "object",
            "SynthgenSpawnRegionAPI": "spawnRegion",
            "SynthgenReceptacleAPI": "receptacle",
            "SynthgenSlotAPI": "slot",
            "SynthgenCameraAPI": "camera",
            "SynthgenRandomizeAPI": "randomize",
            "SynthgenMountAPI": "mount",
        }[schema]
        for name, value in values.items():
            full = f"synthgen:{prefix}:{name.replace('__', ':')}"
            if isinstance(value, list):
                prim.CreateRelationship(full).SetTargets([Sdf.Path(v) for v in value])
                continue
            kinds = Sdf.ValueTypeNames
            kind = kinds.String
            if name in ("shape", "upAxis", "role", "preposition"):
                kind = kinds.Token
            elif isinstance(value, bool):
                kind = kinds.Bool
            elif isinstance(value, (int, float)):
                kind = kinds.Float
            elif isinstance(value, tuple):
                kind = kinds.Float2 if len(value) == 2 else kinds.Point3f
                value = Gf.Vec2f(*value) if len(value) == 2 else Gf.Vec3f(*value)
            prim.CreateAttribute(full, kind, custom=False, variability=Sdf.VariabilityUniform).Set(value)

    def joint(self, kind: type, path: str, body0: str | None, body1: str | None, at0, at1, axis="Z", **limits):
        made = kind.Define(self.stage, path)
        if body0:
            made.CreateBody0Rel().SetTargets([Sdf.Path(body0)])
        if body1:
            made.CreateBody1Rel().SetTargets([Sdf.Path(body1)])
        made.CreateLocalPos0Attr(Gf.Vec3f(self.vector(at0)))
        made.CreateLocalPos1Attr(Gf.Vec3f(self.vector(at1)))
        if kind in (UsdPhysics.RevoluteJoint, UsdPhysics.PrismaticJoint, UsdPhysics.SphericalJoint):
            made.CreateAxisAttr(self.axis(axis))
        for name, value in limits.items():
            getattr(made, f"Create{name}Attr")(value)
        return made


def minimal(author: Author) -> None:
    """The least scene that checks without a problem: mount, light, camera, surface, region, cube, bin, two slots."""
    author.apply(author.xform("/World/Mount", at=(0, 0, 0.5)).GetPrim(), "SynthgenMountAPI")
    UsdLux.DistantLight.Define(author.stage, "/World/Sun").CreateIntensityAttr(1000.0)
    camera = UsdGeom.Camera.Define(author.stage, "/World/Cam")
    author.place(camera, at=(1, 0, 1))
    author.apply(camera.GetPrim(), "SynthgenCameraAPI", name="agentview")
    author.box("/World/Table", (1.0, 1.0, 0.04), at=(0.5, 0, 0.48))
    region = author.xform("/World/region", at=(0.3, 0.2, 0.5)).GetPrim()
    author.apply(region, "SynthgenSpawnRegionAPI", size=(author.length(0.3), author.length(0.3)))
    middle = author.xform("/World/middle", at=(0.3, -0.2, 0.5)).GetPrim()
    author.apply(middle, "SynthgenSpawnRegionAPI", size=(author.length(0.3), author.length(0.3)))
    cube = author.body("/World/cube", mass=0.1, at=(0.3, 0.2, 0.525))
    author.box("/World/cube/geom", (0.05, 0.05, 0.05))
    author.apply(cube, "SynthgenObjectAPI", noun="cube")
    tub = author.body("/World/bin", mass=0.5, at=(0.3, -0.2, 0.5))
    author.box("/World/bin/floor", (0.2, 0.2, 0.01), at=(0, 0, 0.005))
    center = Gf.Vec3f(author.vector((0, 0, 0.01)))
    size = (author.length(0.2), author.length(0.2))
    author.apply(tub, "SynthgenReceptacleAPI", noun="bin", center=tuple(center), size=size)
    target = author.stage.DefinePrim("/World/target", "Scope")
    author.apply(target, "SynthgenSlotAPI", role="target", candidates=["/World/cube"], regions=["/World/region"])
    container = author.stage.DefinePrim("/World/container", "Scope")
    author.apply(container, "SynthgenSlotAPI", role="receptacle", candidates=["/World/bin"], regions=["/World/middle"])
