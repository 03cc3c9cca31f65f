"""Gprims as geoms: size, pose, collision pieces and look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pxr import Usd, UsdGeom, UsdPhysics

from synthgen.core.pose import Array, Pose
from synthgen.core.scene import Geom, Mesh
from synthgen.usd import hulls, looks, mesh
from synthgen.usd.problems import Notes
from synthgen.usd.space import FROM_Z, STANDING_AXIS, Placement, Space, tidy

Bools = NDArray[np.bool_]
SIDES = 32
"""Sides of the polygon that stands for a circle where a shape has to become a mesh."""
CONVEX = 0.99
"""A mesh that fills this much of its hull is taken as convex."""


class Shapes:
    """Turns the gprims of one stage into geoms."""

    def __init__(self, space: Space, found: looks.Looks, notes: Notes) -> None:
        self._space = space
        self._looks = found
        self._notes = notes
        self._dynamic = False  # of the body being read
        self._readers: dict[str, Callable[[Usd.Prim, Geom, Placement], list[Geom]]] = {
            "Cube": self._cube,
            "Sphere": self._sphere,
            "Capsule": self._round,
            "Capsule_1": self._round,
            "Cylinder": self._round,
            "Cylinder_1": self._round,
            "Cone": self._round,
            "Plane": self._plane,
            "Mesh": self._mesh,
        }

    def read(self, prim: Usd.Prim, frame: Placement | None, dynamic: bool) -> list[Geom]:
        """The geoms of a gprim: one, or more for a mesh with several materials or a bounding shape as collider.

        Args:
            prim: a gprim.
            frame: placement of the body it belongs to; None: static, poses are in the world.
            dynamic: the body moves, so a collider of it must be convex.
        """
        path = prim.GetPath()
        collides = collision_enabled(prim)
        visible = is_visible(prim)
        if not collides and not visible:
            return []
        reader = self._readers.get(str(prim.GetTypeName()))
        if reader is None:
            self._notes.add("gprim-skipped", path, f"{prim.GetTypeName()} is neither drawn nor collided with", "")
            return []
        placement = self._space.of(prim)
        if placement.scale.min() <= 1e-9 * placement.scale.max():
            self._notes.add("degenerate-scale", path, "its scale is 0 along an axis; it is left out", "mend the scale")
            return []
        if placement.sheared and prim.GetTypeName() != "Mesh":
            self._notes.add(
                "shear-approximated",
                path,
                "it is sheared (a turned prim below an uneven scale); the shear is left out",
                "apply the scale where the prim is turned, or make it a mesh",
            )
        # As with bodies, z of the geom's frame is the stage's up axis: a Y-up stage gives what its Z-up twin gives.
        standing = placement.standing(self._space.up)
        pose = standing.pose if frame is None else frame.pose.inverse() @ standing.pose
        color, opacity = looks.display(prim)
        look = self._looks.of(prim) if visible else None
        surface, density = self._looks.surface(prim) if collides else (None, None)
        start = Geom(
            path=str(path),
            kind="box",
            pose=pose,
            collides=collides,
            visible=visible,
            material=look.material.path if look else None,
            color=color,
            opacity=opacity,
        )
        if surface is not None:
            start = replace(start, surface=surface, density=density, mass=self._own_mass(prim))
            start = replace(start, density=self._own_density(prim) or density)
        self._dynamic = dynamic
        return [replace(g, pose=tidy(g.pose)) for g in reader(prim, start, standing)]

    def _own_mass(self, prim: Usd.Prim) -> float | None:
        if prim.HasAPI(UsdPhysics.RigidBodyAPI) or not prim.HasAPI(UsdPhysics.MassAPI):
            return None
        return float(UsdPhysics.MassAPI(prim).GetMassAttr().Get() or 0.0) * self._space.kilograms or None

    def _own_density(self, prim: Usd.Prim) -> float | None:
        if not prim.HasAPI(UsdPhysics.MassAPI):
            return None
        return float(UsdPhysics.MassAPI(prim).GetDensityAttr().Get() or 0.0) * self._space.density or None

    def _cube(self, prim: Usd.Prim, geom: Geom, placement: Placement) -> list[Geom]:
        half = 0.5 * float(_get(prim, "size")) * placement.own_scale
        return [replace(geom, kind="box", size=_floats(half))]

    def _sphere(self, prim: Usd.Prim, geom: Geom, placement: Placement) -> list[Geom]:
        axes = float(_get(prim, "radius")) * placement.own_scale
        if np.ptp(axes) <= 1e-4 * axes.max():
            return [replace(geom, kind="sphere", size=(float(axes.mean()),))]
        return [replace(geom, kind="ellipsoid", size=_floats(axes))]

    def _round(self, prim: Usd.Prim, geom: Geom, placement: Placement) -> list[Geom]:
        """Cylinders, capsules and cones: around their axis, which becomes the geom's z."""
        name = str(prim.GetTypeName())
        axis = STANDING_AXIS[self._space.up][str(_get(prim, "axis"))]
        geom = replace(geom, pose=geom.pose @ Pose.of((0, 0, 0), FROM_Z[axis]))
        along = float(placement.own_scale["XYZ".index(axis[-1])])
        # In the turned frame, x and y are the other two axes: (z, y) for X, (x, z) for Y.
        others = {"X": (2, 1), "Y": (0, 2), "Z": (0, 1)}[axis[-1]]
        across = placement.own_scale[list(others)]
        half = 0.5 * float(_get(prim, "height")) * along
        if name.endswith("_1"):
            bottom, top = float(_get(prim, "radiusBottom")), float(_get(prim, "radiusTop"))
        else:
            bottom = top = float(_get(prim, "radius"))
        if name == "Cone":
            top = 0.0
        circular = bool(np.ptp(across) <= 1e-4 * across.max())
        if name.startswith("Capsule") and bottom == top:
            if not circular or abs(along - across.max()) > 1e-4 * along:
                self._notes.add(
                    "capsule-stretched",
                    geom.path,
                    "a capsule with an uneven scale keeps round caps of the larger radius",
                    "author radius and height instead of the scale",
                )
            return [replace(geom, kind="capsule", size=(bottom * float(across.max()), half))]
        if name.startswith("Cylinder") and bottom == top and circular:
            return [replace(geom, kind="cylinder", size=(bottom * float(across[0]), half))]
        code = "cone-approximated" if bottom != top else "elliptic-approximated"
        self._notes.add(
            code,
            geom.path,
            f"the {name.removesuffix('_1').lower()} becomes a mesh with {SIDES} sides",
            "none needed unless the roundness matters; a cylinder stays exact",
        )
        profile = (
            _capsule_profile(bottom, top, half, along) if name.startswith("Capsule") else [(bottom, -half), (top, half)]
        )
        vertices, triangles = mesh.lathe(profile, SIDES)
        whole = mesh.make(vertices * np.array([across[0], across[1], 1.0]), triangles)
        return [replace(geom, kind="mesh", mesh=whole, hulls=_one(hulls.hull(whole.vertices)) if geom.collides else ())]

    def _plane(self, prim: Usd.Prim, geom: Geom, placement: Placement) -> list[Geom]:
        # UsdGeomPlane: the width runs along X (along Z when the axis is X), the length along Y (Z when it is Y).
        name = str(_get(prim, "axis"))
        axis = STANDING_AXIS[self._space.up][name]
        width, length = 0.5 * float(_get(prim, "width")), 0.5 * float(_get(prim, "length"))
        local = {"X": (0.0, length, width), "Y": (width, 0.0, length), "Z": (width, length, 0.0)}[name]
        standing = np.abs(placement.linear @ np.array(local))
        half = standing[list({"X": (2, 1), "Y": (0, 2), "Z": (0, 1)}[axis[-1]])]
        if geom.collides and self._dynamic:
            self._notes.add(
                "plane-on-body", geom.path, "a plane on a moving body does not collide", "use a thin Cube instead"
            )
            geom = replace(geom, collides=False)
        pose = geom.pose @ Pose.of((0, 0, 0), FROM_Z[axis])
        return [replace(geom, kind="plane", size=_floats(half), pose=pose)]

    def _mesh(self, prim: Usd.Prim, geom: Geom, placement: Placement) -> list[Geom]:
        raw = mesh.read(prim, self._notes)
        if raw is None:
            return []
        vertices = raw.points @ placement.linear.T
        if np.linalg.det(placement.linear) < 0:
            raw = replace(raw, triangles=raw.triangles[:, ::-1], corners=raw.corners[:, ::-1])
        drawn = self._drawn(prim, geom, raw, vertices) if geom.visible else []
        if not geom.collides:
            return drawn
        solid = self._collider(prim, geom, raw, vertices)
        if len(drawn) == 1 and solid.kind == "mesh" and drawn[0].path == geom.path:
            return [replace(solid, visible=True, mesh=drawn[0].mesh, material=drawn[0].material)]
        name = geom.path if all(d.path != geom.path for d in drawn) else f"{geom.path}.collider"
        return [*drawn, replace(solid, path=name, visible=False, material=None)]

    def _drawn(self, prim: Usd.Prim, geom: Geom, raw: mesh.RawMesh, vertices: Array) -> list[Geom]:
        """What is drawn of a mesh: all of it, or one geom for each material of its faces."""
        plain = replace(geom, kind="mesh", collides=False, hulls=(), mass=None, density=None)
        subsets = UsdGeom.Subset.GetGeomSubsets(UsdGeom.Imageable(prim), UsdGeom.Tokens.face, "materialBind")
        left = np.ones(len(raw.triangles), bool)
        found: list[Geom] = []
        for subset in subsets:
            chosen = np.isin(raw.faces, np.array(subset.GetIndicesAttr().Get(Usd.TimeCode.EarliestTime()) or [], int))
            look = self._looks.of(subset.GetPrim())
            if chosen.any():
                part = self._textured(prim, raw, vertices, chosen, look)
                name = look.material.path if look else None
                found.append(replace(plain, path=str(subset.GetPath()), mesh=part, material=name))
            left &= ~chosen
        if left.any():
            part = self._textured(prim, raw, vertices, left, self._looks.of(prim))
            found.append(replace(plain, mesh=part))
        return found

    def _textured(
        self, prim: Usd.Prim, raw: mesh.RawMesh, vertices: Array, chosen: Bools, look: looks.Look | None
    ) -> Mesh:
        uv = None
        if look is not None and (look.material.texture is not None or look.drawn):
            coordinates = mesh.texcoords(prim, raw, look.primvar)
            if coordinates is None:
                self._notes.add(
                    "texture-without-coordinates",
                    prim.GetPath(),
                    f"its material has a texture but the mesh has no usable primvars:{look.primvar}",
                    "author texture coordinates, or bind a material without a texture",
                )
            else:
                uv = mesh.compact(look.coordinates(coordinates[0]), coordinates[1][chosen])
        return mesh.make(*mesh.compact(vertices, raw.triangles[chosen]), uv)

    def _collider(self, prim: Usd.Prim, geom: Geom, raw: mesh.RawMesh, vertices: Array) -> Geom:
        points, triangles = mesh.compact(vertices, raw.triangles)
        asked = "none"
        if prim.HasAPI(UsdPhysics.MeshCollisionAPI):
            asked = str(UsdPhysics.MeshCollisionAPI(prim).GetApproximationAttr().Get() or "none")
        if asked == "boundingCube":
            low, high = points.min(0), points.max(0)
            half = np.maximum((high - low) / 2, hulls.FLAT / 2)
            return replace(geom, kind="box", size=_floats(half), pose=geom.pose @ Pose.of((low + high) / 2))
        if asked == "boundingSphere":
            middle = (points.min(0) + points.max(0)) / 2
            radius = float(np.linalg.norm(points - middle, axis=1).max())
            return replace(geom, kind="sphere", size=(radius,), pose=geom.pose @ Pose.of(middle))
        solid = replace(geom, kind="mesh", mesh=mesh.make(points, triangles))
        whole = hulls.hull(points)
        if whole is None:
            flat = hulls.thickened(points, triangles)
            self._notes.add(
                "collider-flat",
                geom.path,
                "the collider has no thickness; it is given 1 mm behind its faces" if flat else "it does not collide",
                "use a Cube or a closed mesh as the collider",
            )
            return replace(solid, hulls=_one(flat), collides=flat is not None)
        if asked == "convexHull" or hulls.convexity(points, triangles, whole) >= CONVEX:
            return replace(solid, hulls=(whole,))
        if asked == "convexDecomposition" or not self._dynamic:
            pieces = hulls.decompose(points, triangles)
            if asked != "convexDecomposition":
                self._notes.add(
                    "collider-decomposed",
                    geom.path,
                    f'approximation "{asked}" of a static concave mesh becomes {len(pieces)} convex pieces',
                    'author physics:approximation = "convexDecomposition" or "convexHull" to say so',
                )
            return replace(solid, hulls=pieces or (whole,))
        self._notes.add(
            "collider-hull",
            geom.path,
            f'approximation "{asked}" on a moving body becomes the convex hull, which fills its hollows',
            'author physics:approximation = "convexDecomposition" to keep them',
        )
        return replace(solid, hulls=(whole,))


def collision_enabled(prim: Usd.Prim) -> bool:
    """Whether the prim has CollisionAPI and it is not switched off."""
    return (
        prim.HasAPI(UsdPhysics.CollisionAPI)
        and UsdPhysics.CollisionAPI(prim).GetCollisionEnabledAttr().Get() is not False
    )


def is_visible(prim: Usd.Prim) -> bool:
    """Whether a renderer draws it: purpose default or render, and not invisible."""
    imageable = UsdGeom.Imageable(prim)
    if imageable.ComputeVisibility(Usd.TimeCode.EarliestTime()) == UsdGeom.Tokens.invisible:
        return False
    return imageable.ComputePurpose() in (UsdGeom.Tokens.default_, UsdGeom.Tokens.render)


def _capsule_profile(bottom: float, top: float, half: float, along: float) -> list[tuple[float, float]]:
    angles = np.linspace(-np.pi / 2, np.pi / 2, 17)
    lower = [(bottom * float(np.cos(a)), -half + bottom * along * float(np.sin(a))) for a in angles[:9]]
    upper = [(top * float(np.cos(a)), half + top * along * float(np.sin(a))) for a in angles[8:]]
    return [(0.0, lower[0][1]), *lower[1:], *upper[:-1], (0.0, upper[-1][1])]


def _get(prim: Usd.Prim, name: str) -> Any:
    return prim.GetAttribute(name).Get(Usd.TimeCode.EarliestTime())


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def _one(found: Mesh | None) -> tuple[Mesh, ...]:
    return () if found is None else (found,)
