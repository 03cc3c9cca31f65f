"""A copy of a stage as Isaac Lab takes it: metres, kilograms, Z up, everything below one default prim that stays put.

Isaac Lab ignores a stage's units and up-axis, and writes over the transform of the prim it spawns. Stages that say
nothing of that sort are spawned as they are; of the others this copy is. Every length, mass and force is converted
where it is authored, so that no scale is left for an engine to misread; prims keep their axes and their paths.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdLux, UsdPhysics

from synthgen.core.errors import SceneError

ROOT = "/Stage"
UPRIGHT = "synthgenUpright"  # suffix of the transform that turns Y up into Z up
TURN = {"Y": Gf.Quatd(0.5**0.5, Gf.Vec3d(0.5**0.5, 0.0, 0.0))}

# Powers of (metre, kilogram) in what an attribute holds, by its name.
_SHAPE = {name: (1, 0) for name in ("size", "radius", "radiusTop", "radiusBottom", "height", "width", "length")}
_UNITS: dict[str, tuple[int, int]] = {
    **{name: (1, 0) for name in ("points", "extent", "widths", "clippingRange")},
    **{f"physics:{name}": (1, 0) for name in ("localPos0", "localPos1", "centerOfMass", "minDistance", "maxDistance")},
    **{f"physics:{name}": (1, 0) for name in ("velocity", "gravityMagnitude")},
    **{f"physxCollision:{name}": (1, 0) for name in ("contactOffset", "restOffset", "torsionalPatchRadius")},
    "physics:mass": (0, 1),
    "physics:density": (-3, 1),
    "physics:diagonalInertia": (2, 1),
    "physics:breakForce": (1, 1),
    "physics:breakTorque": (2, 1),
    **{f"drive:linear:physics:{name}": (1, 0) for name in ("targetPosition", "targetVelocity")},
    **{f"drive:linear:physics:{name}": (0, 1) for name in ("stiffness", "damping")},
    "drive:linear:physics:maxForce": (1, 1),
    **{f"drive:angular:physics:{name}": (2, 1) for name in ("stiffness", "damping", "maxForce")},
}
_PRISMATIC = {f"physics:{name}": (1, 0) for name in ("lowerLimit", "upperLimit")}


def is_metric(stage: Usd.Stage) -> bool:
    """Whether the stage can be spawned as it is: its units, its up-axis, its root's transform, its bindings."""
    root = stage.GetDefaultPrim()
    units = (UsdGeom.GetStageMetersPerUnit(stage), UsdPhysics.GetStageKilogramsPerUnit(stage))
    if max(abs(u - 1.0) for u in units) > 1e-6 or UsdGeom.GetStageUpAxis(stage) != UsdGeom.Tokens.z:
        return False
    place = UsdGeom.XformCache(Usd.TimeCode.EarliestTime()).GetLocalToWorldTransform(root)
    return Gf.IsClose(place, Gf.Matrix4d(1.0), 1e-9) and not any(
        _stays_behind(prim, root) for prim in Usd.PrimRange(root, Usd.TraverseInstanceProxies())
    )


def _stays_behind(prim: Usd.Prim, root: Usd.Prim) -> bool:
    """Whether a prim below ``root`` is bound to something outside of it, or does not move with it."""
    xform = UsdGeom.Xformable(prim)
    if xform and xform.GetResetXformStack():
        return True
    relations = [r for r in prim.GetRelationships() if r.GetName() != "physics:simulationOwner"]  # scenes are left out
    targets = [t for relation in relations for t in relation.GetTargets()]
    return any(not t.HasPrefix(root.GetPath()) and t != Sdf.Path.absoluteRootPath for t in targets)


def write_metric(source: Path, target: Path) -> None:
    """Write the converted copy of the stage ``source`` to the file ``target``; its default prim is ``/Stage``.

    The user's root prims are found below it. Values are those of the stage's earliest time, as for the importer.

    Raises:
        SceneError: a prim resets the transforms above it, so that it cannot stand in an environment.
    """
    user = Usd.Stage.Open(str(source))
    units = (UsdGeom.GetStageMetersPerUnit(user), UsdPhysics.GetStageKilogramsPerUnit(user))
    up = str(UsdGeom.GetStageUpAxis(user))
    layer = _below_one_root(user)
    stage = Usd.Stage.Open(layer)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    for prim in Usd.PrimRange.AllPrims(stage.GetPrimAtPath(ROOT)):
        xform = UsdGeom.Xformable(prim)
        if xform and xform.GetResetXformStack():
            where = str(prim.GetPath()).removeprefix(ROOT)
            raise SceneError(
                f"{source}: {where} resets the transforms above it (resetXformStack), so it would stand in one "
                "environment only",
                remedy="author its transform relative to its parent",
            )
        _convert(prim, units)
    if up != "Z":
        for child in stage.GetPrimAtPath(ROOT).GetChildren():
            _raise_up(child, TURN[up])
        for prim in stage.Traverse():
            if prim.IsA(UsdPhysics.Joint):
                _turn_anchor(UsdPhysics.Joint(prim), TURN[up])
    layer.Export(str(target))


def _below_one_root(user: Usd.Stage) -> Sdf.Layer:
    """The composed stage on one layer, its root prims moved below ``/Stage``; instances become ordinary prims."""
    user.SetEditTarget(user.GetSessionLayer())
    while instances := [p for p in user.Traverse() if p.IsInstance()]:
        for prim in instances:
            prim.SetInstanceable(False)
    flat = user.Flatten(addSourceFileComment=False)
    layer = Sdf.Layer.CreateAnonymous(".usdc")
    top = Sdf.CreatePrimInLayer(layer, ROOT)
    top.specifier, top.typeName = Sdf.SpecifierDef, "Xform"
    layer.defaultPrim = top.name
    for root in flat.rootPrims:
        Sdf.CopySpec(flat, root.path, layer, f"{ROOT}/{root.name}")

    def moved(path: Sdf.Path) -> Sdf.Path:
        # What points below its own root has been moved by the copying.
        inside = path.HasPrefix(ROOT) or path == Sdf.Path.absoluteRootPath
        return path if inside else path.ReplacePrefix(Sdf.Path.absoluteRootPath, Sdf.Path(ROOT))

    def follow(path: Sdf.Path) -> None:
        spec: Any = layer.GetObjectAtPath(path)
        paths = getattr(spec, "targetPathList", None) or getattr(spec, "connectionPathList", None)
        if paths is not None and paths.explicitItems:
            paths.explicitItems = [moved(p) for p in paths.explicitItems]

    layer.Traverse(Sdf.Path.absoluteRootPath, follow)
    return layer


def _convert(prim: Usd.Prim, units: tuple[float, float]) -> None:
    """Convert what the prim's attributes hold to metres and kilograms."""
    shaped = prim.IsA(UsdGeom.Gprim) or prim.HasAPI(UsdLux.LightAPI)
    powers = {**_UNITS, **(_SHAPE if shaped else {}), **(_PRISMATIC if prim.IsA(UsdPhysics.PrismaticJoint) else {})}
    for attribute in prim.GetAttributes():
        name = attribute.GetName()
        kind = name.split(":")
        if kind[:2] == ["xformOp", "transform"]:
            _set(attribute, lambda m: Gf.Matrix4d(m).SetTranslateOnly(m.ExtractTranslation() * units[0]))
            continue
        moves = kind[0] == "xformOp" and kind[1].startswith("translate")
        ends = kind[0] == "limit" and kind[1].startswith(("trans", "distance")) and kind[-1] in ("low", "high")
        power = (1, 0) if moves or ends else powers.get(name)
        # A cube whose size nobody authored has two stage units: unauthored sizes are written out, too.
        if power is not None and (attribute.IsAuthored() or (shaped and name in _SHAPE)):
            factor = units[0] ** power[0] * units[1] ** power[1]
            _set(attribute, lambda value, factor=factor: _times(value, factor))


def _set(attribute: Usd.Attribute, change: Any) -> None:
    value = attribute.Get(Usd.TimeCode.EarliestTime())
    if value is None:
        return
    attribute.Clear()
    attribute.Set(change(value))


def _times(value: Any, factor: float) -> Any:
    """``factor`` times a number, vector or array of USD, of the same type."""
    if isinstance(value, float | int):
        return value * factor
    if hasattr(type(value), "FromNumpy"):
        return type(value).FromNumpy(np.array(value) * np.array(value).dtype.type(factor))
    return type(value)(*(component * factor for component in value))


def _raise_up(prim: Usd.Prim, turn: Gf.Quatd) -> None:
    """Turn a prim, or whatever stands below it where it has no transform, to Z up."""
    xform = UsdGeom.Xformable(prim)
    if not xform:
        for child in prim.GetChildren():
            _raise_up(child, turn)
        return
    others = xform.GetOrderedXformOps()
    first = xform.AddOrientOp(UsdGeom.XformOp.PrecisionDouble, UPRIGHT)
    first.Set(turn)
    xform.SetXformOpOrder([first, *others])


def _turn_anchor(joint: UsdPhysics.Joint, turn: Gf.Quatd) -> None:
    """Turn the frame of a joint's side that holds on to the world, which itself does not turn."""
    sides = (
        (joint.GetBody0Rel(), joint.GetLocalPos0Attr(), joint.GetLocalRot0Attr()),
        (joint.GetBody1Rel(), joint.GetLocalPos1Attr(), joint.GetLocalRot1Attr()),
    )
    for body, position, rotation in sides:
        if body.GetTargets() in ([], [Sdf.Path.absoluteRootPath]):
            position.Set(Gf.Vec3f(turn.Transform(Gf.Vec3d(position.Get()))))
            rotation.Set(Gf.Quatf(turn * Gf.Quatd(rotation.Get())))
